"""Columns of a pandas data frame as arrays for the wire, vectorised.

A fast road returns an array only where it can tell that every value is one that the converters of :mod:`onnxlearn.wire.values`
accept. Everything else takes their road, value by value, which accepts it or says what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataTypeError
from onnxlearn.images.feed import ImageFeed
from onnxlearn.schema import MISSING_INT64, Column
from onnxlearn.wire import dates
from onnxlearn.wire.values import MAX_EXACT, MAX_INT64, WIRE_TYPES, Place, row_place, told_empty, values_array

if TYPE_CHECKING:
    import pandas as pd

_N_HEAD = 1000


def series_array(series: pd.Series[Any], column: Column, where: Place = row_place) -> Any:
    """A data frame's column as a C-contiguous ``[n, 1]`` array of the column's type; of images the feed that reads them.

    Raises ``DataTypeError`` naming the column, row and value of the first one that does not fit.
    """
    if column.kind == "image":
        import pandas as pd

        # Of text in Arrow each cell would be made anew whenever it is looked at.
        cells = series.to_numpy(dtype=object).tolist() if pd.api.types.is_string_dtype(series.dtype) else series.array
        return ImageFeed.of(cells, column, where)
    fast = _fast_array(series, column)
    if fast is None:
        return told_empty(values_array(series.astype(object).tolist(), column, where), column, where)
    return told_empty(np.ascontiguousarray(fast, dtype=WIRE_TYPES[column.onnx_type]).reshape(-1, 1), column, where)


def _fast_array(series: pd.Series[Any], column: Column) -> NDArray[Any] | None:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return _taken(series.cat.categories.astype(object).tolist(), series.cat.codes.to_numpy(), column)
    if series.dtype.kind in "OU":
        repeated = _repeated_text(series, column)
        return _strings(series) if repeated is None and column.onnx_type == "STRING" else repeated
    if column.kind == "numeric":
        return _durations(series) if column.dtype == "duration" else _numbers(series, column)
    if column.kind == "boolean":
        return _booleans(series, column)
    if column.kind == "datetime":
        return _dates(series, column)
    return _whole_numbers(series) if column.dtype == "int64" else None


def _taken(distinct: list[object], codes: NDArray[Any], column: Column) -> NDArray[Any] | None:
    """Distinct values converted once and laid out by their codes, of which -1 is missing."""
    try:
        table = values_array([*distinct, None if np.any(codes < 0) else distinct[0]] if distinct else [None], column)
    except DataTypeError:
        # Perhaps a category without rows: the slow road looks at the rows alone.
        return None
    taken: NDArray[Any] = table[codes, 0]
    return taken


def _repeated_text(series: pd.Series[Any], column: Column) -> NDArray[Any] | None:
    """Text with few distinct values; ``None`` for anything else."""
    import pandas as pd

    head = series.iloc[:_N_HEAD].dropna()
    if set(map(type, head.tolist())) != {str} or 2 * head.nunique() > len(head):
        return None
    try:
        codes, distinct = pd.factorize(series)
    except TypeError:  # a value that cannot be hashed
        return None
    texts = list(distinct)
    return _taken(texts, codes, column) if set(map(type, texts)) == {str} else None


def _numbers(series: pd.Series[Any], column: Column) -> NDArray[Any] | None:
    if series.dtype.kind not in "fiu":
        return None
    numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    largest = np.abs(numbers).max(initial=0.0, where=~np.isnan(numbers))
    limit = MAX_EXACT if series.dtype.kind in "iu" else np.inf
    if column.onnx_type == "FLOAT":
        limit = min(limit, float(np.finfo(np.float32).max))
    # At the limit itself a larger integer may have been rounded down to it: the slow road looks again.
    return numbers if largest < limit else None


def _durations(series: pd.Series[Any]) -> NDArray[Any] | None:
    values = series.to_numpy() if series.dtype.kind == "m" else None
    return dates.array_seconds(values) if values is not None and values.dtype.kind == "m" else None


def _booleans(series: pd.Series[Any], column: Column) -> NDArray[Any] | None:
    if column.dtype == "int64":
        bits = _numbers(series, column)
        fits = bits is not None and bool(np.all(np.isin(bits, (0.0, 1.0)) | (np.isnan(bits) & (not column.strict_bool))))
        return np.abs(bits) if bits is not None and fits else None
    if series.dtype.kind != "b" or (column.strict_bool and series.hasnans):
        return None
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def _whole_numbers(series: pd.Series[Any]) -> NDArray[Any] | None:
    kind = series.dtype.kind
    if kind == "f":
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
        missing = np.isnan(numbers)
        filled = np.where(missing, 0.0, numbers)
        if np.abs(filled).max(initial=0.0) >= MAX_EXACT or bool(np.any(filled != np.floor(filled))):
            return None
        return np.where(missing, MISSING_INT64, filled.astype(np.int64))
    if kind not in "iu":
        return None
    present = series.dropna()
    if len(present) and (int(present.max()) > MAX_INT64 or int(present.min()) <= MISSING_INT64):
        return None
    return series.to_numpy(dtype=np.int64, na_value=MISSING_INT64)


def _strings(series: pd.Series[Any]) -> NDArray[Any] | None:
    # ONNX Runtime would write None and NaN as the texts 'None' and 'nan', and takes nothing but str for granted.
    values = np.where(series.isna().to_numpy(dtype=bool), "", series.to_numpy(dtype=object))
    if set(map(type, values.tolist())) != {str}:
        return None
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return None
    return values


def is_zoned(series: pd.Series[Any]) -> bool:
    """Whether a column of dates has a time zone."""
    dtype: Any = series.dtype
    return getattr(getattr(dtype, "pyarrow_dtype", dtype), "tz", None) is not None


def _dates(series: pd.Series[Any], column: Column) -> NDArray[Any] | None:
    values = datetime_values(series) if is_zoned(series) == (column.dtype == "utc") else None
    converted = None if values is None else dates.array_microseconds(values)
    return None if converted is None else converted[0]


def datetime_values(series: pd.Series[Any]) -> NDArray[np.datetime64] | None:
    """A column of dates as datetime64 in UTC, of its own unit; ``None`` where it is of another dtype."""
    if series.dtype.kind != "M":
        return None
    values = (series.dt.tz_convert("UTC").dt.tz_localize(None) if is_zoned(series) else series).to_numpy()
    return values if values.dtype.kind == "M" else None
