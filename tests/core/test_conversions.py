"""fp16 and int8: the network alone is converted, and what that costs is measured on the file."""

import functools
import logging

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import QuantType, quantize_dynamic

from onnxlearn.card import card_lines
from onnxlearn.errors import DataError, ModelFileError, OnnxlearnError, ParameterError, ParityError
from onnxlearn.export import export, make_target
from onnxlearn.export.cost import Cost, Score, cost_of, moved, worse_by
from onnxlearn.graph import calibrated
from onnxlearn.graph.half import half_array, halved
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.graph.metadata import embed, embed_tested
from onnxlearn.graph.network import largest_values, network_of, tapped, with_network
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.measures import get
from onnxlearn.model import Model, load
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.runtime import open_session
from onnxlearn.session import run_chunked
from tests.core.hand_tables import ALL, CLASSES, NUMBER, draw_feeds, one_network, schema_of

DTYPES = {"float": np.float32, "double": np.float64}
WAYS = {
    "fp16": {},
    "int8": {},
    "int8 8 bits": {"bits": 8},
    "int8 static": {"mode": "static"},
}
QUICK = {"force": True, "seconds": 0.0}


def wide_network(weight=0.1, numbers=np.float32, large=1.0):
    """Layers of every form that has a matrix, embeddings, and a node that makes large numbers and takes them back."""

    def emit(g, tensors):
        n_num, n_outputs = emit.shape
        rng = np.random.default_rng(0)

        def matrix(*shape):
            return g.const(rng.normal(0, weight, shape).astype(numbers))

        embedded = g.op("Gather", g.const(rng.normal(size=(40, 32)).astype(numbers)), tensors["cat"], axis=0)
        n_cat = emit.n_cat
        flat = g.op("Reshape", embedded, g.const(np.array([-1, 32 * n_cat])))
        h = tensors["num"] if numbers == np.float32 else g.op("Cast", tensors["num"], to=TensorProto.DOUBLE)
        h = g.op("Concat", h, flat, axis=1)
        h = g.op("Gemm", h, matrix(64, n_num + 32 * n_cat), matrix(64), transB=1)
        h = g.op("LayerNormalization", g.op("Relu", h), matrix(64), matrix(64))
        h = g.op("Gemm", h, matrix(64, 32), alpha=0.5)
        h = g.op("Add", g.op("MatMul", h, matrix(32, 64)), matrix(64))
        h = g.op("Mul", g.op("Mul", h, g.const(np.array(large, numbers))), g.const(np.array(1 / large, numbers)))
        stacked = g.op("Unsqueeze", h, g.const(np.array([0])))
        members = g.op("MatMul", stacked, matrix(2, 64, 16))
        h = g.op("ReduceMean", g.op("Tanh", members), g.const(np.array([0])), keepdims=0)
        h = g.op("MatMul", h, matrix(16, n_outputs))
        return h if numbers == np.float32 else g.op("Cast", h, to=TensorProto.FLOAT)

    return emit


def model_of(target=CLASSES, **options):
    schema = schema_of(*ALL, target=target)
    steps = Preprocessing.fit(schema, PreprocessConfig(max_onehot=2), draw_feeds(schema, 200))
    network = wide_network(**options)
    network.shape, network.n_cat = (steps.schema.ingress.n_num, target.n_outputs), steps.schema.ingress.n_cat
    scaling = TargetScaling(np.array([300.0]), np.array([200.0])) if target.type == "regression" else None
    training = {"scores": {"validation": {"acc": 0.5}}, "n_rows": 200}
    document = {"format_version": 1, "schema": steps.schema.to_dict(), "learner": {}, "training": training, "versions": {}}
    return Model(embed(one_network(steps, network, scaling), {**document, "parity": {"max_difference": 0.0}}), provider="cpu")


@pytest.fixture(scope="module")
def models():
    return {"classes": model_of(), "numbers": model_of(NUMBER)}


@pytest.fixture(scope="module")
def made(models, tmp_path_factory):
    """A target's model converted in one way, each once: the file, and what was told."""

    @functools.cache
    def of(target, way):
        return converted(models[target], way, tmp_path_factory.mktemp("made"))

    return of


def rows_of(model, n=300, seed=3, noise=20.0):
    """A data frame with the truth, which is what the model says but for some noise."""
    feeds = draw_feeds(model.schema, n, seed)
    columns = {}
    for column in model.schema.features:
        values = feeds[column.name][:, 0]
        if column.kind == "datetime":
            times = pd.Series(values.astype("datetime64[us]"))
            values = times.dt.tz_localize("UTC") if column.dtype == "utc" else times
        elif column.onnx_type == "STRING":
            values = pd.Series(values).replace("", None)
        elif column.kind == "boolean":
            values = pd.Series(values).astype("boolean")
        columns[column.name] = values
    response = model.predict_feeds(feeds)
    rng = np.random.default_rng(seed)
    if model.schema.target.type == "classification":
        chance = rng.random(n) if noise else 0.5
        columns[model.schema.target.name] = np.where(chance < response["probabilities"][:, 1], "yes", "no")
    else:
        columns[model.schema.target.name] = response["prediction"][:, 0] + rng.normal(0, noise, n)
    return pd.DataFrame(columns)


def converted(model, way, folder, **options):
    settings = {**WAYS[way], **options}
    if settings.get("mode") == "static":
        settings.setdefault("calibration", rows_of(model, 200, seed=9))
    path = folder / "converted.onnx"
    told = export(model, way.split()[0], path, **{"seconds": 0.0, "data": rows_of(model), **settings})
    return load(path, provider="cpu"), told


def graph_of(model):
    return onnx.load_from_string(model.to_bytes()).graph


def of_reference(network):
    """The network for onnx's reference, which knows DequantizeLinear from opset 19 on; nothing else in it changed then."""
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    copy.opset_import[0].version, copy.ir_version = 19, 9
    return copy


def of_network(graph):
    return [node for node in graph.node if node.name.startswith("net/")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", ["classes", "numbers"])
def test_the_network_alone_is_converted(models, way, target, made):
    model = models[target]
    after, told = made(target, way)
    old, new = graph_of(model), graph_of(after)
    for side in ("input", "output"):
        assert list(getattr(old, side)) == list(getattr(new, side))
    assert [n for n in old.node if not n.name.startswith("net/")] == [n for n in new.node if not n.name.startswith("net/")]
    kept = {tensor.name: tensor for tensor in new.initializer}
    assert all(kept[tensor.name] == tensor for tensor in old.initializer if not tensor.name.startswith("net/"))
    names = {name for node in of_network(new) for name in node.output}
    assert names.isdisjoint(name for node in new.node if not node.name.startswith("net/") for name in node.output)
    assert onnx.load_from_string(after.to_bytes()).opset_import == onnx.load_from_string(model.to_bytes()).opset_import
    assert len(after.to_bytes()) < (0.75 if way == "fp16" else 0.6) * len(model.to_bytes())
    assert "MB" in " ".join(told)


@pytest.mark.parametrize("way", WAYS)
def test_batches_of_any_size(way, made):
    after, _ = made("classes", way)
    feeds = draw_feeds(after.schema, 37)
    every = after.predict_feeds(feeds)["probabilities"]
    assert after.predict_feeds({name: rows[:0] for name, rows in feeds.items()})["probabilities"].shape == (0, 2)
    one = after.predict_feeds({name: rows[36:] for name, rows in feeds.items()})["probabilities"]
    np.testing.assert_allclose(one, every[36:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_row_depends_on_no_other_row(way, made):
    after, _ = made("classes", way)
    usual, odd = draw_feeds(after.schema, 40), hostile_feeds(after.schema, 40)
    both = {name: np.concatenate([usual[name], odd[name]]) for name in usual}
    alone, beside = after.predict_feeds(usual)["probabilities"], after.predict_feeds(both)["probabilities"][:40]
    np.testing.assert_allclose(beside, alone, rtol=0, atol=1e-6)


def test_one_range_for_a_batch_would_make_rows_depend_on_others(models, caplog, tmp_path):
    """The control of the test above: what ONNX Runtime's quantizer makes of the same network."""
    model = models["classes"]
    source = onnx.load_from_string(model.to_bytes())
    network = network_of(source)
    helper.set_model_props(network, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with caplog.at_level(logging.ERROR):
        quantize_dynamic(network, tmp_path / "int8.onnx", weight_type=QuantType.QInt8)
    names = [value.name for value in network.graph.input]
    session = open_session(tapped(source, names), "cpu")
    usual, odd = (run_chunked(session, feeds) for feeds in (draw_feeds(model.schema, 40), hostile_feeds(model.schema, 40)))
    run = open_session((tmp_path / "int8.onnx").read_bytes(), "cpu")
    (alone,) = run_chunked(run, usual).values()
    (beside,) = run_chunked(run, {name: np.concatenate([usual[name], odd[name]]) for name in usual}).values()
    assert np.abs(beside[:40] - alone).max() > 0.01 * alone.std()


@pytest.mark.parametrize("way", WAYS)
def test_the_reference_of_onnx_gives_the_same(models, way, made):
    """A second implementation: products of 8 bits do not overflow, and FLOAT16 is what it is on a GPU."""
    model = models["numbers"]
    after, _ = made("numbers", way)
    network = network_of(onnx.load_from_string(after.to_bytes()))
    names = [value.name for value in network.graph.input]
    for feeds in (draw_feeds(model.schema, 50), hostile_feeds(model.schema, 50)):
        read = run_chunked(open_session(tapped(onnx.load_from_string(after.to_bytes()), names), "cpu"), feeds)
        (got,) = run_chunked(open_session(network.SerializeToString(), "cpu"), read).values()
        (expected,) = ReferenceEvaluator(of_reference(network)).run(None, read)
        # Of static ranges, a value between two steps may be rounded either way.
        tolerance = {"fp16": 4e-3, "int8 static": 0.05}.get(way, 2e-3)
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_rounding_every_result_is_what_the_reference_does_in_fp16(models):
    source = onnx.load_from_string(models["numbers"].to_bytes())
    network = network_of(source)
    made = halved(network)
    names = [value.name for value in network.graph.input]
    read = run_chunked(open_session(tapped(source, names), "cpu"), draw_feeds(models["numbers"].schema, 200))
    (expected,) = ReferenceEvaluator(made.network).run(None, read)
    (plain,) = run_chunked(open_session(network.SerializeToString(), "cpu"), read).values()
    (rounded,) = run_chunked(open_session(made.rounded.SerializeToString(), "cpu"), read).values()
    errors = [np.sqrt(np.mean((values - plain) ** 2)) for values in (rounded, expected)]
    assert errors[1] > 0
    assert 0.5 < errors[0] / errors[1] < 2


def test_weights_have_seven_bits_unless_told(made):
    for way, most in (("int8", 63), ("int8 8 bits", 127)):
        after, _ = made("classes", way)
        weights = [numpy_helper.to_array(t) for t in graph_of(after).initializer if t.data_type == TensorProto.INT8]
        layers = [w for w in weights if w.shape != (40, 32)]
        assert {int(np.abs(w).max()) for w in layers} == {most}
        assert len(layers) == 4


@pytest.mark.parametrize("way", WAYS)
def test_equal_calls_give_equal_bytes(models, way, made, tmp_path):
    first, _ = made("classes", way)
    again, _ = converted(models["classes"], way, tmp_path)
    assert first.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_the_scores_of_the_file_are_its_own(models, way, made):
    model = models["classes"]
    after, told = made("classes", way)
    assert list(after.scores) == ["conversion"]
    assert after.scores["conversion"] == pytest.approx(after.score(rows_of(model)), abs=1e-12)
    conversion = after.metadata["conversion"]
    assert conversion["of"] == model.metadata["sha256"]
    assert conversion["n_rows"] == 300
    before, now = conversion["measures"]["logloss"]
    assert (before, now) == (model.score(rows_of(model), "logloss"), after.score(rows_of(model), "logloss"))
    assert after.metadata["parity"] == {}
    assert f"the network is in {way.split()[0]}" in "\n".join(card_lines(after.inspect()))
    assert any(line.endswith("  logloss") for line in told)


def test_what_gets_worse_is_refused(models, tmp_path):
    model = models["numbers"]
    asked = {"data": rows_of(model, noise=1e-3), "tolerance": 0.0}
    pattern = r"^int8 makes rmse \d.* instead of 0\.00.*, worse by \d.*, more than tolerance=0: keep= leaves operators in "
    with pytest.raises(ParameterError, match=pattern):
        converted(model, "int8", tmp_path, **asked)
    assert not list(tmp_path.iterdir())
    after, _ = converted(model, "int8", tmp_path, **{**asked, "tolerance": 1e6})
    assert after.metadata["conversion"]["options"]["tolerance"] == 1e6
    after, _ = converted(model, "int8", tmp_path, **asked, force=True)
    assert after.metadata["conversion"]["to"] == "int8"
    before, now = after.metadata["conversion"]["measures"]["rmse"]
    assert now > before


def test_fp16_is_refused_by_what_a_gpu_would_round(models, tmp_path):
    model = models["numbers"]
    rows = rows_of(model, noise=1e-3)
    before = model.score(rows, "rmse")
    after, told = converted(model, "fp16", tmp_path, data=rows, force=True)
    here = after.score(rows, "rmse") / before - 1
    line = next(line for line in told if line.startswith("where each result is rounded"))
    there = float(line.split()[-1]) / before
    assert there > here
    with pytest.raises(ParameterError, match="where each result is rounded, as on a GPU, more than tolerance"):
        converted(model, "fp16", tmp_path, data=rows, tolerance=(here + there) / 2, measures=("rmse",))


def test_without_rows_it_is_refused_unless_forced(models, tmp_path):
    with pytest.raises(ParameterError, match="data says how much: give data=, rows with the truth, or force=true"):
        converted(models["classes"], "int8", tmp_path, data=None)
    after, told = converted(models["classes"], "int8", tmp_path, data=None, force=True)
    assert after.scores == {}
    assert after.metadata["conversion"]["n_rows"] == 0
    assert any("extreme values" in line for line in told)


def test_rows_without_the_truth_are_refused(models, tmp_path):
    rows = rows_of(models["classes"]).drop(columns="kind")
    with pytest.raises(DataError, match="cannot be scored"):
        converted(models["classes"], "int8", tmp_path, data=rows)


def test_a_measure_without_a_value_cannot_hold_it(models, tmp_path):
    rows = rows_of(models["classes"])
    one_class = rows[rows["kind"] == "no"]
    with pytest.raises(ParameterError, match="measure 'auc' has no value on these rows: choose others"):
        converted(models["classes"], "int8", tmp_path, data=one_class, measures=("auc",))


def test_static_ranges_need_rows_to_find_them(models, tmp_path):
    with pytest.raises(
        ParameterError, match="mode 'static' needs rows to find the ranges of activations on: give calibration="
    ):
        export(models["classes"], "int8", tmp_path / "x.onnx", mode="static", **QUICK)
    with pytest.raises(ParameterError, match="calibration"):
        make_target("int8", calibration="rows.csv")


def test_a_converted_file_is_not_converted_again(made, tmp_path):
    after, _ = made("classes", "fp16")
    with pytest.raises(
        ParameterError, match="the network of this file is in fp16 already: convert the file that it was made of"
    ):
        converted(after, "int8", tmp_path)


@pytest.mark.parametrize("way", ["fp16", "int8"])
def test_a_network_in_double_gains_nothing(way, tmp_path):
    with pytest.raises(ParameterError, match=f"{way} gains nothing here: .* no large matrix in FLOAT; deploy it as it is"):
        converted(model_of(numbers=np.float64), way, tmp_path)


def test_kept_nodes_stay_in_float(models, tmp_path):
    after, _ = converted(models["classes"], "fp16", tmp_path, keep=("LayerNormalization", "net/Gemm_*"))
    graph = graph_of(after)
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in of_network(graph):
        types = {kinds[name] for name in node.input if name in kinds}
        if node.op_type in ("Gemm", "LayerNormalization"):
            assert types == {TensorProto.FLOAT}
        if node.op_type == "MatMul":
            assert types == {TensorProto.FLOAT16}
    after, _ = converted(models["classes"], "int8", tmp_path, keep=("Gather", "MatMul"))
    whole = [tensor.data_type for tensor in graph_of(after).initializer if tuple(tensor.dims) in ((40, 32), (2, 64, 16))]
    assert whole == [TensorProto.FLOAT, TensorProto.FLOAT]


def test_a_pattern_that_fits_nothing_is_refused(models, tmp_path):
    with pytest.raises(
        ParameterError, match="no operator or node of the network fits 'Conv'; its operators are 'Add', 'Concat'"
    ):
        converted(models["classes"], "int8", tmp_path, keep=("Conv",))


@pytest.mark.parametrize("large", [1e6, 1e-9])
def test_numbers_that_fp16_cannot_hold_stay_in_float(large, tmp_path):
    model = model_of(large=large)
    after, told = converted(model, "fp16", tmp_path)
    assert any(line.startswith("too large or too small for FLOAT16, so left in FLOAT: the numbers of ") for line in told)
    network = network_of(onnx.load_from_string(after.to_bytes()))
    names = [value.name for value in network.graph.input]
    for feeds in (draw_feeds(model.schema, 50), hostile_feeds(model.schema, 50)):
        read = run_chunked(open_session(tapped(onnx.load_from_string(after.to_bytes()), names), "cpu"), feeds)
        (found,) = ReferenceEvaluator(network).run(None, read)
        assert np.isfinite(found).all()


def test_no_small_constant_becomes_nothing():
    values = np.array([1e-12, -1e-12, 0.0, 1.0, 6e4], np.float32)
    half = half_array(values)
    assert half.dtype == np.float16
    assert (np.sign(half) == np.sign(values)).all()
    assert np.isfinite(half).all()


def test_labels_as_indices_are_converted_too(models, tmp_path):
    indexed = Model(rewrite(models["classes"].to_bytes(), labels="indices"), provider="cpu")
    after, _ = converted(indexed, "int8", tmp_path)
    assert after.metadata["labels"] == "indices"
    assert set(after.predict(rows_of(models["classes"])).response) <= {"no", "yes"}


def test_the_cost_of_nothing_is_nothing(models):
    cost = cost_of(models["numbers"], models["numbers"], seconds=0.01)
    assert set(cost.moved_extreme.values()) == {0.0}
    assert (cost.n_rows, cost.moved, cost.scores) == (0, {}, ())
    assert [speed.n_rows for speed in cost.speeds] == [1, 1000]
    assert "on one thread here" in "\n".join(cost.lines())


def test_outputs_that_are_not_finite_are_never_written(models, tmp_path, monkeypatch):
    monkeypatch.setattr("onnxlearn.export.cost.moved", lambda before, after: {"probabilities": float("nan")})
    with pytest.raises(ParityError, match="fp16 gives probabilities that is not finite"):
        converted(models["classes"], "fp16", tmp_path, force=True)
    assert not list(tmp_path.iterdir())


def test_what_moved():
    before = {"label": np.array(["a", "b"]), "set": np.array([[True, False], [True, True]]), "x": np.array([[1.0], [2.0]])}
    after = {"label": np.array(["a", "a"]), "set": np.array([[True, True], [True, True]]), "x": np.array([[1.5], [1.0]])}
    assert moved(before, after) == {"label": 0.5, "set": 0.5, "x": 1.0}


@pytest.mark.parametrize(
    ("measure", "before", "after", "worse"),
    [
        ("acc", 0.9, 0.8, 0.1),
        ("logloss", 0.5, 0.6, 0.1),
        ("rmse", 50.0, 55.0, 0.1),
        ("rmse", 50.0, 45.0, -0.1),
        ("r2", 0.9, 0.8, 0.1),
        ("rmse", 0.0, 1.0, np.inf),
        ("rmse", 0.0, 0.0, 0.0),
    ],
)
def test_how_much_worse(measure, before, after, worse):
    assert worse_by(get(measure), before, after) == pytest.approx(worse)


def test_a_network_that_is_put_back_is_the_same_model(models):
    source = onnx.load_from_string(models["classes"].to_bytes())
    again = with_network(source, network_of(source))
    assert len(again.graph.node) == len(source.graph.node)
    feeds = hostile_feeds(models["classes"].schema)
    expected = models["classes"].predict_feeds(feeds)
    got = Model(embed(again, models["classes"].metadata), provider="cpu").predict_feeds(feeds)
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values)


def test_largest_values_are_of_all_chunks(models):
    source = onnx.load_from_string(models["classes"].to_bytes())
    feeds = draw_feeds(models["classes"].schema, 100)
    names = [value.name for value in network_of(source).graph.input][:1]
    assert largest_values(source, names, feeds, 7) == largest_values(source, names, feeds, 1000)
    assert largest_values(source, [], feeds) == {}


def test_errors_are_of_the_tree():
    with pytest.raises(OnnxlearnError):
        make_target("fp16", tolerance=-1)


@pytest.mark.parametrize("way", WAYS)
def test_its_self_test_is_its_own(models, way, tmp_path):
    model = with_self_test(models["classes"])
    after, _ = converted(model, way, tmp_path)
    assert after.verify().ok
    assert max(after.verify().differences.values()) == 0
    assert after.verify().tolerance == 0.01
    assert model.verify().tolerance == 1e-5
    # What the model itself gave is another matter.
    kept = {**after.metadata, "self_test": model.metadata["self_test"]}
    borrowed = Model(embed(onnx.load_from_string(after.to_bytes()), kept), provider="cpu")
    assert max(borrowed.verify().differences.values()) > 1e-7


def with_self_test(model):
    return Model(embed_tested(onnx.load_from_string(model.to_bytes()), {**model.metadata, "self_test": {}}), provider="cpu")


def test_bytes_that_change_are_noticed(made):
    after, _ = made("classes", "int8")
    data = bytearray(after.to_bytes())
    (weights,) = [t.raw_data for t in graph_of(after).initializer if tuple(t.dims) == (40, 32)]
    data[data.index(weights) + 7] ^= 1
    with pytest.raises(ModelFileError, match="damaged, or was changed"):
        Model(bytes(data), provider="cpu")


def test_inputs_are_changed_after_the_conversion_not_before(models, made, tmp_path):
    packed = Model(rewrite(models["classes"].to_bytes(), layout="packed"), provider="cpu")
    with pytest.raises(ParameterError, match="for another runtime: write int8 of the file that it was made of"):
        converted(packed, "int8", tmp_path)
    after, _ = made("classes", "int8")
    again = Model(rewrite(after.to_bytes(), layout="packed", labels="indices"), provider="cpu")
    assert again.metadata["conversion"] == after.metadata["conversion"]
    feeds = hostile_feeds(after.schema)
    np.testing.assert_array_equal(again.predict_feeds(feeds)["label"], after.predict_feeds(feeds)["label"])


@pytest.mark.parametrize("way", WAYS)
def test_the_converted_network_by_itself(made, way, tmp_path):
    """What a GPU gets while preprocessing stays on the processor."""
    after, _ = made("numbers", way)
    assert after.export("encoded", tmp_path / "parts") == []
    net = onnx.load(tmp_path / "parts" / "net.onnx").graph
    assert {tensor.data_type for tensor in net.initializer} & {TensorProto.FLOAT16, TensorProto.INT8}


def test_stacks_have_ranges_of_each_row_though_the_others_have_fixed_ones(made):
    after, _ = made("classes", "int8 static")
    operators = [node.op_type for node in of_network(graph_of(after))]
    assert operators.count("MatMulInteger") == 1
    assert "DequantizeLinear" in operators


def test_ranges_are_those_of_the_calibration_rows(models, made, tmp_path):
    model = models["numbers"]
    narrow = rows_of(model, 5, seed=1)
    wide, _ = made("numbers", "int8 static")
    cut, _ = converted(model, "int8 static", tmp_path, calibration=narrow, force=True)
    moves = [abs(each.metadata["conversion"]["moved"]["prediction"]) for each in (wide, cut)]
    assert moves[0] < moves[1]


def test_rows_that_do_not_fit_are_refused(models, tmp_path):
    model, rows = models["classes"], rows_of(models["classes"])
    with pytest.raises(DataError, match="the model needs column"):
        converted(model, "int8", tmp_path, data=rows.drop(columns="city"))
    with pytest.raises(DataError, match="class 'maybe' was not trained on"):
        converted(model, "int8", tmp_path, data=rows.assign(kind="maybe"))
    with pytest.raises(DataError, match="the table has no rows"):
        converted(model, "int8", tmp_path, data=rows.head(0))
    with pytest.raises(DataError, match="the model needs column"):
        converted(model, "int8 static", tmp_path, calibration=rows.drop(columns="city"))
    with pytest.raises(ParameterError, match="measure 'rmse' is for regression"):
        converted(model, "int8", tmp_path, measures=("rmse",))
    assert not list(tmp_path.iterdir())


def test_measures_that_agree_stand_side_by_side(models):
    scores = (
        Score(measure="acc", before=0.5, after=0.25), Score(measure="ppv", before=0.75, after=0.5),
        Score(measure="precision", before=0.75, after=0.5), Score(measure="auc", before=0.5, after=0.5),
        Score(measure="npv", before=np.nan, after=np.nan),
    )  # fmt: skip
    cost = Cost(n_bytes=(4_000_000, 1_000_000), n_rows=4, moved={"label": 0.25}, moved_extreme={}, speeds=(), scores=scores)
    assert cost.lines(["precision"])[-5:] == [
        "before  after  change  measure",
        "0.75    0.5    -0.25   precision, ppv",
        "0.5     0.25   -0.25   acc",
        "unchanged: auc",
        "without a value on these rows: npv",
    ]
    assert cost.lines()[:2] == ["4.00 MB become 1.00 MB (0.25)", "moved on the 4 rows: label of 25 % of rows"]


@pytest.mark.parametrize(
    "operator", ["Softplus", "Celu", "Elu", "Gelu", "Mish", "Selu", "Softmax", "LogSoftmax", "Sigmoid", "Erf"]
)
def test_activations_of_large_numbers_are_finite(operator):
    """Where ONNX Runtime has no kernel in FLOAT16 it takes them to pieces, not all of which hold."""
    g = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], name=f"net/{operator}")], "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )  # fmt: skip
    network = helper.make_model(g, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    x = {"x": np.array([[-1000, 1, 1000], [-100, 100, 0]], np.float32)}
    (expected,) = open_session(network.SerializeToString(), "cpu").run(None, x)
    (got,) = open_session(halved(network).network.SerializeToString(), "cpu").run(None, x)
    np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-3)


def costly(model):
    """The model as a file that asks to be run a row at a time."""
    return Model(embed(onnx.load_from_string(model.to_bytes()), {**model.metadata, "chunk_rows": 1}), provider="cpu")


@pytest.mark.parametrize("way", WAYS)
def test_a_costly_network_is_tried_on_few_rows(models, way, tmp_path, monkeypatch):
    model = costly(models["classes"])
    ranges = {"calibration": rows_of(model, 30)} if "static" in way else {}
    sizes = []
    predict = Model.predict_feeds
    monkeypatch.setattr(Model, "predict_feeds", lambda self, feeds: sizes.append(n_rows_of(feeds)) or predict(self, feeds))
    told = export(model, way.split()[0], tmp_path / "x.onnx", **WAYS[way], **ranges, force=True, seconds=0.001)
    assert max(sizes) == 16
    assert any(", 16 rows " in line for line in told if line.startswith("a call"))


def n_rows_of(feeds):
    return len(next(iter(feeds.values())))


def test_ranges_of_a_costly_network_are_found_a_few_rows_at_a_time(models, made, tmp_path, monkeypatch):
    sizes = []
    read = calibrated._Reader.get_next

    def get_next(reader):
        feeds = read(reader)
        sizes.append(n_rows_of(feeds) if feeds else 0)
        return feeds

    monkeypatch.setattr(calibrated._Reader, "get_next", get_next)
    after, _ = converted(costly(models["classes"]), "int8 static", tmp_path)
    assert max(sizes) == 1
    # Nor does it change them.
    usual = made("classes", "int8 static")[0]
    assert list(graph_of(after).initializer) == list(graph_of(usual).initializer)


def test_unseen_is_told_as_a_share_of_the_rows(models, tmp_path):
    model = Model(rewrite(models["numbers"].to_bytes(), outputs=("prediction", "unseen")), provider="cpu")
    _, told = converted(model, "int8", tmp_path)
    assert [line for line in told if line.startswith("moved")]
    assert all(line.endswith(", unseen of 0 % of rows") for line in told if line.startswith("moved"))


def test_what_keep_leaves_is_no_gain(models, tmp_path):
    with pytest.raises(ParameterError, match="no large matrix in FLOAT but those that keep= leaves; deploy it as it is"):
        converted(models["classes"], "int8", tmp_path, keep=("*",))
