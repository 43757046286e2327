"""The history as a file that grows with the training."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.callback import State
from onnxlearn_models.training.callbacks.named import register
from onnxlearn_models.training.callbacks.tracker import Tracker

if TYPE_CHECKING:
    from onnxlearn_models.training.history import Epoch
    from onnxlearn_models.training.loop import Training


@register("history")
class HistoryFile(Tracker):
    """Writes the history, a line an epoch as soon as it is over: CSV, or JSON lines where ``path`` ends in ``.jsonl``.

    ``{run}`` in ``path`` stands for a name of the training that no file has yet; without it the file is replaced.

    Raises: ParameterError for another suffix.
    """

    def __init__(self, path: str = "history/{run}.csv") -> None:
        super().__init__()
        self.path = str(path)
        if Path(self.path).suffix not in (".csv", ".jsonl"):
            raise ParameterError(f"a history is written as .csv or .jsonl, not {self.path!r}")
        self.file: Path | None = None

    def open(self, ctx: Training) -> None:
        """Make the file, with the epochs that a training which goes on has behind it."""
        self.file = self.file or ctx.info.file(self.path)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("", encoding="utf-8")
        self.goes_on = True
        for epoch in ctx.history:
            self._append(epoch, ctx)

    def epoch_end(self, ctx: Training) -> None:
        """Write the line."""
        self._safely(lambda: self._append(ctx.history[-1], ctx))

    def state(self) -> State:
        """Which file it is."""
        return {"path": self.path, "file": str(self.file)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with it, unless it is to be another one now."""
        if state["path"] == self.path:
            self.file = Path(state["file"])

    def _append(self, epoch: Epoch, ctx: Training) -> None:
        assert self.file is not None
        row = {"epoch": epoch.number, **epoch.values(ctx.objective.score.name)}
        with self.file.open("a", encoding="utf-8", newline="") as file:
            if self.file.suffix == ".jsonl":
                file.write(json.dumps(row) + "\n")
                return
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)
