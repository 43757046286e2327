"""Rows as JSON: what is taken is what the models take elsewhere; what is not is told by field, row, value and rule."""

import json

import numpy as np
import pytest
from small_models import SPECIES, rows_of, schema_of, small_model

from onnxlearn import Model
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.schema import MISSING_INT64, Column
from onnxlearn.serving.rows import MOST_MISTAKES, RowReader, RowsError, shown

GOOD = {"x": 1.5, "small": 2, "city": "Bonn", "zone": 1, "flag": True, "day": "2024-02-29"}
EVERY = (
    Column(name="lasted", kind="numeric", dtype="duration"),
    Column(name="bit", kind="boolean", dtype="int64"),
    Column(name="sure", kind="boolean", dtype="bool", strict_bool=True),
    Column(name="moment", kind="datetime", dtype="utc"),
)


def mistakes_of(body, features=None):
    reader = RowReader(schema_of(SPECIES) if features is None else schema_of(SPECIES, features))
    with pytest.raises(RowsError) as caught:
        reader.feeds(body)
    return [mistake.to_dict() for mistake in caught.value.mistakes]


def test_rows_become_what_predict_one_makes_of_them():
    model = Model(small_model(schema_of(SPECIES)))
    rows = [GOOD, dict.fromkeys(GOOD), GOOD | {"x": -3, "city": "elsewhere", "more": [1]}]
    body = json.loads(json.dumps({"rows": rows}))
    assert rows_of(model, RowReader(model.schema).feeds(body)) == [model.predict_one(row) for row in rows]


def test_no_rows_are_rows():
    feeds = RowReader(schema_of(SPECIES)).feeds({"rows": []})
    assert {name: (array.shape, array.dtype) for name, array in feeds.items()} == {
        name: ((0, 1), array.dtype) for name, array in hostile_feeds(schema_of(SPECIES), 1).items()
    }


def test_each_kind_has_its_spelling_in_json():
    row = {"lasted": 90.5, "bit": 1, "sure": False, "moment": "1970-01-01T01:00:00+01:00"}
    feeds = RowReader(schema_of(SPECIES, EVERY)).feeds({"rows": [row, row | {"lasted": None, "bit": None, "moment": None}]})
    np.testing.assert_array_equal(feeds["lasted"], [[90.5], [np.nan]])
    np.testing.assert_array_equal(feeds["bit"], [[1.0], [np.nan]])
    assert feeds["sure"].tolist() == [[False], [False]]
    assert feeds["moment"].tolist() == [[0], [MISSING_INT64]]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("x", "abc", "expected a number as in training, got the text 'abc'; write a finite number, or null for missing"),
        ("x", True, "expected a number as in training, got the boolean True; write a finite number, or null for missing"),
        ("x", [1], "expected a number as in training, got a list; write a finite number, or null for missing"),
        ("x", 1e400, "the number inf is infinite; write a finite number, or null for missing"),
        ("x", 2**53 + 1, "the integer 9007199254740993 is beyond 2^53 and not exact as a number; write a finite number, "),
        ("small", 1e39, "1e+39 is beyond the range of float32, which the model was trained on; write a finite number, "),
        ("city", 3, "expected text as in training, got the number 3; write text, or null for missing"),
        ("city", {"a": 1}, "expected text as in training, got a dict; write text, or null for missing"),
        ("zone", "1", "expected a whole number as in training, got the text '1'; write a whole number, or null for missing"),
        ("zone", 1.5, "expected a whole number as in training, got the number 1.5; write a whole number, or null for missing"),
        ("flag", 1, "expected True or False as in training, got the number 1; write true or false, or null for missing"),
        ("day", "29.02.2024", "expected a date as in training, got the text '29.02.2024'; write \"YYYY-MM-DD\" or "),
        ("day", "2024-02-29T00:00:00Z", "expected a date without time zone as in training, got "),
    ],
)
def test_what_does_not_fit_is_told(field, value, rule):
    (mistake,) = mistakes_of({"rows": [GOOD, GOOD | {field: value}]})
    assert mistake["rule"].startswith(rule)
    assert mistake == {"field": field, "row": 1, "value": shown(value), "rule": mistake["rule"]}


def test_values_are_shown_as_they_came_where_everybody_can_write_them():
    plain = [None, True, 3, -1.5, "abc", 2**53]
    assert [shown(value) for value in plain] == plain
    assert [shown(value) for value in (2**53 + 1, float("inf"), "é", "\ud800", [1], {"a": None})] == [
        "9007199254740993", "Infinity", '"\\u00e9"', '"\\ud800"', "[1]", '{"a": null}',
    ]  # fmt: skip


def test_a_strict_boolean_has_no_null():
    row = {"lasted": 1, "bit": 0, "sure": None, "moment": None}
    (mistake,) = mistakes_of({"rows": [row]}, EVERY)
    assert mistake["rule"].endswith("; write true or false")


def test_a_field_that_is_not_there_is_named_with_its_neighbour():
    row = {name: value for name, value in GOOD.items() if name != "small"} | {"smal": 2}
    (mistake,) = mistakes_of({"rows": [row]})
    assert mistake["field"] == "small"
    assert mistake["rule"] == "every row needs this field; write null where the value is missing. Did you mean 'smal'?"


def test_all_mistakes_are_told_up_to_a_limit():
    assert [(m["row"], m["field"]) for m in mistakes_of({"rows": [GOOD | {"x": "a", "flag": 1}, GOOD, 7, "text"]})] == [
        (0, "x"), (0, "flag"), (2, "rows"), (3, "rows"),
    ]  # fmt: skip
    assert len(mistakes_of({"rows": [{}] * 1000})) == MOST_MISTAKES


def test_long_values_are_shortened():
    (mistake,) = mistakes_of({"rows": [GOOD | {"x": ["a" * 10_000]}]})
    assert len(mistake["value"]) == 100
    assert len(json.dumps(mistakes_of({"rows": [GOOD | {"x": "é" * 10_000}]}))) < 600


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (None, 'the body is an object {"rows": [...]}, not null'),
        ([GOOD], 'the body is an object {"rows": [...]}, not a list'),
        (3, 'the body is an object {"rows": [...]}, not the number 3'),
        ({}, 'the body has the one field "rows", there is none'),
        (GOOD, "the body has the one field \"rows\", there is 'x'"),
        ({"rows": [], "row": []}, "the body has the one field \"rows\", there is 'row'"),
        ({"rows": GOOD}, "a list of rows, not an object"),
        ({"rows": None}, "a list of rows, not null"),
    ],
)
def test_bodies_that_hold_no_rows(body, rule):
    (mistake,) = mistakes_of(body)
    assert mistake["rule"] == rule
