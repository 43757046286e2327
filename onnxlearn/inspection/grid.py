"""The values at which a column is looked at: quantiles of numbers and dates, levels of the others, and missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.measures import Array
from onnxlearn.schema import MISSING_INT64, Column
from onnxlearn.wire.values import WIRE_TYPES, values_array

# Of the rest there are too few rows for a curve to mean anything, and they would take most of a plot's width.
TAILS = 0.05
CONTINUOUS = ("numeric", "datetime")


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Values of a column: ``wire`` as the file takes them, ``[G]``, and ``shown``, as one knows them; missing is ``None``."""

    column: Column
    wire: Array
    shown: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.wire)

    @property
    def is_continuous(self) -> bool:
        """Whether the values lie on an axis of numbers or dates."""
        return self.column.kind in CONTINUOUS


def automatic_grid(column: Column, feed: Array, n_points: int) -> Grid:
    """At most ``n_points`` quantiles between 5 % and 95 % of the rows' values, which all occur; or every level.

    ``feed``: the rows, ``[N, 1]``. Where the column could be missing in training, missing stands last.

    Raises: DataError where all values are missing, or a column has no levels.
    """
    values = _quantiles(column, feed[:, 0], n_points) if column.kind in CONTINUOUS else _levels(column)
    missing = [_missing(column)] if column.has_missing and not column.strict_bool else []
    return _grid(column, np.array([*values, *missing], WIRE_TYPES[column.onnx_type]))


def given_grid(column: Column, values: Sequence[Any]) -> Grid:
    """The grid of these values, each as a row may have it; ``None`` is missing.

    Raises: DataTypeError for a value that does not fit the column, ParameterError where there is none.
    """
    if isinstance(values, str) or not len(values):
        raise ParameterError(f"the grid of column {column.name!r} has to be a list of values, not {values!r}")
    return _grid(column, values_array(list(values), column, lambda i: f"value {i} of the grid")[:, 0])


def _grid(column: Column, wire: Array) -> Grid:
    return Grid(column=column, wire=wire, shown=tuple(_shown(column, value) for value in wire.tolist()))


def _levels(column: Column) -> list[Any]:
    if column.kind == "boolean":
        return [False, True]
    if column.kind == "text":
        raise DataError(f"column {column.name!r} holds texts, which lie on no grid: importance tells what it counts")
    if not column.levels:
        raise DataError(f"column {column.name!r} has no levels: give its values as grid=[...]")
    return list(column.levels)


def _missing(column: Column) -> Any:
    return {"STRING": "", "INT64": MISSING_INT64}.get(column.onnx_type, math.nan)


def _quantiles(column: Column, values: Array, n_points: int) -> list[Any]:
    present = np.sort(values[values != MISSING_INT64] if column.onnx_type == "INT64" else values[~np.isnan(values)])
    if not len(present):
        raise DataError(f"column {column.name!r} is missing in all rows: give its values as grid=[...]")
    distinct = np.unique(present)
    if len(distinct) > n_points:
        # Of values that occur: between them there may be none, of counts or of years.
        at = np.ceil(np.linspace(TAILS, 1 - TAILS, n_points) * len(present)).astype(int) - 1
        distinct = np.unique(present[np.maximum(at, 0)])
    return list(distinct.tolist())


def _shown(column: Column, value: Any) -> Any:
    if value in ("", MISSING_INT64) or value != value:
        return None
    if column.kind == "datetime":
        return np.datetime64(value, "us")
    if column.kind == "boolean":
        return bool(value) if column.dtype == "bool" else int(value)
    return int(value) if column.dtype == "int64" and float(value).is_integer() else value
