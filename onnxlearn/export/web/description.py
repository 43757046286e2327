"""What the page's scripts have to know of a model: plain JSON, where integers that JavaScript rounds are texts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxlearn import self_test
from onnxlearn.errors import ParameterError
from onnxlearn.export.clients.client import label_form
from onnxlearn.export.clients.description import Field, Result, fields_of, moment, results_of, wire_values
from onnxlearn.export.usual import usual_feeds
from onnxlearn.prediction import column_names

if TYPE_CHECKING:
    from onnxlearn.model import Model
    from onnxlearn.schema import Column

Cells = Mapping[str, list[Any]]


def page_document(model: Model, *, data: str | None) -> dict[str, Any]:
    """Columns, outputs, and a few rows with what the model gives for them; ``data``: a table that tells what is usual.

    Raises: DataError where the table does not fit the model; ParameterError where it has no rows.
    """
    target, fields = model.schema.target, fields_of(model)
    usual = None if data is None else _usual(fields, model, data)
    example = usual_feeds(model)
    return {
        "columns": [_column(field, wire_values(field, example)[0], usual) for field in fields],
        "na": list(model.schema.na),
        "targets": list(target.names),
        "classes": [str(label) for label in target.classes],
        "label": label_form(model),
        "outputs": [_output(result, model) for result in results_of(model)],
        "coverage": model.metadata["training"].get("calibration", {}).get("coverage"),
        "chunk_rows": model.chunk_rows,
        "check": _check(model, fields),
        "file_name": "model.onnx",
    }


def _column(field: Field, example: Any, usual: Mapping[str, list[Any]] | None) -> dict[str, Any]:
    column = field.column
    values = None if usual is None else usual[field.name]
    if values is not None:
        example = _typical(column, values)
    has_range = bool(values) and column.kind in ("numeric", "datetime")
    return {
        "name": column.name,
        "type": column.onnx_type,
        "role": field.role,
        # Booleans that were 0 and 1 in training are so in a file too.
        "bits": column.kind == "boolean" and column.dtype == "int64",
        "seconds": column.dtype == "duration",
        "ordered": column.kind == "ordered",
        "levels": [str(level) for level in column.levels],
        "range": [_cell(column, min(values)), _cell(column, max(values))] if has_range and values else None,
        "example": _cell(column, example),
    }


def _usual(fields: Sequence[Field], model: Model, path: str) -> Cells:
    """The values of each column of a table that are not missing."""
    from onnxlearn.files.tables import open_table

    usual: dict[str, list[Any]] = {field.name: [] for field in fields}
    n_rows = 0
    with open_table(path) as reader:
        for batch in reader.batches():
            feeds = batch.feeds(model.schema)
            n_rows += len(batch)
            for field in fields:
                usual[field.name] += [value for value in wire_values(field, feeds) if value is not None]
    if n_rows == 0:
        raise ParameterError(f"data needs a row to show, {path!r} has none")
    return usual


def _typical(column: Column, values: list[Any]) -> Any:
    """A value in the middle, or the commonest one."""
    if not values:
        return None
    if column.kind in ("numeric", "datetime"):
        return statistics.median_low(values)
    return Counter(values).most_common(1)[0][0]


def _cell(column: Column, value: Any) -> str:
    """A value as the form holds it.

    >>> from onnxlearn.schema import Column
    >>> [_cell(Column(name="x", kind=kind, dtype=dtype), 1) for kind, dtype in (("boolean", "bool"), ("datetime", "utc"))]
    ['true', '1970-01-01T00:00:00']
    """
    if value is None:
        return ""
    if column.kind == "boolean":
        return str(int(value)) if column.dtype == "int64" else str(bool(value)).lower()
    if column.kind == "datetime":
        return moment(value).replace(tzinfo=None).isoformat(timespec="seconds")
    if column.kind == "numeric":
        return f"{value:.7g}" if column.dtype == "float32" else f"{value:.10g}"
    return str(value)


def _output(result: Result, model: Model) -> dict[str, Any]:
    axes = {output.name: output.axis for output in model.outputs.values()}
    return {
        "name": result.name,
        "type": result.type,
        "form": result.form,
        "size": result.size,
        "axis": [str(value) for value in result.output.axis],
        "csv": column_names(model.schema.target, {result.name: result.shape}, axes),
    }


def _check(model: Model, fields: Sequence[Field]) -> dict[str, Any]:
    """Rows of the self-test, with the numbers that the model gives for them here."""
    told = self_test.record(model.schema, model.predict_feeds)
    types = {result.name: result.type for result in results_of(model)}
    inputs = [told["inputs"][field.name] for field in fields]
    return {
        "n_rows": len(inputs[0]) if inputs else 0,
        "tolerance": self_test.TOLERANCE,
        "inputs": [
            [str(value) for value in values] if field.column.onnx_type == "INT64" else values
            for field, values in zip(fields, inputs, strict=True)
        ],
        "outputs": [
            list(_flat(told["outputs"][name])) if onnx_type in ("FLOAT", "DOUBLE") else [] for name, onnx_type in types.items()
        ],
    }


def _flat(values: Any) -> Any:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value
