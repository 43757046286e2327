"""Temperature, decision threshold and sets of classes."""

import itertools

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from onnxlearn import measures
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.conformal import ROUNDING, Sets
from onnxlearn.postprocess.heads import softmax
from onnxlearn.postprocess.postprocessing import Postprocessing, require_calibration_rows
from onnxlearn.postprocess.rows import counts
from onnxlearn.postprocess.temperature import COLDEST, HOTTEST, emit_tempered, fit_temperature, tempered
from onnxlearn.postprocess.threshold import MAX_CANDIDATES, fit_threshold
from onnxlearn.schema import Target
from tests.core.hand_tables import run_model

TWO = Target(names=("y",), type="classification", dtype="str", classes=("no", "yes"), positive="yes")
FIRST_IS_POSITIVE = Target(names=("y",), type="classification", dtype="bool", classes=(True, False), positive=True)
THREE = Target(names=("y",), type="classification", dtype="str", classes=("a", "b", "c"))
ALL = OutputConfig(temperature=True, threshold="f1", coverage=0.8)


def simulate(n, n_classes, *, heat=1.0, seed=0):
    """Logits of which the truth is drawn, as a network would say them that is too sure by ``heat``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, n_classes))
    truth = (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(logits * heat), truth


def logloss(probabilities, truth):
    return -np.log(probabilities[np.arange(len(truth)), truth]).mean()


def emitted(post, target, probabilities):
    g = GraphBuilder()
    post.emit(g, {"probabilities": g.input("p", "FLOAT", ["N", len(target.classes)])}, target)
    model = g.to_model()
    check(model)
    return run_model(model, {"p": probabilities.astype(np.float32)})


# Temperature


@pytest.mark.parametrize(("heat", "n_classes"), [(0.4, 2), (1.0, 5), (3.0, 3)])
def test_the_temperature_undoes_what_made_the_network_too_sure(heat, n_classes):
    probabilities, truth = simulate(20_000, n_classes, heat=heat)
    temperature = fit_temperature(probabilities, truth, np.ones(len(truth)))
    assert temperature == pytest.approx(heat, rel=0.05)
    assert logloss(tempered(probabilities, temperature), truth) < logloss(probabilities, truth) + 1e-6


def test_the_temperature_is_the_best_one():
    probabilities, truth = simulate(200, 4, heat=2.0)
    weights = np.random.default_rng(1).uniform(0, 3, len(truth))

    def loss(log_temperature):
        inverse = np.exp(-log_temperature)
        of_truth = tempered(probabilities, 1 / inverse)[np.arange(len(truth)), truth]
        return -weights @ np.log(of_truth) + inverse - np.log(inverse)

    best = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-10})
    assert fit_temperature(probabilities, truth, weights) == pytest.approx(np.exp(best.x), rel=1e-4)


@pytest.mark.parametrize(
    ("probabilities", "truth", "low", "high"),
    [
        ([[0.5, 0.5]] * 9, [0, 1] * 4 + [0], 1.0, 1.0),  # nothing can be learned
        ([[0.9, 0.1]] * 100, [0] * 100, 0.3, 0.5),  # all right: surer, but not for certain
        ([[0.9, 0.1]] * 100, [1] * 100, HOTTEST, HOTTEST),  # all wrong
        ([[0.9, 0.1]], [0], 0.8, 1.0),
        ([[1.0, 0.0]] * 50, [0] * 49 + [1], COLDEST, HOTTEST),
        ([[1.0, 0.0]] * 50, [1] * 50, HOTTEST, HOTTEST),
    ],
)
def test_odd_calibration_rows_give_a_temperature_within_bounds(probabilities, truth, low, high):
    temperature = fit_temperature(np.array(probabilities), np.array(truth), np.ones(len(truth)))
    assert low - 1e-9 <= temperature <= high + 1e-9
    assert np.isfinite(tempered(np.array(probabilities), temperature)).all()


def test_the_order_of_classes_stays():
    probabilities, _ = simulate(500, 5)
    for temperature in (0.3, 4.0):
        assert (np.argsort(tempered(probabilities, temperature)) == np.argsort(probabilities)).all()
    np.testing.assert_allclose(tempered(probabilities, 1.0), probabilities)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(any), st.floats(COLDEST, HOTTEST))
def test_tempered_probabilities_in_the_graph(shares, temperature):
    probabilities = (np.array([shares]) / sum(shares)).astype(np.float32)
    g = GraphBuilder()
    with g.scope("post"):
        value = emit_tempered(g, g.input("p", "FLOAT", ["N", 3]), temperature)
    g.output(value, "t", "FLOAT", ["N", 3])
    found = run_model(g.to_model(), {"p": probabilities})["t"]
    np.testing.assert_allclose(found, tempered(probabilities.astype(float), temperature), atol=1e-5)


# Threshold


@pytest.mark.parametrize("measure", ["acc", "ce", "bacc", "f1", "mcc", "precision", "recall", "jaccard", "kappa"])
def test_no_other_threshold_is_better(measure):
    probabilities, truth = simulate(80, 2, seed=3)
    probability, weights = probabilities[:, 1].round(2), np.random.default_rng(4).uniform(0.5, 2, 80)
    threshold = fit_threshold(probability, truth == 1, weights, measure)
    chosen = measures.get(measure)

    def value(at):
        outcome = measures.Outcome.of(TWO, truth, (probability >= at).astype(int), None, weights)
        return chosen(outcome) * (-1 if chosen.minimize else 1)

    assert 0 < threshold < 1
    assert value(threshold) >= max(value(at) for at in np.linspace(0.001, 0.999, 999)) - 1e-12


def test_the_threshold_of_f1_against_scikit_learn():
    probabilities, truth = simulate(400, 2, seed=5)
    precision, recall, _ = sk.precision_recall_curve(truth, probabilities[:, 1])
    best = (2 * precision * recall / (precision + recall)).max()
    threshold = fit_threshold(probabilities[:, 1], truth == 1, np.ones(400), "f1")
    assert sk.f1_score(truth, probabilities[:, 1] >= threshold) == pytest.approx(best)


@pytest.mark.parametrize(
    ("probability", "positive", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.5),  # any between 0.2 and 0.8
        ([0.1, 0.2, 0.3], [0, 1, 1], 0.15),
        ([0.6, 0.7, 0.9], [0, 0, 1], 0.8),
        ([0.1, 0.3, 0.4, 0.9], [0, 1, 0, 1], 0.5),  # as good: 0.2 and 0.65
        ([0.1, 0.2, 0.3, 0.35], [0, 1, 0, 1], 0.325),  # as good: 0.15
        ([0.6, 0.7, 0.8, 0.9], [0, 1, 0, 1], 0.65),  # as good: 0.85
        ([0.4, 0.4, 0.4], [1, 1, 0], 0.2),  # equal ones cannot be parted
        ([0.4, 0.4 + 1e-8, 0.4], [1, 0, 1], 0.2),  # nor those that rounding tells apart
        ([0.3, 0.3], [0, 0], 0.5),
        ([0.0, 1.0], [0, 1], 0.5),
        ([1.0, 1.0], [0, 0], 0.5),
    ],
)
def test_of_equally_good_thresholds_the_nearest_to_a_half(probability, positive, expected):
    found = fit_threshold(np.array(probability), np.array(positive, bool), np.ones(len(positive)), "acc")
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("measure", ["acc", "ce", "bacc", "kappa"])
@pytest.mark.parametrize(("probability", "positive"), [([0.6, 0.7], False), ([0.2, 0.3], True)])
def test_rows_of_one_class_alone_are_predicted_so(measure, probability, positive):
    found = fit_threshold(np.array(probability), np.array([positive] * 2), np.ones(2), measure)
    assert ((np.array(probability) >= found) == positive).all()


def test_the_threshold_is_one_of_the_tempered_probabilities():
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.5, 1.5, 300)
    truth = (rng.random(300) < 1 / (1 + np.exp(-logits))).astype(int)
    # Far too sure: the temperature moves every probability.
    sure = 1 / (1 + np.exp(-4 * logits))
    outputs = {"probabilities": np.stack([1 - sure, sure], axis=1)}
    post = Postprocessing.fit(OutputConfig(temperature=True, threshold="f1"), TWO, outputs, truth)
    assert post.temperature > 2
    best = max(sk.f1_score(truth, sure >= at) for at in sure)
    assert sk.f1_score(truth, post.apply(outputs, TWO)["label"]) == pytest.approx(best)


def test_many_rows_try_a_thousand_thresholds():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    positive = rng.random(20_000) < probability**2
    threshold = fit_threshold(probability, positive, np.ones(20_000), "acc")
    assert threshold == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert len(probability) > MAX_CANDIDATES


# Sets


def test_sets_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
    truth = np.array([0, 1, 2, 0])
    # Of the true classes' probabilities 0.7, 0.4, 0.3, 0.3 the four fifths of 5 that are largest.
    sets = Sets.fit(probabilities, truth, np.ones(4), 0.8)
    assert sets.probability == pytest.approx(0.3 - ROUNDING)
    assert sets.by_probability(probabilities).tolist() == [
        [True, False, False],
        [True, True, False],
        [False, True, True],
        [True, True, True],
    ]
    assert Sets.fit(probabilities, truth, np.ones(4), 0.6).probability == pytest.approx(0.3 - ROUNDING)
    assert Sets.fit(probabilities, truth, np.ones(4), 0.4).probability == pytest.approx(0.4 - ROUNDING)


def test_classes_that_tie_are_in_the_set_whatever_rounds():
    probabilities = np.full((30, 3), 1 / 3)
    sets = Sets.fit(probabilities, np.arange(30) % 3, np.ones(30), 0.9)
    assert sets.by_probability(probabilities.astype(np.float32)).all()
    assert sets.by_probability(np.nextafter(probabilities, 0)).all()


# A good network: the truth is usually so probable that a row in doubt has no class of that probability.
SURE = np.tile([[0.98, 0.01, 0.01]], (20, 1))
IN_DOUBT = np.array([[0.4, 0.3, 0.3], [0.2, 0.35, 0.45], [0.98, 0.01, 0.01]])


def test_the_predicted_class_is_in_its_set():
    post = Postprocessing.fit(OutputConfig(coverage=0.8), THREE, {"probabilities": SURE}, np.zeros(20, int))
    assert post.sets.probability == pytest.approx(0.98 - ROUNDING)
    expected = [[True, False, False], [False, False, True], [True, False, False]]
    assert post.apply({"probabilities": IN_DOUBT}, THREE)["set"].tolist() == expected
    assert emitted(post, THREE, IN_DOUBT)["set"].tolist() == expected


def test_the_class_that_the_threshold_predicts_is_in_its_set():
    config = OutputConfig(coverage=0.8, threshold=0.005)
    post = Postprocessing.fit(config, TWO, {"probabilities": SURE[:, :2]}, np.zeros(20, int))
    rows = np.array([[0.6, 0.4], [0.999, 0.001], [0.992, 0.008], [0.001, 0.999]])
    made = post.apply({"probabilities": rows}, TWO)
    assert made["label"].tolist() == [1, 0, 1, 1]
    assert made["set"].tolist() == [[False, True], [True, False], [True, True], [False, True]]
    assert emitted(post, TWO, rows)["set"].tolist() == made["set"].tolist()


def test_a_set_is_certain_where_the_label_is():
    post = Postprocessing.fit(OutputConfig(coverage=0.8), THREE, {"probabilities": SURE}, np.zeros(20, int))
    rows = np.array([[0.4, 0.4 + 1e-7, 0.2], [0.4, 0.35, 0.25]])
    assert post.certain({"probabilities": rows}, THREE, 1e-5)["set"].tolist() == [[False] * 3, [True] * 3]


# All together


@pytest.mark.parametrize("target", [TWO, FIRST_IS_POSITIVE, THREE])
@pytest.mark.parametrize("asked", list(itertools.product((False, True), (None, 0.3, "f1"), (None, 0.8))))
def test_the_graph_gives_what_numpy_gives(target, asked):
    temperature, threshold, coverage = asked
    if target is THREE and threshold is not None:
        threshold = None
    config = OutputConfig(temperature=temperature, threshold=threshold, coverage=coverage)
    probabilities, truth = simulate(60, len(target.classes), heat=2.0)
    post = Postprocessing.fit(config, target, {"probabilities": probabilities}, truth)
    rows = np.vstack([probabilities, np.eye(len(target.classes)), np.full((1, len(target.classes)), 1 / len(target.classes))])
    rows = rows.astype(np.float32).astype(np.float64)
    expected, certain = post.apply({"probabilities": rows}, target), post.certain({"probabilities": rows}, target, 1e-6)
    for n in (0, 1, len(rows)):
        found = emitted(post, target, rows[:n])
        assert list(found) == ["label", "probabilities", *(["set"] if coverage else [])]
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"][:n], atol=1e-5)
        labels = np.array(target.classes)[expected["label"]][:n]
        assert (found["label"] == labels)[certain["label"][:n]].all()
        if coverage:
            assert found["set"].dtype == np.bool_
            assert (found["set"] == expected["set"][:n])[certain["set"][:n]].all()
    assert certain["label"].mean() > 0.9


def test_the_positive_class_is_predicted_from_the_threshold_on():
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5], [0.74, 0.26]])
    for target, labels in ((TWO, ["yes", "yes", "yes"]), (FIRST_IS_POSITIVE, [True, True, True])):
        post = Postprocessing.plain(OutputConfig(threshold=0.25))
        rows = probabilities if target is TWO else probabilities[:, ::-1]
        assert [target.classes[i] for i in post.apply({"probabilities": rows}, target)["label"]] == labels
        assert emitted(post, target, rows)["label"].tolist() == labels
    post = Postprocessing.plain(OutputConfig(threshold=0.255))
    assert emitted(post, TWO, probabilities)["label"].tolist() == ["no", "yes", "yes"]
    assert post.certain({"probabilities": probabilities}, TWO, 0.0055)["label"].tolist() == [False, True, False]


def test_sets_do_not_depend_on_the_temperature():
    probabilities, truth = simulate(300, 3, heat=3.0)
    fits = [
        Postprocessing.fit(OutputConfig(temperature=temperature, coverage=0.9), THREE, {"probabilities": probabilities}, truth)
        for temperature in (False, True)
    ]
    plain, hot = (post.apply({"probabilities": probabilities}, THREE) for post in fits)
    np.testing.assert_array_equal(plain["set"], hot["set"])
    assert not np.allclose(plain["probabilities"], hot["probabilities"], atol=0.05)


def test_what_was_fitted_is_told():
    probabilities, truth = simulate(100, 2, heat=2.0)
    told = Postprocessing.fit(ALL, TWO, {"probabilities": probabilities.astype(np.float32)}, truth).to_dict()
    assert set(told) == {"temperature", "threshold", "coverage", "probability"}
    assert told["coverage"] == 0.8
    assert all(type(value) is float for value in told.values())
    assert Postprocessing.plain(OutputConfig(threshold=0.3)).to_dict() == {"threshold": 0.3}
    assert Postprocessing().to_dict() == Postprocessing().axes() == {}


# Weights


def test_rows_of_weight_zero_do_not_count():
    probabilities, truth = simulate(200, 2, heat=2.0)
    weights = np.r_[np.full(100, 0.7), np.zeros(100)]
    some = Postprocessing.fit(ALL, TWO, {"probabilities": probabilities[:100]}, truth[:100])
    weighted = Postprocessing.fit(ALL, TWO, {"probabilities": probabilities}, truth, weights)
    assert weighted.to_dict() == pytest.approx(some.to_dict(), rel=1e-9)


def test_heavy_rows_count_more():
    probabilities, truth = simulate(4000, 2, heat=2.0)
    wrong = probabilities.argmax(axis=1) != truth
    plain = Postprocessing.fit(ALL, TWO, {"probabilities": probabilities}, truth)
    heavy = Postprocessing.fit(ALL, TWO, {"probabilities": probabilities}, truth, np.where(wrong, 3.0, 1.0))
    assert heavy.temperature > plain.temperature
    assert heavy.sets.probability < plain.sets.probability


def test_counts_sum_to_the_effective_number_of_rows():
    weights = np.array([1e300, 2e300, 0.0, 3e300])
    assert counts(4, weights).sum() == pytest.approx(36 / 14)
    assert counts(3, None).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(DataError, match="the weights of the 2 calibration rows sum to 0: at least one has to be positive"):
        counts(2, np.zeros(2))


def test_what_rows_of_groups_count():
    groups = np.array([7, 7, 7, 2, 4, 4])
    np.testing.assert_allclose(counts(6, None, groups), [1 / 3, 1 / 3, 1 / 3, 1, 1 / 2, 1 / 2])
    # Groups weigh as their rows do on average, 3 and 4, and rows share by weight; one of weight 0 is none.
    weights = np.array([2.0, 4.0, 0.0, 4.0, 0.0, 0.0])
    np.testing.assert_allclose(counts(6, weights, groups), [0.28, 0.56, 0.0, 1.12, 0.0, 0.0])


def test_groups_change_the_coverage_alone():
    probabilities, truth = simulate(200, 2, heat=2.0)
    groups = np.minimum(np.arange(200) // 2, 50)
    plain, grouped = (
        Postprocessing.fit(ALL, TWO, {"probabilities": probabilities}, truth, groups=given) for given in (None, groups)
    )
    assert (plain.temperature, plain.threshold) == (grouped.temperature, grouped.threshold)
    assert plain.sets.probability != grouped.sets.probability


def test_too_few_groups_are_refused_before_training():
    groups = np.repeat(np.arange(3), 15)
    with pytest.raises(
        ParameterError,
        match=r"^coverage=0.9 needs at least 9 calibration groups, there are 3 \(of 45 rows\): give more groups, a larger "
        r"share \(calibration=\), or a coverage up to 0.75$",
    ):
        require_calibration_rows(OutputConfig(coverage=0.9), TWO, np.zeros(45, int), groups=groups)
    require_calibration_rows(OutputConfig(coverage=0.75), TWO, np.zeros(45, int), groups=groups)
    with pytest.raises(ParameterError, match=r"there are 3 \(of 45 rows\), which weigh like 2\.\d: "):
        require_calibration_rows(OutputConfig(coverage=0.9), TWO, np.zeros(45, int), np.repeat([1.0, 2.0, 4.0], 15), groups)


def test_too_few_rows_are_refused_before_training():
    config = OutputConfig(coverage=0.9)
    require_calibration_rows(config, TWO, np.zeros(9, int))
    with pytest.raises(ParameterError, match=r"coverage=0.9 needs at least 9 calibration rows, there are 8: give more rows, "):
        require_calibration_rows(config, TWO, np.zeros(8, int))
    with pytest.raises(ParameterError, match=r"there are 9, which weigh like 8\.\d: .* or a coverage up to 0\.8\d+$"):
        require_calibration_rows(config, TWO, np.zeros(9, int), np.r_[np.ones(8), 2.0])
    with pytest.raises(DataError, match="the weights of the 3 calibration rows sum to 0"):
        require_calibration_rows(OutputConfig(temperature=True), TWO, np.zeros(3, int), np.zeros(3))


def test_a_threshold_needs_calibration_rows_of_both_classes():
    config, truth = OutputConfig(threshold="bacc"), np.array([0, 0, 0, 1])
    require_calibration_rows(config, TWO, truth)
    for rows, weights in ((truth[:3], None), (truth, np.r_[1.0, 1, 1, 0])):
        message = (
            rf"parts the classes by calibration rows of both; there are {len(rows)} and none of class {TWO.classes[1]!r}: "
        )
        with pytest.raises(ParameterError, match=message):
            require_calibration_rows(config, TWO, rows, weights)
    require_calibration_rows(OutputConfig(threshold=0.3), TWO, truth[:3])


def test_weights_count_for_the_threshold():
    probability, truth = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0, 1, 0, 1])
    config, probabilities = OutputConfig(threshold="acc"), np.stack([1 - probability, probability], axis=1)
    chosen = [
        Postprocessing.fit(config, TWO, {"probabilities": probabilities}, truth, weights).threshold
        for weights in (np.r_[1.0, 5, 1, 1], np.r_[1.0, 1, 5, 1])
    ]
    # Right on the heavy row: either from below 0.4 on, or only above 0.6.
    assert 0.2 < chosen[0] < 0.4
    assert 0.6 < chosen[1] < 0.8
