"""Steps with a learning rate that rises."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from torch import nn

from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.divergence import DivergedError
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.optimizer import Group
from onnxlearn_models.training.schedule import Schedule
from onnxlearn_models.training.tensors import Change, Tensors


def range_test(
    module: nn.Module,
    train: Tensors,
    objective: Objective,
    config: TrainConfig,
    groups: Sequence[Group],
    lrs: Sequence[float],
    *,
    change: Change | None = None,
) -> list[float]:
    """Train the network, in place, for a step at each of these learning rates; the loss of the batch after each step.

    Losses of training: with dropout, mixup, weights, and after ``change``, what is made of each batch first. Fewer where one
    is not finite. ``config`` leaves nothing open; what it says of schedule, average of weights, accumulation, early stopping
    and callbacks rests.
    """
    losses: list[float] = []

    class Watching(Callback):
        def batch_end(self, ctx: Training) -> None:
            losses.append(float(ctx.loss))
            if len(losses) > len(lrs):
                ctx.stop()

    config = dataclasses.replace(
        config, ema=0.0, accumulate=1, dropout_schedule="constant", weight_decay_schedule="constant", time_budget=None,
        callbacks=(Watching(),), warmup=0.0,
    )  # fmt: skip
    training = Training(
        module,
        train,
        None,
        objective=objective,
        config=config,
        groups=groups,
        settle=lambda: None,
        on_epoch=lambda _: None,
        change=change,
    )
    training.schedule = _Rates(lrs, training.result.lr)
    with contextlib.suppress(DivergedError):
        while training.stopped is None:
            training.train_epoch()
    return losses[1:]


class _Rates(Schedule):
    """A rate for each step; the last one for all that follow."""

    def __init__(self, lrs: Sequence[float], lr: float) -> None:
        self._factors = [each / lr for each in lrs]

    def factor(self, step: int) -> float:
        """Of the step, counted from 1."""
        return self._factors[min(step, len(self._factors)) - 1]
