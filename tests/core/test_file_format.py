"""docs/file-format.md against the files that the learners really write."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto

import onnxlearn as ol
from onnxlearn.metadata import parse_document, read_schema
from onnxlearn.runtime import open_session
from onnxlearn.schema import OUTPUT_NAMES, Column, Schema

DOCUMENT = (Path(__file__).parents[2] / "docs/file-format.md").read_text(encoding="utf-8")


def section(title):
    """The text below a heading, up to the next one."""
    return re.split(r"^#+ ", DOCUMENT.split(f" {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows_of(title):
    """Cells of the first table below a heading."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def keys_of(title):
    return {key for cells in rows_of(title) for key in re.findall(r"`(\w+)`", cells[0])}


def table(n=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a number": rng.normal(size=n),
            "whole": rng.integers(0, 9, n),
            "single": rng.normal(size=n).astype(np.float32),
            "took": pd.to_timedelta(rng.integers(0, 9, n), unit="s"),
            "ort": rng.choice(["Köln", "Bonn"], n),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], n), ["s", "m", "l"], ordered=True),
            "code": pd.Categorical(rng.choice([7, 3], n)),
            "flag": rng.random(n) < 0.5,
            "strict": rng.random(n) < 0.5,
            "when": pd.date_range("1969-12-01", periods=n, freq="h"),
            "zoned": pd.date_range("1969-12-01", periods=n, freq="h", tz="Europe/Berlin"),
            "text": rng.choice(["x", "y", "z"], n),
            "number": rng.normal(size=n),
            "more": rng.normal(size=n),
            "integer": rng.choice([4, 2], n),
            "yes": np.arange(n) % 2 == 0,
        }
    )


TARGETS = {"text": ["text"], "integer": ["integer"], "yes": ["yes"], "number": ["number"], "two": ["number", "more"]}
# Only where a file has been rewritten, or its network needs it.
REWRITTEN = {"labels", "chunk_rows", "outputs", "inputs", "conversion"}
CALIBRATION = {"calibration", "n_calibration_rows"}
ALL_TARGETS = {name for names in TARGETS.values() for name in names}


@pytest.fixture(scope="module", params=[(learner, target) for learner in ("featureless", "mlp") for target in TARGETS])
def fitted(request):
    learner, target = request.param
    params = {"max_epochs": 1, "d_block": 4, "cat_encoding": "embedding"} if learner == "mlp" else {}
    frame, names = table(), TARGETS[target]
    others = sorted(ALL_TARGETS - set(names))
    task = ol.Task.from_frame(frame, target=names, ignore=others, strict_bool="strict", kinds={"code": "categorical"})
    return ol.learner(learner, **params).fit(task, test=task)


def test_the_container(fitted):
    model = onnx.load_from_string(fitted.to_bytes())
    onnx.checker.check_model(model, full_check=True)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert model.ir_version == 8
    assert opsets.pop("") in (18, 20)
    assert opsets in ({}, {"ai.onnx.ml": 2})
    assert model.producer_name == "onnxlearn"
    assert [entry.key for entry in model.metadata_props] == ["onnxlearn"]
    assert not model.doc_string
    assert not model.graph.doc_string
    outer = {value.name for value in [*model.graph.input, *model.graph.output]}
    inner = {name for node in model.graph.node for name in [node.name, *node.output] if name} - outer
    inner |= {tensor.name for tensor in model.graph.initializer}
    assert all(name.startswith(("prep/", "net/", "post/")) for name in inner)
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert not {"ZipMap", "StringNormalizer"} & {node.op_type for node in model.graph.node}


def test_inputs_and_outputs(fitted):
    model, schema = onnx.load_from_string(fitted.to_bytes()), fitted.schema
    assert [value.name for value in model.graph.input] == list(schema.feature_names)
    types = {(kind, dtype, strict): onnx_type for kind, dtype, strict, onnx_type in documented_types()}
    for value, column in zip(model.graph.input, schema.features, strict=True):
        expected = types[column.kind, column.dtype, column.strict_bool]
        assert (TensorProto.DataType.Name(value.type.tensor_type.elem_type), shape_of(value)) == (expected, ["N", 1])
    outputs = {
        value.name: (TensorProto.DataType.Name(value.type.tensor_type.elem_type), shape_of(value))
        for value in model.graph.output
    }
    target = schema.target
    if target.type == "regression":
        assert outputs == {"prediction": ("DOUBLE", ["N", len(target.names)])}
    else:
        label = "STRING" if target.dtype == "str" else "INT64"
        assert outputs == {"label": (label, ["N"]), "probabilities": ("FLOAT", ["N", len(target.classes)])}
    assert set(outputs) <= {name for cells in rows_of("Outputs") for name in re.findall(r"`(\w+)`", cells[1])}


@pytest.mark.parametrize(
    ("target", "params"),
    [
        ("text", {"coverage": 0.8, "temperature": True}),
        ("yes", {"threshold": "f1"}),
        ("number", {"coverage": 0.8}),
        ("two", {"coverage": 0.8, "head": "quantile"}),
        ("two", {"coverage": 0.8, "head": "normal"}),
    ],
)
def test_further_outputs(target, params):
    names = TARGETS[target]
    task = ol.Task.from_frame(table()[["a number", "ort", *names]], target=names)
    model = ol.learner("mlp", max_epochs=1, d_block=4, calibration=0.3, **params).fit(task)
    told = {
        name: (onnx_type, re.findall(r"\[([^\]]+)\]", shape)[0].split(", "))
        for _, cell, onnx_type, shape, *_ in rows_of("Outputs")
        for name in re.findall(r"`(\w+)`", cell)
    }
    sizes = {"N": "N", "C": len(model.schema.target.classes), "T": len(names), "Q": 3}
    for value in onnx.load_from_string(model.to_bytes()).graph.output:
        onnx_type, shape = told[value.name]
        if value.name != "label":
            assert TensorProto.DataType.Name(value.type.tensor_type.elem_type) == onnx_type
        assert shape_of(value) == [sizes[size] for size in shape]
    document = model.metadata
    assert set(document) - {"outputs"} == keys_of("Metadata") - REWRITTEN
    assert document.get("outputs", {}) == ({"quantiles": [0.05, 0.5, 0.95]} if params.get("head") == "quantile" else {})
    assert set(document["training"]) == keys_of("training")
    words = next(text for keys, text in rows_of("training") if keys == "`calibration`")
    assert set(document["training"]["calibration"]) <= set(re.findall(r"`(\w+)`", words))


def shape_of(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def documented_types():
    for kinds, dtypes, onnx_type, *_ in rows_of("Inputs"):
        for kind in re.findall(r"`(\w+)`", kinds.split(", `strict_bool`")[0]):
            for dtype in re.findall(r"`(\w+)`", dtypes):
                yield kind, dtype, "strict_bool" in kinds, onnx_type


def test_the_table_of_inputs_is_that_of_the_code():
    documented = list(documented_types())
    assert len(documented) == 17
    for kind, dtype, strict, onnx_type in documented:
        assert Column(name="x", kind=kind, dtype=dtype, strict_bool=strict).onnx_type == onnx_type
    assert all(f"`{name}`" in section("Inputs") for name in OUTPUT_NAMES)


def test_the_keys_of_the_metadata(fitted):
    document = json.loads(onnx.load_from_string(fitted.to_bytes()).metadata_props[0].value)
    assert set(document) == keys_of("Metadata") - REWRITTEN
    schema = document["schema"]
    assert set(schema) == keys_of("schema")
    words = set(re.findall(r"`(\w+)`", section("schema")))
    assert {key for column in schema["features"] for key in column} | set(schema["target"]) <= words
    assert set(schema["ingress"] or {}) <= words
    assert set(document["learner"]) == {"name", "params"}
    training = keys_of("training")
    if document["learner"]["name"] == "featureless":
        assert set(document["training"]) == {"n_rows", "n_validation_rows", "scores"}
        assert document["parity"] == {}
    else:
        assert set(document["training"]) == training - CALIBRATION
        assert set(document["parity"]) == {"max_difference", "n_rows", "tolerance"}
        history = document["training"]["history"]
        score = "valid_acc" if fitted.schema.target.type == "classification" else "valid_rmse"
        assert set(history) == {"epoch", "train_loss", "lr", "valid_loss", score}
        assert {len(values) for values in history.values()} == {document["training"]["epochs"]}
        assert document["training"]["stopped"] in section("training")
    assert set(document["training"]["scores"]) <= {"validation", "test"}


def test_the_metadata_is_written_as_told(fitted):
    text = onnx.load_from_string(fitted.to_bytes()).metadata_props[0].value
    assert text == json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    assert str(Path.cwd()).encode() not in fitted.to_bytes()


def test_missing_unseen_and_extreme_values(fitted):
    row = {"a number": None, "whole": None, "single": None, "took": None, "ort": None, "size": None, "code": None, "flag": None}
    odd = {"a number": 1.7e308, "whole": -(2**53), "single": 3e38, "ort": "Ulm", "size": "xl", "code": 99, "flag": True}
    for change in (row, odd, {"ort": "nan"}):
        full = {**table().iloc[0].to_dict(), "strict": True, "when": None, "zoned": None, **change}
        result = fitted.predict_one(full)
        values = list(result["probabilities"].values()) if "label" in result else np.ravel([*as_list(result["prediction"])])
        assert np.isfinite(values).all()


def as_list(prediction):
    return prediction.values() if isinstance(prediction, dict) else [prediction]


def test_a_text_for_missing_is_missing():
    frame = table()
    frame.loc[::3, "ort"] = None
    task = ol.Task.from_frame(frame[["ort", "number"]], target="number")
    model = ol.learner("mlp", max_epochs=2, d_block=32).fit(task)
    session = open_session(model.to_bytes())
    listed = re.findall(r"`([^`]+)`", section("Inputs").split("stands for nothing")[1].split("counts as missing")[0])
    assert listed == ["nan", "None", "<NA>", "NaN", "NaT", "null"]
    feeds = {"ort": np.array([["", *listed, "Ulm"]], dtype=object).T}
    values = session.run(None, feeds)[0][:, 0]
    assert np.ptp(values[:-1]) == 0
    assert values[-1] != values[0]


def test_the_example_is_one():
    example = re.search(r"```json\n(.*?)```", DOCUMENT, re.DOTALL).group(1)
    document = parse_document(example)
    schema = read_schema(document)
    assert schema.to_dict() == document["schema"]
    assert isinstance(schema, Schema)
    assert set(document) == keys_of("Metadata") - REWRITTEN
    assert set(document["training"]) == keys_of("training") - CALIBRATION
    assert list(document) == sorted(document)


def test_a_file_with_indices_as_labels():
    from onnxlearn.graph.rewrite import rewrite

    task = ol.Task.from_frame(table()[["a number", "text"]], target="text")
    model = ol.learner("mlp", max_epochs=2, d_block=32).fit(task)
    other = ol.Model(rewrite(model.to_bytes(), labels="indices"))
    assert other.metadata["labels"] == "indices"
    assert onnx.load_from_string(other.to_bytes()).graph.output[0].type.tensor_type.elem_type == TensorProto.INT64
    np.testing.assert_array_equal(other.predict(task).response, model.predict(task).response)
    assert other.predict_one({"a number": 1.0}) == model.predict_one({"a number": 1.0})
