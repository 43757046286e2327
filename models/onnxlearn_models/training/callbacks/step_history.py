"""What every step was like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from onnxlearn_models.training.callback import State
from onnxlearn_models.training.callbacks.named import register
from onnxlearn_models.training.callbacks.tracker import Numbers, Tracker


@register("steps")
class StepHistory(Tracker):
    """Keeps loss, learning rate and norm of the gradient of every step, the last before any clipping.

    They are there after the fit, in ``model.callbacks``, as :meth:`to_frame`.
    """

    def __init__(self) -> None:
        super().__init__(steps=True)
        self.rows: list[dict[str, Any]] = []

    def write_steps(self, rows: Sequence[tuple[int, Numbers]]) -> None:
        """Keep them."""
        self.rows += [{"step": step, **values} for step, values in rows]

    def to_frame(self) -> pd.DataFrame:
        """One row a step: ``step`` (from 1), ``loss``, ``lr``, ``grad_norm``."""
        return pd.DataFrame(self.rows, columns=["step", "loss", "lr", "grad_norm"])

    def state(self) -> State:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.rows = list(state["rows"])
