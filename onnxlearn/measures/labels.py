"""Measures of predicted classes; definitions as in scikit-learn unless said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.measures.base import Function, Measure, require_number, rowwise
from onnxlearn.measures.outcome import Array, Outcome


@dataclass(frozen=True, eq=False)
class _Counts:
    """Weight of each class's rows, float64 ``[C]``: the class against all the others."""

    tp: Array
    fp: Array
    fn: Array
    tn: Array

    @classmethod
    def of(cls, outcome: Outcome) -> _Counts:
        table = outcome.confusion()
        tp = np.diag(table).copy()
        np.fill_diagonal(table, 0.0)
        fp, fn = table.sum(axis=0), table.sum(axis=1)
        negative = _sum_of_others(tp + fn)
        return cls(tp, fp, fn, np.maximum(negative - fp, 0.0))


def _sum_of_others(values: Array) -> Array:
    """Sum of all but each: 0 exactly where the others are, as a difference from the total would not be."""
    before, after = np.cumsum(values), np.cumsum(values[::-1])[::-1]
    return np.asarray(np.r_[0.0, before[:-1]] + np.r_[after[1:], 0.0])


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)


def _acc(outcome: Outcome) -> Array:
    return np.asarray(outcome.truth == outcome.response)


def _ce(outcome: Outcome) -> Array:
    return np.asarray(outcome.truth != outcome.response)


def _bacc(outcome: Outcome) -> float:
    table = outcome.confusion()
    occurs = table.sum(axis=1) > 0
    return float(np.mean(np.diag(table)[occurs] / table.sum(axis=1)[occurs]))


def _per_class(value: Callable[[_Counts], Array], outcome: Outcome) -> float:
    """The positive class's value, or the mean over the classes that occur in truth or prediction."""
    values = value(_Counts.of(outcome))
    if outcome.positive is not None:
        return float(values[outcome.positive])
    # By rows and not by weight, so that a class whose rows weigh nothing still counts, as in scikit-learn.
    occurs = np.union1d(outcome.truth, outcome.response)
    return float(np.mean(values[occurs]))


def _precision(counts: _Counts) -> Array:
    return _ratio(counts.tp, counts.tp + counts.fp)


def _recall(counts: _Counts) -> Array:
    return _ratio(counts.tp, counts.tp + counts.fn)


def _specificity(counts: _Counts) -> Array:
    return _ratio(counts.tn, counts.tn + counts.fp)


def _npv(counts: _Counts) -> Array:
    return _ratio(counts.tn, counts.tn + counts.fn)


def _jaccard(counts: _Counts) -> Array:
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def _fbeta(beta: float, counts: _Counts) -> Array:
    hits = (1 + beta**2) * counts.tp
    return _ratio(hits, hits + beta**2 * counts.fn + counts.fp)


def _complement(value: Callable[[_Counts], Array], counts: _Counts) -> Array:
    """Of a rate that is 0 where nothing counts, so 1 there: the worst value of either."""
    return np.asarray(1.0 - value(counts))


def _count(name: str, outcome: Outcome) -> float:
    return float(getattr(_Counts.of(outcome), name)[outcome.positive])


def _dor(outcome: Outcome) -> float:
    tp, tn, fp, fn = (_count(name, outcome) for name in ("tp", "tn", "fp", "fn"))
    if fp * fn > 0:
        return tp * tn / (fp * fn)
    return float("inf") if tp * tn > 0 else float("nan")


def _mcc(outcome: Outcome) -> float:
    # Gorodkin (2004), Computational Biology and Chemistry 28, 367-374: the correlation of two class assignments.
    table = outcome.confusion()
    true, predicted, total = table.sum(axis=1), table.sum(axis=0), table.sum()
    covariance = np.trace(table) * total - true @ predicted
    spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def _kappa(power: int, outcome: Outcome) -> float:
    # Cohen (1960), Educational and Psychological Measurement 20, 37-46; with costs: Cohen (1968), Psychological Bulletin 70,
    # 213-220. The cost of a wrong class is its distance to this power.
    table = outcome.confusion()
    distance = np.abs(np.subtract.outer(np.arange(len(table)), np.arange(len(table))))
    costs = np.where(distance > 0, distance**power, 0)
    by_chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    expected = (costs * by_chance).sum()
    return float(1 - (costs * table).sum() / expected) if expected > 0 else float("nan")


def _costs(matrix: Array, outcome: Outcome) -> Array:
    if len(matrix) != outcome.n_classes:
        raise DataError(
            f"measure 'costs' has a matrix for {len(matrix)} classes, there are {outcome.n_classes}: give it one row and "
            "one column a class"
        )
    return np.asarray(matrix[outcome.truth, outcome.response])


_facts: dict[str, Any] = {"task": "classification", "needs": "labels"}


def _label(name: str, function: Function, summary: str, **more: Any) -> Measure:
    return Measure(name=name, function=function, summary=summary, **{**_facts, "low": 0, "high": 1, "minimize": False, **more})


def fbeta(beta: float = 1) -> Measure:
    """The F measure: precision and recall, recall counting ``beta`` times as much (van Rijsbergen 1979).

    Of the positive class; mean over the occurring classes where there are more than two. Known as ``fbeta_2`` by name.

    Raises: ParameterError where ``beta`` is not a number above 0.

    >>> fbeta(2).name
    'fbeta_2'
    """
    require_number("beta", beta, lambda value: 0 < value < np.inf, "a number above 0", "fbeta(2)")
    summary = f"precision and recall, recall counting {beta:g} times as much; {_POSITIVE_OR_MEAN}"
    return _label(f"fbeta_{beta:g}", partial(_per_class, partial(_fbeta, beta)), summary)


def costs(matrix: Sequence[Sequence[float]] | Array, *, name: str = "costs") -> Measure:
    """Mean cost of a prediction: ``matrix[i][j]`` is what it costs to predict class ``j`` where ``i`` is true.

    Classes are in the order of the target's; a negative cost is a gain. ``name``: what the scores are called.

    Raises: ParameterError where the matrix is not square and finite; DataError, when scoring, for another number of classes.

    >>> missed = costs([[0, 1], [10, 0]])
    >>> missed.range
    '[0, 10]'
    """
    try:
        found = np.asarray(matrix, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not found.size or not np.isfinite(found).all():
        raise ParameterError(
            f"costs are a square matrix of finite numbers, true classes down, not {matrix!r}: [[0, 1], [10, 0]]"
        )
    low, high = float(found.min()), float(found.max())
    return rowwise(
        partial(_costs, found), name=name, summary="mean cost of the predicted class", low=low, high=high, minimize=True,
        **_facts,
    )  # fmt: skip


_POSITIVE_OR_MEAN = "the positive class's, or the mean over the occurring ones of more than two"
_BEST = {"minimize": True}
_TWO = {"two_classes": True, "high": np.inf}


def _rate(name: str, value: Callable[[_Counts], Array], summary: str, **more: Any) -> Measure:
    return _label(name, partial(_per_class, value), f"{summary}; {_POSITIVE_OR_MEAN}", **more)


def _same(name: str, other: str, value: Callable[[_Counts], Array], **more: Any) -> Measure:
    return _label(name, partial(_per_class, value), f"same as {other}", **more)


MEASURES: tuple[Measure, ...] = (
    rowwise(_acc, name="acc", summary="share of rows with the right class", low=0, high=1, minimize=False, **_facts),
    rowwise(_ce, name="ce", summary="share of rows with a wrong class", low=0, high=1, minimize=True, **_facts),
    _label("bacc", _bacc, "mean over the occurring classes of the share found (balanced accuracy)"),
    _rate("f1", partial(_fbeta, 1.0), "harmonic mean of precision and recall"),
    _same("fbeta", "f1; fbeta_2 counts recall twice as much", partial(_fbeta, 1.0)),
    _rate("precision", _precision, "share of the rows predicted to be of a class that are (0 without any)"),
    _same("ppv", "precision", _precision),
    _rate("recall", _recall, "share of a class's rows that are found (0 without any)"),
    _same("sensitivity", "recall", _recall),
    _same("tpr", "recall", _recall),
    _rate("specificity", _specificity, "share of the other classes' rows that are not taken for a class (0 without any)"),
    _same("tnr", "specificity", _specificity),
    _rate("npv", _npv, "share of the rows predicted not to be of a class that are not (0 without any)"),
    _label("fdr", partial(_per_class, partial(_complement, _precision)), "1 - precision", **_BEST),
    _label("fnr", partial(_per_class, partial(_complement, _recall)), "1 - recall", **_BEST),
    _label("fpr", partial(_per_class, partial(_complement, _specificity)), "1 - specificity", **_BEST),
    _label("fomr", partial(_per_class, partial(_complement, _npv)), "1 - npv", **_BEST),
    _rate("jaccard", _jaccard, "share of right ones among the rows that are of a class or predicted to be (0 without any)"),
    _label("mcc", _mcc, "correlation of truth and prediction (Matthews); 0 where either is constant", low=-1),
    _label(
        "kappa", partial(_kappa, 0), "agreement of truth and prediction beyond chance (Cohen)", low=-1,
        undefined="truth and prediction are one and the same class throughout",
    ),
    _label(
        "wkappa", partial(_kappa, 2), "kappa for ordered classes: a wrong class costs its squared distance", low=-1,
        undefined="truth and prediction are one and the same class throughout",
    ),
    _label("tp", partial(_count, "tp"), "weight of the rows of the positive class that are found", **_TWO),
    _label("tn", partial(_count, "tn"), "weight of the rows of the negative class that are found", **_TWO),
    _label("fp", partial(_count, "fp"), "weight of the rows wrongly predicted positive", **_TWO, **_BEST),
    _label("fn", partial(_count, "fn"), "weight of the rows wrongly predicted negative", **_TWO, **_BEST),
    _label(
        "dor", _dor, "diagnostic odds ratio, tp * tn / (fp * fn); infinite where fp or fn alone is 0", **_TWO,
        undefined="fp or fn is 0, and so is tp or tn",
    ),
)  # fmt: skip
