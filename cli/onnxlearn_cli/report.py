"""``onnxlearn report``: a page about results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxlearn_cli.talk import show


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
    from onnxlearn.files.outputs import atomic_path
    from onnxlearn.reporting.page import report as write

    # Refuses now, not after the drawing, where nothing can be written.
    with atomic_path(out) as temporary:
        result = BenchmarkResult.load(*results)
        write(result, temporary, title=title)
    show(f"wrote {out} ({len(result.records)} iterations)")
