"""``onnxlearn export``: a model file in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from onnxlearn_cli.options import ModelFile


def export(
    model: ModelFile,
    to: Annotated[Literal["onnx"], typer.Option("--to", help="onnx: the same model at another opset or with other labels.")],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="File to write.")],
    opset: Annotated[int | None, typer.Option("--opset", metavar="N", help="ONNX opset, not below the model's own.")] = None,
    labels: Annotated[
        Literal["names", "indices"] | None,
        typer.Option("--labels", help="The label as the class's name or as its position among the classes."),
    ] = None,
) -> None:
    """Write a model in another form.

    It is compared with the original before anything is written.
    """
    from onnxlearn.files.outputs import atomic_path, require_other_file
    from onnxlearn.graph.rewrite import rewrite
    from onnxlearn.model import load

    require_other_file(out, model)
    original = load(model, provider="cpu").to_bytes()
    with atomic_path(out) as temporary:
        match to:
            case "onnx":
                temporary.write_bytes(rewrite(original, opset=opset, labels=labels))
