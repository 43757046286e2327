"""What writes down how a training goes."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import torch
from torch import Tensor

from onnxlearn.errors import OnnxlearnError, OutputError
from onnxlearn_models.training.callback import Callback

if TYPE_CHECKING:
    from onnxlearn.model import Model
    from onnxlearn_models.training.history import Epoch
    from onnxlearn_models.training.loop import Training

Numbers: TypeAlias = Mapping[str, float]

# Before whatever changes gradients: they are told of as they come.
BEFORE_CHANGES = -50


class Tracker(Callback):
    """What writes down how a training goes; a subclass says where, by the methods that raise nothing here.

    ``steps``: of every step too: its loss, learning rate and the norm of its gradient, before any clipping.

    What cannot be opened is refused before the first batch. Later errors of ``errors`` are warned of, once: a training is not
    to be lost with its curves.
    """

    order: ClassVar[int] = BEFORE_CHANGES
    recorded: ClassVar[bool] = False
    errors: tuple[type[Exception], ...] = (OSError,)
    goes_on: bool = False
    """Whether what it writes to has the epochs that a training which goes on has behind it."""

    def __init__(self, *, steps: bool = False) -> None:
        self.steps = steps
        self._rows: list[tuple[int, Tensor, float, Tensor]] = []
        self._since = 0.0
        self._norm = torch.zeros(())
        self._ended = self._has_failed = False

    def open(self, ctx: Training) -> None:
        """Make ready, before the first epoch."""

    def write_steps(self, rows: Sequence[tuple[int, Numbers]]) -> None:
        """Keep what is told of the steps of an epoch, by their numbers: ``loss``, ``lr``, ``grad_norm``."""

    def write_epoch(self, epoch: int, values: Numbers) -> None:
        """Keep the numbers of an epoch, by the names in the history; ``seconds`` is how long it took."""

    def close(self, ctx: Training, *, failed: bool) -> None:
        """End, whatever ended the training; ``failed``: by an error."""

    def write_scores(self, model: Model) -> None:
        """Keep what the file was scored with."""

    def begin(self, ctx: Training) -> None:
        """Open. Raises: OutputError."""
        try:
            self.open(ctx)
        except self.errors as error:
            if isinstance(error, OnnxlearnError):
                raise
            raise OutputError(f"{self!r} has nowhere to write: {_one_line(error)}") from error
        if not self.goes_on:
            for epoch in ctx.history:
                self._safely(functools.partial(self.write_epoch, epoch.number, _numbers(epoch, ctx)))

    def epoch_begin(self, ctx: Training) -> None:
        """Start the clock."""
        del ctx
        self._since = time.perf_counter()

    def after_backward(self, ctx: Training) -> None:
        """Measure the gradient."""
        if self.steps:
            self._norm = torch.linalg.vector_norm(ctx.optimizer.flat.grads)

    def batch_end(self, ctx: Training) -> None:
        """Note the step."""
        if self.steps:
            self._rows.append((ctx.n_steps, ctx.loss, ctx.lr, self._norm))

    def epoch_end(self, ctx: Training) -> None:
        """Write what is new."""
        # Read here and not in each step: elsewhere than on the CPU looking at a number waits for the device.
        rows = [(step, {"loss": float(loss), "lr": lr, "grad_norm": float(norm)}) for step, loss, lr, norm in self._rows]
        self._rows = []
        values = {**_numbers(ctx.history[-1], ctx), "seconds": time.perf_counter() - self._since}
        self._safely(lambda: self.write_steps(rows))
        self._safely(lambda: self.write_epoch(ctx.epoch, values))

    def end(self, ctx: Training) -> None:
        """Note that no error ended it."""
        del ctx
        self._ended = True

    def exit(self, ctx: Training) -> None:
        """Close."""
        failed = not self._ended and ctx.stopped is None
        self._safely(lambda: self.close(ctx, failed=failed))

    def shipped(self, model: Model) -> None:
        """Write the scores of the file."""
        self._safely(lambda: self.write_scores(model))

    def _safely(self, write: Callable[[], None]) -> None:
        try:
            write()
        except self.errors as error:
            if not self._has_failed:
                text = f"{self!r} could not write, and misses something: {_one_line(error)}"
                warnings.warn(text, RuntimeWarning, stacklevel=2)
            self._has_failed = True


def _numbers(epoch: Epoch, ctx: Training) -> dict[str, float]:
    """What is told of an epoch; without what has no value."""
    return {name: value for name, value in epoch.values(ctx.objective.score.name).items() if value is not None}


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def grouped(name: str) -> str:
    """A name of the history as trackers group them.

    >>> grouped("valid_loss"), grouped("train_auc"), grouped("lr")
    ('loss/valid', 'auc/train', 'lr')
    """
    rows, _, what = name.partition("_")
    return f"{what}/{rows}" if rows in ("train", "valid") else name


def file_scores(model: Model) -> dict[str, float]:
    """The scores of a file, by names for trackers: those of the loop are other numbers."""
    return {
        f"file/{rows}/{measure}": value
        for rows, scores in model.scores.items()
        for measure, value in scores.items()
        if value is not None
    }
