"""Measures of predicted quantiles and of normal distributions."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, MissingExtraError, listing
from onnxlearn.measures.base import Function, Measure, RowFunction, rowwise
from onnxlearn.measures.outcome import Array, Outcome
from onnxlearn.measures.regression import pinball_loss, require_level


def _losses(outcome: Outcome) -> Array:
    """Pinball loss of every quantile, ``[N, T, Q]``."""
    assert outcome.quantiles is not None
    return pinball_loss(outcome.truth[..., None], outcome.quantiles, np.array(outcome.levels))


def _mean_pinball(outcome: Outcome) -> Array:
    return np.asarray(_losses(outcome).mean(axis=-1))


def _pinball(level: float, outcome: Outcome) -> Array:
    near = np.isclose(outcome.levels, level, rtol=0, atol=1e-9)
    if not near.any():
        there = listing(f"{known:g}" for known in outcome.levels)
        raise DataError(
            f"the prediction has no quantile of level {level:g}, it has those of {there}: score one of them, or train with "
            "quantiles="
        )
    return np.asarray(_losses(outcome)[..., int(near.argmax())])


def _crps(outcome: Outcome) -> Array:
    # The score is twice the integral of the pinball loss over all levels: each predicted one stands for those nearest to it.
    levels = np.array(outcome.levels)
    edges = np.r_[0.0, (levels[1:] + levels[:-1]) / 2, 1.0]
    return np.asarray(2 * _losses(outcome) @ np.diff(edges))


def _qce(outcome: Outcome) -> float:
    assert outcome.quantiles is not None
    below = np.average(outcome.truth[..., None] <= outcome.quantiles, axis=0, weights=outcome.weights)
    return float(np.abs(below - np.array(outcome.levels)).mean())


def _std(outcome: Outcome) -> Array:
    """Standard deviations, ``nan`` where they are 0 and there is no density."""
    assert outcome.std is not None
    return np.where(outcome.std > 0, outcome.std, np.nan)


def _nll(outcome: Outcome) -> Array:
    std = _std(outcome)
    z = (outcome.truth - outcome.response) / std
    return np.asarray(z**2 / 2 + np.log(std) + math.log(2 * math.pi) / 2)


def _crps_normal(outcome: Outcome) -> Array:
    try:
        from scipy.special import ndtr
    except ImportError as error:
        raise MissingExtraError.of("scikit-learn", "eval", "measure 'crps_normal'") from error
    std = _std(outcome)
    z = (outcome.truth - outcome.response) / std
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


_facts: dict[str, Any] = {"task": "regression", "minimize": True, "high": np.inf}


def _quantiles(name: str, values: RowFunction, summary: str) -> Measure:
    return rowwise(values, name=name, summary=summary, needs="quantiles", low=0, **_facts)


def pinball(level: float) -> Measure:
    """Pinball loss of the predicted quantile of this level (Koenker and Bassett 1978); known as ``pinball_0.9`` by name.

    Raises: ParameterError where the level is not between 0 and 1; DataError, when scoring, where it is not predicted.

    >>> pinball(0.9).name
    'pinball_0.9'
    """
    require_level("level", level, "pinball(0.9)")
    return _quantiles(f"pinball_{level:g}", partial(_pinball, level), f"mean pinball loss of the quantile of level {level:g}")


def _normal(name: str, values: RowFunction, summary: str, low: float) -> Measure:
    undefined = "a standard deviation is 0"
    return rowwise(values, name=name, summary=summary, needs="std", low=low, undefined=undefined, **_facts)


def _whole(name: str, function: Function, summary: str) -> Measure:
    return Measure(name=name, function=function, summary=summary, needs="quantiles", low=0, **{**_facts, "high": 1})


# Both scores: Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", sections 4.1, 4.2, 6.1.
MEASURES: tuple[Measure, ...] = (
    _quantiles("pinball", _mean_pinball, "mean pinball loss of all predicted quantiles; pinball_0.9 is that of one"),
    _quantiles("crps", _crps, "continuous ranked probability score, as far as the predicted quantiles tell"),
    _whole("qce", _qce, "mean distance of the quantiles' levels and the shares of the truth up to them (calibration error)"),
    _normal("crps_normal", _crps_normal, "continuous ranked probability score of the normal distribution", 0),
    _normal("nll", _nll, "mean negative logarithm of the normal distribution's density", -np.inf),
)
