"""Measures against scikit-learn, with weights, ties and classes that are absent."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn import measures
from onnxlearn.errors import DataError, ParameterError, UnknownNameError
from onnxlearn.measures import Outcome
from onnxlearn.schema import Target

BINARY = Target(names=("y",), type="classification", dtype="str", classes=("no", "yes"), positive="yes")
FLIPPED = Target(names=("y",), type="classification", dtype="str", classes=("no", "yes"), positive="no")
SEVERAL = Target(names=("y",), type="classification", dtype="int64", classes=(3, 5, 8, 13))
NUMBERS = Target(names=("a", "b"), type="regression", dtype="float64")


def draw_classes(target, seed, *, n=200, weighted=True, ties=True):
    rng = np.random.default_rng(seed)
    n_classes = len(target.classes)
    truth = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]
    prob = rng.dirichlet(np.ones(n_classes), n)
    if ties:
        prob = (np.round(prob * 4) + 0.25) / (np.round(prob * 4) + 0.25).sum(axis=1, keepdims=True)
    prob = prob.astype(np.float32)
    weights = rng.uniform(0.1, 3, n) if weighted else None
    return Outcome.of(target, truth, prob.argmax(axis=1), prob, weights)


def draw_numbers(seed, *, n=101, weighted=True):
    rng = np.random.default_rng(seed)
    truth = rng.normal(5, 3, (n, 2))
    weights = rng.integers(0, 4, n).astype(float) + (np.arange(n) == 0) if weighted else None
    return Outcome.of(NUMBERS, truth, truth + rng.normal(0, 2, (n, 2)), None, weights)


ORACLES = {
    "acc": lambda o, w: sk.accuracy_score(o.truth, o.response, sample_weight=w),
    "ce": lambda o, w: sk.zero_one_loss(o.truth, o.response, sample_weight=w),
    "bacc": lambda o, w: sk.balanced_accuracy_score(o.truth, o.response, sample_weight=w),
    "mcc": lambda o, w: sk.matthews_corrcoef(o.truth, o.response, sample_weight=w),
    "logloss": lambda o, w: sk.log_loss(o.truth, o.prob, sample_weight=w, labels=np.arange(o.n_classes)),
    "f1": lambda o, w: sk.f1_score(o.truth, o.response, sample_weight=w, zero_division=0, **averaging(o)),
    "precision": lambda o, w: sk.precision_score(o.truth, o.response, sample_weight=w, zero_division=0, **averaging(o)),
    "recall": lambda o, w: sk.recall_score(o.truth, o.response, sample_weight=w, zero_division=0, **averaging(o)),
    "auc": lambda o, w: binary_auc(o, w) if o.positive is not None else several_auc(o, w),
    "brier": lambda o, w: sk.brier_score_loss(
        o.truth, o.prob[:, 1] if o.n_classes == 2 else o.prob, sample_weight=w, labels=np.arange(o.n_classes)
    ),
    "rmse": lambda o, w: sk.root_mean_squared_error(o.truth, o.response, sample_weight=w),
    "mse": lambda o, w: sk.mean_squared_error(o.truth, o.response, sample_weight=w),
    "mae": lambda o, w: sk.mean_absolute_error(o.truth, o.response, sample_weight=w),
    "medae": lambda o, w: sk.median_absolute_error(o.truth, o.response, sample_weight=w),
    "maxae": lambda o, _: np.mean([sk.max_error(o.truth[:, i], o.response[:, i]) for i in range(o.truth.shape[1])]),
    "mape": lambda o, w: sk.mean_absolute_percentage_error(o.truth, o.response, sample_weight=w),
    "bias": lambda o, w: np.average(o.response - o.truth, axis=0, weights=w).mean(),
    "r2": lambda o, w: sk.r2_score(o.truth, o.response, sample_weight=w),
}


def averaging(outcome):
    return {"average": "macro"} if outcome.positive is None else {"average": "binary", "pos_label": outcome.positive}


def binary_auc(outcome, weights):
    return sk.roc_auc_score(outcome.truth == outcome.positive, outcome.prob[:, outcome.positive], sample_weight=weights)


def several_auc(outcome, weights):
    # scikit-learn insists on rows that sum to 1 more exactly than float32 does.
    exact = outcome.prob.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return sk.roc_auc_score(outcome.truth, exact, multi_class="ovr", average="macro", sample_weight=weights)


def names_of(task):
    return [measure.name for measure in measures.all_measures() if measure.task == task]


def test_every_measure_has_an_oracle():
    assert set(ORACLES) == {measure.name for measure in measures.all_measures()}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", [BINARY, FLIPPED, SEVERAL], ids=["binary", "flipped", "several"])
@pytest.mark.parametrize("name", names_of("classification"))
def test_classification_as_in_scikit_learn(name, target, weighted):
    for seed in range(3):
        outcome = draw_classes(target, seed, weighted=weighted, ties=name != "auc" or target is not SEVERAL)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*y_pred values do not sum to one.*")
            expected = ORACLES[name](outcome, outcome.weights)
        assert measures.get(name)(outcome) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", names_of("regression"))
def test_regression_as_in_scikit_learn(name, weighted):
    for seed in range(3):
        outcome = draw_numbers(seed, weighted=weighted)
        assert measures.get(name)(outcome) == pytest.approx(ORACLES[name](outcome, outcome.weights), rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(1, 3)), min_size=2, max_size=30))
def test_auc_with_ties(rows):
    truth, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    prob = np.c_[1 - scores, scores].astype(np.float32)
    value = measures.get("auc")(Outcome.of(BINARY, truth.astype(int), (scores > 0.5).astype(int), prob, weights))
    if truth.min() == truth.max():
        assert np.isnan(value)
    else:
        assert value == pytest.approx(sk.roc_auc_score(truth, prob[:, 1], sample_weight=weights))


@pytest.mark.parametrize("weighted", [False, True])
def test_values_stay_in_their_range_and_direction(weighted):
    for target in (BINARY, SEVERAL):
        bad = draw_classes(target, 1, weighted=weighted)
        good = Outcome.of(target, bad.truth, bad.truth, np.eye(len(target.classes), dtype=np.float32)[bad.truth], bad.weights)
        check_range(bad, good, "classification")
    bad = draw_numbers(1, weighted=weighted)
    check_range(bad, Outcome.of(NUMBERS, bad.truth, bad.truth, None, bad.weights), "regression")


def check_range(bad, good, task):
    for name in names_of(task):
        measure = measures.get(name)
        assert measure.low <= measure(bad) <= measure.high
        if measure.minimize is None:
            assert abs(measure(good)) < abs(measure(bad))
        else:
            assert (measure(good) < measure(bad)) is measure.minimize
            assert measure(good) == pytest.approx(measure.low if measure.minimize else measure.high, abs=1e-6)


def test_a_class_without_rows():
    prob = np.full((4, 4), 0.25, np.float32)
    outcome = Outcome.of(SEVERAL, np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), prob, None)
    assert np.isnan(measures.get("auc")(outcome))
    assert measures.get("bacc")(outcome) == pytest.approx(sk.balanced_accuracy_score([0, 1, 2, 2], [0, 1, 2, 1]))
    assert measures.get("f1")(outcome) == pytest.approx(sk.f1_score([0, 1, 2, 2], [0, 1, 2, 1], average="macro"))


def test_probability_zero_for_the_truth_is_finite():
    prob = np.array([[1, 0], [0, 1]], np.float32)
    outcome = Outcome.of(BINARY, np.array([1, 0]), np.array([0, 1]), prob, None)
    assert measures.get("logloss")(outcome) == pytest.approx(sk.log_loss([1, 0], prob, labels=[0, 1]))


def test_constant_truth():
    truth = np.full((5, 1), 2.0)
    of = lambda response: Outcome.of(NUMBERS, truth, response, None, None)  # noqa: E731
    assert measures.get("r2")(of(truth)) == 1
    assert measures.get("r2")(of(truth + 1)) == 0
    assert np.isnan(measures.get("r2")(Outcome.of(NUMBERS, truth[:1], truth[:1] + 1, None, None)))
    assert measures.get("mcc")(Outcome.of(BINARY, np.zeros(3, int), np.zeros(3, int), None, None)) == 0


def test_no_rows_and_no_weight():
    with pytest.raises(DataError, match="there are no rows to score"):
        Outcome.of(BINARY, np.zeros(0, int), np.zeros(0, int), None, None)
    with pytest.raises(DataError, match="weights of the rows to score sum to 0: at least one has to be positive"):
        Outcome.of(BINARY, np.zeros(2, int), np.zeros(2, int), None, np.zeros(2))
    with pytest.raises(DataError, match="needs probabilities"):
        measures.get("auc")(Outcome.of(BINARY, np.array([0, 1]), np.array([0, 1]), None, None))


def test_finding_measures():
    with pytest.raises(UnknownNameError, match=r"there is no measure 'rsme'; .* Did you mean 'rmse'\?"):
        measures.get("rsme")
    with pytest.raises(ParameterError, match="measure 'auc' is for classification, the model does regression: 'rmse', "):
        measures.resolve(["auc"], NUMBERS)
    assert [measure.name for measure in measures.resolve([], BINARY)] == ["acc", "auc", "logloss"]
    assert [measure.name for measure in measures.resolve([], NUMBERS)] == ["mae", "r2", "rmse"]
    assert measures.resolve([measures.get("f1"), "acc"], BINARY) == (measures.get("f1"), measures.get("acc"))
    assert {measure.range for measure in measures.all_measures()} == {
        "[0, 1]", "[0, inf)", "[0, 2]", "[-1, 1]", "(-inf, inf)", "(-inf, 1]",
    }  # fmt: skip


def of_numbers(truth, response):
    outcome = Outcome.of(Target(names=("a",), type="regression", dtype="float64"), truth, response, None, None)
    return {name: measures.get(name)(outcome) for name in ("rmse", "r2", "mae", "maxae", "mse")}


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200, 1e250])
def test_no_square_overflows_or_vanishes(size):
    truth, error = np.array([[1.0], [2.0], [4.0], [3.0]]), np.array([[0.5], [-1.0], [0.25], [0.0]])
    plain, scaled = (of_numbers(truth * factor, (truth + error) * factor) for factor in (1.0, size))
    assert scaled["r2"] == pytest.approx(plain["r2"], rel=1e-12)
    for name in ("rmse", "mae", "maxae"):
        assert scaled[name] == pytest.approx(plain[name] * size, rel=1e-12, abs=0)
    # What is beyond float64 is infinite.
    assert scaled["mse"] == (np.inf if size > 1 else pytest.approx(plain["mse"] * size * size))
    assert of_numbers(truth, truth + 1e200)["r2"] == -np.inf
