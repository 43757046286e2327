"""``onnxlearn export``: a model file in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxlearn_cli.options import ModelFile, pairs
from onnxlearn_cli.talk import say, show


def export(
    model: ModelFile,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Target: see onnxlearn targets.")],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="File or new folder to write.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Option of the target: see onnxlearn targets FORMAT. Repeatable."),
    ] = None,
    opset: Annotated[int | None, typer.Option("--opset", metavar="N", help="--set opset=N of the target onnx.")] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="names|indices", help="--set labels=... of the target onnx.")
    ] = None,
) -> None:
    """Write a model in another form.

    It is compared with the original before anything is written.
    """
    from onnxlearn.errors import ParameterError
    from onnxlearn.export import export as write
    from onnxlearn.export import make_target, target_class
    from onnxlearn.files.outputs import STDOUT, require_other_file
    from onnxlearn.model import load
    from onnxlearn.params import parse_text

    texts = pairs("--set", settings or [])
    options = {name: parse_text([target_class(to)], name, text) for name, text in texts.items()}
    for name, value in (("opset", opset), ("labels", labels)):
        if value is not None and name in options:
            raise ParameterError(f"--{name} and --set {name}={texts[name]} say the same thing: give one of them")
        options |= {} if value is None else {name: value}
    make_target(to, **options)
    require_other_file(out, model)
    for line in write(load(model, provider="cpu"), to, out, **options):
        say(line)
    # Standard output may be the file.
    (say if str(out) == STDOUT else show)(f"wrote {out}")
