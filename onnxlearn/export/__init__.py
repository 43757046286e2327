"""A model in other forms, for runtimes and servers that know nothing of onnxlearn. Torch-free."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import ParameterError, listing
from onnxlearn.export.target import OUT, TARGETS, Target, make_target, target_class

if TYPE_CHECKING:
    from onnxlearn.model import Model

__all__ = ["TARGETS", "Target", "export", "make_target", "target_class"]


def export(model: Model, to: str, out: str | Path, **options: Any) -> list[str]:
    """Write a model in another form: ``to`` names the target, ``out`` the file or the new folder.

    It appears whole or not at all. ``options``: those of the target; paths may be ``Path`` objects. Gives
    lines that tell of what was written.

    >>> import tempfile
    >>> import onnxlearn as ol
    >>> model = ol.learner("featureless").fit(ol.example_task("penguins"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     told = export(model, "onnx", f"{folder}/indices.onnx", labels="indices")
    ...     ol.load(f"{folder}/indices.onnx").metadata["labels"]
    'indices'

    Raises: UnknownNameError, ParameterError, OutputError, MissingExtraError, ParityError.
    """
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    target = make_target(to, **plain)
    _require_no_images(model, to, target)
    with target.place(Path(out)) as temporary:
        told = target.write(model, temporary)
    return [line.replace(OUT, shlex.quote(str(out))) for line in told]


def _require_no_images(model: Model, to: str, target: Target) -> None:
    """Raise ``ParameterError`` for a model with images that the target has no room for."""
    columns = model.schema.of_kind("image")
    if columns and not target.takes_images:
        able = [name for name in TARGETS if target_class(name).takes_images]
        raise ParameterError(
            f"target {to!r} takes no images, which column {columns[0].name!r} holds; models with images can be written as "
            f"{listing(able)}, and ONNX Runtime runs the file itself, whose input {columns[0].name!r} is UINT8 [N, H, W, C]"
        )
