"""A model at another opset, or with labels as indices, is the same model."""

import numpy as np
import onnx
import pytest

import onnxlearn.graph.rewrite as rewriting
from onnxlearn.errors import ExportError, ModelFileError, ParameterError, ParityError
from onnxlearn.graph.builder import INT64, GraphBuilder
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.graph.metadata import embed
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.metadata import read_metadata
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Target
from tests.core.hand_tables import ALL, CLASSES, NUMBER, draw_feeds, one_network, run_model, schema_of

CODES = Target(names=("y",), type="classification", dtype="int64", classes=(10, 20, 30))
OWN_INDEX = Target(names=("y",), type="classification", dtype="bool", classes=(False, True))


def network(g, tensors):
    """The operators that networks use most."""
    n_num, n_outputs = network.shape
    rng = np.random.default_rng(0)
    h = g.op(
        "Gemm", tensors["num"], g.const(rng.normal(0, 0.1, (n_num, 8)).astype(np.float32)), g.const(np.zeros(8, np.float32))
    )
    h = g.op("LayerNormalization", h, g.const(np.ones(8, np.float32)), g.const(np.zeros(8, np.float32)))
    for activation in ("Relu", "Selu", "Mish", "Sigmoid", "Tanh", "Softplus", "Elu", "LeakyRelu"):
        h = g.op(activation, h)
    h = g.op("Mul", h, g.op("Erf", h))
    table = g.const(rng.normal(size=(14, 3)).astype(np.float32))
    codes = tensors["cat"] if "cat" in tensors else g.op("Cast", g.op("Less", tensors["num"], g.const(np.float32(0))), to=INT64)
    embedded = g.op("Gather", table, codes, axis=0)
    flat = g.op("Flatten", g.op("Reshape", embedded, g.const(np.array([0, 0, 3]))), axis=1)
    mean = g.op("ReduceMean", flat, g.const(np.array([1])), keepdims=1)
    h = g.op("Concat", h, mean, axis=1)
    return g.op("MatMul", h, g.const(rng.normal(size=(9, n_outputs)).astype(np.float32)))


def model_file(target, scaler="quantile", columns=ALL, draw=draw_feeds):
    schema = schema_of(*columns, target=target)
    steps = Preprocessing.fit(schema, PreprocessConfig(num_scaler=scaler, max_onehot=4), draw(schema, 100))
    network.shape = (steps.schema.ingress.n_num, target.n_outputs)
    scaling = TargetScaling(np.array([3.0]), np.array([2.0])) if target.type == "regression" else None
    document = {"format_version": 1, "schema": steps.schema.to_dict(), "learner": {}, "training": {}, "versions": {}}
    return embed(one_network(steps, network, scaling), document)


@pytest.fixture(scope="module")
def files():
    return {target: model_file(target) for target in (CLASSES, NUMBER, CODES, OWN_INDEX)}


def opset_of(data):
    return {entry.domain: entry.version for entry in onnx.load_from_string(data).opset_import}


@pytest.mark.parametrize("opset", range(18, 27))
def test_every_opset_gives_the_same_numbers(files, opset):
    for target in (CLASSES, NUMBER):
        data = rewrite(files[target], opset=opset)
        assert opset_of(data) == {"": opset, "ai.onnx.ml": 2}
        assert read_metadata(data) == read_metadata(files[target])
        feeds = draw_feeds(schema_of(*ALL), 50, seed=2)
        before, after = run_model(files[target], feeds), run_model(data, feeds)
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values)


def test_a_newer_opset_declares_the_ir_version_that_it_needs(files):
    assert onnx.load_from_string(rewrite(files[CLASSES], opset=23)).ir_version == 11
    assert onnx.load_from_string(rewrite(files[CLASSES], opset=18)).ir_version == 8


def test_a_conversion_leaves_no_inner_shapes_in_the_file(files):
    assert not onnx.load_from_string(rewrite(files[CLASSES], opset=21)).graph.value_info


def test_nothing_asked_changes_nothing(files):
    for data in files.values():
        assert rewrite(data) == data


@pytest.mark.parametrize("target", [CLASSES, CODES, OWN_INDEX], ids=["text", "integers", "booleans"])
def test_labels_as_indices_and_back(files, target):
    feeds = hostile_feeds(schema_of(*ALL))
    indexed = rewrite(files[target], labels="indices")
    got = run_model(indexed, feeds)
    assert read_metadata(indexed)["labels"] == "indices"
    assert got["label"].dtype == np.int64
    np.testing.assert_array_equal(got["label"], got["probabilities"].argmax(axis=1))
    named = rewrite(indexed, labels="names", opset=20)
    np.testing.assert_array_equal(run_model(named, feeds)["label"], run_model(files[target], feeds)["label"])


def test_labels_as_indices_leave_no_text_behind(files):
    graph = onnx.load_from_string(rewrite(files[CLASSES], labels="indices")).graph
    assert not any(tensor.data_type == onnx.TensorProto.STRING for tensor in graph.initializer)


@pytest.mark.parametrize(("opset", "message"), [(17, "18 to 26 for this file, not 17"), (27, "18 to 26 for this file, not 27")])
def test_an_opset_out_of_range_is_refused(files, opset, message):
    with pytest.raises(ParameterError, match=message):
        rewrite(files[CLASSES], opset=opset)


def test_an_older_opset_than_that_of_the_file_is_refused(files):
    with pytest.raises(ParameterError, match="opset has to be 22 to 26 for this file, not 18"):
        rewrite(rewrite(files[CLASSES], opset=22), opset=18)


def test_labels_of_a_regression_are_refused(files):
    with pytest.raises(ParameterError, match="labels can be chosen for a classification, this file predicts numbers"):
        rewrite(files[NUMBER], labels="indices")


def test_a_file_of_someone_else_is_refused():
    g = GraphBuilder()
    g.output(g.op("Neg", g.input("x", "FLOAT", ["N"])), "y", "FLOAT", ["N"])
    with pytest.raises(ModelFileError, match="not one of onnxlearn"):
        rewrite(g.to_model().SerializeToString(), opset=20)


def damaged_convert(model, opset):
    converted = onnx.version_converter.convert_version(model, opset)
    converted.ir_version = 10
    tensor = [tensor for tensor in converted.graph.initializer if tensor.name.startswith("net/")][-1]
    values = onnx.numpy_helper.to_array(tensor) * 1.001
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return converted


def test_a_conversion_that_changes_numbers_is_not_handed_out(files, monkeypatch):
    monkeypatch.setattr(rewriting, "_convert", damaged_convert)
    with pytest.raises(ParityError, match=r"the rewritten model differs by .* in prediction, more than 1e-06"):
        rewrite(files[NUMBER], opset=21)


def test_an_operator_that_cannot_be_converted_is_named(files, monkeypatch):
    def refuse(model, opset):
        raise RuntimeError("no adapter for Foo\nsecond line")

    monkeypatch.setattr(rewriting.version_converter, "convert_version", refuse)
    with pytest.raises(ExportError, match=r"cannot be converted to opset 21: no adapter for Foo$"):
        rewrite(files[NUMBER], opset=21)
