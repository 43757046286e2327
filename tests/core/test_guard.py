"""What a file may not ask of the runtime."""

import os
import pickle
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
from mutants import field, parts, signed, varint, written
from onnx import TensorProto, helper
from small_models import PRICE, SPECIES, document_of, schema_of, small_model

import onnxlearn as ol
from onnxlearn import guard
from onnxlearn.errors import ModelFileError
from onnxlearn.graph.metadata import embed
from onnxlearn.model import Model
from onnxlearn.operators import OPERATORS, OPSETS, SIZED, WINDOWED
from onnxlearn.runtime import open_session

SCHEMA = schema_of(PRICE)
CONSTANT = helper.make_tensor("prep/shape", TensorProto.INT64, [2], [2**20, 2**20])


def file_of(change):
    """A file whose metadata is right, and whose model was changed."""
    model = onnx.load_from_string(small_model(SCHEMA))
    change(model)
    return embed(model, document_of(SCHEMA))


def node(operator, *inputs, domain="", outputs=("net/extra",), **attributes):
    return lambda model: model.graph.node.append(
        helper.make_node(operator, list(inputs), list(outputs), name="net/extra", domain=domain, **attributes)
    )


def subgraph():
    value = helper.make_tensor_value_info("net/inner", TensorProto.FLOAT, [])
    one = helper.make_node("Constant", [], ["net/inner"], value_float=1.0, name="net/inner")
    return helper.make_graph([one], "g", [], [value])


def sized(operator, *inputs):
    def change(model):
        model.graph.initializer.append(CONSTANT)
        model.graph.initializer.append(helper.make_tensor("prep/depth", TensorProto.INT64, [], [2**40]))
        node(operator, *inputs)(model)

    return change


def sized_by_node(**value):
    def change(model):
        node("Constant", outputs=("net/shape",), **value)(model)
        node("Expand", "x", "net/shape")(model)

    return change


def many_nodes(model):
    model.graph.node.extend(helper.make_node("Neg", ["x"], [f"net/{i}"], name=f"net/{i}") for i in range(guard.MAX_NODES))


def elsewhere(**location):
    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in location.items():
            tensor.external_data.add(key=key, value=value)

    return change


def function(model):
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [], []))


def sparse(model):
    values = helper.make_tensor("net/sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("net/places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [3]))


def inner_weights(model):
    graph = subgraph()
    graph.initializer.append(onnx.TensorProto(name="w", data_location=TensorProto.EXTERNAL))
    node("If", "x", then_branch=graph, else_branch=subgraph())(model)


TRUSTED = {
    "the operator 'Loop', which no learner needs": node("Loop", "", "x", body=subgraph()),
    "graphs inside its graph": node("Add", "x", "x", body=subgraph()),
    "the operator 'RandomNormal'": node("RandomNormal", shape=[2]),
    "the operator 'Gelu' of 'com.microsoft'": node("Gelu", "x", domain="com.microsoft"),
    "version 1 of the operators 'own'": lambda model: model.opset_import.append(helper.make_opsetid("own", 1)),
    "version 99 of the operators ''": lambda model: setattr(model.opset_import[0], "version", 99),
    "sparse weights": sparse,
    "a node Expand asks for 1099511627776 elements": sized("Expand", "x", "prep/shape"),
    "a node ConstantOfShape asks for 1099511627776 elements": sized("ConstantOfShape", "prep/shape"),
    "a node Tile asks for 1099511627776 elements": sized("Tile", "x", "prep/shape"),
    "a node OneHot asks for 1099511627776 elements": sized("OneHot", "x", "prep/depth", "prep/shape"),
    "a node Expand asks for 109951162777[6] elements": sized_by_node(value=CONSTANT),
    "a node Expand asks for 1099511627[7]76 elements": sized_by_node(value_ints=[2**20, 2**20]),
    "a node Expand asks for 549755813888 elements": sized_by_node(value_int=2**39),
    "a node ConvTranspose asks for 1099511627776 elements": node("ConvTranspose", "x", "x", strides=[2**20, 2**20]),
    "a node Conv asks for 1073741824 elements": node("Conv", "x", "x", kernel_shape=[1, 1], pads=[1, 1, 1, 2**30]),
    "it has [0-9]+ nodes, more than 20000": many_nodes,
}
REFUSED = {
    "functions of its own": function,
    "graphs for training": lambda model: model.training_info.add(),
    "twice": lambda model: model.opset_import.append(helper.make_opsetid("", 18)),
    "weights are in another file": elsewhere(location="/etc/passwd"),
    "its weights are in another file": elsewhere(location="../weights.bin"),
    "weights are in another": elsewhere(location="weights.bin", offset="0", length="8"),
    "weights are": elsewhere(),
}


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("problem", REFUSED)
def test_what_no_file_may_have(problem, trust):
    with pytest.raises(ModelFileError, match=f"^m.onnx is refused: .*{problem}.*; no model needs that"):
        Model(file_of(REFUSED[problem]), source="m.onnx", trust=trust)


@pytest.mark.parametrize("problem", TRUSTED)
def test_what_no_learner_needs(problem, monkeypatch):
    data = file_of(TRUSTED[problem])
    with pytest.raises(
        ModelFileError, match=f"^m.onnx is refused: .*{problem}.*; if you trust .*trust=True.*ONNXLEARN_TRUST=1"
    ):
        guard.require_harmless(data, source="m.onnx")
    guard.require_harmless(data, trust=True)
    monkeypatch.setenv("ONNXLEARN_TRUST", "1")
    guard.require_harmless(data)
    monkeypatch.setenv("ONNXLEARN_TRUST", "0")
    with pytest.raises(ModelFileError, match="is refused"):
        guard.require_harmless(data)


def test_trust_reaches_graphs_inside_but_no_other_files():
    with pytest.raises(ModelFileError, match="weights are in another file; no model needs that"):
        Model(file_of(inner_weights), trust=True)


def test_trusted_files_run(tmp_path):
    def change(model):
        last = next(each for each in model.graph.node if each.output[0] == "prediction")
        last.output[0] = "post/before"
        noise = helper.make_node("RandomNormalLike", ["post/before"], ["post/noise"], name="post/noise", scale=1e-30)
        model.graph.node.extend(
            [noise, helper.make_node("Add", ["post/before", "post/noise"], ["prediction"], name="post/add")]
        )

    data = file_of(change)
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ModelFileError, match="operator 'RandomNormalLike'"):
        ol.load(tmp_path / "m.onnx")
    model = ol.load(tmp_path / "m.onnx", trust=True)
    feeds = {column.name: None for column in SCHEMA.features}
    assert model.predict_one(feeds)["prediction"] == Model(small_model(SCHEMA)).predict_one(feeds)["prediction"]
    assert pickle.loads(pickle.dumps(model)) == model


def test_a_second_graph_past_the_checksum():
    """protobuf makes one graph of both: the nodes of the second follow those of the first."""
    good = embed(onnx.load_from_string(small_model(SCHEMA)), document_of(SCHEMA))
    more = onnx.GraphProto()
    more.initializer.append(helper.make_tensor("net/extra", TensorProto.FLOAT, [1], [1.0]))
    data = good + field(7, more.SerializeToString())
    assert onnx.load_from_string(data).graph.initializer[-1].name == "net/extra"
    with pytest.raises(ModelFileError, match="is refused: it has 2 graphs"):
        Model(data)


def test_metadata_twice():
    good = embed(onnx.load_from_string(small_model(SCHEMA)), document_of(SCHEMA))
    other = field(14, field(1, b"onnxlearn") + field(2, b"{}"))
    for data in (good + other, other + good):
        with pytest.raises(ModelFileError, match="is damaged: it has its metadata twice"):
            Model(data)


def test_a_field_that_protobuf_reads_as_another():
    """Of a field's number the runtime's protobuf keeps 32 bits: 2^32 more is the same to it, and was another field to us."""
    model = onnx.load_from_string(small_model(SCHEMA))
    graph, document = parts(embed(model, document_of(SCHEMA)))
    output = model.graph.input[0].SerializeToString()
    data = signed(graph + varint((12 << 3 | 2) + 2**32) + varint(len(output)) + output, written(document))
    assert [value.name for value in onnxruntime.InferenceSession(data).get_outputs()] == ["prediction", "x"]
    with pytest.raises(ModelFileError, match="its graph cannot be read"):
        Model(data)


def test_bytes_that_the_runtime_takes_for_its_own_format(tmp_path):
    path = tmp_path / "model.ort"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(small_model(SCHEMA), options)
    data = path.read_bytes()
    assert onnxruntime.InferenceSession(data).get_outputs()[0].name == "prediction"
    with pytest.raises(ModelFileError, match="protobuf"):
        open_session(data, "cpu")


def test_too_much_to_read(monkeypatch):
    monkeypatch.setattr(guard, "MAX_FIELDS", 10)
    with pytest.raises(ModelFileError, match=r"its graph cannot be read \(more than 10 fields\)"):
        Model(small_model(SCHEMA))
    monkeypatch.setattr(guard, "MAX_BYTES", 10)
    with pytest.raises(ModelFileError, match="bytes: an ONNX file has less than 2 GiB"):
        Model(small_model(SCHEMA))


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelFileError, match=r"m.onnx' has 2147483648 bytes: an ONNX file has less than 2 GiB"):
        ol.load(path)


def test_a_device_without_an_end(monkeypatch):
    monkeypatch.setattr("onnxlearn.model.MAX_BYTES", 3 * 2**20)
    with pytest.raises(ModelFileError, match=r"'/dev/zero' gives more than 3145728 bytes: an ONNX file has less than 2 GiB"):
        ol.load("/dev/zero")


def test_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = file_of(lambda model: None)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    assert ol.load(path).to_bytes() == data
    writer.join()


def test_rows_of_an_output_that_fill_memory():
    """It is the runtime that tells the size: from a shape that was no constant, too."""

    def change(model):
        node("Expand", "x", "net/shape", outputs=("wide",))(model)
        model.graph.initializer.append(helper.make_tensor("net/shape", TensorProto.INT64, [2], [1, 2**27]))
        model.graph.output.append(helper.make_tensor_value_info("wide", TensorProto.DOUBLE, ["N", 2**27]))

    with pytest.raises(ModelFileError, match=r"^m.onnx is refused: its output 'wide' has 134217728 values a row, more"):
        Model(file_of(change), source="m.onnx")


def test_the_operators_are_the_standards_own():
    known = {(each.domain, each.name) for each in onnx.defs.get_all_schemas_with_history()}
    assert {(domain, name) for domain, names in OPERATORS.items() for name in names} <= known
    assert set(SIZED) | WINDOWED <= OPERATORS[""]
    assert OPERATORS.keys() == OPSETS.keys()
    assert max(OPSETS[""]) <= onnx.defs.onnx_opset_version()


@pytest.mark.parametrize("operator", ["Loop", "Scan", "If", "SequenceMap", "RandomUniform", "Multinomial", "ImageDecoder"])
def test_operators_that_are_left_out(operator):
    assert operator not in OPERATORS[""]


def test_a_graph_that_fails_when_it_runs():
    def change(model):
        reshape = helper.make_node("Reshape", ["post/before", "post/shape"], ["prediction"], name="post/reshape")
        next(each for each in model.graph.node if each.output[0] == "prediction").output[0] = "post/before"
        model.graph.node.append(reshape)
        model.graph.initializer.append(helper.make_tensor("post/shape", TensorProto.INT64, [2], [7, 1]))

    model = Model(file_of(change), source="m.onnx")
    row = {column.name: None for column in SCHEMA.features}
    with pytest.raises(ModelFileError, match=r"^m.onnx cannot be run on these rows: .*Reshape[^\n]*$"):
        model.predict_one(row)


@pytest.mark.parametrize(
    ("output", "wrong", "message"),
    [
        ("probabilities", TensorProto.DOUBLE, "its output 'probabilities' is DOUBLE, its schema tells of FLOAT"),
        ("label", TensorProto.INT64, "its output 'label' is INT64, its schema tells of STRING"),
    ],
)
def test_outputs_of_another_type(output, wrong, message):
    schema = schema_of(SPECIES)
    model = onnx.load_from_string(small_model(schema))
    maker = next(each for each in model.graph.node if each.output[0] == output)
    maker.output[0] = "post/before"
    model.graph.node.append(helper.make_node("Cast", ["post/before"], [output], name="post/cast", to=wrong))
    next(each for each in model.graph.output if each.name == output).type.tensor_type.elem_type = wrong
    with pytest.raises(ModelFileError, match=message):
        Model(embed(model, document_of(schema)))


@pytest.mark.parametrize(("position", "fine"), [(0, True), (3, False), (-1, False)])
def test_labels_that_are_no_positions(position, fine):
    schema = schema_of(SPECIES)
    model = onnx.load_from_string(small_model(schema))
    maker = next(each for each in model.graph.node if each.output[0] == "label")
    maker.CopyFrom(helper.make_node("Mul", [maker.input[0], "post/zero"], ["post/none"], name="post/mul"))
    model.graph.node.append(helper.make_node("Add", ["post/none", "post/position"], ["label"], name="post/label"))
    for name, value in (("zero", 0), ("position", position)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64(value), f"post/{name}"))
    next(each for each in model.graph.output if each.name == "label").type.tensor_type.elem_type = TensorProto.INT64
    opened = Model(embed(model, document_of(schema, labels="indices")))
    row = {column.name: None for column in schema.features}
    if fine:
        assert opened.predict_one(row)["label"] == "a"
        return
    with pytest.raises(ModelFileError, match=f"its label {position} is no position among 3 classes"):
        opened.predict_one(row)
