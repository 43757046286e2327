"""Measures of predicted numbers; definitions as in scikit-learn unless said. Several targets: the mean over them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from onnxlearn.measures.base import Function, Measure, RowFunction, require_number, rowwise
from onnxlearn.measures.outcome import Array, Outcome


def _errors(outcome: Outcome) -> Array:
    difference: Array = outcome.response - outcome.truth
    return difference


def _absolute(outcome: Outcome) -> Array:
    return np.abs(_errors(outcome))


def _squared(outcome: Outcome) -> Array:
    with np.errstate(over="ignore"):  # beyond float64 it is infinite
        return np.asarray(_errors(outcome) ** 2)


def _rmse(outcome: Outcome) -> float:
    return _root_mean_square(_errors(outcome), outcome.weights)


def _root_mean_square(x: Array, weights: Array) -> float:
    square, unit = _mean_square(x, weights)
    return float(np.mean(np.sqrt(square) * unit))


def _mean_square(x: Array, weights: Array) -> tuple[Array, Array]:
    """Of each column of ``[n, T]`` over its unit, the second array ``[T]``, by which no square overflows or vanishes."""
    # A power of two: it changes no digit.
    unit = np.ldexp(1.0, np.frexp(np.abs(x).max(axis=0))[1] - 1)
    return np.average((x / unit) ** 2, axis=0, weights=weights), unit


def _total(values: RowFunction, outcome: Outcome) -> float:
    return float(np.mean(outcome.weights @ values(outcome)))


def _median_of(values: RowFunction, outcome: Outcome) -> float:
    return float(np.mean([_median(column, outcome.weights) for column in values(outcome).T]))


def _median(values: Array, weights: Array) -> float:
    """Weighted median: the mean of the lower and upper one where exactly half of the weight lies below."""
    keep = weights > 0
    order = np.argsort(values[keep], kind="stable")
    ordered, cumulated = values[keep][order], np.cumsum(weights[keep][order])
    half = cumulated[-1] / 2
    low = np.searchsorted(cumulated, half)
    high = low + 1 if cumulated[low] == half and low + 1 < len(ordered) else low
    return float((ordered[low] + ordered[high]) / 2)


def _maxae(outcome: Outcome) -> float:
    return float(np.mean(_absolute(outcome).max(axis=0)))


def _size(outcome: Outcome) -> Array:
    return np.maximum(np.abs(outcome.truth), np.finfo(np.float64).eps)


def _ape(outcome: Outcome) -> Array:
    return _absolute(outcome) / _size(outcome)


def _percentage_errors(outcome: Outcome) -> Array:
    return _errors(outcome) / _size(outcome)


def _sape(outcome: Outcome) -> Array:
    size = (np.abs(outcome.truth) + np.abs(outcome.response)) / 2
    return np.divide(_absolute(outcome), size, out=np.zeros(size.shape), where=size > 0)


def _log_errors(outcome: Outcome) -> Array:
    truth, response = (np.where(x > -1, x, np.nan) for x in (outcome.truth, outcome.response))
    return np.asarray(np.log1p(response) - np.log1p(truth))


def _sle(outcome: Outcome) -> Array:
    return _log_errors(outcome) ** 2


def _rmsle(outcome: Outcome) -> float:
    return float(np.mean(np.sqrt(np.average(_sle(outcome), axis=0, weights=outcome.weights))))


def _r2(outcome: Outcome) -> float:
    return _explained(outcome, _errors(outcome))


def _explained_variance(outcome: Outcome) -> float:
    errors = _errors(outcome)
    return _explained(outcome, errors - np.average(errors, axis=0, weights=outcome.weights))


def _explained(outcome: Outcome, residuals: Array) -> float:
    if len(outcome.truth) < 2:
        return float("nan")
    center = np.average(outcome.truth, axis=0, weights=outcome.weights)
    residual, unit = _mean_square(residuals, outcome.weights)
    total, total_unit = _mean_square(outcome.truth - center, outcome.weights)
    # A constant truth: 1 where it is met exactly, else 0.
    explained = np.where(residual == 0, 1.0, 0.0)
    varies = total > 0
    with np.errstate(over="ignore"):
        explained[varies] = 1 - residual[varies] / total[varies] * (unit / total_unit)[varies] ** 2
    return float(np.mean(explained))


def pinball_loss(truth: Array, quantile: Array, level: float | Array) -> Array:
    """Loss of a predicted quantile of this level, of the arrays' common shape (Koenker and Bassett 1978).

    >>> pinball_loss(np.array([1.0, 3.0]), np.array([2.0, 2.0]), 0.9)
    array([0.1, 0.9])
    """
    above = truth - quantile
    return np.asarray(np.maximum(level * above, (level - 1) * above))


def _rqr(level: float, outcome: Outcome) -> float:
    if len(outcome.truth) < 2:
        return float("nan")
    best = np.array([_quantile(column, outcome.weights, level) for column in outcome.truth.T])
    loss, constant = (
        np.average(pinball_loss(outcome.truth, quantile, level), axis=0, weights=outcome.weights)
        for quantile in (outcome.response, best)
    )
    explained = np.where(loss == 0, 1.0, 0.0)
    explained[constant > 0] = 1 - (loss / np.where(constant > 0, constant, 1.0))[constant > 0]
    return float(np.mean(explained))


def _quantile(values: Array, weights: Array, level: float) -> float:
    """A constant with the least pinball loss: the least value that enough of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, level * cumulated[-1])])


def _deviance(power: float, outcome: Outcome) -> Array:
    """Unit deviances of Tweedie's family, ``nan`` where a value lies outside of it (Jørgensen 1987)."""
    if power == 0:
        return _squared(outcome)
    y, mu = outcome.truth, outcome.response
    inside = (mu > 0) & ((power < 0) | (y > 0) | ((y == 0) & (power < 2)))
    y, mu = np.where(inside, y, 1.0), np.where(inside, mu, 1.0)
    if power == 1:
        deviance = y * np.log(np.where(y > 0, y, 1.0) / mu) - y + mu
    elif power == 2:
        deviance = np.log(mu / y) + y / mu - 1
    else:
        deviance = (
            np.maximum(y, 0.0) ** (2 - power) / ((1 - power) * (2 - power))
            - y * mu ** (1 - power) / (1 - power)
            + mu ** (2 - power) / (2 - power)
        )
    return np.where(inside, 2 * deviance, np.nan)


_facts: dict[str, Any] = {"task": "regression", "needs": "numbers"}
_ONE_ROW = "there is one row"
_OUTSIDE = "a prediction is not above 0, or a truth is not in the distribution's range"


def _number(name: str, function: Function, summary: str, **more: Any) -> Measure:
    given = {"low": 0, "high": np.inf, "minimize": True, **more}
    return Measure(name=name, function=function, summary=summary, **_facts, **given)


def _mean(name: str, values: RowFunction, summary: str, **more: Any) -> Measure:
    given = {"low": 0, "high": np.inf, "minimize": True, **more}
    return rowwise(values, name=name, summary=summary, **_facts, **given)


def _is_power(value: float) -> bool:
    return bool(np.isfinite(value)) and not 0 < value < 1


def tweedie(power: float) -> Measure:
    """Mean deviance of Tweedie's family: power 0 squared errors, 1 Poisson, 2 gamma, 3 inverse Gaussian.

    Known as ``tweedie_1.5`` by name.

    Raises: ParameterError for a power between 0 and 1, of which there is no distribution.

    >>> tweedie(1.5).name
    'tweedie_1.5'
    """
    require_number("power", power, _is_power, "a number that is not between 0 and 1", "tweedie(1.5)")
    return _mean(
        f"tweedie_{power:g}",
        partial(_deviance, power),
        f"mean deviance of Tweedie's family of power {power:g}",
        undefined=_OUTSIDE,
    )


def rqr(level: float = 0.5) -> Measure:
    """Share by which the pinball loss of the prediction, taken for the quantile of this level, is less than a constant's.

    The constant is the best for the rows to score, as in :func:`pinball_loss`'s R2 of Koenker and Machado (1999), Journal of
    the American Statistical Association 94, 1296-1310. Known as ``rqr_0.9`` by name.

    Raises: ParameterError where the level is not between 0 and 1.

    >>> rqr(0.9).name
    'rqr_0.9'
    """
    require_level("level", level, "rqr(0.9)")
    name = "rqr" if level == 0.5 else f"rqr_{level:g}"
    summary = f"share by which the pinball loss at level {level:g} is less than that of the best constant"
    return _number(name, partial(_rqr, level), summary, low=-np.inf, high=1, minimize=False, undefined=_ONE_ROW)


def require_level(what: str, level: Any, example: str) -> None:
    """Raise ``ParameterError`` where this is not a number between 0 and 1."""
    require_number(what, level, lambda value: 0 < value < 1, "a number between 0 and 1", example)


_R2 = "share of the truth's variance that is explained; for a constant truth 1 if met exactly, else 0"
_SHARE: dict[str, Any] = {"minimize": False, "low": -np.inf, "high": 1, "undefined": _ONE_ROW}
_LOG: dict[str, Any] = {"undefined": "a truth or a prediction is -1 or less"}
_EITHER: dict[str, Any] = {"minimize": None, "low": -np.inf}

MEASURES: tuple[Measure, ...] = (
    _number("rmse", _rmse, "root of the mean squared error"),
    _mean("mse", _squared, "mean squared error"),
    _mean("mae", _absolute, "mean absolute error"),
    _number("medae", partial(_median_of, _absolute), "median absolute error"),
    _number("medse", partial(_median_of, _squared), "median squared error"),
    _number("maxae", _maxae, "largest absolute error; weights do not matter", weighted=False),
    _number("sse", partial(_total, _squared), "sum of squared errors"),
    _number("sae", partial(_total, _absolute), "sum of absolute errors"),
    _mean("mape", _ape, "mean absolute error relative to the truth's size (0.1 is 10 %)"),
    _mean("smape", _sape, "mean absolute error relative to the mean size of truth and prediction; 0 where both are 0", high=2),
    _mean("msle", _sle, "mean squared error of log(1 + value)", **_LOG),
    _number("rmsle", _rmsle, "root of the mean squared error of log(1 + value)", **_LOG),
    _mean("bias", _errors, "mean of prediction minus truth", **_EITHER),
    _mean("pbias", _percentage_errors, "mean of prediction minus truth, relative to the truth's size (0.1 is 10 %)", **_EITHER),
    _number("r2", _r2, _R2, **_SHARE),
    _number("rsq", _r2, "same as r2", **_SHARE),
    _number("explained_variance", _explained_variance, "as r2, but a constant error does not count", **_SHARE),
    rqr(),
    _mean("poisson_deviance", partial(_deviance, 1), "mean deviance of a Poisson distribution", undefined=_OUTSIDE),
    _mean("gamma_deviance", partial(_deviance, 2), "mean deviance of a gamma distribution", undefined=_OUTSIDE),
)
