"""``onnxlearn bench``: how fast a model file runs on this machine."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onnxlearn.errors import ParameterError
from onnxlearn_cli.options import Format, Images, ModelFile, Plot, figure_file, image_rules
from onnxlearn_cli.talk import say, show, show_table

if TYPE_CHECKING:
    from onnxlearn.inference.report import Bench


def bench(
    model: ModelFile,
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Table whose rows are run; without it, rows that fit the model.")
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option("--against", metavar="MODEL", help="Another file to compare. Repeatable.")
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            metavar="N",
            min=1,
            help="Rows a call. Repeatable; 1, 32, 1000 and 10000 if not given (of images 1 and 32).",
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", metavar="N", min=1, help="Repeatable; 1 and one a core if not given."),
    ] = None,
    provider: Annotated[
        Literal["all", "cpu", "cuda"],
        typer.Option("--provider", help="Where the file runs; cuda is an error where it cannot, all are those that can."),
    ] = "all",
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Time spent on each setting.")] = 0.5,
    torch: Annotated[bool, typer.Option("--torch/--no-torch", help="Also the network in torch, where it can be had.")] = True,
    starts: Annotated[
        bool, typer.Option("--starts/--no-starts", help="Also what a fresh process takes to load the file, and its memory.")
    ] = True,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write all of it as JSON; - prints that instead of the table.")
    ] = None,
    plot: Plot = None,
    images: Images = None,
    format_: Format = None,
) -> None:
    """Measure how fast a model file runs.

    Time of a call (median, 90th and 99th percentile) and rows a second, for each provider, number of rows and threads, with the
    same network in torch beside it; and what a fresh process takes to load the file.
    """
    from onnxlearn.files.outputs import STDOUT, atomic_path, require_other_file
    from onnxlearn.inference.bench import bench as measure

    models = [model, *(against or [])]
    if data == STDOUT and len(models) > 1:
        raise ParameterError("standard input can be read once, and each file reads the rows: name a file of rows")
    if len({path.resolve() for path in models}) < len(models):
        raise ParameterError("a file is given twice: each of MODEL and --against has to be another one")
    given = [data] if data is not None else []
    if as_json is not None:
        require_other_file(as_json, *models, *given)
    chosen: list[Literal["auto", "cpu", "cuda"]] | None = None if provider == "all" else [provider]
    with contextlib.ExitStack() as files:
        # Also refuses now, not after the measurements, where nothing can be written.
        temporary = files.enter_context(atomic_path(as_json)) if as_json is not None else None
        draw = files.enter_context(figure_file(plot, *models, *given))
        found = measure(
            models, data, batch_sizes=batch, n_threads=threads, providers=chosen, seconds=seconds,
            torch=torch, starts=starts, format=format_, images=image_rules(images),
        )  # fmt: skip
        if temporary is not None:
            temporary.write_text(json.dumps(found.to_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        draw(found)
    if as_json != STDOUT:
        show_bench(found)
    for path in (as_json, plot):
        if path is not None and str(path) != STDOUT:
            say(f"wrote {path}")


def show_bench(found: Bench) -> None:
    """What it ran on, the timings, the fresh processes and the notes."""
    from onnxlearn.card import megabytes, number

    show(found.headline())
    for file in found.files:
        show(f"{file['file']}: {file['learner']}, {file['precision']}, {megabytes(file['n_bytes'])}")
    show("")
    head = [
        "file",
        "engine",
        "provider",
        "precision",
        "rows a call",
        "threads",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "rows/s",
        "calls",
    ]
    rows = [
        [
            t.file, t.engine, t.provider, t.precision, str(t.batch_size), str(t.n_threads), number(t.p50_ms), number(t.p90_ms),
            number(t.p99_ms), f"{t.rows_per_s:,.0f}", str(t.n_calls),
        ]
        for t in found.timings
    ]  # fmt: skip
    show_table(head, rows)
    show("")
    head = ["fresh process", "import s", "load s", "first row ms", "peak MB"]
    cells = [[number(value) for value in (s.import_s, s.load_s, s.first_ms, s.peak_mb)] for s in found.starts]
    show_table(head, [[start.what, *row] for start, row in zip(found.starts, cells, strict=True)])
    for note in found.notes:
        show(f"note: {note}")
