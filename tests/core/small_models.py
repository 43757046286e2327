"""Model files built by hand, so that what reads them is tested without training."""

import json

import numpy as np

from onnxlearn.graph.builder import ML_DOMAIN, GraphBuilder
from onnxlearn.prediction import one_row
from onnxlearn.schema import FIRST_LEVEL_CODE, MISSING_CODE, Column, Schema, Target

FEATURES = (
    Column(name="x", kind="numeric", dtype="float64", has_missing=True),
    Column(name="small", kind="numeric", dtype="float32"),
    Column(name="city", kind="categorical", dtype="str", levels=("Bonn", "Köln")),
    Column(name="zone", kind="categorical", dtype="int64", levels=(1, 2)),
    Column(name="flag", kind="boolean", dtype="bool"),
    Column(name="day", kind="datetime", dtype="naive"),
)
SPECIES = Target(names=("species",), type="classification", dtype="str", classes=("a", "b", "ç"))
CODES = Target(names=("code",), type="classification", dtype="int64", classes=(10, 20), positive=20)
BOOLEAN = Target(names=("won",), type="classification", dtype="bool", classes=(False, True), positive=True)
PRICE = Target(names=("price",), type="regression", dtype="float64")
TWO_PRICES = Target(names=("low", "high"), type="regression", dtype="float64")
TARGETS = (SPECIES, CODES, BOOLEAN, PRICE, TWO_PRICES)


def rows_of(model, feeds):
    """What a model predicts for each row, as ``predict_one`` has it."""
    outputs = model.predict_feeds(feeds)
    n_rows = len(next(iter(outputs.values())))
    axes = {name: output.axis for name, output in model.outputs.items()}
    singles = [{name: array[i : i + 1] for name, array in outputs.items()} for i in range(n_rows)]
    return [one_row(model.schema.target, single, axes) for single in singles]


def schema_of(target, features=FEATURES, **roles):
    return Schema(name="small", features=features, target=target, **roles)


def document_of(schema, **changes):
    document = {
        "format_version": 1,
        "schema": schema.to_dict(),
        "learner": {"name": "handmade", "params": {"lr": 0.001}},
        "training": {
            "n_rows": 8,
            "epochs": 2,
            "best_epoch": 1,
            "history": {"epoch": [0, 1], "train_loss": [2.0, 1.0], "valid_loss": [2.5, 1.5]},
            "scores": {"validation": {"logloss": 0.5, "auc": None}},
        },
        "versions": {"onnxlearn": "0.1.0"},
    }
    return {**document, **changes}


def small_model(schema, document=None):
    """Bytes of a model whose network is a sum: every feature as a number, missing as 0, days in thousands."""
    g = GraphBuilder()
    inputs = [(column, g.input(column.name, column.onnx_type, ["N", 1])) for column in schema.features]
    with g.scope("prep"):
        numbers = [as_number(g, column, value) for column, value in inputs]
        together = g.op("Concat", *numbers, axis=1)
        total = g.op("ReduceSum", together, g.const(np.array([1])), keepdims=1)
    with g.scope("net"):
        slopes = np.linspace(1, -1, schema.n_outputs).reshape(1, -1)
        z = g.op("Mul", total, g.const(slopes))
    add_outputs(g, schema.target, z)
    model = g.to_model()
    entry = model.metadata_props.add()
    entry.key = "onnxlearn"
    entry.value = json.dumps(document or document_of(schema), sort_keys=True, ensure_ascii=False)
    return model.SerializeToString(deterministic=True)


def as_number(g, column, value):
    if column.onnx_type == "STRING":
        codes = range(FIRST_LEVEL_CODE, column.n_codes)
        value = g.op(
            "LabelEncoder", value, domain=ML_DOMAIN, keys_strings=["", *column.levels],
            values_int64s=[MISSING_CODE, *codes], default_int64=0,
        )  # fmt: skip
    number = g.op("Cast", value, to=11)
    if column.kind == "datetime":
        number = g.op("Div", number, g.const(np.float64(86_400e9)))
    missing = g.op("IsNaN", number)
    return g.op("Where", missing, g.const(np.float64(0)), number)


def add_outputs(g, target, z):
    with g.scope("post"):
        if target.type == "regression":
            g.output(z, "prediction", "DOUBLE", ["N", len(target.names)])
            return
        prob = g.op("Softmax", g.op("Cast", z, to=1), axis=1)
        best = g.op("ArgMax", prob, axis=1, keepdims=0)
        if target.dtype == "str":
            keys = list(range(len(target.classes)))
            label = g.op("LabelEncoder", best, domain=ML_DOMAIN, keys_int64s=keys, values_strings=list(target.classes))
        else:
            label = g.op("Gather", g.const(np.array(target.classes, np.int64)), best)
        g.output(label, "label", "INT64" if target.dtype != "str" else "STRING", ["N"])
        g.output(prob, "probabilities", "FLOAT", ["N", len(target.classes)])
