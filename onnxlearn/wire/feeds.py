"""From tables and rows to feeds: what goes on the wire into a model, one ``[n, 1]`` array a feature column.

Element types follow the schema (``Column.onnx_type``), never the values. Missing is NaN, ``""`` or ``MISSING_INT64``; datetimes
are int64 microseconds since 1970-01-01 UTC. There are four ways in, for data frames, Python values, text cells and single rows;
all accept and refuse the same values (:mod:`onnxlearn.wire.values`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onnxlearn.errors import ColumnNotFoundError, DataError
from onnxlearn.schema import Column, Schema
from onnxlearn.wire.cells import cells_array
from onnxlearn.wire.frames import series_array
from onnxlearn.wire.values import WIRE_TYPES, Converter, Place, Refused, converter, refusal, row_place, told_empty, values_array

if TYPE_CHECKING:
    import pandas as pd

Feeds: TypeAlias = dict[str, Any]
"""An array ``[n, 1]`` by column; of images an array ``[n, H, W, C]``, or an :class:`onnxlearn.images.feed.ImageFeed`."""


def join_feeds(first: Feeds, second: Feeds) -> Feeds:
    """The rows of both, one after the other."""
    return {name: joined([feed, second[name]]) for name, feed in first.items()}


def taken(feeds: Feeds, rows: np.ndarray[Any, np.dtype[Any]]) -> Feeds:
    """The rows with these numbers, int64 ``[n]``."""
    return {
        name: np.ascontiguousarray(feed[rows]) if isinstance(feed, np.ndarray) else feed[rows] for name, feed in feeds.items()
    }


def joined(feeds: Sequence[Any]) -> Any:
    """The rows of the feeds of a column, one after the other."""
    return feeds[0].joined(*feeds[1:]) if hasattr(feeds[0], "joined") else np.concatenate(feeds)


def frame_feeds(frame: pd.DataFrame, schema: Schema, *, where: Place = row_place) -> Feeds:
    """Feeds of a data frame. Columns are found by name, in any order; others are ignored. ``where`` names a row in messages.

    Raises ``ColumnNotFoundError``, and ``DataTypeError`` with column, row (counted from 0) and value where one does not fit.
    """
    require_features(schema, frame.columns)
    return {column.name: series_array(unique_column(frame, column.name), column, where) for column in schema.features}


def values_feeds(columns: Mapping[str, Sequence[object]], schema: Schema, *, where: Place = row_place) -> Feeds:
    """Feeds of columns of Python values. ``where`` names a row in messages."""
    require_features(schema, columns)
    arrays = {column.name: values_array(columns[column.name], column, where) for column in schema.features}
    return {column.name: told_empty(arrays[column.name], column, where) for column in schema.features}


def cells_feeds(columns: Mapping[str, Sequence[str]], schema: Schema, lines: Sequence[int] | None = None) -> Feeds:
    """Feeds of columns of text cells, read by the schema's types; cells in ``schema.na`` are missing.

    ``lines`` are the line numbers of the rows in their file, for messages.
    """
    require_features(schema, columns)
    where = row_place if lines is None else line_place(lines)
    na = frozenset(schema.na)
    return {column.name: cells_array(columns[column.name], column, na, where) for column in schema.features}


def line_place(lines: Sequence[int]) -> Place:
    """Name a row by its line in the file."""
    return functools.partial(_line_place, lines)


def _line_place(lines: Sequence[int], row: int) -> str:
    return f"line {lines[row]}"


def row_encoder(schema: Schema) -> Callable[[Mapping[str, object]], Feeds]:
    """A function from one row (column name to value) to feeds of one row, prepared once and fast to call.

    It raises ``ColumnNotFoundError`` for an absent key; ``None`` means missing.
    """
    images, texts = schema.of_kind("image"), schema.of_kind("text")
    groups = _encoder_groups([column for column in schema.features if column.kind != "image"])

    def encode(row: Mapping[str, object]) -> Feeds:
        feeds: Feeds = {}
        try:
            for column in images:
                feeds[column.name] = values_array([row[column.name]], column, lambda _: "this row")
            for names, steps, dtype in groups:
                values = [convert(row[name]) for name, convert in steps]
                # One array a type and its [1, 1] views: making an array for each column would cost several times as much.
                feeds.update(zip(names, np.array(values, dtype=dtype).reshape(-1, 1, 1), strict=True))
            for column in texts:
                told_empty(feeds[column.name], column, lambda _: "this row")
        except Refused:
            raise _row_refusal(row, schema) from None
        except KeyError:
            # Looked for only now: a complete row does not pay for the question.
            require_features(schema, row)
            raise
        return feeds

    return encode


def _encoder_groups(features: Sequence[Column]) -> list[tuple[list[str], list[tuple[str, Converter]], Any]]:
    by_type: dict[str, list[Column]] = {}
    for column in features:
        by_type.setdefault(column.onnx_type, []).append(column)
    return [
        ([column.name for column in columns], [(column.name, converter(column)) for column in columns], WIRE_TYPES[onnx_type])
        for onnx_type, columns in by_type.items()
    ]


def _row_refusal(row: Mapping[str, object], schema: Schema) -> DataError:
    for column in schema.features:
        if column.kind == "image":
            continue
        try:
            converter(column)(row[column.name])
        except Refused as reason:
            return refusal(column, "", reason)
    raise AssertionError("called without a value that is refused")


def require_features(schema: Schema, available: Any) -> None:
    """Raise ``ColumnNotFoundError`` unless all features are available; the target does not stand in for one."""
    require_columns(schema.feature_names, available, taken=schema.target.names)


def require_columns(
    names: Sequence[str],
    available: Any,
    *,
    needed_by: str = "the model",
    source: str = "the table",
    taken: Sequence[str] = (),
) -> None:
    """Raise ``ColumnNotFoundError`` unless all names are available; it suggests neither one of them nor one of ``taken``."""
    missing = [name for name in names if name not in available]
    if missing:
        raise ColumnNotFoundError.of(missing, available, needed_by=needed_by, source=source, taken={*names, *taken})


def unique_column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """The frame's column of that name; ``DataError`` where several have it."""
    column = frame[name]
    if column.ndim != 1:
        raise DataError(f"the table has {column.shape[1]} columns named {name!r}; rename or drop all but one")
    return column
