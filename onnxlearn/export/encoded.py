"""The network by itself, for runtimes without strings, and what comes before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from onnxlearn.errors import ParameterError
from onnxlearn.export.target import Target
from onnxlearn.params import param

if TYPE_CHECKING:
    import onnx

    from onnxlearn.model import Model

PREP, NET, POST = "prep.onnx", "net.onnx", "post.onnx"
RECIPE, LABELS = "preprocess.json", "labels.json"


@dataclass(frozen=True, kw_only=True)
class Encoded(Target):
    """Target ``encoded``."""

    meaning: ClassVar[str] = "the network alone, of numbers and codes, beside its preprocessing: for runtimes without strings"
    is_folder: ClassVar[bool] = True

    opset: int | None = param(None, "ONNX opset, not below the model's own (None: as it is)")
    double: Literal["inside", "apart", "float"] = param(
        "inside", "arithmetic in DOUBLE, which some runtimes lack: inside net.onnx, apart in post.onnx behind it, or in FLOAT "
        "instead, which costs digits",
    )  # fmt: skip

    def write(self, model: Model, out: Path) -> list[str]:
        """Split the model's file, prove that its parts are the whole, and tell its preprocessing in words and numbers."""
        from onnxlearn.export.chain import told_difference
        from onnxlearn.export.recipe_file import recipe_document, told_recipe, write_json

        whole, parts = self.parts(model)
        files = {name: part.SerializeToString(deterministic=True) for name, part in parts.items()}
        lines = told_difference(whole, list(files.values()), model, exact=self.double != "float")
        for name, content in files.items():
            (out / name).write_bytes(content)
        document = recipe_document(model, parts[PREP], parts.get(POST))
        write_json(out / RECIPE, document)
        if model.schema.target.type == "classification":
            write_json(out / LABELS, list(model.schema.target.classes))
        return [*lines, *told_recipe(document), *self._told_post(parts)]

    def parts(self, model: Model) -> tuple[bytes, dict[str, onnx.ModelProto]]:
        """The whole file, with labels as indices, and its parts by the names of their files.

        Raises: ParameterError, ExportError.
        """
        import onnx

        from onnxlearn.graph.double import in_float, split_double
        from onnxlearn.graph.rewrite import rewrite
        from onnxlearn.graph.split import split

        _require_columns(model)
        classes = model.schema.target.type == "classification"
        whole = rewrite(model.to_bytes(), opset=self.opset, labels="indices" if classes else None)
        halves = split(onnx.load_from_string(whole))
        parts = {PREP: halves.prep, NET: halves.net}
        if self.double == "float":
            in_float(halves.net)
        elif self.double == "apart" and (post := split_double(halves.net)) is not None:
            parts[POST] = post
        return whole, parts

    def _told_post(self, parts: dict[str, onnx.ModelProto]) -> list[str]:
        if self.double != "apart" or POST in parts:
            return []
        return [f"nothing behind the network is in DOUBLE: there is no {POST}"]


def _require_columns(model: Model) -> None:
    from onnxlearn.wire.form import Form

    if Form.of(model.metadata) != Form():
        raise ParameterError("the inputs of this file were changed for another runtime: export the model that it was made of")
