"""The text of an answer's rows is that of what ``predict_one`` gives. Needs the environment of ``test_serve.py``."""

import json

import numpy as np
import pytest
from small_models import TARGETS, rows_of, schema_of, small_model

from onnxlearn import Model
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.prediction import one_row
from onnxlearn.schema import Target
from onnxlearn.signature import Output

pytestmark = pytest.mark.consumers

ODD = ("a%b", '"quoted"', "ç, d", "", "%%s", "\n", "🦜")


def as_json(value):
    """A value as JSON has it: keys are text, NaN is null."""
    if isinstance(value, dict):
        return {str(key).lower() if isinstance(key, bool) else str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return None if value != value else value


@pytest.mark.parametrize("target", TARGETS)
def test_rows_are_those_of_predict_one(target):
    from onnxlearn.serving.process.answers import RowWriter

    model = Model(small_model(schema_of(target)))
    feeds = hostile_feeds(model.schema, 40)
    writer = RowWriter(target, model.outputs)
    assert json.loads(writer.text(model.predict_feeds(feeds))) == [as_json(row) for row in rows_of(model, feeds)]
    assert writer.text(model.predict_feeds({name: array[:0] for name, array in feeds.items()})) == b"[]"


@pytest.mark.parametrize("names", [("y",), ("low%", "high")])
def test_outputs_of_every_form(names):
    from onnxlearn.serving.process.answers import RowWriter

    n, m = 5, len(names)
    rng = np.random.default_rng(0)
    target = Target(names=names, type="regression", dtype="float64")
    outputs = {
        "prediction": Output(name="prediction", type="DOUBLE", row_shape=(m,)),
        "lower": Output(name="lower", type="DOUBLE", row_shape=(m,)),
        "quantiles": Output(name="quantiles", type="DOUBLE", row_shape=(m, 3), axis=(0.1, 0.5, 0.9)),
        "masks": Output(name="masks", type="FLOAT", row_shape=(2, 4), axis=("a", "b", "c", "d")),
        "effects": Output(name="effects", type="FLOAT", row_shape=(2,), axis=("a%", "b")),
        "flat": Output(name="flat", type="INT64", row_shape=()),
        "nothing": Output(name="nothing", type="FLOAT", row_shape=(0,)),
    }
    arrays = {name: rng.normal(size=(n, *output.row_shape)) for name, output in outputs.items()}
    arrays["prediction"][2] = np.nan
    arrays["flat"] = np.arange(n)
    assert_written(RowWriter(target, outputs), target, outputs, arrays)


def test_classes_of_every_spelling():
    from onnxlearn.serving.process.answers import RowWriter

    target = Target(names=("y",), type="classification", dtype="str", classes=ODD)
    n = len(ODD)
    outputs = {
        "label": Output(name="label", type="STRING", row_shape=()),
        "probabilities": Output(name="probabilities", type="FLOAT", row_shape=(n,)),
        "set": Output(name="set", type="BOOL", row_shape=(n,)),
    }
    inside = np.tri(n, dtype=bool)
    inside[0] = False
    arrays = {"label": np.array(ODD, object), "probabilities": np.eye(n, dtype=np.float32), "set": inside}
    assert_written(RowWriter(target, outputs), target, outputs, arrays)


def assert_written(writer, target, outputs, arrays):
    axes = {name: output.axis for name, output in outputs.items()}
    n = len(next(iter(arrays.values())))
    singles = [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(n)]
    assert json.loads(writer.text(arrays)) == [as_json(one_row(target, single, axes)) for single in singles]
