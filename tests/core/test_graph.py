"""The builder, joining, checking and describing of graphs."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import FLOAT, ML_DOMAIN, GraphBuilder
from onnxlearn.graph.check import check, check_serialized
from onnxlearn.graph.chunks import chunk_rows_for
from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
from onnxlearn.graph.metadata import embed
from onnxlearn.metadata import read_properties
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import MISSING_INT64, Column, Target
from onnxlearn.testing import run_reference
from tests.core.hand_tables import (
    ALL,
    CLASSES,
    NUMBER,
    draw_feeds,
    emit_outputs,
    feed,
    feeds_of_matrix,
    numeric_columns,
    one_network,
    run_model,
    schema_of,
)


def assembled(schema, scaling=None, n_rows=100):
    """A model whose network is one random linear layer over num, and embeddings of width 1 over cat."""
    feeds = draw_feeds(schema, n_rows)
    steps = Preprocessing.fit(schema, PreprocessConfig(max_onehot=4), feeds)
    weight = np.random.default_rng(0).normal(0, 0.1, (steps.schema.ingress.n_num, schema.n_outputs)).astype(np.float32)

    def network(g, tensors):
        z = g.op("MatMul", tensors["num"], g.const(weight))
        if "cat" in tensors:
            z = g.op("Add", z, g.op("Cast", g.op("ReduceSum", tensors["cat"], g.const(np.array([1]))), to=FLOAT))
        return z

    return one_network(steps, network, scaling), steps, weight


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def post_model(target):
    g = GraphBuilder()
    emit_outputs(g, g.input("logits", "FLOAT", ["N", target.n_outputs]), target)
    return g.to_model()


@pytest.mark.parametrize(
    ("dtype", "classes", "onnx_type", "n_nodes"),
    [
        ("str", ("a", "ç", "東京"), "STRING", 3),
        ("int64", (10, 20, -5), "INT64", 3),
        ("int64", (0, 1, 2), "INT64", 2),
        ("bool", (False, True), "INT64", 2),
        ("bool", (True, False), "INT64", 3),
        ("str", ("0", "1"), "STRING", 3),
    ],
)
def test_labels_are_the_classes_of_the_training_type(dtype, classes, onnx_type, n_nodes):
    model = post_model(Target(names=("y",), type="classification", dtype=dtype, classes=classes))
    check(model)
    logits = np.random.default_rng(0).normal(size=(50, len(classes))).astype(np.float32)
    outputs = run_model(model, {"logits": logits})
    np.testing.assert_allclose(outputs["probabilities"], softmax(logits), rtol=1e-5)
    assert outputs["label"].tolist() == [classes[i] for i in logits.argmax(axis=1)]
    assert outputs["probabilities"].dtype == np.float32
    assert onnx.TensorProto.DataType.Name(model.graph.output[0].type.tensor_type.elem_type) == onnx_type
    assert len(model.graph.node) == n_nodes


def test_of_equal_probabilities_the_first_class_wins():
    outputs = run_model(post_model(CLASSES), {"logits": np.zeros((2, 2), np.float32)})
    assert outputs["label"].tolist() == ["no", "no"]


def test_a_classification_from_raw_columns():
    schema = schema_of(*ALL, target=CLASSES)
    model, steps, weight = assembled(schema)
    check(model)
    assert [value.name for value in model.graph.input] == list(schema.feature_names)
    assert [value.name for value in model.graph.output] == ["label", "probabilities"]
    for feeds in (draw_feeds(schema, 37, seed=1), hostile_feeds(schema)):
        tensors = steps.transform(feeds)
        expected = softmax(tensors["num"] @ weight + tensors["cat"].sum(axis=1, keepdims=True))
        np.testing.assert_allclose(run_model(model, feeds)["probabilities"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            run_reference(model.SerializeToString(), feeds)["probabilities"], expected, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("n_rows", [0, 1, 37])
def test_every_batch_size_works(n_rows):
    for target in (CLASSES, NUMBER):
        schema = schema_of(*ALL, target=target)
        scaling = TargetScaling(np.array([1.0]), np.array([2.0]))
        outputs = run_model(assembled(schema, scaling)[0], draw_feeds(schema, n_rows))
        assert {len(values) for values in outputs.values()} == {n_rows}


def test_a_regression_keeps_the_digits_of_a_large_mean():
    schema = schema_of(*numeric_columns(3), target=Target(names=("a", "b"), type="regression", dtype="float64"))
    scaling = TargetScaling(np.array([1.7e9, 0.0]), np.array([1.0, 1e-3]))
    model, steps, weight = assembled(schema, scaling)
    check(model)
    feeds = feeds_of_matrix(np.random.default_rng(3).normal(size=(40, 3)))
    got = run_model(model, feeds)["prediction"]
    expected = scaling.inverse(steps.transform(feeds)["num"].astype(np.float64) @ weight)
    assert got.dtype == np.float64
    np.testing.assert_allclose((got - expected) / scaling.scale, np.zeros((40, 2)), atol=1e-5)


def test_equal_inputs_give_equal_bytes():
    schema = schema_of(*ALL, target=CLASSES)
    first, second = (embed(assembled(schema)[0], {"b": 1, "a": ["ü"]}) for _ in range(2))
    assert first == second


def test_metadata_is_sorted_json_in_utf8_and_the_model_is_left_as_it_is():
    model = post_model(CLASSES)
    before = model.SerializeToString(deterministic=True)
    data = embed(model, {"b": 1, "a": "ü"})
    zeros = f'{{"a":"ü","b":1,"sha256":"{"0" * 64}"}}'
    checksum = hashlib.sha256(model.graph.SerializeToString(deterministic=True) + zeros.encode()).hexdigest()
    assert read_properties(data) == {"onnxlearn": zeros.replace("0" * 64, checksum)}
    assert model.SerializeToString(deterministic=True) == before
    assert onnx.load_from_string(data).SerializeToString(deterministic=True) == data
    assert embed(onnx.load_from_string(data), {"b": 1, "a": "ü"}) == data
    assert json.loads(onnx.load_from_string(data).metadata_props[0].value)["a"] == "ü"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, np.float32(1)])
def test_metadata_that_is_not_json_is_refused(value):
    with pytest.raises(ExportError, match="the metadata has to be plain JSON without NaN or infinity"):
        embed(post_model(CLASSES), {"score": value})


def small_graph(**changes):
    """A sum, in a model of our profile with some fields changed."""
    g = GraphBuilder()
    x = g.input("x", "FLOAT", ["N", 1])
    g.output(g.op("Add", g.op("Neg", x), g.const(np.float32(1))), "y", "FLOAT", ["N", 1])
    model = g.to_model()
    for name, value in changes.items():
        setattr(model, name, value)
    return model


def test_the_profile_passes():
    check(small_graph())


def rename_node(model):
    model.graph.node[0].name = "Neg_0"


def rename_tensor(model):
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "age"


def add_note(model):
    model.graph.node[0].doc_string = "somewhere/net.py"


def add_trace(model):
    model.graph.node[0].metadata_props.add(key="stack", value="somewhere/net.py")


def rename_constant(model):
    model.graph.initializer[0].name = model.graph.node[1].input[1] = "weight"


def break_type(model):
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64


def break_operator(model):
    model.graph.node[0].op_type = "Negate"


def raise_opset(model):
    model.opset_import[0].version = 21


def add_domain(model):
    model.opset_import.add(domain="com.example", version=1)


def raise_ml_opset(model):
    model.opset_import.add(domain=ML_DOMAIN, version=4)


def raise_ir(model):
    model.ir_version = 10


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (rename_node, r"a node's name has to start with prep/, net/ or post/, not 'Neg_0' \(Neg\)"),
        (rename_tensor, "node 'net/Neg_0' makes 'age', which could meet a column's name"),
        (add_note, "node 'net/Neg_0' carries notes of its exporter"),
        (add_trace, "node 'net/Neg_0' carries notes of its exporter"),
        (rename_constant, "constant 'weight' has to be inside the file"),
        (break_type, "the exported graph is no valid ONNX: .*net/Add_1"),
        (break_operator, "the exported graph is no valid ONNX: .*Negate"),
        (raise_opset, "a model has opset 18 or 20 and ai.onnx.ml 2, not"),
        (add_domain, "a model has opset 18 or 20 and ai.onnx.ml 2, not"),
        (raise_ml_opset, "a model has opset 18 or 20 and ai.onnx.ml 2, not"),
        (raise_ir, "a model has IR version 8, not 10"),
    ],
)
def test_a_model_outside_of_the_profile_is_refused(damage, message):
    model = small_graph()
    damage(model)
    with pytest.raises(ExportError, match=message) as caught:
        check(model)
    assert "\n" not in str(caught.value)


def test_string_operators_raise_the_opset():
    g = GraphBuilder()
    g.output(g.op("RegexFullMatch", g.input("s", "STRING", ["N"]), pattern="a+"), "y", "BOOL", ["N"])
    model = g.to_model()
    assert model.opset_import[0].version == 20


def test_equal_constants_are_one_and_unused_ones_are_left_out():
    g = GraphBuilder()
    x = g.input("x", "DOUBLE", ["N"])
    g.const(np.arange(3))
    y = g.op("Add", g.op("Mul", x, g.const(np.float64(2))), g.const(2.0))
    g.output(y, "y", "DOUBLE", ["N"])
    assert len(g.to_model().graph.initializer) == 1


def test_nan_constants_are_kept():
    g = GraphBuilder()
    g.output(g.op("Add", g.input("x", "DOUBLE", ["N"]), g.const(np.float64(np.nan))), "y", "DOUBLE", ["N"])
    assert np.isnan(run_model(g.to_model(), {"x": np.zeros(2)})["y"]).all()


def test_an_input_or_a_value_may_be_an_output_twice():
    g = GraphBuilder()
    x = g.input("x", "FLOAT", ["N"])
    doubled = g.op("Add", x, x)
    g.output(x, "same", "FLOAT", ["N"])
    g.output(doubled, "first", "FLOAT", ["N"])
    g.output(doubled, "second", "FLOAT", ["N"])
    g.output(g.op("Neg", doubled), "third", "FLOAT", ["N"])
    model = g.to_model()
    check(model)
    outputs = run_model(model, {"x": np.array([1.5], np.float32)})
    assert {name: values.tolist() for name, values in outputs.items()} == {
        "same": [1.5],
        "first": [3.0],
        "second": [3.0],
        "third": [-3.0],
    }
    assert g.to_model().SerializeToString() == model.SerializeToString()


def test_hostile_rows_have_missing_unseen_and_extreme_values():
    schema = schema_of(*ALL)
    feeds = hostile_feeds(schema, 200)
    for column in schema.features:
        values = feeds[column.name]
        assert (values.shape, values.dtype) == ((200, 1), feed(column, []).dtype)
        assert values.flags.c_contiguous
    assert np.isnan(feeds["age"][0, 0])
    assert feeds["city"][0, 0] == ""
    assert feeds["born"][0, 0] == MISSING_INT64
    assert {1.7e308, -1.7e308, 5e-324, 0.0} <= set(feeds["age"][:, 0])
    assert {"東京", "Bonn", "Köln"} <= set(feeds["city"][:, 0])
    assert {2**63 - 1, MISSING_INT64 + 1, -1, 5} <= set(feeds["stars"][:, 0])
    assert np.isfinite(feeds["size"][1:]).any()
    assert not np.isinf(feeds["size"]).any()
    assert set(feeds["strict"][:, 0]) == {False, True}
    again = hostile_feeds(schema, 200)
    for name, values in feeds.items():
        np.testing.assert_array_equal(values, again[name])


def test_hostile_rows_of_a_wide_table_differ_from_column_to_column():
    feeds = hostile_feeds(schema_of(*(Column(name=f"x{i}", kind="numeric", dtype="float64") for i in range(8))), 30)
    assert len({values[1:].tobytes() for values in feeds.values()}) == 8


@pytest.mark.parametrize("n", [EVERY_KIND, 2 * EVERY_KIND, 64])
def test_few_hostile_rows_have_every_value_in_every_column(n):
    columns = [dataclasses.replace(column, name=f"{column.name}{i}") for i in range(20) for column in ALL]
    few, many = (hostile_feeds(schema_of(*columns), rows) for rows in (n, 1000))
    for column in columns:
        found, every = ({repr(value) for value in feeds[column.name][:, 0].tolist()} for feeds in (few, many))
        assert every - {repr(level) for level in column.levels} <= found
        assert many[column.name].shape == (1000, 1)


def test_values_of_hostile_rows_meet_in_many_ways():
    feeds = hostile_feeds(schema_of(*(Column(name=f"x{i}", kind="numeric", dtype="float64") for i in range(30))), 60)
    places = np.hstack(list(feeds.values()))
    assert len({column.tobytes() for column in places.T}) == 30
    pairs = [len(set(zip(map(repr, a), map(repr, b), strict=True))) for a, b in zip(places.T, places.T[1:], strict=False)]
    assert min(pairs) > 20


def test_chunks_suit_the_widest_tensor():
    def rows_for(*shape):
        g = GraphBuilder()
        x = g.input("x", "FLOAT", ["N", 1])
        wide = g.op("Expand", g.op("Unsqueeze", x, g.const(np.array([2]))), g.const(np.array([1, *shape])))
        constant = g.op("Neg", g.const(np.zeros((3000, 1000), np.float32)))
        small = g.op("ReduceSum", g.op("Neg", wide), g.const(np.array([1, 2])), keepdims=0)
        g.output(g.op("Add", small, g.op("ReduceSum", constant, keepdims=0)), "y", "FLOAT", ["N"])
        model = g.to_model()
        return chunk_rows_for(check_serialized(model, model.SerializeToString()))

    assert [rows_for(*shape) for shape in ((2, 3), (32, 64), (1024, 512), (3000, 1000))] == [1000, 512, 2, 1]


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_onnx_the_message_names_the_extra():
    done = run_python("import sys; sys.modules['onnx'] = None; import onnxlearn.graph.builder")
    assert done.returncode == 1
    assert "MissingExtraError: making an ONNX file needs the package onnx: pip install 'onnxlearn[export]'" in done.stderr


def test_settings_and_plan_need_no_onnx():
    done = run_python(
        "import sys; import onnxlearn.preprocess.plan; print('onnx' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    assert done.stdout == "False False\n", done.stderr
