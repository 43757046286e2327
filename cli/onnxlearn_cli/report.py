"""``onnxlearn report``: a page about results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxlearn.errors import OutputError
from onnxlearn_cli.talk import say


def report(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Folder that --store named; several of one design are put together."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Page to write, such as report.html.")],
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Heading, instead of what was compared.")] = None,
) -> None:
    """Write a page about the results of resample or of a benchmark.

    One HTML file that loads nothing: what was compared, scores, ranks, plots, failures and times.
    """
    from onnxlearn.experiments.results import BenchmarkResult
    from onnxlearn.files.outputs import STDOUT, atomic_path
    from onnxlearn.reporting.page import report as write

    if str(out) != STDOUT and out.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"a report is an HTML page, and {str(out)!r} is none by its name: --out report.html")
    for folder in results:
        if folder.resolve() in out.resolve().parents:
            raise OutputError(
                f"{str(out)!r} is inside the results {str(folder)!r}, which hold nothing else: choose another place"
            )
    # Refuses now, not after the drawing, where nothing can be written.
    with atomic_path(out) as temporary:
        result = BenchmarkResult.load(*results)
        write(result, temporary, title=title)
    say(f"wrote {out} ({len(result.records)} iterations)")
