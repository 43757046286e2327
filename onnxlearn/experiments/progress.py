"""Progress over all iterations of a benchmark, on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

from onnxlearn.experiments.record import Record

OnFinished: TypeAlias = Callable[[Record], None]


@contextlib.contextmanager
def progress_over(n_iterations: int, n_done: int, *, show: bool | None) -> Iterator[OnFinished]:
    """Give a function to call after each iteration. ``show=None``: only where stderr is a terminal.

    ``n_done``: how many were finished before, which the time left does not take for speed.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("iteration"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=n_iterations, completed=n_done)
        n_failed = 0

        def on_finished(record: Record) -> None:
            nonlocal n_failed
            n_failed += record.status != "done"
            failed = f", {n_failed} failed" if n_failed else ""
            bar.update(task, advance=1, description=f"{record.learner} on {record.task}{failed}")

        yield on_finished


def _ignore(record: Record) -> None:
    """Report nothing."""
    del record
