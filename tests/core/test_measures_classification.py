"""Measures of classes and probabilities against scikit-learn, with weights, ties and classes that are absent."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import BINARY, FLIPPED, SEVERAL, draw_classes, names_of

from onnxlearn import measures
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.measures import Outcome


def averaged(o):
    return {"average": "macro"} if o.positive is None else {"average": "binary", "pos_label": o.positive}


def of_classes(o, w, value):
    """``value(hits, false alarms, misses, right rejections)``, counted row by row: the positive class's, or the mean."""
    codes = np.unique(np.r_[o.truth, o.response]) if o.positive is None else [o.positive]
    values = []
    for code in codes:
        true, said = o.truth == code, o.response == code
        values.append(value(*(w[rows].sum() for rows in (true & said, ~true & said, true & ~said, ~true & ~said))))
    return np.mean(values)


def exact(o):
    """Probabilities that sum to 1 more exactly than float32 does, as scikit-learn insists."""
    prob = o.prob.astype(np.float64)
    return prob / prob.sum(axis=1, keepdims=True)


def ovr(o, w, average="macro"):
    if o.positive is not None:
        return sk.roc_auc_score(o.truth == o.positive, o.prob[:, o.positive], sample_weight=w)
    return sk.roc_auc_score(o.truth, exact(o), multi_class="ovr", average=average, sample_weight=w)


def ovo(o, w, average):
    # scikit-learn takes no weights here: it gets the rows as often as they weigh.
    times = np.round(w * 2).astype(int)
    truth, prob = np.repeat(o.truth, times), np.repeat(exact(o), times, axis=0)
    if o.positive is not None:
        return sk.roc_auc_score(truth == o.positive, prob[:, o.positive])
    return sk.roc_auc_score(truth, prob, multi_class="ovo", average=average)


def mu(o, w):
    """All pairs of rows of different classes: the share in which the one's is ahead by the difference of probabilities."""
    values = []
    for a, b in itertools.combinations(range(o.n_classes), 2):
        lead = exact(o)[:, a] - exact(o)[:, b]
        lead = np.round(lead, 6)
        one, other = np.flatnonzero(o.truth == a), np.flatnonzero(o.truth == b)
        difference = lead[one][:, None] - lead[other][None]
        ahead = (difference > 0) + (difference == 0) / 2
        values.append((w[one] @ ahead @ w[other]) / (w[one].sum() * w[other].sum()))
    return np.mean(values)


def average_precision(o, w):
    codes = range(o.n_classes) if o.positive is None else [o.positive]
    return np.mean([sk.average_precision_score(o.truth == code, o.prob[:, code], sample_weight=w) for code in codes])


def calibration_gaps(o, w, bins=15):
    """Of each bin: its share, and how far mean confidence and accuracy are apart."""
    confidence, right = o.prob[np.arange(len(o.truth)), o.response].astype(float), o.truth == o.response
    for i in range(bins):
        rows = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        if rows.any():
            gap = np.average(confidence[rows], weights=w[rows]) - np.average(right[rows], weights=w[rows])
            yield w[rows].sum() / w.sum(), abs(gap)


def brier(o, w, **settings):
    prob = o.prob[:, 1] if o.n_classes == 2 and not settings else o.prob
    return sk.brier_score_loss(o.truth, prob, sample_weight=w, labels=np.arange(o.n_classes), **settings)


def labels_oracle(metric, **settings):
    return lambda o, w: metric(o.truth, o.response, sample_weight=w, **settings)


def class_oracle(metric, **settings):
    return lambda o, w: metric(o.truth, o.response, sample_weight=w, zero_division=0, **averaged(o), **settings)


ORACLES = {
    "acc": labels_oracle(sk.accuracy_score),
    "ce": labels_oracle(sk.zero_one_loss),
    "bacc": labels_oracle(sk.balanced_accuracy_score),
    "mcc": labels_oracle(sk.matthews_corrcoef),
    "kappa": labels_oracle(sk.cohen_kappa_score),
    "wkappa": labels_oracle(sk.cohen_kappa_score, weights="quadratic"),
    **dict.fromkeys(("f1", "fbeta"), class_oracle(sk.f1_score)),
    "fbeta_2": class_oracle(sk.fbeta_score, beta=2),
    "fbeta_0.5": class_oracle(sk.fbeta_score, beta=0.5),
    "jaccard": class_oracle(sk.jaccard_score),
    **dict.fromkeys(("precision", "ppv"), class_oracle(sk.precision_score)),
    **dict.fromkeys(("recall", "sensitivity", "tpr"), class_oracle(sk.recall_score)),
    "fdr": lambda o, w: of_classes(o, w, lambda tp, fp, _, __: fp / (tp + fp)),
    "fnr": lambda o, w: of_classes(o, w, lambda tp, _, fn, __: fn / (tp + fn)),
    "fpr": lambda o, w: of_classes(o, w, lambda _, fp, __, tn: fp / (fp + tn)),
    "fomr": lambda o, w: of_classes(o, w, lambda _, __, fn, tn: fn / (fn + tn)),
    **dict.fromkeys(("specificity", "tnr"), lambda o, w: of_classes(o, w, lambda _, fp, __, tn: tn / (fp + tn))),
    "npv": lambda o, w: of_classes(o, w, lambda _, __, fn, tn: tn / (fn + tn)),
    "tp": lambda o, w: of_classes(o, w, lambda tp, _, __, ___: tp),
    "fp": lambda o, w: of_classes(o, w, lambda _, fp, __, ___: fp),
    "fn": lambda o, w: of_classes(o, w, lambda _, __, fn, ___: fn),
    "tn": lambda o, w: of_classes(o, w, lambda _, __, ___, tn: tn),
    "dor": lambda o, w: np.divide(
        *sk.class_likelihood_ratios(o.truth == o.positive, o.response == o.positive, sample_weight=w)
    ),
    "logloss": lambda o, w: sk.log_loss(o.truth, o.prob, sample_weight=w, labels=np.arange(o.n_classes)),
    "d2_logloss": lambda o, w: sk.d2_log_loss_score(o.truth, exact(o), sample_weight=w, labels=np.arange(o.n_classes)),
    **dict.fromkeys(("brier", "bbrier"), brier),
    "mbrier": lambda o, w: brier(o, w, scale_by_half=False),
    "d2_brier": lambda o, w: sk.d2_brier_score(o.truth, exact(o), sample_weight=w, labels=np.arange(o.n_classes)),
    "ece": lambda o, w: sum(share * gap for share, gap in calibration_gaps(o, w)),
    "ece_4": lambda o, w: sum(share * gap for share, gap in calibration_gaps(o, w, 4)),
    "mce": lambda o, w: max(gap for _, gap in calibration_gaps(o, w)),
    "top_1": labels_oracle(sk.accuracy_score),
    "top_2": lambda o, w: 1.0 if o.n_classes == 2 else sk.top_k_accuracy_score(o.truth, o.prob, k=2, sample_weight=w),
    **dict.fromkeys(("auc", "mauc_aunu"), ovr),
    "mauc_aunp": lambda o, w: ovr(o, w, "weighted"),
    "mauc_au1u": lambda o, w: ovo(o, w, "macro"),
    "mauc_au1p": lambda o, w: ovo(o, w, "weighted"),
    "mauc_mu": mu,
    "prauc": average_precision,
    "set_coverage": lambda o, w: np.average([o.sets[i, code] for i, code in enumerate(o.truth)], weights=w),
    "set_size": lambda o, w: np.average(o.sets.sum(axis=1), weights=w),
}

# scikit-learn refuses or orders ties another way where there are more than two classes.
NO_TIES = ("auc", "top_2", "ece", "mce")


def test_every_measure_has_an_oracle():
    assert set(ORACLES) >= set(names_of("classification"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", [BINARY, FLIPPED, SEVERAL], ids=["binary", "flipped", "several"])
@pytest.mark.parametrize("name", list(ORACLES))
def test_as_in_scikit_learn(name, target, weighted):
    if measures.get(name).two_classes and target is SEVERAL:
        pytest.skip("for two classes alone")
    for seed in range(3):
        outcome = draw_classes(
            target, seed, weighted=weighted, ties=target is not SEVERAL or name in ("prauc", "logloss", "acc")
        )
        # Halves, so that rows can be repeated instead.
        outcome = replace(outcome, weights=np.ceil(outcome.weights * 2) / 2)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*y_pred values do not sum to one.*")
            expected = ORACLES[name](outcome, outcome.weights)
        assert measures.get(name)(outcome) == pytest.approx(expected, rel=2e-6, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(1, 3)), min_size=2, max_size=30))
def test_areas_with_ties(rows):
    truth, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    prob = np.c_[1 - scores, scores].astype(np.float32)
    outcome = Outcome.of(BINARY, truth.astype(int), (scores > 0.5).astype(int), prob, weights)
    auc, prauc = (measures.get(name)(outcome) for name in ("auc", "prauc"))
    if truth.any():
        assert prauc == pytest.approx(sk.average_precision_score(truth, prob[:, 1], sample_weight=weights))
    else:
        assert np.isnan(prauc)
    if truth.min() == truth.max():
        assert np.isnan(auc)
    else:
        assert auc == pytest.approx(sk.roc_auc_score(truth, prob[:, 1], sample_weight=weights))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=6), st.sampled_from([0, 1]))
def test_rates_of_few_rows(rows, positive):
    truth, response = np.array(rows).T
    outcome = Outcome.of(FLIPPED if positive == 0 else BINARY, truth, response, None, None)
    of = {name: measures.get(name)(outcome) for name in names_of("classification", "labels")}
    arguments = {"zero_division": 0, "average": "binary"}
    assert of["recall"] == sk.recall_score(truth, response, pos_label=positive, **arguments)
    assert of["precision"] == sk.precision_score(truth, response, pos_label=positive, **arguments)
    # What the other class's recall and precision are.
    assert of["specificity"] == sk.recall_score(truth, response, pos_label=1 - positive, **arguments)
    assert of["npv"] == sk.precision_score(truth, response, pos_label=1 - positive, **arguments)
    for rate, other in (("fdr", "ppv"), ("fnr", "tpr"), ("fpr", "tnr"), ("fomr", "npv")):
        assert of[rate] == 1 - of[other]
    assert of["tp"] + of["fp"] + of["fn"] + of["tn"] == len(rows)
    wrong, right = of["fp"] * of["fn"], of["tp"] * of["tn"]
    if wrong:
        assert of["dor"] == right / wrong
    else:
        assert of["dor"] == np.inf if right else np.isnan(of["dor"])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", [BINARY, SEVERAL], ids=["binary", "several"])
def test_values_stay_in_their_range_and_direction(target, weighted):
    bad = draw_classes(target, 1, weighted=weighted)
    # No probability is exactly 1: the largest calibration error is that of a bin.
    sure = np.eye(len(target.classes), dtype=np.float32)[bad.truth]
    good = replace(bad, response=bad.truth, prob=sure, sets=sure > 0)
    for name in names_of("classification"):
        measure = measures.get(name)
        if target is SEVERAL and measure.two_classes:
            continue
        assert measure.low <= measure(bad) <= measure.high
        assert (measure(good) < measure(bad)) is measure.minimize
        if np.isfinite(measure.high) and name != "set_size":
            assert measure(good) == pytest.approx(measure.low if measure.minimize else measure.high, abs=1e-6)


def test_a_class_without_rows():
    prob = np.full((4, 4), 0.25, np.float32)
    outcome = Outcome.of(SEVERAL, np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), prob, None)
    for name in ("auc", "prauc", "mauc_aunu", "mauc_au1u", "mauc_au1p", "mauc_mu"):
        assert np.isnan(measures.get(name)(outcome))
    # A class that counts nothing is not missed.
    assert measures.get("mauc_aunp")(outcome) == 0.5
    assert measures.get("bacc")(outcome) == pytest.approx(sk.balanced_accuracy_score([0, 1, 2, 2], [0, 1, 2, 1]))
    assert measures.get("f1")(outcome) == pytest.approx(sk.f1_score([0, 1, 2, 2], [0, 1, 2, 1], average="macro"))


def test_one_class_alone():
    outcome = Outcome.of(BINARY, np.zeros(3, int), np.zeros(3, int), np.full((3, 2), 0.5, np.float32), None)
    undefined = {m.name for m in measures.all_measures() if m.task == "classification" and m.undefined}
    found = {name for name in names_of("classification", "labels", "prob") if np.isnan(measures.get(name)(outcome))}
    assert found == undefined
    assert measures.get("mcc")(outcome) == 0


def test_probability_zero_for_the_truth_is_finite():
    prob = np.array([[1, 0], [0, 1]], np.float32)
    outcome = Outcome.of(BINARY, np.array([1, 0]), np.array([0, 1]), prob, None)
    assert measures.get("logloss")(outcome) == pytest.approx(sk.log_loss([1, 0], prob, labels=[0, 1]))


def test_calibration_of_the_predicted_class():
    # By hand: bins (0.4, 0.6] with confidence 0.6 and 1 of 2 right, (0.8, 1] with 0.9 and 2 of 2 right.
    prob = np.array([[0.4, 0.6], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]])
    outcome = Outcome.of(BINARY, np.array([1, 1, 1, 0]), np.array([1, 0, 1, 0]), prob, None)
    assert measures.ece(5)(outcome) == pytest.approx(0.1)
    # The other way by a threshold: the confidence is that of the class predicted, 0.4, of which 1 of 2 is right.
    turned = replace(outcome, response=np.array([0, 1, 1, 0]))
    assert measures.ece(5)(turned) == pytest.approx(0.1)
    assert measures.get("mce")(turned) == pytest.approx(0.1)


def test_of_equally_probable_classes_the_first_is_the_label():
    prob = np.full((4, 4), 0.25, np.float32)
    outcome = Outcome.of(SEVERAL, np.arange(4), prob.argmax(axis=1), prob, None)
    assert [measures.top_k(k)(outcome) for k in (1, 2, 3, 4, 9)] == [0.25, 0.5, 0.75, 1, 1]


def test_costs():
    outcome = draw_classes(SEVERAL, 5)
    matrix = np.random.default_rng(0).uniform(-1, 2, (4, 4))
    measure = measures.costs(matrix.tolist())
    assert measure(outcome) == pytest.approx((outcome.confusion() * matrix).sum() / outcome.weights.sum())
    assert (measure.low, measure.high, measure.minimize) == (matrix.min(), matrix.max(), True)
    assert measures.costs(1 - np.eye(4))(outcome) == pytest.approx(measures.get("ce")(outcome))
    with pytest.raises(
        DataError, match="'costs' has a matrix for 4 classes, there are 2: give it one row and one column a class"
    ):
        measure(draw_classes(BINARY, 0))
    for wrong in ([[0, 1]], [1, 2], [[0, np.nan], [1, 0]], [[0, 1], [2]], "ab", []):
        with pytest.raises(ParameterError, match="costs are a square matrix of finite numbers, true classes down, not "):
            measures.costs(wrong)
