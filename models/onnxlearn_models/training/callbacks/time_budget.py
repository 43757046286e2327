"""Training for a limited time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnxlearn_models.training.callback import Callback, State

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


class TimeBudget(Callback):
    """Ends the training after so many seconds, in the middle of an epoch too; its weights are judged as at any epoch's end.

    A training that goes on later has the rest of its time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._before = 0.0
        self._start = time.monotonic()

    def begin(self, ctx: Training) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        if self._before >= self.seconds:
            ctx.stop("time")

    def batch_end(self, ctx: Training) -> None:
        """Look at the clock."""
        if self._elapsed() >= self.seconds:
            ctx.stop("time")

    def state(self) -> State:
        """What has been used of the budget."""
        return {"seconds": self._elapsed()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the rest."""
        self._before = state["seconds"]

    def _elapsed(self) -> float:
        return self._before + time.monotonic() - self._start
