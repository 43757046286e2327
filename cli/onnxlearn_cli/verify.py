"""``onnxlearn verify``: whether a model predicts here what it predicted where it was made."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from onnxlearn_cli.codes import USERS_MISTAKE
from onnxlearn_cli.options import ModelFile, Provider
from onnxlearn_cli.talk import complain, show, show_table


def verify(
    model: ModelFile,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", metavar="X", help="By how much numbers may differ; 1e-05, of fp16 and int8 0.01."),
    ] = None,
    provider: Provider = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """Check that a model predicts here what it did where it was made.

    Checks the file's checksum and runs the rows that it holds for this. Exit code 2 where an output differs.
    """
    from onnxlearn.model import load

    found = load(model, provider=provider).verify(tolerance)
    if as_json:
        show(json.dumps(found.to_dict(), indent=2))
    else:
        rows = [[name, f"{gap:.3g}", "differs" if name in found.failed else "ok"] for name, gap in found.differences.items()]
        show_table(["output", "difference", "result"], rows)
    if not found.ok:
        complain(
            f"{model} gives other outputs on this machine ({', '.join(found.failed)}): compare the versions of "
            "onnxruntime (onnxlearn inspect, onnxlearn doctor)"
        )
        raise typer.Exit(USERS_MISTAKE)
