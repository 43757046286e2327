"""What a data frame's column holds, whatever its dtype says: by the dtype where that suffices, by its values otherwise."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import DataTypeError
from onnxlearn.schema import Column
from onnxlearn.tasks.likely import looks_like_image
from onnxlearn.wire import dates
from onnxlearn.wire.frames import is_zoned
from onnxlearn.wire.values import MAX_EXACT, Place, describe, is_integer, is_missing, row_place, values_array

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Contents:
    """What a column holds, missing values aside.

    ``holds`` is ``float64``, ``float32``, ``int64``, ``decimal``, ``duration``, ``bool``, ``str``, ``naive``, ``utc`` or
    ``nothing``. ``present`` are the values that are not missing; ``categories`` those of a pandas Categorical of text or
    numbers. ``is_recoded``: it is a Categorical of something else, which has a kind of its own.
    """

    name: str
    holds: str
    present: pd.Series[Any]
    has_missing: bool
    categories: list[Any] | None = None
    is_ordered: bool = False
    is_recoded: bool = False


def look(series: pd.Series[Any], name: str, where: Place = row_place) -> Contents:
    """Tell what a column holds, by its dtype where that suffices and by its values otherwise.

    Raises ``DataTypeError`` for values that no column can hold; ``where`` names a row.
    """
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return _look_at_categories(series, name)
    _require_unicode(series, name, where)
    present = _present(series)
    holds = "nothing" if not len(present) else _holds(present, name)
    return Contents(name, holds, present, has_missing=len(present) < len(series))


def _look_at_categories(series: pd.Series[Any], name: str) -> Contents:
    categories = [category for category in series.cat.categories.tolist() if not is_missing(category)]
    inner = look(series.cat.categories.to_series(), name)
    present = series[series.isin(categories)]
    contents = Contents(name, inner.holds, present, has_missing=len(present) < len(series))
    # Numbers in a Categorical are categories because somebody said so, whole or not.
    if inner.holds in ("str", "int64", "float64", "float32", "decimal"):
        contents.categories, contents.is_ordered = categories, bool(series.cat.ordered)
    contents.is_recoded = contents.categories is None and inner.holds != "nothing"
    return contents


def _require_unicode(series: pd.Series[Any], name: str, where: Place) -> None:
    """Half surrogate pairs, which JSON can write and pandas cannot even compare."""
    # Arrow holds UTF-8 alone.
    if series.dtype.kind not in "OU" or getattr(series.dtype, "storage", "") == "pyarrow":
        return
    texts = [value if isinstance(value, str) and not value.isascii() else None for value in series.tolist()]
    if any(texts):
        values_array(texts, Column(name=name, kind="categorical", dtype="str"), where)


def _present(series: pd.Series[Any]) -> pd.Series[Any]:
    present = series.dropna()
    # dropna leaves the empty string, which means missing as well.
    if present.dtype.kind in "OU":
        return present[[not is_missing(value) for value in present.tolist()]]
    return present


_BY_DTYPE_KIND = {"b": "bool", "i": "int64", "u": "int64", "f": "float64", "m": "duration"}


def _holds(present: pd.Series[Any], name: str) -> str:
    kind = present.dtype.kind
    if kind == "f":
        # float16 has no ONNX input type of its own here; float32 holds all of it.
        return "float32" if getattr(present.dtype, "itemsize", 8) <= 4 else "float64"
    if kind == "M":
        return "utc" if is_zoned(present) else "naive"
    if kind in _BY_DTYPE_KIND:
        return _BY_DTYPE_KIND[kind]
    return _holds_objects(present.tolist(), name)


def _type_of(value: object) -> str:
    if isinstance(value, str):
        return "str"
    if isinstance(value, bool | np.bool_):
        return "bool"
    if is_integer(value):
        return "int64"
    if isinstance(value, float | np.floating):
        return "float64"
    if isinstance(value, Decimal):
        return "decimal"
    if isinstance(value, dt.timedelta | np.timedelta64):
        return "duration"
    if isinstance(value, dt.datetime):
        return "utc" if dates.has_zone(value) else "naive"
    if isinstance(value, dt.date | np.datetime64):
        return "naive"
    return ""


# Mixtures of numbers that are one kind of number; every other mixture is refused.
_MIXTURES = {
    frozenset({"int64", "float64"}): "float64",
    frozenset({"int64", "decimal"}): "decimal",
    frozenset({"float64", "decimal"}): "decimal",
    frozenset({"int64", "float64", "decimal"}): "decimal",
}


def _holds_objects(values: list[object], name: str) -> str:
    examples: dict[str, object] = {}
    for value in values:
        examples.setdefault(_type_of(value), value)
    if "" in examples:
        value = examples[""]
        raise DataTypeError(
            f"column {name!r} holds {describe(value)}, which no kind of column can use; {_way_out(value, name)}"
        )
    if len(examples) == 1:
        return next(iter(examples))
    mixture = _MIXTURES.get(frozenset(examples))
    if mixture is None:
        kinds = " and ".join(describe(value) for value in examples.values())
        raise DataTypeError(
            f"column {name!r} mixes types: {kinds}; convert all of its values to one type, or ignore the column"
        )
    return mixture


def _way_out(value: object, name: str) -> str:
    if looks_like_image(value):
        return f"if they are images, say kinds={{{name!r}: 'image'}} (--kind {name}=image), or ignore the column"
    if isinstance(value, bytes):
        return "decode it with .str.decode('utf-8'), or ignore the column"
    if isinstance(value, complex | np.complexfloating):
        return "split it into real and imaginary part, or ignore the column"
    if isinstance(value, list | tuple | np.ndarray):
        return "give each element a column of its own, or ignore the column"
    return "convert it to text with .astype(str), or ignore the column"


def is_whole(present: pd.Series[Any] | list[Any]) -> bool:
    """Whether floats without missing ones are all whole numbers that DOUBLE holds exactly."""
    numbers = np.asarray(present, dtype=np.float64)
    return bool(np.all(np.abs(numbers) <= MAX_EXACT) and np.all(numbers == np.floor(numbers)))
