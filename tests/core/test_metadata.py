"""Reading the metadata document from the bytes of a file, whole, damaged or somebody else's."""

import hashlib
import json

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from small_models import PRICE, SPECIES, document_of, schema_of, small_model

from onnxlearn.errors import ModelFileError
from onnxlearn.graph.metadata import embed
from onnxlearn.metadata import FORMAT_VERSION, parse_document, read_metadata, read_properties, read_schema

SCHEMA = schema_of(SPECIES)


def plain_model(**properties):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, properties)
    return model.SerializeToString()


def test_document_and_schema_come_back():
    data = small_model(SCHEMA)
    assert read_metadata(data) == document_of(SCHEMA)
    assert read_schema(read_metadata(data)) == SCHEMA


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_properties_as_the_onnx_package_reads_them(properties):
    data = plain_model(**properties)
    assert read_properties(data) == {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "^m.onnx is empty"),
        (b"a,b\n1,2\n3,4\n", "m.onnx is not an ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "m.onnx is not an ONNX model"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.", "m.onnx is not an ONNX model"),
        (b'{"format_version": 1}', "m.onnx is not an ONNX model"),
        (b"\x08\x08", "m.onnx is not an ONNX model, or is cut off: it has no graph"),
        (b"\xff" * 40, "m.onnx is not an ONNX model"),
        (plain_model() + b"\x28\x00" * 10_000, "m.onnx is not an ONNX model, or is damaged .more than 10000 fields"),
        (plain_model() + b"\x72\x06" + b"\x12\x00" * 3, "m.onnx is not an .*an entry of its metadata is more than a key and"),
        (plain_model(), "m.onnx is an ONNX model, but not one of onnxlearn: .* run it with onnxruntime.InferenceSession"),
        (plain_model(onnxlearn="{"), "m.onnx is damaged: its metadata is not JSON"),
        (plain_model(onnxlearn="[]"), "m.onnx is damaged: its metadata has no format_version"),
        (plain_model(onnxlearn='{"format_version": 1}'), "m.onnx is damaged: its metadata has no 'schema'"),
    ],
)
def test_what_is_not_a_model(data, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        read_metadata(data, source="m.onnx")
    assert "\n" not in str(caught.value)


def test_every_cut_is_noticed():
    data = small_model(schema_of(PRICE))
    for end in range(len(data)):
        with pytest.raises(ModelFileError, match=r"is empty|not an ONNX model|cut off|not one of onnxlearn"):
            read_metadata(data[:end])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_error_of_ours(data):
    with pytest.raises(ModelFileError, match=r"ONNX model|is empty|cut off"):
        read_metadata(data)


def test_a_newer_format_says_what_to_do():
    text = json.dumps({**document_of(SCHEMA), "format_version": FORMAT_VERSION + 1})
    with pytest.raises(ModelFileError, match="has format version 2, this onnxlearn reads up to 1: pip install -U onnxlearn"):
        parse_document(text)


def test_unknown_keys_are_passed_over():
    document = document_of(SCHEMA, later={"something": 1})
    document["schema"] = {**document["schema"], "later": 1, "features": [{**c.to_dict(), "later": 2} for c in SCHEMA.features]}
    document["schema"]["target"]["later"] = 3
    assert read_schema(parse_document(json.dumps(document))) == SCHEMA


def test_a_schema_that_cannot_be_read():
    document = document_of(SCHEMA)
    del document["schema"]["features"][0]["kind"]
    with pytest.raises(ModelFileError, match=r"m.onnx is damaged: its schema cannot be read: features\[0\].kind is None"):
        read_schema(document, source="m.onnx")


def test_the_checksum():
    model = onnx.load_from_string(small_model(SCHEMA))
    data = embed(model, document_of(SCHEMA))
    text = read_properties(data)["onnxlearn"]
    told = read_metadata(data)["sha256"]
    assert read_metadata(data) == document_of(SCHEMA) | {"sha256": told}
    assert told == hashlib.sha256(model.graph.SerializeToString() + text.replace(told, "0" * 64).encode()).hexdigest()


@pytest.mark.parametrize(
    ("place", "other"), [(b"post/", b"Post/"), (b"handmade", b"h\x41ndmade"), (b'"sha256":"', b'"sha256":"_')]
)
def test_a_changed_file_is_refused(place, other):
    data = embed(onnx.load_from_string(small_model(SCHEMA)), document_of(SCHEMA))
    at = data.index(place)
    with pytest.raises(ModelFileError, match="is damaged, or was changed by another program: it is not the file"):
        read_metadata(data[:at] + other + data[at + len(other) :])


def test_a_file_without_a_checksum_is_read():
    assert "sha256" not in read_metadata(small_model(SCHEMA))


def changed(**changes):
    return json.dumps({**document_of(SCHEMA), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed()[:-1] + ', "schema": {}}', r"its metadata is not JSON \(it has the same key twice\)"),
        (changed(later=0).replace("0}", "1e999}"), r"not JSON \(1e999 is no number of 64 bits\)"),
        (changed(later=0).replace("0}", "NaN}"), r"not JSON \(NaN is no JSON\)"),
        (changed(later=0).replace("0}", "9" * 5000 + "}"), "not JSON .*4300"),
        (changed(later=0).replace("0}", "[" * 100_000 + "]" * 100_000 + "}"), "its metadata is nested too deeply"),
        (changed(learner=[]), "its metadata has no 'learner'"),
        (changed(learner={"name": 3}), "its metadata: learner.name is no text"),
        (changed(notes="a note"), "its metadata: notes is no list"),
        (changed(versions={"onnxlearn": 1}), "its metadata: versions.onnxlearn is no text"),
        (changed(labels="numbers"), "its metadata: labels is 'numbers', not 'names' or 'indices'"),
        (changed(outputs=[]), "its metadata: outputs is no object"),
        (changed(outputs={"quantiles": 0.5}), "its metadata: outputs.quantiles is no list"),
        (changed(training={"scores": {"test": {"acc": "1"}}}), "its metadata: training.scores.test.acc is no number"),
        (changed(training={"history": {"epoch": [1], "train_loss": []}}), "training.history has lists of different lengths"),
        (changed(training={"members": [{"history": 3}]}), r"training.members\[0\].history is no object"),
        (changed(training={"x" * 1000: 1, "scores": {"x" * 1000: 1}}), r"training.scores.xxx\S+\.\.\. is no object"),
    ],
)
def test_a_document_that_breaks_a_rule(text, message):
    with pytest.raises(ModelFileError, match=f"^m.onnx is damaged: .*{message}") as caught:
        parse_document(text, source="m.onnx")
    assert len(str(caught.value)) < 300


def test_a_document_that_is_too_long(monkeypatch):
    monkeypatch.setattr("onnxlearn.metadata.MAX_DOCUMENT", 100)
    with pytest.raises(ModelFileError, match=r"^m.onnx is refused: its metadata has \d+ characters, more than 100"):
        parse_document(changed(), source="m.onnx")


def schema_with(**column):
    return {**SCHEMA.to_dict(), "features": [{"name": "x", "kind": "categorical", "dtype": "str", **column}]}


def target_with(**target):
    return {**SCHEMA.to_dict(), "target": {**SCHEMA.target.to_dict(), **target}}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ([], "it has to be an object, not a list"),
        ({**SCHEMA.to_dict(), "features": [SCHEMA.features[0].to_dict()] * 2}, "features has 'x' twice"),
        ({**SCHEMA.to_dict(), "weight": 3}, "weight has to be a text, not 3"),
        ({**SCHEMA.to_dict(), "id": "x"}, "id has to be a list, not 'x'"),
        ({**SCHEMA.to_dict(), "ingress": {"num_names": ["x"]}}, "ingress has lists of 0 and 1"),
        ({**SCHEMA.to_dict(), "ingress": {"cat_names": ["x"], "cardinalities": [0]}}, "has to hold numbers of codes"),
        (schema_with(name="label"), "is called 'label', which no column may be"),
        (schema_with(name="net/x"), "is called 'net/x', which no column may be"),
        (schema_with(name="\ud800"), r"is '\\ud800', which is no Unicode"),
        (schema_with(name="x" * 10_000, kind="sound"), "kind is 'sound', not one of"),
        (schema_with(kind="numeric"), "is numeric, which has dtype 'float64', .*, not 'str'"),
        (schema_with(levels=["a", "a"]), "levels has 'a' twice"),
        (schema_with(levels=["a", 1]), r"levels\[1\] is 1, which is no str"),
        (schema_with(levels=[""]), "the value that stands for a missing one"),
        (schema_with(levels=["\udfff"]), "which is no Unicode"),
        (schema_with(dtype="int64", levels=[2**63]), "which is no int64"),
        (schema_with(dtype="int64", levels=[True]), "is True, which is no int64"),
        (schema_with(kind="boolean", dtype="bool", levels=["a"]), "is boolean and has levels"),
        (schema_with(has_missing=1), "has_missing is 1, not true or false"),
        (target_with(names=[]), "target.names is empty"),
        (target_with(names=["a", "b"]), "2 columns in a classification"),
        (target_with(type="ranking"), "target.type is 'ranking', not one of"),
        (target_with(classes=[]), "target.classes has 0 classes in a classification"),
        (target_with(classes=["a", "a"]), "target.classes has 'a' twice"),
        (target_with(positive="zzz"), "target.positive is 'zzz', none of its classes"),
    ],
)
def test_a_schema_that_breaks_a_rule(schema, message):
    with pytest.raises(ModelFileError, match=f"^m.onnx is damaged: its schema cannot be read: .*{message}") as caught:
        read_schema({"schema": schema}, source="m.onnx")
    assert len(str(caught.value)) < 400


def test_what_a_schema_may_leave_out():
    column, target = SCHEMA.features[0].to_dict(), SCHEMA.target.to_dict()
    short = {key: column[key] for key in ("name", "kind", "dtype")}
    schema = read_schema({"schema": {"name": "t", "features": [short], "target": target}})
    assert schema.features[0].levels == ()
    assert schema.ingress is None
    assert schema.stratum == ()
