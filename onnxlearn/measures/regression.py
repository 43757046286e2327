"""Measures of a prediction against the truth, in plain numpy; definitions as in scikit-learn unless said.

Every measure takes row weights. A value is ``nan`` where the rows do not define it (``undefined`` says when); rows are
never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from onnxlearn.errors import DataError, ParameterError, UnknownNameError, listing
from onnxlearn.schema import Target

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Truth and prediction of the same rows, as measures read them.

    Classification: ``truth`` and ``response`` int64 ``[N]``, positions in the target's classes; ``prob`` ``[N, C]``.
    Regression: ``truth`` and ``response`` float64 ``[N, T]``. ``weights`` float64 ``[N]``, not negative.
    ``positive`` is the position of the positive one of two classes, ``None`` for more.
    """

    truth: Array
    response: Array
    prob: Array | None
    weights: Array
    n_classes: int = 0
    positive: int | None = None

    def __post_init__(self) -> None:
        if not len(self.truth):
            raise DataError("there are no rows to score")
        if not self.weights.sum() > 0:
            raise DataError("the weights of the rows to score sum to 0: at least one has to be positive")

    @classmethod
    def of(cls, target: Target, truth: Array, response: Array, prob: Array | None, weights: Array | None) -> Outcome:
        """An outcome for this target; without weights every row counts once."""
        positive = target.classes.index(target.positive) if target.positive is not None else None
        return cls(
            truth=truth,
            response=response,
            prob=prob,
            weights=np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64),
            n_classes=len(target.classes),
            positive=positive,
        )

    def mean(self, values: Array) -> float:
        """Weighted mean over rows, then the plain mean over target columns."""
        return float(np.mean(np.average(values, axis=0, weights=self.weights)))

    def confusion(self) -> Array:
        """Weight of the rows of each true class (first axis) and predicted class: float64 ``[C, C]``."""
        cells = self.truth * self.n_classes + self.response
        counts = np.bincount(cells, weights=self.weights, minlength=self.n_classes**2)
        return counts.reshape(self.n_classes, self.n_classes)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure: ``measure(outcome)`` gives its value.

    ``low`` and ``high`` bound the value (``inf``: unbounded); ``minimize`` tells whether less is better (``None``: neither,
    nearest to 0 is best); ``needs`` whether it reads labels, probabilities or numbers.
    """

    name: str
    task: Literal["classification", "regression"]
    summary: str
    low: float
    high: float
    minimize: bool | None
    needs: Literal["labels", "prob", "numbers"]
    undefined: str
    function: Callable[[Outcome], float]

    def __call__(self, outcome: Outcome) -> float:
        """The measure's value on these rows."""
        return self.function(outcome)

    @property
    def range(self) -> str:
        """Its bounds, e.g. ``[0, 1]`` or ``[0, inf)``."""
        left = "(-inf" if self.low == -np.inf else f"[{self.low:g}"
        right = "inf)" if self.high == np.inf else f"{self.high:g}]"
        return f"{left}, {right}"


def get(name: str) -> Measure:
    """The measure of that name.

    Raises: UnknownNameError with the nearest name.

    >>> get("auc").range
    '[0, 1]'
    """
    if name not in _MEASURES:
        raise UnknownNameError.of("measure", name, _MEASURES)
    return _MEASURES[name]


def all_measures() -> tuple[Measure, ...]:
    """Every measure, those of classification first."""
    return tuple(_MEASURES.values())


def default_measures(target: Target) -> tuple[Measure, ...]:
    """What is reported when no measure is named, in the order of the names, as in a file's metadata."""
    names = ("acc", "auc", "logloss") if target.type == "classification" else ("mae", "r2", "rmse")
    return tuple(_MEASURES[name] for name in names)


def resolve(measures: Iterable[str | Measure], target: Target) -> tuple[Measure, ...]:
    """Measures by name or themselves, by default :func:`default_measures`; each has to suit the target.

    Raises: UnknownNameError, ParameterError.
    """
    chosen = tuple(get(measure) if isinstance(measure, str) else measure for measure in measures)
    for measure in chosen:
        if not isinstance(measure, Measure):
            raise ParameterError(f"a measure is a name or a Measure, not {measure!r}: score('acc', 'logloss')")
        if measure.task != target.type:
            fitting = listing(other.name for other in all_measures() if other.task == target.type)
            raise ParameterError(f"measure {measure.name!r} is for {measure.task}, the model does {target.type}: {fitting}")
    return chosen or default_measures(target)


def score(outcome: Outcome, measures: Iterable[Measure]) -> dict[str, float]:
    """Value of each measure by name."""
    return {measure.name: measure(outcome) for measure in measures}


def _acc(outcome: Outcome) -> float:
    return outcome.mean(outcome.truth == outcome.response)


def _ce(outcome: Outcome) -> float:
    return outcome.mean(outcome.truth != outcome.response)


def _bacc(outcome: Outcome) -> float:
    table = outcome.confusion()
    occurs = table.sum(axis=1) > 0
    return float(np.mean(np.diag(table)[occurs] / table.sum(axis=1)[occurs]))


def _precision(outcome: Outcome) -> float:
    return _per_class(outcome, lambda hits, _, predicted: _ratio(hits, predicted))


def _recall(outcome: Outcome) -> float:
    return _per_class(outcome, lambda hits, true, _: _ratio(hits, true))


def _f1(outcome: Outcome) -> float:
    return _per_class(outcome, lambda hits, true, predicted: _ratio(2 * hits, true + predicted))


def _per_class(outcome: Outcome, value: Callable[[Array, Array, Array], Array]) -> float:
    """The positive class's value, or the mean over the classes that occur in truth or prediction."""
    table = outcome.confusion()
    true, predicted = table.sum(axis=1), table.sum(axis=0)
    values = value(np.diag(table), true, predicted)
    if outcome.positive is not None:
        return float(values[outcome.positive])
    # By rows and not by weight, so that a class whose rows weigh nothing still counts, as in scikit-learn.
    occurs = np.union1d(outcome.truth, outcome.response)
    return float(np.mean(values[occurs]))


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)


def _mcc(outcome: Outcome) -> float:
    # Gorodkin (2004), Computational Biology and Chemistry 28, 367-374: the correlation of two class assignments.
    table = outcome.confusion()
    true, predicted, total = table.sum(axis=1), table.sum(axis=0), table.sum()
    covariance = np.trace(table) * total - true @ predicted
    spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def _auc(outcome: Outcome) -> float:
    prob = _prob(outcome)
    if outcome.positive is not None:
        return _area(outcome.truth == outcome.positive, prob[:, outcome.positive], outcome.weights)
    areas = [_area(outcome.truth == code, prob[:, code], outcome.weights) for code in range(outcome.n_classes)]
    return float(np.mean(areas))


def _area(is_positive: Array, scores: Array, weights: Array) -> float:
    """Probability that a positive row scores higher than a negative one, ties counting half."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    positive = np.add.reduceat(np.where(is_positive, weights, 0.0)[order], starts)
    negative = np.add.reduceat(np.where(is_positive, 0.0, weights)[order], starts)
    pairs = positive.sum() * negative.sum()
    if not pairs > 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(positive @ (below + negative / 2) / pairs)


def _logloss(outcome: Outcome) -> float:
    prob = _prob(outcome)
    eps = np.finfo(prob.dtype).eps
    of_truth = prob[np.arange(len(prob)), outcome.truth].astype(np.float64)
    return outcome.mean(-np.log(np.clip(of_truth, eps, 1 - eps)))


def _brier(outcome: Outcome) -> float:
    prob = _prob(outcome).astype(np.float64)
    squares = ((prob - np.eye(outcome.n_classes)[outcome.truth]) ** 2).sum(axis=1)
    # Two classes make the same error twice; counting it once is the usual score of that case.
    return outcome.mean(squares / 2 if outcome.n_classes == 2 else squares)


def _prob(outcome: Outcome) -> Array:
    if outcome.prob is None:
        raise DataError("this measure needs probabilities, and the prediction has none")
    return outcome.prob


def _errors(outcome: Outcome) -> Array:
    difference: Array = outcome.response - outcome.truth
    return difference


def _mse(outcome: Outcome) -> float:
    with np.errstate(over="ignore"):  # beyond float64 it is infinite
        return outcome.mean(_errors(outcome) ** 2)


def _rmse(outcome: Outcome) -> float:
    square, unit = _mean_square(_errors(outcome), outcome.weights)
    return float(np.mean(np.sqrt(square) * unit))


def _mean_square(x: Array, weights: Array) -> tuple[Array, Array]:
    """Of each column of ``[n, T]`` over its unit, the second array ``[T]``, by which no square overflows or vanishes."""
    # A power of two: it changes no digit.
    unit = np.ldexp(1.0, np.frexp(np.abs(x).max(axis=0))[1] - 1)
    return np.average((x / unit) ** 2, axis=0, weights=weights), unit


def _mae(outcome: Outcome) -> float:
    return outcome.mean(np.abs(_errors(outcome)))


def _bias(outcome: Outcome) -> float:
    return outcome.mean(_errors(outcome))


def _maxae(outcome: Outcome) -> float:
    return float(np.mean(np.abs(_errors(outcome)).max(axis=0)))


def _mape(outcome: Outcome) -> float:
    size = np.maximum(np.abs(outcome.truth), np.finfo(np.float64).eps)
    return outcome.mean(np.abs(_errors(outcome)) / size)


def _medae(outcome: Outcome) -> float:
    errors = np.abs(_errors(outcome))
    return float(np.mean([_median(column, outcome.weights) for column in errors.T]))


def _median(values: Array, weights: Array) -> float:
    """Weighted median: the mean of the lower and upper one where exactly half of the weight lies below."""
    keep = weights > 0
    order = np.argsort(values[keep], kind="stable")
    ordered, cumulated = values[keep][order], np.cumsum(weights[keep][order])
    half = cumulated[-1] / 2
    low = np.searchsorted(cumulated, half)
    high = low + 1 if cumulated[low] == half and low + 1 < len(ordered) else low
    return float((ordered[low] + ordered[high]) / 2)


def _r2(outcome: Outcome) -> float:
    if len(outcome.truth) < 2:
        return float("nan")
    center = np.average(outcome.truth, axis=0, weights=outcome.weights)
    residual, unit = _mean_square(_errors(outcome), outcome.weights)
    total, total_unit = _mean_square(outcome.truth - center, outcome.weights)
    # A constant truth: 1 where it is met exactly, else 0.
    explained = np.where(residual == 0, 1.0, 0.0)
    varies = total > 0
    with np.errstate(over="ignore"):
        explained[varies] = 1 - residual[varies] / total[varies] * (unit / total_unit)[varies] ** 2
    return float(np.mean(explained))


_Function: TypeAlias = Callable[[Outcome], float]


def _labels(
    name: str, function: _Function, summary: str, *, minimize: bool = False, low: float = 0, high: float = 1
) -> Measure:
    return Measure(
        name=name, task="classification", summary=summary, low=low, high=high, minimize=minimize,
        needs="labels", undefined="", function=function,
    )  # fmt: skip


def _probabilities(
    name: str, function: _Function, summary: str, *, minimize: bool, high: float, undefined: str = ""
) -> Measure:
    return Measure(
        name=name, task="classification", summary=summary, low=0, high=high, minimize=minimize,
        needs="prob", undefined=undefined, function=function,
    )  # fmt: skip


def _numbers(
    name: str,
    function: _Function,
    summary: str,
    *,
    minimize: bool | None = True,
    low: float = 0,
    high: float = np.inf,
    undefined: str = "",
) -> Measure:
    return Measure(
        name=name, task="regression", summary=summary, low=low, high=high, minimize=minimize,
        needs="numbers", undefined=undefined, function=function,
    )  # fmt: skip


_POSITIVE_OR_MEAN = "of the positive class; mean over the occurring classes where there are more than two"

_MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        _labels("acc", _acc, "share of rows with the right class"),
        _labels("ce", _ce, "share of rows with a wrong class", minimize=True),
        _labels("bacc", _bacc, "mean over the occurring classes of the share found (balanced accuracy)"),
        _probabilities(
            "auc",
            _auc,
            "area under the ROC curve, ties counting half; mean of one class against the rest where there are more than two",
            minimize=False,
            high=1,
            undefined="a class has no row, or all of them",
        ),
        _probabilities(
            "logloss",
            _logloss,
            "mean negative logarithm of the true class's probability, kept from 0 and 1 by the precision of its type",
            minimize=True,
            high=np.inf,
        ),
        _probabilities(
            "brier",
            _brier,
            "mean squared error of the probabilities, summed over classes (one of two counts)",
            minimize=True,
            high=2,
        ),
        _labels("f1", _f1, f"harmonic mean of precision and recall {_POSITIVE_OR_MEAN}"),
        _labels("precision", _precision, f"share of right ones among the predicted {_POSITIVE_OR_MEAN}"),
        _labels("recall", _recall, f"share found {_POSITIVE_OR_MEAN}"),
        _labels("mcc", _mcc, "correlation of truth and prediction (Matthews); 0 where either is constant", low=-1),
        _numbers("rmse", _rmse, "root of the mean squared error"),
        _numbers("mse", _mse, "mean squared error"),
        _numbers("mae", _mae, "mean absolute error"),
        _numbers("medae", _medae, "median absolute error"),
        _numbers("maxae", _maxae, "largest absolute error; weights do not matter"),
        _numbers("mape", _mape, "mean absolute error relative to the truth's size (0.1 is 10 %)"),
        _numbers("bias", _bias, "mean of prediction minus truth", minimize=None, low=-np.inf),
        _numbers(
            "r2",
            _r2,
            "share of the truth's variance that is explained; for a constant truth 1 if met exactly, else 0",
            minimize=False,
            low=-np.inf,
            high=1,
            undefined="there is one row",
        ),
    )
}
