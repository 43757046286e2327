"""Columns read at once become what they become one value at a time, or are left to that."""

import math

import numpy as np
import pytest

from onnxlearn.errors import DataTypeError
from onnxlearn.schema import Column
from onnxlearn.wire.plain import plain_feeds
from onnxlearn.wire.values import values_array

DOUBLE = Column(name="x", kind="numeric", dtype="float64")
FLOAT = Column(name="y", kind="numeric", dtype="float32")
TEXT = Column(name="z", kind="categorical", dtype="str")
NUMBERS = [1, -2.5, None, 0.1, -0.0, 2**53 - 1, math.nan, 1e-320]


def test_numbers_and_text_are_what_they_are_one_by_one():
    values = {"x": NUMBERS, "y": NUMBERS[::-1], "z": ["a", "", "Köln", "🦜", "b", "\x00", "nan", "NULL"]}
    feeds = plain_feeds([DOUBLE, FLOAT, TEXT], values)
    assert set(feeds) == set("xyz")
    for column in (DOUBLE, FLOAT, TEXT):
        expected = values_array(values[column.name], column)
        found = feeds[column.name]
        assert found.dtype == expected.dtype
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)
    assert math.copysign(1, feeds["x"][4, 0]) == -1


@pytest.mark.parametrize("odd", ["", "1", True, math.inf, -math.inf, 2**53, -(2**53), 10**400, [1], {}, b"1", np.float64(1)])
def test_odd_numbers_are_left_to_the_converters(odd):
    assert plain_feeds([DOUBLE, FLOAT], {"x": [1.0, odd], "y": [1.0, 2.0]}) == {}


@pytest.mark.parametrize("odd", [None, 1, b"a", "\ud800", ["a"]])
def test_odd_texts_are_left_to_the_converters(odd):
    assert plain_feeds([TEXT], {"z": ["a", odd]}) == {}


def test_halves_of_a_surrogate_pair_are_no_text_however_they_meet():
    values = ["\ud83d", "\ude00"]
    assert plain_feeds([TEXT], {"z": values}) == {}
    with pytest.raises(DataTypeError, match="half a surrogate pair"):
        values_array(values, TEXT)


def test_other_kinds_and_no_rows():
    others = [
        Column(name="a", kind="numeric", dtype="duration"),
        Column(name="b", kind="boolean", dtype="int64"),
        Column(name="c", kind="datetime", dtype="naive"),
        Column(name="d", kind="categorical", dtype="int64"),
    ]
    assert plain_feeds(others, {name: [1, 0] for name in "abcd"}) == {}
    assert plain_feeds([DOUBLE, FLOAT], {"x": [], "y": []})["y"].shape == (0, 1)
