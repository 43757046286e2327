"""Progress over all iterations of a benchmark, on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from onnxlearn.experiments.record import Record
from onnxlearn.progress import progress_bar

OnFinished: TypeAlias = Callable[[Record], None]

_COLUMNS = ("iteration", "MofNCompleteColumn", "BarColumn", "TimeElapsedColumn", "TimeRemainingColumn", "{task.description}")


@contextlib.contextmanager
def progress_over(n_iterations: int, n_done: int, *, show: bool | None) -> Iterator[OnFinished]:
    """Give a function to call after each iteration; ``show`` and errors as in :func:`onnxlearn.progress.progress_bar`.

    ``n_done``: how many were finished before, which the time left does not take for speed.
    """
    with progress_bar(*_COLUMNS, show=show, transient=False) as bar:
        task = None if bar is None else bar.add_task("", total=n_iterations, completed=n_done)
        n_failed = 0

        def on_finished(record: Record) -> None:
            nonlocal n_failed
            n_failed += record.status != "done"
            failed = f", {n_failed} failed" if n_failed else ""
            if bar is not None and task is not None:
                bar.update(task, advance=1, description=f"{record.learner} on {record.task}{failed}")

        yield on_finished
