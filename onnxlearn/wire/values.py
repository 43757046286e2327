"""What each kind of column accepts, one Python value at a time: the single definition that all ways into the model share.

A converter takes a value and gives what goes on the wire (float, int, bool or str), or raises :class:`Refused`. Data frames and
text cells have faster roads for whole columns; they only ever *accept* what a converter accepts, and leave refusing to it.
Missing is spelled ``None``, NaN, ``pandas.NA``, ``NaT`` or ``""`` everywhere.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataTypeError
from onnxlearn.images.feed import ImageFeed
from onnxlearn.remarks import Remark, note
from onnxlearn.schema import MISSING_INT64, Column
from onnxlearn.wire import dates

Converter: TypeAlias = Callable[[object], Any]
Place: TypeAlias = Callable[[int], str]

MAX_EXACT = 2**53
"""Up to here DOUBLE holds every integer."""
MAX_INT64 = 2**63 - 1
# Doubles from here on round to infinity in float32: half a step above its largest number.
_FLOAT32_OVERFLOW = 3.4028235677973366e38
_NAN = math.nan

WIRE_TYPES: dict[str, Any] = {"DOUBLE": np.float64, "FLOAT": np.float32, "INT64": np.int64, "BOOL": np.bool_, "STRING": object}
"""numpy type of each ONNX element type that an input may have."""


class Refused(Exception):  # noqa: N818 - it carries a reason and never reaches a user
    """A value does not fit its column; the argument says why and the way out."""


def row_place(row: int) -> str:
    """Name a row of a table in memory, counted from 0."""
    return f"row {row}"


def is_missing(value: object) -> bool:
    """Whether a value means missing: ``None``, NaN, ``pandas.NA``, ``NaT`` or the empty string.

    >>> [is_missing(value) for value in (None, float("nan"), "", 0, "nan")]
    [True, True, True, False, False]
    """
    if value is None:
        return True
    if isinstance(value, str):
        return not value
    if isinstance(value, float | np.floating):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, Decimal):
        return value.is_nan()
    # By name, because predicting from a file has to work without importing pandas.
    return type(value).__name__ in ("NAType", "NaTType")


def is_integer(value: object) -> TypeGuard[int | np.integer[Any]]:
    """Whether a value is an integer: neither a boolean nor a duration, which numpy counts among its integers."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def describe(value: object) -> str:
    """What a value is, for a message.

    >>> describe("abc"), describe(3), describe([1, 2])
    ("the text 'abc'", 'the number 3', 'a list')
    """
    if isinstance(value, str):
        return f"the text {_shorten(repr(str(value)))}"
    if isinstance(value, bool | np.bool_):
        return f"the boolean {bool(value)}"
    if is_integer(value) or isinstance(value, float | np.floating | Decimal):
        return f"the number {value}"
    if isinstance(value, dt.datetime):
        return f"the {'zoned' if dates.has_zone(value) else 'naive'} date {value.isoformat()}"
    if isinstance(value, dt.date | np.datetime64):
        return f"the date {value}"
    if isinstance(value, dt.timedelta | np.timedelta64):
        return f"the duration {value}"
    if isinstance(value, bytes):
        return f"the bytes {_shorten(repr(value))}"
    name = type(value).__name__
    return f"a{'n' if name[0].lower() in 'aeio' else ''} {name}"


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def converter(column: Column) -> Converter:
    """The function that turns one value of this column into what goes on the wire.

    >>> converter(Column(name="x", kind="numeric", dtype="float64"))(3)
    3.0
    >>> converter(Column(name="x", kind="categorical", dtype="int64"))(3.0)
    3
    """
    if column.kind == "numeric":
        by_type = {"float32": _number32, "duration": _seconds}
        return by_type.get(column.dtype, _number)
    if column.kind in ("categorical", "ordered"):
        return _whole if column.dtype == "int64" else _text
    if column.kind == "text":
        return _text
    if column.kind == "boolean":
        convert = _bit if column.dtype == "int64" else _boolean
        return _strict(convert) if column.strict_bool else convert
    if column.kind == "datetime":
        return _utc if column.dtype == "utc" else _naive
    raise AssertionError(f"no converter for kind {column.kind!r}")


def wire_array(values: Sequence[Any], column: Column) -> NDArray[Any]:
    """Converted values as a ``[n, 1]`` array of the column's type."""
    if column.onnx_type != "STRING":
        return np.array(values, dtype=WIRE_TYPES[column.onnx_type]).reshape(-1, 1)
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


def values_array(values: Sequence[object], column: Column, where: Place = row_place) -> Any:
    """Python values as a ``[n, 1]`` array of the column's type; of images the feed that reads them.

    Raises ``DataTypeError`` naming the column, ``where(i)`` and value of the first one that does not fit.

    >>> values_array([1, None], Column(name="x", kind="numeric", dtype="float64")).tolist()
    [[1.0], [nan]]
    """
    if column.kind == "image":
        return ImageFeed.of(values, column, where)
    convert = converter(column)
    try:
        return wire_array([convert(value) for value in values], column)
    except Refused:
        raise first_refusal(values, column, where, converter(column)) from None


def told_empty(array: NDArray[Any], column: Column, where: Place) -> NDArray[Any]:
    """The array itself; it is told of empty texts where no training row had one: the network has not learned what they mean."""
    if column.kind == "text" and not column.has_missing:
        empty = np.flatnonzero(array[:, 0] == "").tolist()
        note(Remark("empty texts, as none was in training", f"column {column.name!r}, {where(row)}") for row in empty)
    return array


def first_refusal(values: Sequence[Any], column: Column, where: Place, convert: Callable[[Any], Any]) -> DataTypeError:
    """The error for the first value that ``convert`` refuses."""
    for row, value in enumerate(values):
        try:
            convert(value)
        except Refused as reason:
            return refusal(column, where(row), reason)
    raise AssertionError("called without a value that is refused")


def refusal(column: Column, place: str, reason: Refused) -> DataTypeError:
    """The error that places a refused value."""
    at = f", {place}" if place else ""
    return DataTypeError(f"column {column.name!r}{at}: {reason}")


# The commonest exact type comes first in each: predict_one calls these once a column.


def _number(value: object) -> float:
    if type(value) is float:
        if -math.inf < value < math.inf or value != value:
            return value
        raise _infinite(value)
    if type(value) is int:
        return _exact(value)
    if isinstance(value, float | np.floating):
        return _number(float(value))
    if is_missing(value):
        return _NAN
    if isinstance(value, bool | np.bool_):
        raise _wrong("a number", value, "convert the column with .astype(int)")
    if is_integer(value):
        return _exact(int(value))
    if isinstance(value, Decimal):
        return _decimal(value)
    raise _wrong("a number", value, _number_way_out(value))


def _number_way_out(value: object) -> str:
    if isinstance(value, str):
        return "convert the column to numbers (pandas.to_numeric), with None where there is none"
    if isinstance(value, dt.timedelta | np.timedelta64):
        return "convert the column with .dt.total_seconds()"
    return "convert the column to numbers"


def _number32(value: object) -> float:
    number = _number(value)
    if abs(number) >= _FLOAT32_OVERFLOW:
        raise Refused(f"{number} is beyond the range of float32, which the model was trained on; train on float64 instead")
    return number


def _exact(value: int) -> float:
    if -MAX_EXACT <= value <= MAX_EXACT:
        return float(value)
    raise Refused(
        f"the integer {_shorten(str(value))} is beyond 2^53 and not exact as a number; "
        "declare the column categorical if it is a code, id if it names the row"
    )


def _decimal(value: Decimal) -> float:
    if value.is_infinite():
        raise _infinite(value)
    if abs(value) > MAX_EXACT and value == value.to_integral_value():
        return _exact(int(value))
    return _number(float(value))


def _infinite(value: object) -> Refused:
    return Refused(f"the number {value} is infinite; replace it by a finite number, or in a feature by None for missing")


def _wrong(expected: str, value: object, way_out: str) -> Refused:
    return Refused(f"expected {expected} as in training, got {describe(value)}; {way_out}")


def _seconds(value: object) -> float:
    if isinstance(value, dt.timedelta) and not is_missing(value):
        # A Timedelta counts nanoseconds too.
        exact = getattr(value, "to_timedelta64", None)
        if exact is None:
            return value.days * 86_400 + value.seconds + value.microseconds / 1_000_000
        value = exact()
    if is_missing(value):
        return _NAN
    if isinstance(value, np.timedelta64):
        return float(dates.array_seconds(np.array([value]))[0])
    raise _wrong("a duration", value, "convert the column with pandas.to_timedelta, naming the unit")


def _text(value: object) -> str:
    if type(value) is str:
        if value.isascii():
            return value
        return _encodable(value)
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return _encodable(str(value))
    way_out = "decode the column with .str.decode('utf-8')" if isinstance(value, bytes) else "convert the column to text"
    raise _wrong("text", value, way_out)


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused(f"the text {value!a} holds half a surrogate pair and is no Unicode; decode the source again") from None
    return value


def _whole(value: object) -> int:
    if type(value) is int:
        return _int64(value)
    if is_integer(value):
        return _int64(int(value))
    if is_missing(value):
        return MISSING_INT64
    # pandas turns integers with holes into floats, so whole floats are the same category.
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) <= MAX_EXACT:
        return int(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return _int64(int(value))
    raise _wrong("a whole number", value, "convert the column with .astype('Int64')")


def _int64(value: int) -> int:
    if MISSING_INT64 < value <= MAX_INT64:
        return value
    if value == MISSING_INT64:
        raise Refused(f"the integer {value} stands for missing in the file and cannot be a category; recode it")
    raise Refused(f"the integer {_shorten(str(value))} is beyond int64; convert the column to text before training")


def _boolean(value: object) -> float:
    if value is True:
        return 1.0
    if value is False:
        return 0.0
    if is_missing(value):
        return _NAN
    if isinstance(value, np.bool_):
        return float(value)
    raise _wrong("True or False", value, "convert the column with .astype('boolean')")


def _bit(value: object) -> float:
    """A boolean that was written as 0 or 1 in training."""
    if is_missing(value):
        return _NAN
    if (is_integer(value) or isinstance(value, float | np.floating)) and value in (0, 1):
        return 1.0 if value else 0.0
    raise _wrong("the number 0 or 1", value, "convert the column with .astype(int)")


def _strict(convert: Converter) -> Converter:
    def present(value: object) -> bool:
        number = convert(value)
        if number != number:
            raise Refused("the value is missing, and the column was declared strict_bool; give one of the two values")
        return bool(number)

    return present


def _naive(value: object) -> int:
    return _date(value, utc=False)


def _utc(value: object) -> int:
    return _date(value, utc=True)


def _date(value: object, *, utc: bool) -> int:
    if is_missing(value):
        return MISSING_INT64
    micro, zoned = _microseconds(value)
    if zoned and not utc:
        raise _wrong("a date without time zone", value, "convert with .dt.tz_convert('UTC').dt.tz_localize(None)")
    if utc and not zoned:
        raise _wrong("a date with time zone", value, "say which zone it is in: .dt.tz_localize('UTC')")
    return micro


def _microseconds(value: object) -> tuple[int, bool]:
    if isinstance(value, dt.datetime):
        return dates.datetime_microseconds(value), dates.has_zone(value)
    if isinstance(value, dt.date):
        return dates.datetime_microseconds(value), False
    if isinstance(value, str):
        parsed = dates.parse_iso(value)
        if parsed is not None:
            return parsed
        raise _wrong("a date", value, "write dates as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS")
    if isinstance(value, np.datetime64):
        converted = dates.array_microseconds(np.array([value]))
        if converted is None:
            raise Refused(f"the date {value} is beyond the range of microseconds in int64; clip it or make it missing")
        return int(converted[0][0]), False
    raise _wrong("a date", value, "convert the column with pandas.to_datetime")
