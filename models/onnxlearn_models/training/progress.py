"""A progress bar on stderr; nothing is imported or written where it is not wanted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from onnxlearn_models.training.history import Epoch, OnEpoch


@contextlib.contextmanager
def progress_bar(max_epochs: int, *, show: bool | None) -> Iterator[OnEpoch]:
    """Give a function to call after each epoch. ``show=None``: only where stderr is a terminal."""
    if not (sys.stderr.isatty() if show is None else show):
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=max_epochs)
        yield lambda epoch: bar.update(task, completed=epoch.number, description=describe(epoch))


def describe(epoch: Epoch) -> str:
    """The losses, and what was measured, in words.

    >>> describe(Epoch(number=3, train_loss=0.51234, valid_loss=None, lr=1e-3))
    'train loss 0.5123'
    >>> describe(Epoch(number=3, train_loss=0.5, valid_loss=0.6, lr=1e-3, measures={"valid_auc": 0.81234, "train_auc": None}))
    'train loss 0.5000, validation loss 0.6000, valid_auc 0.8123'
    """
    text = f"train loss {epoch.train_loss:.4f}"
    text = text if epoch.valid_loss is None else f"{text}, validation loss {epoch.valid_loss:.4f}"
    measured = (f"{name} {value:.4f}" for name, value in epoch.measures.items() if value is not None)
    return ", ".join([text, *measured])


def _ignore(epoch: Epoch) -> None:
    """Report nothing."""
    del epoch
