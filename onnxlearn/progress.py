"""A bar over equal steps, on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from onnxlearn.errors import MissingExtraError


@contextlib.contextmanager
def progress_steps(what: str, n_steps: int, *, show: bool | None) -> Iterator[Callable[[], None]]:
    """Give a function to call after each step. ``show=None``: only where stderr is a terminal and rich is installed.

    Raises: MissingExtraError where it is asked for and rich is not installed.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield _ignore
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError as error:
        if show:
            raise MissingExtraError.of("rich", "cli", "a progress bar") from error
        yield _ignore
        return
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=n_steps)
        yield lambda: bar.update(task, advance=1)


def _ignore() -> None:
    """Show nothing."""
