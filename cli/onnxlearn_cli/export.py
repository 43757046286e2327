"""``onnxlearn export``: a model file in another form."""

from onnxlearn_cli.options import ModelFile


def export(model: ModelFile) -> None:
    """Write a model in another form."""
