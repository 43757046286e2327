"""Measures of predicted probabilities; definitions as in scikit-learn unless said."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from onnxlearn.measures.base import Measure, require_number, rowwise
from onnxlearn.measures.outcome import Array, Outcome

BINS = 15


def prob_of(outcome: Outcome) -> Array:
    """The probabilities, which the measure has made sure are there: ``[N, C]``, in the type in which they were predicted."""
    assert outcome.prob is not None
    return outcome.prob


def _logloss(outcome: Outcome) -> Array:
    prob = prob_of(outcome)
    return _negative_log(prob[np.arange(len(prob)), outcome.truth])


def _negative_log(of_truth: Array) -> Array:
    eps = np.finfo(of_truth.dtype).eps
    return np.asarray(-np.log(np.clip(of_truth.astype(np.float64), eps, 1 - eps)))


def _squares(outcome: Outcome) -> Array:
    prob = prob_of(outcome).astype(np.float64)
    return np.asarray(((prob - np.eye(outcome.n_classes)[outcome.truth]) ** 2).sum(axis=1))


def _brier(outcome: Outcome) -> Array:
    # Two classes make the same error twice; counting it once is the usual score of that case.
    return _squares(outcome) / 2 if outcome.n_classes == 2 else _squares(outcome)


def shares_of(outcome: Outcome) -> Array:
    """Shares of the classes among the rows to score, ``[C]``."""
    weight = np.bincount(outcome.truth, weights=outcome.weights, minlength=outcome.n_classes)
    return np.asarray(weight / weight.sum())


def _d2_logloss(outcome: Outcome) -> float:
    prior = shares_of(outcome)
    return _skill(outcome, _logloss(outcome), _negative_log(prior[outcome.truth]))


def _d2_brier(outcome: Outcome) -> float:
    prior = shares_of(outcome)
    constant = ((prior - np.eye(outcome.n_classes)) ** 2).sum(axis=1)
    return _skill(outcome, _squares(outcome), constant[outcome.truth])


def _skill(outcome: Outcome, losses: Array, of_prior: Array) -> float:
    """How much of the loss of predicting the shares is saved."""
    if len(np.unique(outcome.truth[outcome.weights > 0])) < 2:
        return float("nan")
    return 1 - outcome.mean(losses) / outcome.mean(of_prior)


def _gaps(bins: int, outcome: Outcome) -> tuple[Array, Array]:
    """Share of the weight in each occupied bin of confidence, and how far confidence and accuracy are apart there."""
    confidence = prob_of(outcome)[np.arange(len(outcome.truth)), outcome.response].astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    total = np.bincount(place, outcome.weights, bins)
    off = np.bincount(place, outcome.weights * (confidence - (outcome.truth == outcome.response)), bins)
    there = total > 0
    return total[there] / outcome.weights.sum(), np.abs(off[there]) / total[there]


def _ece(bins: int, outcome: Outcome) -> float:
    shares, gaps = _gaps(bins, outcome)
    return float(shares @ gaps)


def _mce(bins: int, outcome: Outcome) -> float:
    return float(_gaps(bins, outcome)[1].max())


def _top_k(k: int, outcome: Outcome) -> Array:
    prob = prob_of(outcome)
    of_truth = prob[np.arange(len(prob)), outcome.truth][:, None]
    # Of equally probable classes the first ones, as for the label.
    before = (prob > of_truth) | ((prob == of_truth) & (np.arange(prob.shape[1]) < outcome.truth[:, None]))
    return np.asarray(before.sum(axis=1) < k)


_facts: dict[str, Any] = {"task": "classification", "needs": "prob", "low": 0}


def ece(bins: int = BINS) -> Measure:
    """Expected calibration error: how far the predicted class's probability and its being right are apart.

    Rows are sorted into ``bins`` bins of equal width by the probability of the predicted class; the distance of mean
    probability and accuracy in a bin counts by the bin's weight. Naeini, Cooper and Hauskrecht (2015), "Obtaining well
    calibrated probabilities using Bayesian binning"; bins as in Guo, Pleiss, Sun and Weinberger (2017), "On calibration of
    modern neural networks". Known as ``ece_10`` by name, ``ece`` with 15 bins.

    Raises: ParameterError where ``bins`` is no integer from 1 on.

    >>> ece(10).name
    'ece_10'
    """
    _require_count("bins", bins, "ece(10)")
    summary = f"expected calibration error of the predicted class's probability, in {bins} bins of equal width"
    name = "ece" if bins == BINS else f"ece_{bins}"
    return Measure(name=name, summary=summary, function=partial(_ece, bins), high=1, minimize=True, **_facts)


def top_k(k: int) -> Measure:
    """Share of rows whose class is among the ``k`` most probable; of equally probable classes the first ones count.

    Known as ``top_3`` by name.

    Raises: ParameterError where ``k`` is no integer from 1 on.

    >>> top_k(3).name
    'top_3'
    """
    _require_count("k", k, "top_k(3)")
    summary = f"share of rows whose class is among the {k} most probable"
    return rowwise(partial(_top_k, k), name=f"top_{k}", summary=summary, high=1, minimize=False, **_facts)


def _require_count(what: str, value: object, example: str) -> None:
    require_number(
        what, value, lambda number: isinstance(number, int | np.integer) and number >= 1, "an integer from 1 on", example
    )


_ONE_CLASS = "all rows are of one class"

MEASURES: tuple[Measure, ...] = (
    rowwise(
        _logloss, name="logloss", high=np.inf, minimize=True, **_facts,
        summary="mean negative logarithm of the true class's probability, kept from 0 and 1 by the precision of its type",
    ),
    rowwise(
        _brier, name="brier", high=2, minimize=True, **_facts,
        summary="mean squared error of the probabilities, summed over classes (one of two counts)",
    ),
    rowwise(
        _brier, name="bbrier", high=1, minimize=True, two_classes=True, **_facts,
        summary="same as brier, for two classes alone",
    ),
    rowwise(
        _squares, name="mbrier", high=2, minimize=True, **_facts,
        summary="mean squared error of the probabilities, summed over classes, also where there are two",
    ),
    Measure(
        name="d2_logloss", function=_d2_logloss, high=1, minimize=False, **{**_facts, "low": -np.inf},
        summary="share by which logloss is less than that of predicting the classes' shares", undefined=_ONE_CLASS,
    ),
    Measure(
        name="d2_brier", function=_d2_brier, high=1, minimize=False, **{**_facts, "low": -np.inf},
        summary="share by which brier is less than that of predicting the classes' shares", undefined=_ONE_CLASS,
    ),
    ece(),
    Measure(
        name="mce", function=partial(_mce, BINS), high=1, minimize=True, **_facts,
        summary=f"largest calibration error of a bin, where ece takes the mean of all {BINS}",
    ),
)  # fmt: skip
