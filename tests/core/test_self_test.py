"""The rows that a file holds to be verified with."""

import json

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from mutants import parts, signed, written
from small_models import PRICE, SPECIES, TARGETS, TWO_PRICES, document_of, schema_of, small_model

import onnxlearn as ol
from onnxlearn.errors import ModelFileError, ParameterError
from onnxlearn.graph.metadata import embed, embed_tested
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.metadata import read_metadata
from onnxlearn.model import Model
from onnxlearn.schema import Column
from onnxlearn.self_test import record, rows_of, verify


def made(schema):
    return embed_tested(onnx.load_from_string(small_model(schema)), document_of(schema, self_test={}))


def altered(data, factor):
    """The file with other weights in its network, and a checksum that is right."""
    graph, document = parts(data)
    model = onnx.GraphProto.FromString(graph)
    for tensor in model.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if tensor.name.startswith("net/") and array.dtype.kind == "f":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(array * array.dtype.type(factor)), tensor.name))
    return signed(model.SerializeToString(), written(document))


def with_test(data, change):
    """The file with its self-test changed, and a checksum that is right."""
    graph, document = parts(data)
    change(document["self_test"])
    return signed(graph, written(document))


@pytest.fixture(scope="module")
def fitted():
    penguins = ol.Task.from_file("example:penguins", target="species")
    quantiles = ol.learner("mlp", max_epochs=1, d_block=64, head="quantile", coverage=0.8, calibration=0.2)
    year = ol.Task.from_file("example:penguins", target="year", type="regression")
    return {"classes": ol.learner("mlp", max_epochs=1, d_block=64).fit(penguins), "numbers": quantiles.fit(year)}


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_verifies_where_it_was_made(target):
    found = Model(made(schema_of(target))).verify()
    assert found.ok
    assert set(found.differences.values()) == {0.0}
    assert found.n_rows == 4
    assert json.loads(json.dumps(found.to_dict()))["ok"] is True


@pytest.mark.parametrize("target", TARGETS)
def test_the_rows_are_those_of_the_document(target):
    schema = schema_of(target)
    data = made(schema)
    assert data == made(schema)
    told = read_metadata(data)["self_test"]
    model = onnxruntime.InferenceSession(data)
    feeds = {}
    for column in schema.features:
        cells = [np.nan if cell is None else cell for cell in told["inputs"][column.name]]
        kind = {"STRING": object, "INT64": np.int64, "DOUBLE": np.float64, "FLOAT": np.float32}[column.onnx_type]
        feeds[column.name] = np.array(cells, kind).reshape(-1, 1)
    for value, got in zip(model.get_outputs(), model.run(None, feeds), strict=True):
        assert got.tolist() == told["outputs"][value.name]


def test_the_rows_hold_a_missing_value_everywhere_and_nothing_large():
    schema = schema_of(PRICE)
    rows = rows_of(schema)
    assert [rows[name][1, 0] == "" or rows[name][1, 0] == -(2**63) or np.isnan(rows[name][1, 0]) for name in rows] == [True] * 6
    assert all(len({str(row) for row in rows[name][:, 0].tolist()}) > 1 for name in rows)
    assert abs(np.nan_to_num(rows["x"])).max() < 100


@pytest.mark.parametrize(("n_columns", "n_rows"), [(1, 4), (500, 4), (900, 2), (3000, 2)])
def test_wide_tables_have_fewer_rows(n_columns, n_rows):
    columns = tuple(Column(name=f"c{i}", kind="numeric", dtype="float64") for i in range(n_columns))
    assert len(rows_of(schema_of(PRICE, columns))["c0"]) == n_rows


@pytest.mark.parametrize("target", [SPECIES, PRICE, TWO_PRICES])
def test_other_weights_are_noticed(target):
    data = made(schema_of(target))
    assert Model(altered(data, 1.0)).verify().ok
    found = Model(altered(data, 1.001)).verify()
    assert not found.ok
    assert "label" not in found.failed
    assert found.failed == (("probabilities",) if target is SPECIES else ("prediction",))
    assert 1e-5 < found.differences[found.failed[0]] < 0.01
    assert Model(altered(data, 1.001)).verify(0.01).ok
    if target is SPECIES:
        assert Model(altered(data, -3)).verify().failed == ("label", "probabilities")


@pytest.mark.parametrize(
    ("gap", "on_gpu", "ok"), [(1e-6, False, True), (5e-5, False, False), (5e-5, True, True), (2e-4, True, False)]
)
def test_either_of_two_classes_that_are_as_good_may_be_the_label(gap, on_gpu, ok):
    schema = schema_of(SPECIES)
    told = {"label": ["a"] * 4, "probabilities": [[0.5 + gap / 2, 0.5 - gap / 2, 0.0]] * 4}
    document = {"self_test": {**record(schema, lambda feeds: {"label": np.zeros(4)}), "outputs": told}}
    other = {"label": np.array(["b"] * 4, object), "probabilities": np.array(told["probabilities"], np.float32)}
    assert verify(document, schema, lambda feeds: other, tolerance=None, source="it", on_gpu=on_gpu).ok is ok


def test_the_unit_of_the_target_does_not_count():
    """Numbers differ as a share of the largest, so that a small unit hides nothing."""
    for factor in (1e-9, 1e9):
        data = altered(made(schema_of(PRICE)), factor)
        graph, document = parts(data)
        expected = np.array(document["self_test"]["outputs"]["prediction"]) * factor
        document["self_test"]["outputs"]["prediction"] = expected.tolist()
        assert Model(signed(graph, written(document))).verify().ok
        found = Model(altered(signed(graph, written(document)), 1.001)).verify()
        assert found.differences["prediction"] == pytest.approx(0.001)


def test_another_way_to_run_it_gives_the_same(fitted):
    """Without the runtime's optimisations, and with more threads."""
    model = fitted["classes"]
    assert ol.Model(model.to_bytes(), n_threads=2).verify().ok
    told = model.metadata["self_test"]
    feeds = rows_of(model.schema)
    for level in (onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
        for threads in (1, 3):
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level, options.intra_op_num_threads = level, threads
            session = onnxruntime.InferenceSession(model.to_bytes(), options)
            label, probabilities = session.run(["label", "probabilities"], feeds)
            assert label.tolist() == told["outputs"]["label"]
            np.testing.assert_allclose(probabilities, told["outputs"]["probabilities"], atol=1e-5)


def test_a_runtime_that_differs_is_noticed():
    model = Model(made(schema_of(SPECIES)))
    session = model._session

    class Off:
        chunk_rows, n_threads = session.chunk_rows, session.n_threads

        def run(self, names, feeds):
            return [array + 1e-3 if array.dtype.kind == "f" else array for array in session.run(names, feeds)]

        def __getattr__(self, name):
            return getattr(session, name)

    found = Model(model.to_bytes(), session=Off()).verify()
    assert found.failed == ("probabilities",)
    assert found.differences["probabilities"] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.clear(), "its self-test cannot be read"),
        (lambda told: told["inputs"].pop("x"), "its self-test cannot be read .*'x'"),
        (lambda told: told["inputs"].update(x=["a"] * 4), "its self-test cannot be read"),
        (lambda told: told["inputs"].update(city=[1] * 4), "column 'city' has values of another type"),
        (lambda told: told["inputs"].update(zone=[True] * 4), "column 'zone' has values of another type"),
        (lambda told: told["inputs"].update(zone=[2**70] * 4), "its self-test cannot be read"),
        (lambda told: told["inputs"].update(small=[1e300] * 4), "its self-test cannot be read .*overflow"),
        (lambda told: told["inputs"].update(x=[1.0]), "have to have 1 to 1000 rows alike"),
        (lambda told: told["inputs"].update({name: [] for name in told["inputs"]}), "rows alike"),
        (lambda told: told.update(outputs={}), "rows alike"),
        (lambda told: told["outputs"].update(label=3), "an output is a list, not int"),
        (lambda told: told["outputs"].update(other=told["outputs"]["label"]), "has output 'other', which its graph does not"),
        (lambda told: told["outputs"].update(probabilities=[[1.0], [1.0, 2.0], [], []]), "its self-test cannot be read"),
    ],
)
def test_a_self_test_that_cannot_be_read(change, message):
    with pytest.raises(ModelFileError, match=f"^m.onnx is damaged: .*{message}"):
        Model(with_test(made(schema_of(SPECIES)), change), source="m.onnx").verify()


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: outputs.update(probabilities=[["a"] * 3] * 4),
        lambda outputs: outputs.update(probabilities=[[1.0]] * 4),
        lambda outputs: outputs.update(probabilities=[[None] * 3] * 4),
        lambda outputs: outputs.update(label=["zzz"] * 4),
    ],
)
def test_what_a_file_never_gave(change):
    found = Model(with_test(made(schema_of(SPECIES)), lambda told: change(told["outputs"]))).verify()
    assert len(found.failed) == 1
    assert found.to_dict()["ok"] is False
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_file_without_rows():
    with pytest.raises(ModelFileError, match="has no rows to verify it with: it was made by another program or an older onnx"):
        Model(small_model(schema_of(PRICE))).verify()


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_a_tolerance_that_is_none(tolerance):
    with pytest.raises(ParameterError, match="tolerance has to be a number from 0"):
        Model(made(schema_of(PRICE))).verify(tolerance)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize(
    "options",
    [
        {"labels": "indices"}, {"opset": 21}, {"layout": "packed"}, {"rank": 1}, {"float_type": "float32"},
        {"outputs": ["probabilities", "label", "unseen"]}, {"outputs": ["prediction", "upper"]},
    ],
    ids=str,
)  # fmt: skip
def test_rewritten_files_have_a_test_of_their_own(fitted, options, kind):
    model = fitted[kind]
    if ("labels" in options and kind == "numbers") or not {*options.get("outputs", [])} <= {*model.outputs, "unseen"}:
        return
    other = Model(rewrite(model.to_bytes(), **options))
    assert other.metadata["self_test"]["inputs"] == model.metadata["self_test"]["inputs"]
    assert other.verify().differences == dict.fromkeys(other.outputs, 0.0)


@pytest.mark.parametrize("to", ["fp16", "int8"])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_converted_files_have_a_test_of_their_own(fitted, tmp_path, to, kind):
    fitted[kind].export(to, tmp_path / "m.onnx", force=True, seconds=0.0)
    model = ol.load(tmp_path / "m.onnx")
    assert model.verify().ok
    assert model.metadata["self_test"] != fitted[kind].metadata["self_test"]
    assert model.metadata["self_test"]["inputs"] == fitted[kind].metadata["self_test"]["inputs"]


def test_copies_in_folders_verify(fitted, tmp_path):
    """Targets that put the file beside something else leave it as it is."""
    for to in ("triton", "kserve", "python"):
        fitted["classes"].export(to, tmp_path / to)
        copies = list((tmp_path / to).rglob("*.onnx"))
        assert copies, to
        assert all(ol.load(copy).verify().ok for copy in copies)


def test_a_file_without_its_outputs_has_no_test(fitted):
    document = read_metadata(rewrite(fitted["classes"].to_bytes(), outputs=["probabilities"]))
    assert "self_test" not in document
    assert "sha256" in document


def test_a_file_without_a_test_gets_none(fitted):
    bare = {key: value for key, value in fitted["classes"].metadata.items() if key != "self_test"}
    data = embed(onnx.load_from_string(fitted["classes"].to_bytes()), bare)
    assert "self_test" not in read_metadata(rewrite(data, labels="indices"))


def test_nothing_of_the_table_is_in_it():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(123.456, 1, 50), "code": rng.integers(10**6, 10**6 + 30, 50), "y": rng.normal(size=50)}
    )
    told = ol.learner("featureless").fit(ol.Task.from_frame(frame, target="y")).metadata["self_test"]
    assert not {*told["inputs"]["x"], *told["inputs"]["code"]} & {*frame["x"], *frame["code"]}
