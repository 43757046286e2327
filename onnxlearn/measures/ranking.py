"""Measures of how well probabilities put rows in order: areas under curves."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from onnxlearn.measures.base import Function, Measure
from onnxlearn.measures.outcome import Array, Outcome
from onnxlearn.measures.probabilities import prob_of, shares_of


def area(is_positive: Array, scores: Array, weights: Array) -> float:
    """Probability that a positive row scores higher than a negative one, ties counting half."""
    positive, negative = _weights_by_score(is_positive, scores, weights)
    pairs = positive.sum() * negative.sum()
    if not pairs > 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(positive @ (below + negative / 2) / pairs)


def _weights_by_score(is_positive: Array, scores: Array, weights: Array) -> tuple[Array, Array]:
    """Weight of the positive and of the negative rows at each distinct score, ascending."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    positive = np.add.reduceat(np.where(is_positive, weights, 0.0)[order], starts)
    negative = np.add.reduceat(np.where(is_positive, 0.0, weights)[order], starts)
    return positive, negative


def average_precision(is_positive: Array, scores: Array, weights: Array) -> float:
    """Mean of the precision at each positive row's score, as steps: nothing is interpolated."""
    positive, negative = (w[::-1] for w in _weights_by_score(is_positive, scores, weights))
    if not positive.sum() > 0:
        return float("nan")
    found, predicted = np.cumsum(positive), np.cumsum(positive + negative)
    precision = np.divide(found, predicted, out=np.zeros(len(found)), where=predicted > 0)
    return float(positive @ precision / found[-1])


def _one_against_rest(outcome: Outcome) -> Array:
    """Area of each class against the rest, ``[C]``."""
    prob = prob_of(outcome)
    return np.array([area(outcome.truth == code, prob[:, code], outcome.weights) for code in range(outcome.n_classes)])


def _auc(outcome: Outcome) -> float:
    if outcome.positive is not None:
        return area(outcome.truth == outcome.positive, prob_of(outcome)[:, outcome.positive], outcome.weights)
    return float(np.mean(_one_against_rest(outcome)))


def _prauc(outcome: Outcome) -> float:
    prob = prob_of(outcome)
    codes = range(outcome.n_classes) if outcome.positive is None else [outcome.positive]
    return float(np.mean([average_precision(outcome.truth == code, prob[:, code], outcome.weights) for code in codes]))


def _aunp(outcome: Outcome) -> float:
    shares = shares_of(outcome)
    # A class without rows counts nothing.
    return float(sum(share * value for share, value in zip(shares, _one_against_rest(outcome), strict=True) if share > 0))


def _au1u(outcome: Outcome) -> float:
    return float(np.mean([value for _, _, value in _one_against_one(outcome)]))


def _au1p(outcome: Outcome) -> float:
    shares = shares_of(outcome)
    total = sum((shares[a] + shares[b]) * value for a, b, value in _one_against_one(outcome))
    return float(total / (outcome.n_classes - 1))


def _mu(outcome: Outcome) -> float:
    return float(np.mean([area(is_a, p[:, 0] - p[:, 1], weights) for _, _, is_a, p, weights in _pairs(outcome)]))


def _one_against_one(outcome: Outcome) -> list[tuple[int, int, float]]:
    """Of each pair of classes the area among their rows alone: the mean by the one's and by the other's probability."""
    return [
        (a, b, (area(is_a, p[:, 0], weights) + area(~is_a, p[:, 1], weights)) / 2) for a, b, is_a, p, weights in _pairs(outcome)
    ]


def _pairs(outcome: Outcome) -> list[tuple[int, int, Array, Array, Array]]:
    """Of each pair of classes: both, which rows are of the first, their probabilities ``[n, 2]`` and weights."""
    prob = prob_of(outcome).astype(np.float64)
    rows = [np.flatnonzero(outcome.truth == code) for code in range(outcome.n_classes)]
    found = []
    for a, b in itertools.combinations(range(outcome.n_classes), 2):
        both = np.r_[rows[a], rows[b]]
        found.append((a, b, np.arange(len(both)) < len(rows[a]), prob[both[:, None], [a, b]], outcome.weights[both]))
    return found


_facts: dict[str, Any] = {"task": "classification", "needs": "prob", "low": 0, "high": 1, "minimize": False}
_NO_ROW = "a class has no row"


def _area(name: str, function: Function, summary: str, undefined: str = _NO_ROW) -> Measure:
    return Measure(name=name, function=function, summary=summary, undefined=undefined, **_facts)


# Fawcett (2001), "Using rule sets to maximize ROC performance"; Hand and Till (2001), Machine Learning 45, 171-186; Ferri,
# Hernández-Orallo and Modroiu (2009), Pattern Recognition Letters 30, 27-38, whose au1p is scaled to 1 for the best, as
# scikit-learn and mlr3 have it; Kleiman and Page (2019), "AUCμ: a performance metric for multi-class machine learning models".
MEASURES: tuple[Measure, ...] = (
    _area(
        "auc",
        _auc,
        "area under the ROC curve, ties counting half; mean of one class against the rest where there are more than two",
        "a class has no row, or all of them",
    ),
    _area(
        "prauc",
        _prauc,
        "area under the precision-recall curve as steps (average precision); mean over classes where there are more than two",
    ),
    _area("mauc_aunu", _auc, "same as auc", "a class has no row, or all of them"),
    _area(
        "mauc_aunp",
        _aunp,
        "area under the ROC curve of each class against the rest, counting by the class's share (Fawcett 2001)",
        "all rows are of one class",
    ),
    _area("mauc_au1u", _au1u, "area under the ROC curve of each pair of classes, mean over pairs (Hand and Till 2001)"),
    _area("mauc_au1p", _au1p, "as mauc_au1u, pairs counting by their classes' shares (Ferri et al. 2009)"),
    _area(
        "mauc_mu", _mu, "as mauc_au1u, rows in the order of the difference of the pair's probabilities (Kleiman and Page 2019)"
    ),
)
