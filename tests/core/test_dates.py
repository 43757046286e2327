"""Dates on the wire, against the standard library and numpy."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxlearn.schema import MISSING_INT64, Column
from onnxlearn.wire.dates import array_microseconds, array_seconds, datetime_microseconds, parse_iso
from onnxlearn.wire.values import converter

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ONE = dt.timedelta(microseconds=1)
ZONES = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(
    lambda offset: dt.timezone(dt.timedelta(minutes=offset // dt.timedelta(minutes=1)))
)
# Away from the ends, where no datetime in UTC exists.
MOMENTS = st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1))


@given(st.datetimes(), st.sampled_from(["T", " "]), st.sampled_from(["auto", "microseconds", "seconds", "minutes"]))
def test_iso_text_without_zone(when, separator, precision):
    text = when.isoformat(separator, precision)
    expected = (dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC) - EPOCH) // ONE
    assert parse_iso(text) == (expected, False)


@given(MOMENTS, ZONES)
def test_iso_text_with_zone(when, zone):
    zoned = when.replace(tzinfo=zone)
    assert parse_iso(zoned.isoformat()) == ((zoned - EPOCH) // ONE, True)
    assert parse_iso(when.isoformat() + "Z") == ((when.replace(tzinfo=dt.UTC) - EPOCH) // ONE, True)


@given(MOMENTS, ZONES)
def test_datetimes(when, zone):
    zoned = when.replace(tzinfo=zone)
    assert datetime_microseconds(zoned) == (zoned - EPOCH) // ONE
    assert datetime_microseconds(when) == (when.replace(tzinfo=dt.UTC) - EPOCH) // ONE
    assert datetime_microseconds(when.date()) == datetime_microseconds(dt.datetime.combine(when.date(), dt.time()))


@pytest.mark.parametrize(
    "text",
    [
        "2020", "2020-01", "20200101", "2020-W01-1", "2020-02-30", "2020-13-01", "0000-01-01", "2020-01-01T",
        "2020-01-01T24:00",
        "2020-01-01T10", "2020-01-01T10:61", "2020-01-01T10:00:60", "2020-01-01T10:00:00.", "2020-01-01T10:00:00.1234567890",
        "2020-01-01T10:00+25:00", "2020-01-01T10:00+02", "2020-01-01Z", "2020-1-1", " 2020-01-01", "2020-01-01\n", "2020/01/01",
        "٢٠٢٠-01-01", "",
    ],
)  # fmt: skip
def test_what_is_no_iso_date(text):
    assert parse_iso(text) is None


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns", "ps"])
@given(number=st.integers(-(2**40), 2**40))
def test_arrays_of_any_unit_are_floored(unit, number):
    values = np.array([number, MISSING_INT64], dtype=f"datetime64[{unit}]")
    ticks = {"D": 86400 * 10**6, "h": 3600 * 10**6, "m": 60 * 10**6, "s": 10**6, "ms": 1000, "us": 1}
    parts = {"ns": 10**3, "ps": 10**6}
    exact = number * ticks[unit] if unit in ticks else number // parts[unit]
    lost = unit in parts and number % parts[unit] != 0
    converted = array_microseconds(values)
    if abs(exact) > 2**63 - 1:
        assert converted is None
        return
    assert converted is not None
    assert converted[0].tolist() == [exact, MISSING_INT64]
    assert converted[1] == lost


@given(st.timedeltas(dt.timedelta(-100_000), dt.timedelta(100_000)))
def test_seconds_are_the_same_from_any_unit(duration):
    micro = np.timedelta64(duration, "us")
    expected = array_seconds(np.array([micro]))
    np.testing.assert_array_equal(array_seconds(np.array([micro], dtype="timedelta64[ns]")), expected)
    np.testing.assert_array_equal(array_seconds(np.array([micro]).astype("timedelta64[1us]")), expected)
    assert converter(Column(name="x", kind="numeric", dtype="duration"))(duration) == expected[0]


@given(st.lists(st.timedeltas(dt.timedelta(-(10**8)), dt.timedelta(10**8)), min_size=1))
def test_seconds(durations):
    seconds = array_seconds(np.array(durations, dtype="timedelta64[us]"))
    np.testing.assert_allclose(seconds, [duration.total_seconds() for duration in durations], rtol=3e-16)
    whole = array_seconds(np.array(["NaT", 3, -1], dtype="timedelta64[D]"))
    np.testing.assert_array_equal(whole, [np.nan, 3 * 86400, -86400])
