"""What goes into a model file and what comes out, as its session tells, held against its schema."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxlearn.errors import ModelFileError
from onnxlearn.schema import Schema
from onnxlearn.session import Session

MAX_ROW = 2**20
"""The most values of a row of an output."""

_ONNX_TYPES = {
    "tensor(double)": "DOUBLE",
    "tensor(float)": "FLOAT",
    "tensor(bool)": "BOOL",
    "tensor(int64)": "INT64",
    "tensor(string)": "STRING",
    "tensor(uint8)": "UINT8",
}


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output of a file: its ONNX element type, the shape of a row, and what stands along its last axis."""

    name: str
    type: str
    row_shape: tuple[int, ...]
    axis: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"name": self.name, "type": self.type, "shape": ["N", *self.row_shape]}


def tensors_of(values: Sequence[Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Element type and shape of a row, by name, of a session's inputs or outputs, which all have the rows first."""
    return {value.name: (_ONNX_TYPES.get(value.type, value.type), tuple(value.shape[1:])) for value in values}


def main_outputs(schema: Schema) -> tuple[str, ...]:
    """The outputs that every file for this target has."""
    return ("label", "probabilities") if schema.target.type == "classification" else ("prediction",)


def check_inputs(session: Session, inputs: Mapping[str, tuple[str, tuple[str | int, ...]]], source: str) -> None:
    """Raise ``ModelFileError`` where the file's inputs are not those that its schema tells: element type and shape by name."""
    expected = {name: onnx_type for name, (onnx_type, _) in inputs.items()}
    found = {value.name: _ONNX_TYPES.get(value.type, value.type) for value in session.get_inputs()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        name = wrong[0]
        there, told = found.get(name, "absent"), expected.get(name, "none")
        raise ModelFileError(f"{source} is damaged: its input {name!r} is {there}, its schema tells of {told}")


def read_outputs(
    session: Session, schema: Schema, axes: Mapping[str, Sequence[Any]], source: str, *, labels: str = "names"
) -> dict[str, Output]:
    """The outputs of a file by name, those of every file first.

    ``axes``: what its metadata tells of the last axis of an output; ``labels``: of the labels, ``names`` or ``indices``.

    Raises: ModelFileError where they are not those that schema and metadata tell.
    """
    found = {value.name: value for value in session.get_outputs()}
    absent = [name for name in main_outputs(schema) if name not in found]
    if absent:
        raise ModelFileError(
            f"{source} has no output {absent[0]!r}: it was exported without, or is damaged; load the model that it was made "
            "of, or run it with onnxruntime.InferenceSession"
        )
    names = [*main_outputs(schema), *(name for name in found if name not in main_outputs(schema))]
    outputs = {name: _output(found[name], _told_axis(name, schema, axes), source) for name in names}
    types = {"probabilities": "FLOAT", "prediction": "DOUBLE"}
    types["label"] = "STRING" if schema.target.dtype == "str" and labels == "names" else "INT64"
    for name in main_outputs(schema):
        if outputs[name].type != types[name]:
            there = outputs[name].type
            raise ModelFileError(f"{source} is damaged: its output {name!r} is {there}, its schema tells of {types[name]}")
    return outputs


def _output(value: Any, told: tuple[Any, ...] | None, source: str) -> Output:
    if value.shape is None or not len(value.shape) or not all(isinstance(size, int) for size in value.shape[1:]):
        raise ModelFileError(
            f"{source} is damaged: its output {value.name!r} has the shape {value.shape}, not one of fixed size a row"
        )
    if (n_values := math.prod(value.shape[1:])) > MAX_ROW:
        raise ModelFileError(f"{source} is refused: its output {value.name!r} has {n_values} values a row, more than {MAX_ROW}")
    if value.type not in _ONNX_TYPES:
        raise ModelFileError(f"{source} is damaged: its output {value.name!r} is {value.type}, which no output is")
    row_shape = tuple(value.shape[1:])
    if told is not None and row_shape[-1:] != (len(told),):
        width = row_shape[-1] if row_shape else "no"
        raise ModelFileError(
            f"{source} is damaged: its output {value.name!r} has {width} columns, its schema tells of {len(told)}"
        )
    axis = told if told is not None else tuple(range(row_shape[-1])) if row_shape else ()
    return Output(name=value.name, type=_ONNX_TYPES.get(value.type, value.type), row_shape=row_shape, axis=axis)


def _told_axis(name: str, schema: Schema, axes: Mapping[str, Sequence[Any]]) -> tuple[Any, ...] | None:
    """What the last axis of an output holds by schema and metadata; ``None`` where they do not tell."""
    if name in ("probabilities", "set"):
        return tuple(schema.target.classes)
    if name in ("prediction", "lower", "upper", "std"):
        return tuple(schema.target.names)
    if name in ("masks", "unseen"):
        return schema.feature_names
    if name == "quantiles":
        return tuple(axes.get(name, ()))
    return tuple(axes[name]) if name in axes else None
