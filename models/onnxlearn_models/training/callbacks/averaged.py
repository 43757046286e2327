"""Averages of the weights over the steps of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from onnxlearn_models.training.callback import Callback, State, copied

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training

# Before whatever looks at the weights: it puts others in place.
FIRST = -100


class MovingAverage(Callback):
    """The exponential moving average of weights and running statistics, which is what is judged and kept.

    Polyak and Juditsky (1992), "Acceleration of Stochastic Approximation by Averaging". ``decay``: share of the average that
    stays in each step.
    """

    order: ClassVar[int] = FIRST
    stackable: ClassVar[bool] = True

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._average: list[Tensor] = []
        self._trained: list[Tensor] = []
        self._loaded: list[Tensor] = []

    def begin(self, ctx: Training) -> None:
        """Start from the initial weights, or go on."""
        self._average = self._loaded or copied(ctx.moving())

    @torch.no_grad()
    def batch_end(self, ctx: Training) -> None:
        """Take the weights of this step into the average."""
        self.take([(self, ctx)])

    @staticmethod
    def take(averages: Sequence[tuple[MovingAverage, Training]]) -> None:
        """Take the weights of a step of several trainings into the average of each; all have made as many steps."""
        first, ctx = averages[0]
        # A young average forgets its start quickly (the correction that TensorFlow's moving average uses).
        decay = min(first.decay, (1 + ctx.n_steps) / (10 + ctx.n_steps))
        held = [tensor for average, _ in averages for tensor in average._average]
        new = [tensor for _, ctx in averages for tensor in ctx.moving()]
        torch._foreach_lerp_(held, new, 1 - decay)

    @torch.no_grad()
    def valid_begin(self, ctx: Training) -> None:
        """Put the average in place."""
        self._trained = copied(ctx.moving())
        put(self._average, ctx.moving())
        if ctx.config.l1:
            # What the penalty holds at 0 now: its average has only not forgotten where it began.
            ctx.optimizer.flat.values.mul_(self._trained[0] != 0)

    @torch.no_grad()
    def epoch_end(self, ctx: Training) -> None:
        """Go on from the weights of the last step."""
        put(self._trained, ctx.moving())
        self._trained = []

    def state(self) -> State:
        """The average."""
        return {str(i): tensor for i, tensor in enumerate(self._average)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._loaded = [state[str(i)] for i in range(len(state))]


def put(values: list[Tensor], tensors: list[Tensor]) -> None:
    """Copy the values into the tensors."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
