"""Tensors of the Open Inference Protocol: what a server of others hands over."""

import json

import numpy as np
import pytest

from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError
from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
from onnxlearn.schema import MISSING_INT64, Column, Schema, Target
from onnxlearn.wire.examples import example_feeds, example_request, example_rows, in_seconds
from onnxlearn.wire.feeds import values_feeds
from onnxlearn.wire.tensors import Tensor, array_tensor, tensors_feeds

COLUMNS = (
    Column(name="x", kind="numeric", dtype="float64"),
    Column(name="small", kind="numeric", dtype="float32"),
    Column(name="count", kind="numeric", dtype="int64"),
    Column(name="lasted", kind="numeric", dtype="duration"),
    Column(name="city", kind="categorical", dtype="str", levels=("Bonn", "Köln")),
    Column(name="zone", kind="ordered", dtype="int64", levels=(1, 2)),
    Column(name="flag", kind="boolean", dtype="bool"),
    Column(name="bit", kind="boolean", dtype="int64"),
    Column(name="sure", kind="boolean", dtype="bool", strict_bool=True),
    Column(name="day", kind="datetime", dtype="naive"),
    Column(name="moment", kind="datetime", dtype="utc"),
    Column(name="empty", kind="categorical", dtype="str"),
)
SCHEMA = Schema(name="t", features=COLUMNS, target=Target(names=("y",), type="regression", dtype="float64"))
BY_NAME = {column.name: column for column in COLUMNS}


def only(name):
    return Schema(name="one", features=(BY_NAME[name],), target=SCHEMA.target)


def tensors(feeds):
    return [array_tensor(name, array) for name, array in feeds.items()]


def one(name, datatype, values, shape=None):
    tensor = Tensor(name=name, datatype=datatype, shape=shape or [len(values), 1], values=values)
    return tensors_feeds([tensor], only(name))[name]


def test_feeds_come_back_as_they_went():
    feeds = hostile_feeds(SCHEMA, EVERY_KIND)
    back = tensors_feeds(tensors(feeds)[::-1], SCHEMA)
    assert list(back) == list(feeds)
    for name, array in feeds.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_no_rows():
    feeds = {name: array[:0] for name, array in hostile_feeds(SCHEMA, 2).items()}
    back = tensors_feeds(tensors(feeds), SCHEMA)
    assert {name: (array.shape, array.dtype) for name, array in back.items()} == {
        name: (array.shape, array.dtype) for name, array in feeds.items()
    }


@pytest.mark.parametrize(
    ("name", "datatype", "values", "expected"),
    [
        ("x", "FP32", [1.5, None], [1.5, np.nan]),
        ("x", "INT64", [2**53, None], [2.0**53, np.nan]),
        ("count", "UINT8", [3], [3.0]),
        ("lasted", "FP64", [2.5, None], [2.5, np.nan]),
        ("small", "FP64", [0.1], [np.float32(0.1)]),
        ("city", "BYTES", [b"K\xc3\xb6ln", "Bonn", None, ""], ["Köln", "Bonn", "", ""]),
        ("zone", "INT32", [1, None], [1, MISSING_INT64]),
        ("zone", "INT64", [MISSING_INT64, 2**63 - 1], [MISSING_INT64, 2**63 - 1]),
        ("flag", "BOOL", [True, None], [1.0, np.nan]),
        ("flag", "FP64", [1.0, 0.0, float("nan")], [1.0, 0.0, np.nan]),
        ("bit", "BOOL", [True, False], [1.0, 0.0]),
        ("sure", "BOOL", [True, False], [True, False]),
        ("sure", "INT8", [1, 0], [True, False]),
        ("day", "INT64", [0, -1, None], [0, -1, MISSING_INT64]),
    ],
)
def test_types_that_hold_no_more_are_as_good(name, datatype, values, expected):
    np.testing.assert_array_equal(one(name, datatype, values)[:, 0], np.array(expected, one(name, datatype, values).dtype))


def test_rows_may_be_nested_or_flat():
    for values, shape in (([[1.0], [None]], [2, 1]), ([1.0, None], [2, 1]), ([1.0, None], [2])):
        assert one("x", "FP64", values, shape).shape == (2, 1)


@pytest.mark.parametrize(
    ("name", "datatype", "values", "message"),
    [
        ("x", "BYTES", ["1"], "column 'x': the model takes FP64, the request says BYTES; send it as FP64"),
        ("x", "BOOL", [True], "the request says BOOL"),
        ("x", "FP64", [True], "row 0: expected a number as in training, got the boolean True"),
        ("x", "FP64", ["1"], "row 0: expected a number as in training, got the text '1'"),
        ("x", "FP64", [1.0, float("inf")], "row 1: the number inf is infinite"),
        ("x", "INT64", [2**53 + 1], "row 0: the integer 9007199254740993 is beyond 2^53"),
        ("small", "FP64", [1e39], "row 0: 1e+39 is beyond the range of float32"),
        ("city", "BYTES", [3], "row 0: expected text"),
        ("city", "BYTES", [b"\xff"], "column 'city', row 0: the bytes b'\\xff' are no UTF-8"),
        ("city", "FP64", [1.0], "column 'city': the model takes BYTES"),
        ("zone", "FP64", [1.0], "column 'zone': the model takes INT64"),
        ("zone", "INT64", [1.5], "row 0: expected a whole number"),
        ("zone", "UINT64", [2**64 - 1], "beyond int64"),
        ("flag", "FP64", [2.0], "row 0: expected the number 0 or 1"),
        ("flag", "BYTES", ["true"], "column 'flag': the model takes FP64"),
        ("sure", "BOOL", [None], "row 0: the value is missing"),
        ("day", "BYTES", ["2020-01-01"], "column 'day': the model takes INT64"),
        ("x", "FP64", [{}], "row 0: expected a number as in training, got a dict"),
        ("x", "FP65", [1.0], "the request says FP65"),
    ],
)
def test_what_does_not_fit_is_told(name, datatype, values, message):
    with pytest.raises(DataTypeError) as error:
        one(name, datatype, values)
    assert message in str(error.value)
    assert f"column {name!r}" in str(error.value)


@pytest.mark.parametrize("shape", [[], [1, 2], [-1], [-1, 1], [2, 1, 1]])
def test_shapes_of_other_things_than_rows(shape):
    with pytest.raises(DataTypeError, match=r"expected the shape \[N, 1\] or \[N\]"):
        tensors_feeds([Tensor(name="x", datatype="FP64", shape=shape, values=[1.0])], only("x"))


def test_a_shape_that_is_not_that_of_the_values():
    with pytest.raises(DataTypeError, match="is one of 1000000000000 values, there are 1"):
        one("x", "FP64", [1.0], [10**12, 1])


def test_requests_that_are_not_those_of_the_model():
    good = tensors(hostile_feeds(SCHEMA, 2))
    with pytest.raises(ColumnNotFoundError, match="the model needs column 'empty'; the request has 'x'"):
        tensors_feeds(good[:-1], SCHEMA)
    with pytest.raises(DataError, match="has the input 'x' more than once"):
        tensors_feeds([*good, good[0]], SCHEMA)
    with pytest.raises(DataError, match="the model has no input 'z'"):
        tensors_feeds([*good, Tensor(name="z", datatype="FP64", shape=[2, 1], values=[1, 2])], SCHEMA)
    with pytest.raises(DataError, match="'x' has 1 and 'small' 2"):
        tensors_feeds([Tensor(name="x", datatype="FP64", shape=[1, 1], values=[1.0]), *good[1:]], SCHEMA)


def test_examples_are_rows_that_the_model_takes_and_that_json_writes():
    rows = json.loads(json.dumps(example_rows(SCHEMA, 3)))
    columns = {name: [row[name] for row in rows] for name in SCHEMA.feature_names}
    for name, array in values_feeds(columns, in_seconds(SCHEMA)).items():
        np.testing.assert_array_equal(array, example_feeds(SCHEMA, 3)[name])
    request = json.loads(json.dumps(example_request(SCHEMA, 3), allow_nan=False))
    given = [
        Tensor(name=each["name"], datatype=each["datatype"], shape=each["shape"], values=each["data"])
        for each in request["inputs"]
    ]
    for name, array in tensors_feeds(given, SCHEMA).items():
        np.testing.assert_array_equal(array, example_feeds(SCHEMA, 3)[name])


def test_outputs_have_the_protocols_types():
    outputs = {
        "FP32": np.zeros((2, 3), np.float32), "FP64": np.zeros((2, 1)), "INT64": np.zeros(2, np.int64),
        "BOOL": np.zeros((2, 3), bool), "BYTES": np.array(["a", "b"], object),
    }  # fmt: skip
    for datatype, array in outputs.items():
        tensor = array_tensor("y", array)
        assert (tensor.datatype, list(tensor.shape), len(list(tensor.values))) == (datatype, list(array.shape), array.size)
