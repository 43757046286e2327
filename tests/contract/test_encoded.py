"""A model in parts is the whole, whatever the learner; its preprocessing can be written anew from what is told of it."""

import functools
import json

import numpy as np
import onnx
import pytest
from odd_tables import COLUMNS, TARGETS, make_task
from quick_learners import TABLE_LEARNERS, quick
from reimplemented import run, tensors

import onnxlearn as ol
from onnxlearn.errors import ExportError, ParameterError, ParityError
from onnxlearn.export import chain
from onnxlearn.export.chain import run_chain
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.graph.split import split
from onnxlearn.model import Model
from onnxlearn.runtime import open_session
from onnxlearn.session import run_chunked

KINDS = tuple(COLUMNS)
FLOAT, INT64, DOUBLE, STRING = (getattr(onnx.TensorProto, name) for name in ("FLOAT", "INT64", "DOUBLE", "STRING"))


@pytest.fixture(scope="module")
def tasks():
    return {target: make_task(KINDS, target, seed=0) for target in (*TARGETS, "several numbers")}


@pytest.fixture(scope="module")
def fitted(tasks):
    """A learner's model of a target, each fitted once."""
    return functools.cache(lambda name, target: quick(name).fit(tasks[target], progress=False))


@pytest.fixture(scope="module")
def calibrated():
    """Heads and what is calibrated: quantiles, intervals, spreads, sets, temperatures and thresholds."""
    settings = {
        "quantiles": ("number", {"head": "quantile", "quantiles": (0.1, 0.5, 0.9), "coverage": 0.5, "calibration": 0.5}),
        "normal": ("several numbers", {"head": "normal", "coverage": 0.5, "calibration": 0.5}),
        "sets": ("several texts", {"coverage": 0.5, "temperature": True, "calibration": 0.5}),
        "threshold": ("two texts", {"threshold": 0.3}),
    }
    return {
        name: quick("mlp", **options).fit(make_task(KINDS, target, seed=1, n=120), progress=False)
        for name, (target, options) in settings.items()
    }


# Steps that are off by default: of those that make a column of one feature all is told.
TOLD = {
    "bins": {"num_bins": 4},
    "target encoding": {"cat_encoding": "target"},
    "hashing": {"cat_encoding": "hash", "cat_buckets": 4},
    "selection": {"num_select": 9},
}
UNTOLD = {
    "components": {"num_pca": 2, "num_bins": 3, "bin_encoding": "ordinal"},
    "products": {"num_polynomial": 2, "num_splines": 4, "formulas": {"half": "num / 2"}},
}


def read(folder, name):
    return onnx.load(folder / name)


def document(folder):
    return json.loads((folder / "preprocess.json").read_text("utf-8"))


def parts_of(folder):
    names = [name for name in ("prep.onnx", "net.onnx", "post.onnx") if (folder / name).exists()]
    return [open_session((folder / name).read_bytes(), "cpu") for name in names]


def check_parts(model, folder):
    """The parts give the bytes of the fused file, in batches of 0, 1, 37 and all rows; labels are positions."""
    feeds = hostile_feeds(model.schema, 100)
    classes = model.schema.target.type == "classification"
    whole = open_session(rewrite(model.to_bytes(), labels="indices") if classes else model.to_bytes(), "cpu")
    sessions = parts_of(folder)
    for n in (0, 1, 37, 100):
        rows = {name: array[:n] for name, array in feeds.items()}
        expected, got = run_chunked(whole, rows, chunk_rows=100), run_chain(sessions, rows, chunk_rows=100)
        for name, values in expected.items():
            assert got[name].dtype == values.dtype
            assert got[name].tobytes() == values.tobytes(), (name, n)


def check_network(folder):
    """Numbers and codes alone go in, nothing of ai.onnx.ml and no text is inside."""
    net = read(folder, "net.onnx")
    assert [entry.domain for entry in net.opset_import] == [""]
    assert all(node.domain == "" for node in net.graph.node)
    kinds = {value.type.tensor_type.elem_type for value in [*net.graph.input, *net.graph.output]}
    assert STRING not in kinds | {tensor.data_type for tensor in net.graph.initializer}
    assert {value.type.tensor_type.elem_type for value in net.graph.input} <= {FLOAT, INT64}
    for name in ("prep.onnx", "net.onnx"):
        onnx.checker.check_model(read(folder, name), full_check=True)


def check_recipe(model, folder, n=40):
    """Preprocessing in plain Python, from the document alone, gives the tensors of prep.onnx."""
    feeds = hostile_feeds(model.schema, n)
    rows = {name: array[:, 0].tolist() for name, array in feeds.items()}
    made = dict(zip(*_outputs(folder, feeds), strict=True))
    for name, values in tensors(document(folder), rows, n).items():
        assert np.isfinite(values).all()
        values = np.array(values, made[name].dtype).reshape(made[name].shape)
        # Sines, logarithms and the quantiles of the normal distribution differ in their last digits.
        np.testing.assert_allclose(values, made[name], rtol=2e-6, atol=2e-7)


def _outputs(folder, feeds):
    session = open_session((folder / "prep.onnx").read_bytes(), "cpu")
    return [output.name for output in session.get_outputs()], session.run(None, feeds)


LEARNERS = TABLE_LEARNERS
# Each learner with classes or with numbers: what stands behind the network hangs on the head alone.
SOME = [(name, ("several texts", "far number")[i % 2]) for i, name in enumerate(LEARNERS)]


@pytest.mark.parametrize("target", ["several texts", "number"])
@pytest.mark.parametrize("name", [*TOLD, *UNTOLD])
def test_steps_that_are_off_by_default(name, target, tasks, tmp_path):
    model = quick("linear", **{**TOLD, **UNTOLD}[name]).fit(tasks[target], progress=False)
    lines = model.export("encoded", tmp_path / "out")
    check_parts(model, tmp_path / "out")
    tensor = next(each for each in document(tmp_path / "out")["tensors"].values() if each["type"] == "float32")
    names = [column["name"] for column in tensor["columns"]]
    told = [name for name in names if name]
    assert told == [wanted for name, wanted in zip(names, model.schema.ingress.num_names, strict=True) if name]
    if name in TOLD:
        assert lines == []
        check_recipe(model, tmp_path / "out")
    else:
        (line,) = lines
        assert line.endswith("columns: prep.onnx alone makes the others")
        assert 0 < len(told) < len(names)


@pytest.mark.parametrize(("name", "target"), SOME)
def test_every_learner(name, target, fitted, tmp_path):
    model = fitted(name, target)
    assert model.export("encoded", tmp_path / "out") == []
    check_parts(model, tmp_path / "out")
    check_network(tmp_path / "out")
    check_recipe(model, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("target", [*TARGETS, "several numbers"])
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_with_every_target(name, target, fitted, tmp_path):
    test_every_learner(name, target, fitted, tmp_path)


@pytest.mark.parametrize("name", ["quantiles", "normal", "sets", "threshold"])
def test_every_head(name, calibrated, tmp_path):
    model = calibrated[name]
    for double in ("inside", "apart"):
        model.export("encoded", tmp_path / double, double=double)
        check_parts(model, tmp_path / double)
        check_network(tmp_path / double)


@pytest.mark.parametrize("scaler", ["standard", "minmax", "quantile", "yeo_johnson", "box_cox", "none"])
@pytest.mark.parametrize("encoding", [{"cat_encoding": "onehot", "min_level_rows": 5}, {"cat_encoding": "embedding"}])
def test_every_scaling_can_be_written_anew(scaler, encoding, tasks, tmp_path):
    parts = ("minute", "day_cyclic", "month_cyclic", "hour_cyclic", "weekday_cyclic", "elapsed", "year")
    options = {"num_scaler": scaler, "datetime_parts": parts, **encoding}
    model = quick("mlp", **options).fit(tasks["number"], progress=False)
    model.export("encoded", tmp_path / "out")
    check_recipe(model, tmp_path / "out")


def test_columns_are_called_as_the_schema_calls_them(fitted, tmp_path):
    model = fitted("ft_transformer", "number")
    model.export("encoded", tmp_path / "out")
    told = document(tmp_path / "out")["tensors"]
    # A feature is called num: the tensor steps aside.
    assert [column["name"] for column in told["num_"]["columns"]] == list(model.schema.ingress.num_names)
    assert [column["from"] for column in told["num_"]["columns"]] == list(model.schema.ingress.num_sources)
    assert [column["name"] for column in told["cat"]["columns"]] == list(model.schema.ingress.cat_names)
    assert [value.name for value in read(tmp_path / "out", "net.onnx").graph.input] == ["num_", "cat"]


def test_double_apart_leaves_a_network_in_float(fitted, tmp_path):
    for name, target in (("mlp", "several numbers"), ("ensemble", "far number"), ("tabm", "far number")):
        model = fitted(name, target)
        folder = tmp_path / name
        assert model.export("encoded", folder, double="apart") == []
        check_parts(model, folder)
        net = onnx.shape_inference.infer_shapes(read(folder, "net.onnx")).graph
        kinds = {value.type.tensor_type.elem_type for value in [*net.value_info, *net.output]}
        assert DOUBLE not in kinds | {tensor.data_type for tensor in net.initializer}
        assert net.output[0].name == "raw"


def test_what_stands_behind_is_told(tasks, tmp_path):
    model = quick("mlp", target_clip=True).fit(tasks["several numbers"], progress=False)
    model.export("encoded", tmp_path / "out", double="apart")
    told = document(tmp_path / "out")
    prep, net, _ = parts_of(tmp_path / "out")
    feeds = hostile_feeds(model.schema, 20)
    raw = run_chain([prep, net], feeds)["raw"].astype(np.float64)
    columns = told["behind"]["prediction"]["columns"]
    assert [column["from"] for column in columns] == ["raw[0]", "raw[1]"]
    got = np.array([[run(column["steps"], row[i], None) for i, column in enumerate(columns)] for row in raw.tolist()])
    np.testing.assert_array_equal(got, model.predict_feeds(feeds)["prediction"])
    assert {"unscale", "clip"} <= set(told["meanings"])


def test_nothing_in_double_is_said(fitted, tmp_path):
    model = fitted("mlp", "several texts")
    lines = model.export("encoded", tmp_path / "out", double="apart")
    assert lines == ["nothing behind the network is in DOUBLE: there is no post.onnx"]
    assert json.loads((tmp_path / "out/labels.json").read_text("utf-8")) == list(model.schema.target.classes)


def test_a_network_in_double_has_nothing_apart(fitted, tmp_path):
    model = fitted("tabnet", "number")
    with pytest.raises(ParameterError, match="double='apart' is for networks in FLOAT"):
        model.export("encoded", tmp_path / "out", double="apart")
    assert not (tmp_path / "out").exists()


def test_float_throughout_is_told_what_it_costs(tasks, fitted, tmp_path):
    for name, target in (("tabnet", "several texts"), ("mlp", "far number")):
        model = fitted(name, target)
        (line,) = model.export("encoded", tmp_path / name, double="float")
        assert "differs by up to" in line
        net = onnx.shape_inference.infer_shapes(read(tmp_path / name, "net.onnx")).graph
        assert DOUBLE not in {value.type.tensor_type.elem_type for value in [*net.value_info, *net.output]}
        feeds = tasks[target].feeds()
        expected, got = model.predict_feeds(feeds), run_chain(parts_of(tmp_path / name), feeds)
        output = next(output for output in expected if output != "label")
        np.testing.assert_allclose(got[output], expected[output], rtol=1e-3, atol=1e-3)


def test_parts_that_are_not_the_whole_are_not_handed_out(fitted, tmp_path, monkeypatch):
    model = fitted("linear", "number")
    monkeypatch.setattr(chain, "run_chain", lambda *args, **options: {"prediction": run_other(model, args[1])})
    with pytest.raises(ParityError, match="the parts of the model are not the whole: prediction differs by up to"):
        model.export("encoded", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def run_other(model, feeds):
    return model.predict_feeds(feeds)["prediction"] * 1.01 + 1e-9


def test_a_file_in_another_form_is_refused(fitted, tmp_path):
    model = fitted("linear", "number")
    packed = Model(rewrite(model.to_bytes(), layout="packed"))
    with pytest.raises(ParameterError, match="export the model that it was made of"):
        packed.export("encoded", tmp_path / "out")


def test_a_network_that_reads_columns_is_refused():
    g = GraphBuilder()
    text = g.input("city", "STRING", ["N", 1])
    g.output(g.op("Equal", text, g.const(np.array(["a"], object))), "set", "BOOL", ["N", 1])
    with pytest.raises(ExportError, match="the network reads 'city', STRING of 2 dimensions"):
        split(g.to_model())


def test_the_example_of_penguins(tmp_path):
    model = ol.learner("featureless").fit(ol.example_task("penguins"))
    assert model.export("encoded", tmp_path / "out") == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "labels.json", "net.onnx", "prep.onnx", "preprocess.json",
    ]  # fmt: skip
    (column,) = document(tmp_path / "out")["tensors"]["num"]["columns"]
    assert column == {"name": None, "from": None, "steps": [{"step": "constant", "value": 0.0}]}
