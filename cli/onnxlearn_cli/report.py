"""``onnxlearn report``: a page about results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxlearn.errors import OutputError
from onnxlearn_cli.talk import say

if TYPE_CHECKING:
    from onnxlearn.tuning.result import Tuning


def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Folder that --store named; several of one design are put together."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Page to write, such as report.html.")],
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Heading, instead of what was compared.")] = None,
) -> None:
    """Write a page about the results of resample, of a benchmark, or of a search by tune.

    One HTML file that loads nothing: what was compared, scores, ranks, plots, failures and times; of a search the space, the
    best parameters, all trials and their plots.
    """
    from onnxlearn.files.outputs import STDOUT, atomic_path
    from onnxlearn.reporting.page import opened
    from onnxlearn.reporting.page import report as write
    from onnxlearn.tuning.result import Tuning

    if str(out) != STDOUT:
        require_page(out, "--out")
    for folder in results:
        if folder.resolve() in out.resolve().parents:
            raise OutputError(
                f"{str(out)!r} is inside the results {str(folder)!r}, which hold nothing else: choose another place"
            )
    # Refuses now, not after the drawing, where nothing can be written.
    with atomic_path(out) as temporary:
        result = opened(*results)
        write(result, temporary, title=title)
    n = f"{len(result.all)} trials" if isinstance(result, Tuning) else f"{len(result.records)} iterations"
    say(f"wrote {out} ({n})")


@contextlib.contextmanager
def page_file(path: Path | None, *inputs: str | Path) -> Iterator[Callable[[Tuning], None]]:
    """A function that writes the page of a search to --report, or does nothing without; refused now where it cannot be."""
    from onnxlearn.files.outputs import atomic_path, require_other_file
    from onnxlearn.reporting.page import report as write
    from onnxlearn.reporting.page import require_packages

    if path is None:
        yield write_nothing
        return
    require_page(path, "--report")
    require_other_file(path, *inputs)
    require_packages()
    with atomic_path(path) as temporary:
        yield lambda found: write(found, temporary)


def write_nothing(found: Tuning) -> None:
    """Nothing was asked for."""
    del found


def require_page(path: Path, option: str) -> None:
    """Raise OutputError for what is no page by its name."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"a report is an HTML page, and {str(path)!r} is none by its name: {option} report.html")
