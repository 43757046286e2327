"""Predictions as Parquet files that anything can read: what ``to_frame`` gives, beside row, truth and weight.

What a reader needs to make a Prediction of it again (shapes of the outputs, what stands along their axes) is in the file's
metadata, as JSON under the key ``onnxlearn``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.files.arrow import import_pyarrow
from onnxlearn.measures import Array
from onnxlearn.prediction import Prediction, class_array, class_codes, column_names
from onnxlearn.schema import Target

KEY = b"onnxlearn"


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write a prediction with its truth. Raises: MissingExtraError without pyarrow."""
    pa = import_pyarrow()
    from pyarrow import parquet

    outputs = prediction.to_outputs()
    columns: dict[str, Array] = {"row": prediction.row_ids}
    if prediction.truth is not None:
        names = _truth_names(prediction.target)
        columns |= dict(zip(names, prediction.truth.reshape(len(prediction), -1).T, strict=True))
    if prediction.weights is not None:
        columns["weight"] = prediction.weights
    columns |= prediction.to_columns()
    about = {
        "shapes": {name: list(array.shape[1:]) for name, array in outputs.items()},
        "axes": {name: list(axis) for name, axis in prediction.axes.items()},
    }
    table = pa.table({name: pa.array(list(array) if array.dtype == object else array) for name, array in columns.items()})
    parquet.write_table(table.replace_schema_metadata({KEY: json.dumps(about).encode()}), path)


def read_prediction(path: Path, target: Target) -> Prediction:
    """The prediction that :func:`write_prediction` wrote. Raises: MissingExtraError without pyarrow."""
    import_pyarrow()
    from pyarrow import parquet

    table = parquet.read_table(path)
    about = json.loads(table.schema.metadata[KEY])
    outputs = {name: _read_output(table, target, name, tuple(shape), about["axes"]) for name, shape in about["shapes"].items()}
    names = _truth_names(target)
    truth = np.stack([_column(table, name) for name in names], axis=1) if names[0] in table.column_names else None
    if truth is not None and target.type == "classification":
        truth = class_codes(target, truth[:, 0])
    return Prediction.from_outputs(
        target,
        outputs,
        row_ids=_column(table, "row"),
        truth=truth,
        weights=_column(table, "weight") if "weight" in table.column_names else None,
        axes=about["axes"],
    )


def _read_output(table: Any, target: Target, name: str, shape: tuple[int, ...], axes: dict[str, Any]) -> Array:
    columns = [_column(table, column) for column in column_names(target, {name: shape}, axes)]
    if name == "label":
        return columns[0].astype(class_array(target).dtype)
    return np.stack(columns, axis=1).reshape(-1, *shape)


def _column(table: Any, name: str) -> Array:
    array: Array = table[name].to_numpy()
    return array


def _truth_names(target: Target) -> list[str]:
    return ["truth"] if len(target.names) == 1 else [f"truth_{name}" for name in target.names]
