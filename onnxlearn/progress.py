"""Bars on stderr: what work of several steps shows while it goes on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from onnxlearn.errors import MissingExtraError
from onnxlearn.processes import place

if TYPE_CHECKING:
    from rich.progress import Progress


@contextlib.contextmanager
def progress_bar(*columns: str, show: bool | None, transient: bool) -> Iterator[Progress | None]:
    """A bar of rich's, or ``None`` where nothing is shown.

    ``columns``: names of rich's, such as ``BarColumn``, or texts. ``show=None``: only where stderr is a terminal and rich is
    installed. ``transient``: it is gone at the end.

    Raises: MissingExtraError where it is asked for and rich is not installed.
    """
    if not (sys.stderr.isatty() and place().is_first if show is None else show):
        yield None
        return
    try:
        from rich import progress
        from rich.console import Console
    except ImportError as error:
        if show:
            raise MissingExtraError.of("rich", "cli", "a progress bar") from error
        yield None
        return
    made = [getattr(progress, name)() if name.endswith("Column") else progress.TextColumn(name) for name in columns]
    with progress.Progress(*made, console=Console(stderr=True), transient=transient) as bar:
        yield bar


@contextlib.contextmanager
def progress_steps(what: str, n_steps: int, *, show: bool | None) -> Iterator[Callable[[], None]]:
    """Give a function to call after each step; ``show`` and errors as in :func:`progress_bar`."""
    columns = ("{task.description}", "MofNCompleteColumn", "BarColumn", "TimeRemainingColumn")
    with progress_bar(*columns, show=show, transient=True) as bar:
        task = None if bar is None else bar.add_task(what, total=n_steps)

        def on_step() -> None:
            if bar is not None and task is not None:
                bar.update(task, advance=1)

        yield on_step
