"""Curves for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import MissingExtraError
from onnxlearn_models.training.callback import State
from onnxlearn_models.training.callbacks.named import register
from onnxlearn_models.training.callbacks.tracker import Numbers, Tracker, file_scores, grouped

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from onnxlearn.model import Model
    from onnxlearn_models.training.loop import Training


@register("tensorboard")
class TensorBoard(Tracker):
    """Writes what TensorBoard shows: curves of losses, scores and learning rate, and the parameters with the file's scores.

    ``{run}`` in ``path`` stands for a name of the training that no folder has yet: each fold of a resampling and each network
    of an ensemble has its own. ``steps``: curves over steps too, which are a run of their own, below. Needs the package
    tensorboard.
    """

    def __init__(self, path: str = "runs/{run}", *, steps: bool = False) -> None:
        super().__init__(steps=steps)
        self.path = str(path)
        self.folder: Path | None = None
        self._params: dict[str, Any] = {}
        self._writer: SummaryWriter | None = None
        self._step_writer: SummaryWriter | None = None

    def open(self, ctx: Training) -> None:
        """Make the folder, or go on in it."""
        _import_writer()
        self.folder = self.folder or ctx.info.folder(self.path)
        self._params = {"learner": ctx.info.learner, **ctx.info.params, **ctx.info.chosen}
        # What a run wrote beyond the epoch that this one goes on from is not shown any more: of all curves of a file, so those
        # over steps have another one.
        self._writer = self._opened(purge_step=ctx.epoch + 1 if self.goes_on else None)
        if self.steps:
            self._step_writer = self._opened("steps", purge_step=ctx.n_steps + 1 if self.goes_on else None)
        if not self.goes_on:
            about = {"task": ctx.info.task, "parts": list(ctx.info.parts), **self._params}
            self._writer.add_text("onnxlearn", f"    {json.dumps(about, indent=2)}".replace("\n", "\n    "))

    def write_steps(self, rows: Sequence[tuple[int, Numbers]]) -> None:
        """As curves."""
        for step, values in rows:
            for name, value in values.items():
                assert self._step_writer is not None
                self._step_writer.add_scalar(f"step/{name}", value, step)

    def write_epoch(self, epoch: int, values: Numbers) -> None:
        """As points of curves."""
        assert self._writer is not None
        for name, value in values.items():
            self._writer.add_scalar(grouped(name), value, epoch)
        self._writer.flush()

    def close(self, ctx: Training, *, failed: bool) -> None:
        """Close the files."""
        del ctx, failed
        for writer in (self._writer, self._step_writer):
            if writer is not None:
                writer.close()
        self._writer = self._step_writer = None

    def write_scores(self, model: Model) -> None:
        """In the table of parameters and scores."""
        plain = {name: v if isinstance(v, bool | int | float | str) else json.dumps(v) for name, v in self._params.items()}
        with self._opened() as writer:
            writer.add_hparams(plain, file_scores(model), run_name=".")

    def state(self) -> State:
        """Which folder it is."""
        return {"path": self.path, "folder": str(self.folder)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with it, unless it is to be another one now."""
        if state["path"] == self.path and Path(state["folder"]).is_dir():
            self.folder, self.goes_on = Path(state["folder"]), True

    def _opened(self, run: str = ".", *, purge_step: int | None = None) -> SummaryWriter:
        assert self.folder is not None
        return _import_writer()(log_dir=str(self.folder / run), purge_step=purge_step)


def _import_writer() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError.of("tensorboard", "track", "callback 'tensorboard'") from error
    return SummaryWriter
