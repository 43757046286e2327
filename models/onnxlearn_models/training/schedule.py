"""Learning rate schedules: the factor on the learning rate as a function of how much of the training is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from onnxlearn_models.training.config import TrainConfig

# A cosine ends here, not at zero: an epoch without any learning would be waste.
FLOOR = 0.01


def lr_factor(schedule: str, progress: float, warmup: float = 0.0) -> float:
    """Factor on the learning rate after the share ``progress`` of all planned steps.

    ``warmup``: the share of steps during which the rate rises linearly from zero. ``flat_cosine`` keeps to 1 for half of them.

    >>> [round(lr_factor("cosine", p), 3) for p in (0, 0.5, 1)]
    [1.0, 0.505, 0.01]
    >>> lr_factor("constant", 0.01, warmup=0.02)
    0.5
    """
    rise = min(1.0, progress / warmup) if warmup else 1.0
    return rise * SCHEDULES[schedule](progress)


class Schedule:
    """The course of the learning rate over the steps of a training, which are counted from 1 to ``n_epochs * n_epoch_steps``.

    ``needs_validation``: it looks at the validation loss of each epoch.
    """

    needs_validation: ClassVar[bool] = False

    def __init__(self, name: str, warmup: float, n_steps: int) -> None:
        self._name, self._warmup, self._n_steps = name, warmup, n_steps

    def factor(self, step: int) -> float:
        """Factor on the learning rate in this step."""
        return lr_factor(self._name, step / self._n_steps, self._warmup)

    def momentum(self, step: int) -> float | None:
        """The optimizer's momentum in this step; ``None``: its own."""
        del step
        return None

    def after_epoch(self, value: float | None) -> None:
        """Take note of an epoch's validation loss."""

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain JSON."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


def make_schedule(config: TrainConfig, n_epochs: int, n_epoch_steps: int) -> Schedule:
    """The schedule that the settings name."""
    return Schedule(config.schedule, config.warmup, n_epochs * n_epoch_steps)


def fade(progress: float) -> float:
    """1 over the first half, then down to 0 along a cosine.

    >>> [round(fade(p), 3) for p in (0, 0.5, 0.75, 1)]
    [1.0, 1.0, 0.5, 0.0]
    """
    return (1 + math.cos(math.pi * min(max(0.0, 2 * progress - 1), 1.0))) / 2


def _cosine(progress: float) -> float:
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _coslog(n_cycles: int, progress: float) -> float:
    """Cycles from 0 to 1 and back, each twice as long as the one before (Holzmüller et al. 2024, "Better by default")."""
    return (1 - math.cos(2 * math.pi * math.log2(1 + (2**n_cycles - 1) * min(progress, 1.0)))) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _progress: 1.0,
    "cosine": _cosine,
    "flat_cosine": lambda progress: _cosine(max(0.0, 2 * progress - 1)),
    "coslog4": partial(_coslog, 4),
}
"""From the share of the planned steps that is done to the factor; a line here makes one a choice of every learner."""
