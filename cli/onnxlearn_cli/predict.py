"""``onnxlearn predict`` and ``onnxlearn evaluate``: what a model says of a table, and how well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxlearn_cli.options import Data, Format, Images, Measures, ModelFile, Provider, find_own_code, image_rules
from onnxlearn_cli.talk import say, show_table


def predict(
    model: ModelFile,
    data: Data,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="FILE",
            help=".csv, .tsv, .jsonl, .parquet or .feather; - is standard output (csv). A folder for a folder.",
        ),
    ] = "-",
    keep: Annotated[list[str] | None, typer.Option("--keep", metavar="COL", help="Column to copy along. Repeatable.")] = None,
    provider: Provider = "auto",
    format_: Format = None,
    images: Images = None,
) -> None:
    """Predict every row of a table.

    Writes one line a row, in order: label and probabilities, or the predicted numbers, and what else the model gives. A folder
    of files is one table, or with a folder as --out predicted file by file; the same command goes on where it ended early.
    """
    from onnxlearn.errors import InterruptedFit
    from onnxlearn.files.outputs import STDOUT, require_other_file
    from onnxlearn.files.predicted_folder import predict_folder
    from onnxlearn.files.stream import predict_file
    from onnxlearn.model import load

    require_other_file(out, model, data)
    opened = load(model, provider=provider)
    if Path(data).is_dir() and (Path(out).is_dir() or (out != STDOUT and not Path(out).suffix)):
        try:
            say(str(predict_folder(opened, data, out, keep=keep or (), format=format_, images=image_rules(images))))
        except KeyboardInterrupt:
            raise InterruptedFit(f"interrupted; what is in {out!r} is whole: the same command goes on from there") from None
    else:
        predict_file(opened, data, out, keep=keep or (), format=format_, images=image_rules(images))


def evaluate(
    model: ModelFile,
    data: Data,
    measure: Measures = None,
    provider: Provider = "auto",
    format_: Format = None,
    images: Images = None,
) -> None:
    """Score a model on a table with the target."""
    from onnxlearn.card import number
    from onnxlearn.files.stream import evaluate_file
    from onnxlearn.model import load

    find_own_code(*measure or ())
    scores = evaluate_file(
        load(model, provider=provider), data, measures=measure or (), format=format_, images=image_rules(images)
    )
    show_table(["measure", "score"], [[name, number(value)] for name, value in scores.items()])
