"""Plots: what is drawn is what scikit-learn and the stored scores say; odd names, errors, nothing left behind in matplotlib."""

from __future__ import annotations

import io
import sys

import matplotlib.figure
import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve

import onnxlearn as ol
from onnxlearn.card import number
from onnxlearn.errors import DataError, DataTypeError, MissingExtraError, ParameterError
from onnxlearn.plots.canvas import line_style, short_names
from onnxlearn.plots.curves import _pr_curve, mean_of_lines, mean_of_steps, simplified
from onnxlearn.prediction import Prediction
from onnxlearn.schema import Target
from tests.experiments.learners import Failing

QUICK = ol.learner("linear", max_epochs=2, seed=0)
CLASSES = Target(names=("y",), type="classification", dtype="str", classes=("no", "yes"), positive="yes")


@pytest.fixture(scope="module")
def both() -> ol.BenchmarkResult:
    """Two learners on three classes."""
    learners = {"quick": QUICK, "longer": QUICK.replace(max_epochs=4)}
    return ol.benchmark(ol.example_task("iris"), learners, ol.CV(3), ["acc", "auc"])


@pytest.fixture(scope="module")
def numbers() -> ol.ResampleResult:
    return ol.resample(ol.example_task("diabetes"), QUICK, ol.CV(3), "rmse")


def predicted(n: int = 80, *, weighted: bool = False, seed: int = 0) -> Prediction:
    """Two classes, probabilities with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    prob = np.round(np.clip(0.25 * truth + rng.uniform(0, 0.75, n), 0, 1), 2).astype(np.float32)
    return Prediction.from_outputs(
        CLASSES,
        {"label": np.array(["no", "yes"], object)[(prob > 0.5).astype(int)], "probabilities": np.stack([1 - prob, prob], 1)},
        truth=truth, weights=rng.integers(1, 4, n).astype(float) if weighted else None,
    )  # fmt: skip


def drawn(ax, i=0):
    return tuple(np.asarray(values) for values in ax.get_lines()[i].get_data())


@pytest.mark.parametrize("weighted", [False, True])
def test_a_roc_curve_is_that_of_scikit_learn(weighted) -> None:
    prediction = predicted(weighted=weighted)
    truth, prob = prediction.truth == "yes", prediction.prob[:, 1]
    x, y = simplified(mean_of_lines([roc_curve(truth, prob, sample_weight=prediction.weights)[:2]]), 10**6)
    area = roc_auc_score(truth, prob, sample_weight=prediction.weights)
    assert np.trapezoid(y, x) == pytest.approx(area, rel=1e-12)
    ax = ol.plots.roc(prediction)
    assert np.trapezoid(*drawn(ax, 1)[::-1]) == pytest.approx(area, abs=0.005)
    assert ax.get_legend().get_texts()[0].get_text() == f"(auc {number(area)})"


def test_the_area_under_a_mean_curve_is_the_mean_of_the_areas() -> None:
    parts = [predicted(n, weighted=True, seed=n) for n in (30, 50, 90)]
    of = [(p.truth == "yes", p.prob[:, 1], p.weights) for p in parts]
    x, y = mean_of_lines([roc_curve(truth, prob, sample_weight=weights)[:2] for truth, prob, weights in of])
    expected = np.mean([roc_auc_score(truth, prob, sample_weight=weights) for truth, prob, weights in of])
    assert np.trapezoid(y, x) == pytest.approx(expected, rel=1e-12)
    x, y = mean_of_steps([_pr_curve(*part) for part in of])
    expected = np.mean([average_precision_score(truth, prob, sample_weight=weights) for truth, prob, weights in of])
    assert np.diff(x) @ y[1:] == pytest.approx(expected, rel=1e-12)


def test_a_simplified_curve_stays_where_it_was() -> None:
    x = np.linspace(0, 1, 100_000)
    few = simplified((x, x**3), 160)
    assert len(few[0]) <= 160
    assert np.abs(np.interp(x, *few) - x**3).max() < 0.002


@pytest.mark.parametrize(("plot", "measure"), [(ol.plots.roc, "auc"), (ol.plots.precision_recall, "prauc")])
def test_the_legend_has_the_aggregated_score(both, plot, measure) -> None:
    texts = [text.get_text() for text in plot(both).get_legend().get_texts()]
    values = both.aggregate(measure)[measure]
    assert texts == [
        f"{name} (mean {measure} {number(value)})" for name, value in zip(("quick", "longer"), values, strict=True)
    ]


def test_one_learner_shows_its_classes_and_one_class_can_be_chosen(both) -> None:
    one = both.filter(learners="quick")
    names = [text.get_text().partition(" (")[0] for text in ol.plots.roc(one).get_legend().get_texts()]
    assert names == ["quick", "setosa", "versicolor", "virginica"]
    ax = ol.plots.roc(both, label="virginica")
    assert ax.get_xlabel() == "share of the others taken for 'virginica'"
    p = [both.prediction(record) for record in both.records if record.learner == "quick"]
    area = np.mean([roc_auc_score(each.truth == "virginica", each.prob[:, 2]) for each in p])
    assert ax.get_legend().get_texts()[0].get_text() == f"quick (auc {number(area)})"
    with pytest.raises(ParameterError, match="label is one of the classes"):
        ol.plots.roc(both, label="rose")


def test_rows_of_one_class_have_no_curve() -> None:
    prediction = predicted()
    rows = prediction.truth == "yes"
    one = Prediction.from_outputs(
        CLASSES, {"label": prediction.response[rows], "probabilities": prediction.prob[rows]}, truth=np.ones(rows.sum(), int)
    )
    with pytest.raises(DataError, match="no iteration has both"):
        ol.plots.roc(one)
    assert ol.plots.calibration(one).get_ylabel() == "share of rows that are 'yes'"


def test_calibration_is_that_of_scikit_learn_and_weights_are_rows() -> None:
    prediction = predicted(300)
    share, mean = calibration_curve(prediction.truth == "yes", prediction.prob[:, 1].astype(float), n_bins=10)
    x, y = drawn(ol.plots.calibration(prediction), 2)
    np.testing.assert_allclose((x, y), (mean, share))
    weighted = predicted(100, weighted=True)
    times = weighted.weights.astype(int)
    repeated = Prediction.from_outputs(
        CLASSES, {"label": weighted.response.repeat(times), "probabilities": weighted.prob.repeat(times, axis=0)},
        truth=(weighted.truth == "yes").astype(int).repeat(times),
    )  # fmt: skip
    np.testing.assert_allclose(drawn(ol.plots.calibration(weighted), 2), drawn(ol.plots.calibration(repeated), 2))


def test_confusion_is_that_of_all_iterations_together(both) -> None:
    one = both.filter(learners="quick")
    predictions = [one.prediction(record) for record in one.records]
    truth, response = (np.concatenate([getattr(p, name) for p in predictions]) for name in ("truth", "response"))
    counts = confusion_matrix(truth, response)
    ax = ol.plots.confusion(one)
    shown = {tuple(map(int, text.get_position())): int(text.get_text()) for text in ax.texts}
    assert shown == {(int(j), int(i)): int(counts[i, j]) for i, j in np.argwhere(counts > 0)}
    with pytest.raises(ParameterError, match=r"of one learner, and there are 'quick', 'longer': choose, as in result.filter"):
        ol.plots.confusion(both)


def test_residuals_and_predictions_are_those_of_the_files(numbers) -> None:
    truth, response = (np.concatenate([getattr(p, name) for p in numbers.predictions]) for name in ("truth", "response"))
    np.testing.assert_allclose(drawn(ol.plots.residuals(numbers)), (response, truth - response))
    np.testing.assert_allclose(drawn(ol.plots.prediction_truth(numbers), 1), (truth, response))
    ax = ol.plots.residuals(numbers, max_points=100)
    assert ax.get_xlabel() == "predicted progression (one of 5 of 442 rows)"
    np.testing.assert_allclose(drawn(ax)[0], response[::5])


def test_of_several_targets_one_is_named_and_intervals_are_drawn() -> None:
    result = ol.resample(ol.example_task("linnerud"), QUICK, ol.CV(2), "rmse")
    with pytest.raises(ParameterError, match="target='weight'"):
        ol.plots.residuals(result)
    with pytest.raises(ParameterError, match="target is one of"):
        ol.plots.residuals(result, target="height")
    x, _ = drawn(ol.plots.prediction_truth(result, target="pulse"), 1)
    np.testing.assert_allclose(x, np.concatenate([p.truth[:, 2] for p in result.predictions]))
    outputs = {"prediction": np.array([[1.0], [2.0]]), "lower": np.array([[0.5], [1.0]]), "upper": np.array([[2.0], [4.0]])}
    target = Target(names=("y",), type="regression", dtype="float64")
    lines = ol.plots.prediction_truth(Prediction.from_outputs(target, outputs, truth=np.array([[1.5], [3.0]]))).collections[0]
    assert [segment.tolist() for segment in lines.get_segments()] == [[[1.5, 0.5], [1.5, 2.0]], [[3.0, 1.0], [3.0, 4.0]]]


def test_a_box_plot_has_every_iteration_and_says_what_failed() -> None:
    result = ol.benchmark(ol.example_task("penguins"), [QUICK, Failing()], ol.CV(3), "acc", progress=False)
    ax = ol.plots.box(result, "acc")
    points = {float(x) for line in ax.get_lines() if line.get_marker() == "o" for x in line.get_xdata()}
    assert points == set(result.scores["acc"].dropna())
    n = len(result.errors)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["linear", f"failing\n({n} of 3 failed)"]
    assert ol.plots.box(result.filter(learners="linear"), "brier").get_xlabel() == "brier (smaller is better)"
    nothing = ol.resample(ol.example_task("iris"), QUICK, ol.Holdout(), time_limit=1e-6, on_error="record")
    with pytest.raises(DataError, match="no iteration has a acc: all failed"):
        ol.plots.box(nothing, "acc")
    with pytest.raises(DataError, match="all iterations failed"):
        ol.plots.roc(nothing)


def test_a_fallback_is_named_where_its_predictions_are_drawn() -> None:
    fallback = ol.learner("featureless")
    result = ol.benchmark(ol.example_task("penguins"), [Failing(), QUICK], ol.CV(3), fallback=fallback, progress=False)
    n = len(result.errors)
    first = ol.plots.calibration(result).get_legend().get_texts()[0].get_text()
    assert first == f"failing\n({n} of 3 failed, {n} by the fallback)"


def test_a_critical_difference_diagram_joins_what_nemenyi_does_not_tell_apart() -> None:
    tasks = [ol.example_task(name) for name in ("iris", "wine", "penguins")]
    learners = {"a": ol.learner("featureless"), "b": QUICK, "c": QUICK.replace(max_epochs=6)}
    result = ol.benchmark(tasks, learners, ol.Holdout(), "logloss")
    found = ol.statistics.nemenyi(result.statistics("logloss"))
    ax = ol.plots.critical_difference(result, "logloss")
    names = [text.get_text() for text in ax.texts if "  " in text.get_text()]
    ranks = dict(zip(found.learners, found.mean_ranks, strict=True))
    assert {name.replace("  ", " ") for name in names} == {
        f"{name} {ranks[name]:.2f}" if i < 2 else f"{ranks[name]:.2f} {name}" for i, name in enumerate(found.learners)
    }
    bars = [segment for lines in ax.collections[1:] for segment in lines.get_segments() if lines.get_linewidth()[0] == 3.5]
    assert len(bars) == len(found.groups)
    with pytest.raises(DataError, match="compares three learners or more"):
        ol.plots.critical_difference(result.filter(learners=["a", "b"]), "logloss")


def test_learning_curves_are_the_stored_histories(numbers) -> None:
    ax = ol.plots.learning_curves(numbers)
    histories = numbers.histories
    for i, history in enumerate(histories):
        np.testing.assert_array_equal(drawn(ax, i), (history["epoch"], history["train_loss"]))
    mean = np.mean([history["train_loss"] for history in histories], axis=0)
    np.testing.assert_allclose(drawn(ax, len(histories))[1], mean)
    with pytest.raises(DataError, match="has no learning curves"):
        ol.plots.learning_curves(ol.resample(ol.example_task("iris"), ol.learner("featureless"), ol.Holdout()))


def test_an_axes_that_is_given_is_drawn_on_and_pyplot_is_not_asked(both) -> None:
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    assert ol.plots.roc(both, ax=left) is left
    assert ol.plots.box(both, "acc", ax=right).figure is figure
    assert figure.get_size_inches().tolist() == matplotlib.figure.Figure().get_size_inches().tolist()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    with pytest.raises(ParameterError, match="ax is a matplotlib Axes, not Figure"):
        ol.plots.roc(both, ax=figure)


@pytest.mark.parametrize("plot", [ol.plots.roc, ol.plots.calibration, ol.plots.residuals, ol.plots.learning_curves])
def test_what_cannot_be_drawn_is_refused(both, numbers, plot) -> None:
    with pytest.raises(DataTypeError, match="draws what"):
        plot([0.1, 0.9])
    with pytest.raises((DataError, ParameterError)):
        plot(both if plot is ol.plots.residuals else numbers if plot is not ol.plots.learning_curves else both)
    with pytest.raises(ParameterError, match=r"of one task, and there are .*result.filter\(tasks='iris'\)"):
        plot(both.combine(ol.benchmark(ol.example_task("wine"), ol.learner("featureless"), ol.Holdout())))
    dropped = ol.resample(ol.example_task("iris"), ol.learner("featureless"), ol.Holdout(), predictions=False, histories=False)
    with pytest.raises(DataError):
        plot(dropped)


@pytest.mark.parametrize("name", ["$x$ and $y", "_hidden", "<b>&amp;", "x" * 200, "two\nlines\t", "a'b\"c"])
def test_any_name_is_drawn(name) -> None:
    result = ol.benchmark(ol.example_task("iris"), {name: ol.learner("featureless"), "b": QUICK}, ol.Holdout(), "acc")
    for ax in (ol.plots.roc(result), ol.plots.box(result, "acc")):
        ax.figure.savefig(io.BytesIO(), format="svg")
    assert len(ol.plots.roc(result).get_legend().get_texts()) == 2


def test_names_that_are_cut_stay_different() -> None:
    names = [f"mlp(lr=0.001, {'x' * n}, seed=1, weight_decay=0.1)" for n in (50, 51, 52)] + ["", "\n"]
    assert len(set(short_names(names))) == len(names)
    assert max(map(len, short_names(names))) <= 28 + len(" #3")


def test_twenty_eight_lines_differ_without_their_colours_or_by_them() -> None:
    styles = [line_style(i) for i in range(28)]
    assert len({(style["color"], style["linestyle"], style["marker"]) for style in styles}) == 28
    assert len({(style["linestyle"], style["marker"]) for style in styles}) == 28


def test_without_matplotlib_the_way_out_is_said(both, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"a plot needs the package matplotlib: pip install 'onnxlearn\[plot\]'"):
        ol.plots.box(both, "acc")
