"""Checkpoints, from which a training goes on."""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.errors import DataError, OutputError, ParameterError
from onnxlearn.params import to_json
from onnxlearn_models.packing import version
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.checkpoint import Checkpoint, CheckpointFile

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training

# Of the time that a training takes, writing checkpoints may add this share.
SHARE = 0.05


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the training goes on."""


class Checkpoints(Callback):
    """Writes the state of the training at the end of every ``every`` epochs, and of the last one.

    ``every=None``: so often that it takes little of the time. Where a file cannot be written, the one before it stays, which is
    said once, and the next is tried.
    """

    # After all others, so that their states are those of the epoch's end.
    order: ClassVar[int] = sys.maxsize
    recorded: ClassVar[bool] = False

    def __init__(self, file: CheckpointFile, every: int | None = None) -> None:
        self.file, self.every = file, every
        self._next = 0.0
        self._warned = False
        self._earlier: list[dict[str, Any]] = []
        self._changed: dict[str, Any] = {}

    def resume(self, ctx: Training) -> None:
        """Let the training go on from the file, if there is one. Raises: ParameterError, DataError."""
        saved = self.file.read()
        if saved is None:
            return
        if saved.epoch > ctx.max_epochs:
            raise ParameterError(
                f"max_epochs={ctx.max_epochs}, and the training in {str(self.file.path.parent)!r} has had {saved.epoch} "
                "epochs: give as many at least, or another folder"
            )
        try:
            ctx.load_state(saved.state)
        except (KeyError, RuntimeError, TypeError) as error:
            raise DataError(
                f"{str(self.file.path)!r} does not fit this training: onnxlearn {saved.settings.get('onnxlearn')} wrote it, "
                f"and this is {version('onnxlearn')}; give another folder, or delete it to train anew"
            ) from error
        now = settings(ctx)
        if (saved.settings["callbacks"], saved.watching) != (now["callbacks"], _callbacks(ctx, recorded=False)):
            # What ended it may be gone.
            ctx.stopped = None
        self._earlier = saved.earlier
        self._changed = {name: value for name, value in saved.settings.items() if value != now.get(name)}
        ctx.result.notes += [_note(each) for each in self._earlier]
        if ctx.n_steps < ctx.epoch * ctx.n_epoch_steps and ctx.stopped is None:
            ctx.result.notes.append(
                f"it went on after an epoch that was cut short, by time_budget or a callback: its {ctx.epoch} epochs had "
                f"{ctx.n_steps} steps instead of {ctx.epoch * ctx.n_epoch_steps}"
            )

    def begin(self, ctx: Training) -> None:
        """Find out now whether the state can be kept."""
        self._checkpoint(ctx).pack()

    def epoch_begin(self, ctx: Training) -> None:
        """Note with which settings the epochs before were trained."""
        if self._changed:
            self._earlier.append({"until": ctx.epoch - 1, **self._changed})
            ctx.result.notes.append(_note(self._earlier[-1]))
            self._changed = {}

    def epoch_end(self, ctx: Training) -> None:
        """Write if it is time to, and at the end; of several processes the first one does."""
        if not ctx.team.is_first:
            return
        is_last = ctx.stopped is not None or ctx.epoch == ctx.last_epoch
        is_due = time.monotonic() >= self._next if self.every is None else ctx.epoch % self.every == 0
        if is_last or is_due:
            self._write(ctx)

    def _write(self, ctx: Training) -> None:
        start = time.monotonic()
        try:
            self.file.write(self._checkpoint(ctx).pack())
        except OutputError as error:
            if not self._warned:
                warnings.warn(
                    f"{error}. The training goes on without the checkpoint of epoch {ctx.epoch}; one before it stays, and "
                    "later ones are tried",
                    CheckpointWarning,
                    stacklevel=2,
                )
            self._warned = True
        self._next = time.monotonic() + (time.monotonic() - start) / SHARE

    def _checkpoint(self, ctx: Training) -> Checkpoint:
        return Checkpoint(
            state=ctx.state(),
            settings=settings(ctx),
            watching=_callbacks(ctx, recorded=False),
            earlier=self._earlier,
            places=ctx.optimizer.flat.places(ctx.module),
            buffers=[name for name, _ in ctx.module.named_buffers()],
        )


def settings(ctx: Training) -> dict[str, Any]:
    """What may be others when a training goes on, and changes what it comes to."""
    versions = {package: version(package) for package in ("onnxlearn", "torch")}
    return {"max_epochs": ctx.max_epochs, "callbacks": _callbacks(ctx, recorded=True), **versions}


def _callbacks(ctx: Training, *, recorded: bool) -> list[Any]:
    return [to_json(callback) for callback in ctx.result.callbacks if callback.recorded == recorded]


def _note(earlier: dict[str, Any]) -> str:
    """What the model says of epochs with other settings."""
    told = ", ".join(f"{name}={value}" for name, value in earlier.items() if name != "until")
    return f"up to epoch {earlier['until']} it had {told}"
