"""Further outputs of a file: in predictions, rows, tables, cards, scores and rewritten files."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
from small_models import BOOLEAN, FEATURES, PRICE, SPECIES, TWO_PRICES, as_number, document_of, schema_of

import onnxlearn as ol
from onnxlearn.card import card_lines
from onnxlearn.errors import DataError, ModelFileError
from onnxlearn.files.stream import predict_file
from onnxlearn.graph.builder import FLOAT, GraphBuilder
from onnxlearn.graph.metadata import embed
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.heads import Head
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.testing import assert_parity

LEVELS = (0.1, 0.5, 0.9)
CONFIGS = {
    "point": OutputConfig(coverage=0.8),
    "quantile": OutputConfig(head="quantile", quantiles=LEVELS, coverage=0.8),
    "normal": OutputConfig(head="normal", coverage=0.8),
    "sets": OutputConfig(coverage=0.6, temperature=True),
    "threshold": OutputConfig(threshold=0.9),
}
TARGETS = {"sets": [SPECIES, BOOLEAN], "threshold": [BOOLEAN]}
CASES = [(kind, target) for kind in CONFIGS for target in TARGETS.get(kind, [PRICE, TWO_PRICES])]
FIRST = FEATURES[:3]


def calibrated_model(kind, target, extra=False):
    """A model file whose network multiplies the sum of its features by as many numbers as its head is wide."""
    config = CONFIGS[kind]
    schema = schema_of(target, FIRST)
    head = Head.of(target, config)
    scaling = TargetScaling(np.full(len(target.names), 3.0), np.full(len(target.names), 2.0))
    slopes = np.linspace(1, -1, head.width).reshape(1, -1)
    rng = np.random.default_rng(0)
    sums = rng.normal(size=(40, 1))
    outputs = head.apply(sums * slopes, scaling)
    if target.type == "regression":
        truth = outputs["prediction"] + rng.normal(size=(40, len(target.names)))
    else:
        truth = rng.integers(0, len(target.classes), 40)
    post = Postprocessing.fit(config, target, outputs, truth)
    g = GraphBuilder()
    inputs = [(column, g.input(column.name, column.onnx_type, ["N", 1])) for column in schema.features]
    with g.scope("prep"):
        together = g.op("Concat", *(as_number(g, column, value) for column, value in inputs), axis=1)
        together = g.op("Clip", together, g.const(np.float64(-1e3)), g.const(np.float64(1e3)))
        total = g.op("ReduceSum", together, g.const(np.array([1])), keepdims=1)
    with g.scope("net"):
        raw = g.op("Cast", g.op("Mul", total, g.const(slopes)), to=FLOAT)
        masks = g.op("Cast", together, to=FLOAT)
        cube = g.op("Unsqueeze", masks, g.const(np.array([1])))
    post.emit(g, head.emit(g, raw, scaling), target)
    if extra:
        g.output(masks, "masks", "FLOAT", ["N", 3])
        g.output(cube, "steps", "FLOAT", ["N", 1, 3])
    training = {**document_of(schema)["training"], "calibration": post.to_dict(), "n_calibration_rows": 40}
    document = document_of(schema, training=training, **({"outputs": post.axes()} if post.axes() else {}))
    return ol.Model(embed(g.to_model(), document))


def table(n=5):
    return pd.DataFrame({"x": np.linspace(-2, 2, n), "small": np.float32(0.5), "city": ["Bonn", "Köln", "", "Ulm", "Bonn"][:n]})


EXPECTED_COLUMNS = {
    ("point", PRICE): ["prediction", "lower", "upper"],
    ("point", TWO_PRICES): ["prediction_low", "prediction_high", "lower_low", "lower_high", "upper_low", "upper_high"],
    ("quantile", PRICE): ["prediction", "q0.1", "q0.5", "q0.9", "lower", "upper"],
    ("normal", PRICE): ["prediction", "std", "lower", "upper"],
    ("sets", SPECIES): ["label", "prob_a", "prob_b", "prob_ç", "set_a", "set_b", "set_ç"],
    ("sets", BOOLEAN): ["label", "prob_False", "prob_True", "set_False", "set_True"],
    ("threshold", BOOLEAN): ["label", "prob_False", "prob_True"],
}


@pytest.mark.parametrize(("kind", "target"), CASES)
def test_columns_are_the_outputs(kind, target):
    model = calibrated_model(kind, target)
    frame, outputs = model.predict(table()).to_frame(), model.predict_feeds(feeds_of(model))
    assert frame.columns.tolist() == model.columns
    assert (kind, target) not in EXPECTED_COLUMNS or model.columns == EXPECTED_COLUMNS[kind, target]
    numbers = [array.reshape(5, -1) for name, array in outputs.items() if name != "label"]
    np.testing.assert_array_equal(frame.drop(columns="label", errors="ignore").to_numpy(float), np.hstack(numbers))
    if kind == "sets":
        assert frame.filter(like="set_").dtypes.unique().tolist() == [np.dtype(bool)]


def feeds_of(model, n=5):
    from onnxlearn.wire.feeds import frame_feeds

    return frame_feeds(table(n), model.schema)


def test_the_fields_of_a_prediction():
    one = calibrated_model("quantile", PRICE).predict(table())
    assert one.quantiles.shape == (5, 3)
    assert one.levels == LEVELS
    assert one.lower.shape == one.upper.shape == one.response.shape == (5,)
    assert ((one.lower <= one.response) & (one.response <= one.upper)).all()
    np.testing.assert_array_equal(one.quantiles[:, 1], one.response)
    assert one.std is one.sets is None
    two = calibrated_model("normal", TWO_PRICES).predict(table())
    assert two.std.shape == two.lower.shape == (5, 2)
    assert two.quantiles is None
    assert two.levels == ()
    sets = calibrated_model("sets", SPECIES).predict(table()).sets
    assert sets.shape == (5, 3)
    assert sets.dtype == np.bool_


@pytest.mark.parametrize(("kind", "target"), CASES)
def test_a_row_gives_what_a_table_gives(kind, target):
    model = calibrated_model(kind, target)
    for i, row in enumerate(table().to_dict("records")):
        found, frame = model.predict_one(row), model.predict(table()).to_frame().iloc[i]
        json.dumps(found if target is not BOOLEAN else list(found))
        values = [value for name, value in flat(found, target) if name != "label"]
        assert values == frame.drop("label", errors="ignore").tolist()


def flat(found, target):
    """Values of a row in the order of the columns."""
    for name, value in found.items():
        if name == "set":
            yield from ((name, label in value) for label in target.classes)
        else:
            yield from ((name, leaf) for leaf in leaves(value))


def leaves(value):
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    return [value]


def test_a_row_in_plain_python():
    quantiles = calibrated_model("quantile", TWO_PRICES).predict_one({"x": 1.0, "small": 0.0, "city": None})["quantiles"]
    assert list(quantiles) == ["low", "high"]
    assert tuple(quantiles["low"]) == LEVELS
    one = calibrated_model("quantile", PRICE).predict_one({"x": 1.0, "small": 0.0, "city": None})
    assert tuple(one["quantiles"]) == LEVELS
    assert one["quantiles"][0.5] == one["prediction"]
    labels = calibrated_model("sets", SPECIES).predict_one({"x": 1.0, "small": 0.0, "city": None})["set"]
    assert labels
    assert set(labels) <= {"a", "b", "ç"}


def test_other_outputs_come_along():
    model = calibrated_model("point", PRICE, extra=True)
    prediction = model.predict(table())
    assert model.columns[3:] == ["masks_x", "masks_small", "masks_city", "steps_0_0", "steps_0_1", "steps_0_2"]
    assert prediction.further["masks"].shape == (5, 3)
    assert prediction.to_frame()["masks_x"].tolist() == table()["x"].tolist()
    row = model.predict_one({"x": 0.25, "small": 0.5, "city": "Köln"})
    assert row["masks"] == {"x": 0.25, "small": 0.5, "city": 3.0}
    assert row["steps"] == [[0.25, 0.5, 3.0]]


@pytest.mark.parametrize(("kind", "target"), CASES)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_hold_every_column(kind, target, suffix, tmp_path):
    model = calibrated_model(kind, target)
    table().to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / f"out.{suffix}"
    assert predict_file(model, tmp_path / "rows.csv", out, keep=["city"]) == 5
    read = {"csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True), "parquet": pd.read_parquet}[suffix]
    frame, expected = read(out), model.predict(tmp_path / "rows.csv").to_frame()
    assert frame.columns.tolist() == ["city", *model.columns]
    for name in model.columns:
        values = frame[name].to_numpy()
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(values.astype(float), expected[name], rtol=1e-6)
        else:
            assert values.tolist() == expected[name].tolist()


def test_a_kept_column_may_not_be_called_like_an_output(tmp_path):
    table().assign(lower=1).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="the output would have two columns 'lower': leave them out of --keep"):
        predict_file(calibrated_model("point", PRICE), tmp_path / "rows.csv", tmp_path / "out.csv", keep=["lower"])


def test_scores_are_those_of_labels_and_numbers():
    model = calibrated_model("threshold", BOOLEAN)
    frame = table().assign(won=[True, False, True, False, True])
    prediction = model.predict(frame)
    assert prediction.response.tolist() == (prediction.prob[:, 1] >= np.float32(0.9)).tolist()
    assert model.score(frame, "acc") == (prediction.response == frame["won"]).mean()
    point = calibrated_model("normal", PRICE)
    assert point.score(table().assign(price=1.0), "mae") == np.abs(point.predict(table()).response - 1).mean()


def calibration_on_the_card(kind, target):
    model = calibrated_model(kind, target)
    lines = [line.removeprefix("calibrated").strip() for line in card_lines(model.inspect())]
    return model.metadata["training"]["calibration"], lines[lines.index("on 40 rows set aside") + 1 :]


def test_the_card_tells_outputs_and_calibration():
    model = calibrated_model("point", TWO_PRICES)
    assert "gives      prediction, lower, upper" in card_lines(model.inspect())
    assert [output["shape"] for output in model.inspect()["file"]["outputs"]] == [["N", 2]] * 3
    promise = "intervals hold the truth of 80 of 100 rows or more: "
    fitted, lines = calibration_on_the_card("point", TWO_PRICES)
    low, high = (f"{value:.4g}" for value in fitted["margin"])
    assert lines[0] == f"{promise}low: prediction ± {low} in its unit; high: prediction ± {high} in its unit"
    fitted, lines = calibration_on_the_card("normal", PRICE)
    assert lines[0] == f"{promise}prediction ± {fitted['margin'][0]:.4g} std"
    fitted, lines = calibration_on_the_card("quantile", PRICE)
    margin = fitted["margin"][0]
    side = f"{abs(margin):.4g} {'wider' if margin > 0 else 'narrower'} on either side in its unit"
    assert lines[0] == f"{promise}the quantiles 0.1 to 0.9, {side}"


def test_the_card_tells_sets_temperature_and_threshold():
    fitted, (sets, temperature, *_) = calibration_on_the_card("sets", SPECIES)
    assert sets.startswith(
        "sets hold the true class of 60 of 100 rows or more: the predicted class, and those that the network "
    )
    assert sets.endswith(f" gives a probability of {fitted['probability']:.4g} or more, before the temperature")
    assert temperature.startswith(f"the network was {'too sure' if fitted['temperature'] > 1 else 'not sure enough'}: the log")
    assert temperature.endswith(f" probabilities are divided by the temperature {fitted['temperature']:.4g}")
    lines = card_lines(calibrated_model("threshold", BOOLEAN).inspect())
    assert any(line.endswith("; positive: True, predicted from a probability of 0.9 on") for line in lines)


@pytest.mark.parametrize(
    ("temperature", "note"),
    [
        (0.1, "the temperature is the least there is, 0.1: on the calibration rows the network is right far more often"),
        (10.0, "the temperature is the largest there is, 10: on the calibration rows the network is wrong where it is sure"),
    ],
)
def test_a_temperature_at_its_bound_is_noted(temperature, note):
    assert [found[: len(note)] for found in Postprocessing(temperature=temperature).notes()] == [note]
    assert Postprocessing(temperature=temperature * 1.01 if temperature < 1 else 9.9).notes() == Postprocessing().notes() == ()


@pytest.mark.parametrize(("kind", "target"), CASES)
def test_a_rewritten_file_keeps_its_outputs(kind, target):
    model = calibrated_model(kind, target)
    labels = {"labels": "indices"} if target.type == "classification" else {}
    other = ol.Model(rewrite(model.to_bytes(), opset=22, **labels))
    pd.testing.assert_frame_equal(other.predict(table()).to_frame(), model.predict(table()).to_frame())
    if labels:
        back = ol.Model(rewrite(other.to_bytes(), labels="names"))
        pd.testing.assert_frame_equal(back.predict(table()).to_frame(), model.predict(table()).to_frame())


def damaged(change):
    model = calibrated_model("quantile", PRICE)
    document = json.loads(json.dumps(model.metadata))
    graph = onnx.load_from_string(model.to_bytes())
    change(document, graph)
    del document["sha256"]
    return embed(graph, document)


def test_outputs_that_the_metadata_does_not_tell_are_refused():
    with pytest.raises(ModelFileError, match="its output 'quantiles' has 3 columns, its schema tells of 0"):
        ol.Model(damaged(lambda document, graph: document.pop("outputs")))
    with pytest.raises(ModelFileError, match="its output 'quantiles' has 3 columns, its schema tells of 2"):
        ol.Model(damaged(lambda document, graph: document["outputs"].update(quantiles=[0.1, 0.5])))

    def turn(document, graph):
        graph.graph.node.append(onnx.helper.make_node("Transpose", ["prediction"], ["turned"], "post/turned", perm=[1, 0]))
        graph.graph.output.append(onnx.helper.make_tensor_value_info("turned", onnx.TensorProto.DOUBLE, [1, "N"]))

    with pytest.raises(ModelFileError, match=r"its output 'turned' has the shape \[1, 'N'\], not one of fixed size a row"):
        ol.Model(damaged(turn))


def test_no_rows():
    for kind, target in CASES:
        model = calibrated_model(kind, target)
        frame = model.predict(table().iloc[:0]).to_frame()
        assert frame.shape == (0, len(model.columns))


@pytest.mark.parametrize(("kind", "target"), CASES)
def test_parity_of_every_output(kind, target):
    model = calibrated_model(kind, target)
    feeds = feeds_of(model)
    n_targets = len(target.names)
    expected, options = model.predict_feeds(feeds), {"center": np.full(n_targets, 3.0), "scale": np.full(n_targets, 2.0)}
    if kind == "threshold":
        del expected["label"]
    assert_parity(model.to_bytes(), feeds, expected, **options)
    for name, values in expected.items():
        if name != "label":
            wrong = ~values if values.dtype.kind == "b" else values + np.asarray(1e-3, values.dtype)
            with pytest.raises(AssertionError, match=f"{name} differs"):
                assert_parity(model.to_bytes(), feeds, {name: wrong}, **options)
