"""Files whose inputs have another form: packed, of rank 1, in float32; and files with other outputs."""

import re

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto
from test_rewrite import CODES, model_file

from onnxlearn.errors import ModelFileError, ParameterError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.graph.metadata import embed
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.metadata import read_metadata
from onnxlearn.model import Model
from onnxlearn.runtime import open_session
from onnxlearn.schema import Column, Schema
from onnxlearn.wire.form import Form
from tests.core.hand_tables import ALL, CLASSES, NUMBER, schema_of

FORMS = (
    {"layout": "packed"},
    {"layout": "packed", "float_type": "float32"},
    {"layout": "packed", "float_type": "float64"},
    {"rank": 1},
    {"rank": 1, "float_type": "float32"},
    {"float_type": "float64"},
    {"float_type": "float32"},
)
SCHEMA = schema_of(*ALL, target=CLASSES)


@pytest.fixture(scope="module")
def files():
    return {target: model_file(target) for target in (CLASSES, NUMBER, CODES)}


def inputs_of(data):
    return {
        value.name: (
            TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim),
        )
        for value in onnx.load_from_string(data).graph.input
    }


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_every_form_gives_the_same_bytes(files, options):
    for data in files.values():
        model, other = Model(data), Model(rewrite(data, **options))
        assert inputs_of(other.to_bytes()) == Form(**options).inputs(model.schema)
        feeds = hostile_feeds(model.schema, 100)
        feeds = Form(**options).rounded(feeds, model.schema)
        for n in (0, 1, 37, 100):
            rows = {name: array[:n] for name, array in feeds.items()}
            expected, got = model.predict_feeds(rows), other.predict_feeds(rows)
            for name, values in expected.items():
                np.testing.assert_array_equal(got[name], values, strict=True)


def test_packed_tensors_are_told_and_exact(files):
    data = rewrite(files[CLASSES], layout="packed")
    told = read_metadata(data)["inputs"]
    assert (told["layout"], told["rank"], told["float_type"]) == ("packed", 2, None)
    columns = {column.name: column for column in SCHEMA.features}
    types = {name: {columns[each].onnx_type for each in names} for name, names in told["tensors"].items()}
    assert types == {"numbers": {"DOUBLE", "FLOAT", "BOOL"}, "integers": {"INT64"}, "strings": {"STRING"}}
    for names in told["tensors"].values():
        assert names == [name for name in SCHEMA.feature_names if name in names]
    assert {name: kind for name, (kind, _) in inputs_of(data).items()} == {
        "numbers": "DOUBLE", "integers": "INT64", "strings": "STRING",
    }  # fmt: skip


def test_a_runtime_runs_a_packed_file_by_what_it_tells(files):
    data = rewrite(files[CLASSES], layout="packed")
    feeds, told = hostile_feeds(SCHEMA, 50), read_metadata(data)["inputs"]["tensors"]
    packed = {
        "numbers": np.hstack([feeds[name].astype(np.float64) for name in told["numbers"]]),
        "integers": np.hstack([feeds[name] for name in told["integers"]]),
        "strings": np.hstack([feeds[name] for name in told["strings"]]),
    }
    label, probabilities = open_session(data, "cpu").run(["label", "probabilities"], packed)
    expected = Model(files[CLASSES]).predict_feeds(feeds)
    np.testing.assert_array_equal(label, expected["label"])
    np.testing.assert_array_equal(probabilities, expected["probabilities"])


def test_dates_and_codes_beyond_what_a_double_holds_stay_apart():
    codes = (2**53, 2**53 + 1)
    columns = (
        Column(name="code", kind="categorical", dtype="int64", levels=codes),
        Column(name="x", kind="numeric", dtype="float64"),
    )
    data = model_file_of(Schema(name="t", features=columns, target=CLASSES))
    packed = Model(rewrite(data, layout="packed"))
    first, second = (packed.predict_one({"code": code, "x": 0.0}) for code in codes)
    assert first != second
    assert first == Model(data).predict_one({"code": codes[0], "x": 0.0})


def model_file_of(schema):
    from onnxlearn.graph.builder import DOUBLE, FLOAT, ML_DOMAIN, GraphBuilder

    g = GraphBuilder()
    code = g.input("code", "INT64", ["N", 1])
    x = g.input("x", "DOUBLE", ["N", 1])
    levels = list(schema.features[0].levels)
    with g.scope("prep"):
        known = g.op("LabelEncoder", code, domain=ML_DOMAIN, keys_int64s=levels, values_int64s=[2, 3], default_int64=0)
        z = g.op("Add", g.op("Cast", known, to=DOUBLE), g.op("Cast", g.op("IsNaN", x), to=DOUBLE))
        z = g.op("Cast", z, to=FLOAT)
    with g.scope("post"):
        shifts = np.arange(len(CLASSES.classes), dtype=np.float32)[None]
        probabilities = g.op("Softmax", g.op("Mul", z, g.const(shifts)), axis=1)
        best = g.op("ArgMax", probabilities, axis=1, keepdims=0)
        label = g.op("Gather", g.const(np.array(CLASSES.classes, object)), best, axis=0)
    g.output(label, "label", "STRING", ["N"])
    g.output(probabilities, "probabilities", "FLOAT", ["N", len(CLASSES.classes)])
    document = {"format_version": 1, "schema": schema.to_dict(), "learner": {}, "training": {}, "versions": {}}
    return embed(g.to_model(), document)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_frames_and_rows_go_into_every_form(options):
    columns = tuple(column for column in ALL if not column.strict_bool)
    schema = schema_of(*columns, target=CLASSES)
    row = {column.name: None for column in columns}
    frame = pd.DataFrame([row] * 3, dtype=object)
    data = model_file(CLASSES, columns=columns)
    model, other = Model(data), Model(rewrite(data, **options))
    assert other.schema.features == schema.features
    np.testing.assert_array_equal(other.predict(frame).prob, model.predict(frame).prob)
    assert other.predict_one(row) == model.predict_one(row)


def test_a_wide_packed_file_has_few_nodes():
    columns = tuple(Column(name=f"x{i}", kind="numeric", dtype="float64") for i in range(200))
    data = model_file(NUMBER, scaler="robust", columns=columns)
    before, after = (onnx.load_from_string(each).graph for each in (data, rewrite(data, layout="packed")))
    assert len(after.node) <= len(before.node)
    ranked = onnx.load_from_string(rewrite(data, rank=1)).graph
    assert len(ranked.node) <= len(before.node) + 3


def test_numbers_beyond_float32_are_its_largest():
    column = Column(name="x", kind="numeric", dtype="float64")
    schema = Schema(name="t", features=(column,), target=NUMBER)
    feeds = {"x": np.array([[1e300], [-1e300], [np.nan], [1 / 3]])}
    (arranged,) = Form(float_type="float32").arrange(feeds, schema).values()
    largest = np.finfo(np.float32).max
    np.testing.assert_array_equal(arranged[:, 0], np.array([largest, -largest, np.nan, 1 / 3], np.float32), strict=True)


def test_rank_and_packed_exclude_each_other(files):
    with pytest.raises(ParameterError, match="rank=1 is for columns by themselves"):
        rewrite(files[NUMBER], layout="packed", rank=1)


def test_a_changed_file_is_not_changed_again(files):
    packed = rewrite(files[CLASSES], layout="packed")
    for options in ({"layout": "columns"}, {"float_type": "float32"}, {"outputs": ("label", "unseen")}):
        with pytest.raises(ParameterError, match=r"changed already \(packed, rank 2\): export from the model"):
            rewrite(packed, **options)
    assert rewrite(packed, layout="packed") == packed
    again = Model(rewrite(packed, labels="indices", opset=21))
    feeds = hostile_feeds(SCHEMA)
    expected = Model(files[CLASSES]).predict_feeds(feeds)
    np.testing.assert_array_equal(again.predict_feeds(feeds)["label"], expected["label"])


@pytest.mark.parametrize("told", [{"layout": "rows"}, {"rank": 3}, {"rank": True}, {"float_type": "half"}, "packed"])
def test_a_form_of_a_newer_version_is_refused(files, told):
    document = {**read_metadata(files[CLASSES]), "inputs": told}
    data = embed(onnx.load_from_string(files[CLASSES]), document)
    with pytest.raises(ModelFileError, match="inputs in a form that this onnxlearn does not know"):
        Model(data)


def test_inputs_that_are_not_in_the_form_told_are_refused(files):
    document = {**read_metadata(files[CLASSES]), "inputs": {"layout": "packed"}}
    with pytest.raises(ModelFileError, match="is damaged: its input"):
        Model(embed(onnx.load_from_string(files[CLASSES]), document))


def test_outputs_are_kept_in_order_and_the_rest_is_dropped(files):
    data = rewrite(files[CLASSES], outputs=("probabilities", "label"))
    assert [output.name for output in onnx.load_from_string(data).graph.output] == ["probabilities", "label"]
    assert Model(data).predict_feeds(hostile_feeds(SCHEMA))["label"].dtype == object
    graph = onnx.load_from_string(rewrite(files[CLASSES], outputs=("probabilities",))).graph
    assert not {"ArgMax", "Gather_label"} & {node.op_type for node in graph.node}
    assert not any(tensor.data_type == TensorProto.STRING for tensor in graph.initializer)


def test_a_file_without_its_label_says_what_to_do(files):
    with pytest.raises(ModelFileError, match="has no output 'label': it was exported without, or is damaged; load the model"):
        Model(rewrite(files[CLASSES], outputs=("probabilities",)))
    with pytest.raises(ParameterError, match="where there is an output 'label'"):
        rewrite(rewrite(files[CLASSES], outputs=("probabilities",)), labels="indices")


@pytest.mark.parametrize("options", [{}, {"layout": "packed"}, {"rank": 1}], ids=str)
def test_unseen_values_are_flagged(files, options):
    model = Model(rewrite(files[CLASSES], outputs=("label", "probabilities", "unseen"), **options))
    feeds = hostile_feeds(SCHEMA, 100)
    flags = model.predict_feeds(feeds)["unseen"]
    assert flags.dtype == np.bool_
    assert model.outputs["unseen"].axis == SCHEMA.feature_names
    for i, column in enumerate(SCHEMA.features):
        missing = {"", "nan", "None", "<NA>", "NaN", "NaT", "null", -(2**63)} - set(column.levels)
        known = {*column.levels, *missing}
        expected = [column.kind in ("categorical", "ordered") and value not in known for value in feeds[column.name][:, 0]]
        np.testing.assert_array_equal(flags[:, i], expected)
    assert flags.any()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (("label", "std"), "the model has no output 'std': it has 'label', 'probabilities', and 'unseen' can be added"),
        (("label", "label"), "each once, not 'label', 'label'"),
        ((), "each once, not nothing"),
    ],
)
def test_outputs_that_cannot_be_given(files, outputs, message):
    with pytest.raises(ParameterError, match=message):
        rewrite(files[CLASSES], outputs=outputs)


def test_without_categories_nothing_is_unseen():
    column = Column(name="x", kind="numeric", dtype="float64")
    data = model_file(NUMBER, scaler="robust", columns=(column, Column(name="z", kind="numeric", dtype="float64")))
    with pytest.raises(ParameterError, match="the model has no categories"):
        rewrite(data, outputs=("prediction", "unseen"))


@pytest.mark.parametrize("scaler", ["standard", "yeo_johnson", "box_cox"])
def test_what_float32_costs_is_told(scaler, tmp_path):
    columns = tuple(Column(name=name, kind="numeric", dtype="float64") for name in ("epoch", "age"))
    model = Model(model_file(NUMBER, scaler=scaler, columns=columns, draw=far_feeds))
    lines = model.export("onnx", tmp_path / "m.onnx", float_type="float32")
    assert len(lines) == 2
    assert lines[0].startswith("float32 has steps of 128 alone, 1")
    assert "of column 'epoch': train on its distance from a number nearby" in lines[0]
    change = float(re.search(r"prediction by (\S+) at most", lines[1])[1])
    rounded = Model((tmp_path / "m.onnx").read_bytes())
    rng = np.random.default_rng(1)
    feeds = {"epoch": rng.normal(1.7e9, 10, (500, 1)), "age": rng.normal(40, 10, (500, 1))}
    really = np.abs(rounded.predict_feeds(feeds)["prediction"] - model.predict_feeds(feeds)["prediction"]).max()
    assert 0.3 * change < really < 3 * change
    assert model.export("onnx", tmp_path / "n.onnx", float_type="float64") == []


def far_feeds(schema, n):
    rng = np.random.default_rng(0)
    return {"epoch": rng.normal(1.7e9, 10, (n, 1)), "age": rng.normal(40, 10, (n, 1))}


def test_a_card_tells_the_inputs(files):
    packed, ranked = (Model(rewrite(files[NUMBER], **options)).inspect() for options in ({"layout": "packed"}, {"rank": 1}))
    assert [each["name"] for each in packed["file"]["inputs"]] == ["numbers", "integers", "strings"]
    assert packed["file"]["inputs"][0] == {"name": "numbers", "type": "DOUBLE", "shape": ["N", 4]}
    assert ranked["file"]["inputs"][0]["shape"] == ["N"]
