"""Dates on the wire: microseconds since 1970-01-01 UTC as int64, floored; ISO 8601 text read strictly."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from onnxlearn.schema import MISSING_INT64

MICROSECOND = 1_000_000
_DAY = 86_400
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_ONE_MICROSECOND = dt.timedelta(microseconds=1)
_TICKS_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}
_FINER_THAN_MICROSECOND = frozenset({"ns", "ps", "fs", "as"})

ISO_TEXT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


@lru_cache(maxsize=1 << 16)
def parse_iso(text: str) -> tuple[int, bool] | None:
    """Microseconds since 1970 and whether the text names a zone; ``None`` where it is no ISO 8601 date.

    Accepted: ``YYYY-MM-DD``, optionally ``T`` or a space, ``HH:MM[:SS[.fraction]]`` and ``Z`` or ``+HH:MM``. Digits of the
    fraction beyond the sixth are dropped, which floors, before 1970 too.

    >>> parse_iso("1970-01-02")
    (86400000000, False)
    >>> parse_iso("1970-01-01T01:00:00.5+01:00")
    (500000, True)
    >>> parse_iso("01.02.1970") is None
    True
    """
    match = ISO_TEXT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups(default="")
    try:
        days = dt.date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
        time = dt.time(int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return None
    offset = _zone_seconds(zone)
    if offset is None:
        return None
    seconds = days * _DAY + time.hour * 3600 + time.minute * 60 + time.second - offset
    return seconds * MICROSECOND + int(fraction[:6].ljust(6, "0")), bool(zone)


def _zone_seconds(zone: str) -> int | None:
    if zone in ("", "Z"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def has_zone(value: dt.datetime) -> bool:
    """Whether a datetime knows its distance from UTC."""
    return value.utcoffset() is not None


def datetime_microseconds(value: dt.date) -> int:
    """Microseconds since 1970 of a date or datetime; a naive one is UTC wall time. Nanoseconds of a Timestamp are floored.

    >>> datetime_microseconds(dt.datetime(1969, 12, 31, 23, 59, 59, 999999))
    -1
    """
    if not isinstance(value, dt.datetime):
        return (value.toordinal() - _EPOCH_ORDINAL) * _DAY * MICROSECOND
    offset = value.utcoffset()
    seconds = (value.toordinal() - _EPOCH_ORDINAL) * _DAY + value.hour * 3600 + value.minute * 60 + value.second
    micro = seconds * MICROSECOND + value.microsecond
    return micro if offset is None else micro - offset // _ONE_MICROSECOND


def array_microseconds(values: NDArray[np.datetime64]) -> tuple[NDArray[np.int64], bool] | None:
    """Microseconds of a datetime64 array of any unit, and whether finer digits were floored away.

    ``NaT`` becomes ``MISSING_INT64``. ``None`` where a date lies beyond what microseconds in int64 can hold.
    """
    # numpy floors towards the past when it drops digits, and overflows in silence when it adds them: the way back shows both.
    micro = values.astype("datetime64[us]")
    same = micro.astype(values.dtype) == values
    lost = not bool(np.all(same | np.isnat(values)))
    if lost and np.datetime_data(values.dtype)[0] not in _FINER_THAN_MICROSECOND:
        return None
    numbers = micro.astype(np.int64)
    assert np.iinfo(np.int64).min == MISSING_INT64, "NaT is the smallest int64"
    return numbers, lost


def array_seconds(values: NDArray[np.timedelta64]) -> NDArray[np.float64]:
    """Seconds of a timedelta64 array; ``NaT`` becomes NaN."""
    unit = np.datetime_data(values.dtype)[0]
    ticks = _TICKS_PER_SECOND.get(unit)
    if ticks is None:
        seconds = values.astype("timedelta64[s]").astype(np.float64)
    else:
        # Whole seconds apart from their fraction, so that every unit gives the same double.
        whole, rest = np.divmod(values.astype(f"timedelta64[{unit}]").astype(np.int64), ticks)
        seconds = whole + rest / ticks
    return np.where(np.isnat(values), np.nan, seconds)
