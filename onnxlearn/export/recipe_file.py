"""``preprocess.json``: preprocessing for people who write it anew in a language of theirs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.preprocess.coding import MISSING_SPELLINGS
from onnxlearn.schema import MISSING_INT64, Column

if TYPE_CHECKING:
    import onnx

    from onnxlearn.graph.recipe import Made
    from onnxlearn.model import Model

VERSION = 1
ABOUT = (
    "How the inputs of the model become the tensors that net.onnx reads, as prep.onnx computes them. Each column of a tensor "
    "is made of the input 'from' by its 'steps', one after the other, in 64 bits; at last it becomes the tensor's type. "
    "'meanings' says what a step makes of a value x. Where 'steps' is null, only prep.onnx knows."
)
_MISSING: dict[str, Any] = {"DOUBLE": "NaN", "FLOAT": "NaN", "INT64": MISSING_INT64, "STRING": "", "BOOL": None}


def recipe_document(model: Model, prep: onnx.ModelProto, post: onnx.ModelProto | None) -> dict[str, Any]:
    """The document: inputs, then the columns of each tensor with their steps; plain JSON values.

    ``behind``: the same for what post.onnx makes of the network's tensors, where there is one.
    """
    from onnxlearn.graph.recipe import MEANINGS, read_behind, read_recipe

    tensors = _tensors(prep, read_recipe(prep, model.schema))
    behind = {} if post is None else {"behind": _tensors(post, read_behind(post, model.schema))}
    columns = [column for tensor in {**tensors, **behind.get("behind", {})}.values() for column in tensor["columns"]]
    used = {step["step"] for column in columns for step in column["steps"] or ()}
    return {
        "format_version": VERSION,
        "about": ABOUT,
        "meanings": {step: text for step, text in MEANINGS.items() if step in used},
        "model": {
            "task": model.schema.name,
            "learner": model.metadata["learner"].get("name"),
            "sha256": hashlib.sha256(model.to_bytes()).hexdigest(),
        },
        "inputs": [_input(column) for column in model.schema.features],
        "tensors": tensors,
        **behind,
    }


_UNKNOWN: dict[str, Any] = {"name": None, "from": None, "steps": None}
_TYPES = {"FLOAT": "float32", "DOUBLE": "float64", "INT64": "int64", "BOOL": "bool"}


def _tensors(part: onnx.ModelProto, recipes: Mapping[str, Sequence[Made | None]]) -> dict[str, Any]:
    return {
        name: {"type": _TYPES[_type_of(part, name)], "columns": [made.to_dict() if made else _UNKNOWN for made in columns]}
        for name, columns in recipes.items()
    }


def told_recipe(document: dict[str, Any]) -> list[str]:
    """A line where there are columns that cannot be told."""
    columns = [column for tensor in document["tensors"].values() for column in tensor["columns"]]
    unknown = sum(column["steps"] is None for column in columns)
    if not unknown:
        return []
    return [f"preprocess.json tells of {len(columns) - unknown} of {len(columns)} columns: prep.onnx alone makes the others"]


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read: UTF-8, entries of lists of numbers side by side."""
    path.write_text(_dump(value) + "\n", encoding="utf-8")


def _dump(value: Any, indent: str = "") -> str:
    """JSON with a line for each entry, but what holds no further lists or objects on one."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(part, dict | list) and part for part in parts):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key, ensure_ascii=False)}: {_dump(part, inner)}" for key, part in value.items()]
        return "{\n" + ",\n".join(inner + line for line in lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _dump(part, inner) for part in value) + f"\n{indent}]"


def _input(column: Column) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "type": column.onnx_type,
        "missing": _MISSING[column.onnx_type],
    }
    if column.onnx_type == "STRING" and column.kind != "text":
        told["also_missing"] = [text for text in MISSING_SPELLINGS if text and text not in column.levels]
    if column.levels:
        told["levels"] = list(column.levels)
    return told


def _type_of(model: onnx.ModelProto, name: str) -> str:
    from onnx import TensorProto

    output = next(output for output in model.graph.output if output.name == name)
    return str(TensorProto.DataType.Name(output.type.tensor_type.elem_type))
