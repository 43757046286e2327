"""Measures of predicted intervals and sets of classes: whether they hold the truth, and how large they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from onnxlearn.measures.base import Measure, RowFunction, rowwise
from onnxlearn.measures.outcome import Array, Outcome
from onnxlearn.measures.regression import require_level

COVERAGE = 0.9


def _ends(outcome: Outcome) -> tuple[Array, Array]:
    assert outcome.lower is not None
    assert outcome.upper is not None
    return outcome.lower, outcome.upper


def _coverage(outcome: Outcome) -> Array:
    lower, upper = _ends(outcome)
    return np.asarray((lower <= outcome.truth) & (outcome.truth <= upper))


def _width(outcome: Outcome) -> Array:
    lower, upper = _ends(outcome)
    return upper - lower


def _winkler(coverage: float, outcome: Outcome) -> Array:
    lower, upper = _ends(outcome)
    outside = np.maximum(lower - outcome.truth, 0.0) + np.maximum(outcome.truth - upper, 0.0)
    return np.asarray(upper - lower + 2 / (1 - coverage) * outside)


def _sets(outcome: Outcome) -> Array:
    assert outcome.sets is not None
    return outcome.sets


def _set_coverage(outcome: Outcome) -> Array:
    return np.asarray(_sets(outcome)[np.arange(len(outcome.truth)), outcome.truth])


def _set_size(outcome: Outcome) -> Array:
    return np.asarray(_sets(outcome).sum(axis=1))


def _interval(name: str, values: RowFunction, summary: str, **more: Any) -> Measure:
    return rowwise(values, name=name, summary=summary, task="regression", needs="intervals", low=0, **more)


def _set(name: str, values: RowFunction, summary: str, **more: Any) -> Measure:
    return rowwise(values, name=name, summary=summary, task="classification", needs="sets", low=0, **more)


def winkler(coverage: float = COVERAGE) -> Measure:
    """The interval score for intervals of this coverage: their width, and what the truth lies outside, at a price.

    Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", section 6.2; Winkler (1972).
    Least on average for the quantiles that leave half of ``1 - coverage`` out on either side. Known as ``winkler_0.8`` by name,
    ``winkler`` for 0.9.

    Raises: ParameterError where the coverage is not between 0 and 1.

    >>> winkler(0.8).name
    'winkler_0.8'
    """
    require_level("coverage", coverage, "winkler(0.8)")
    name = "winkler" if coverage == COVERAGE else f"winkler_{coverage:g}"
    summary = (
        f"interval score: width, and {2 / (1 - coverage):g} times how far the truth is outside; for a coverage of {coverage:g}"
    )
    return _interval(name, partial(_winkler, coverage), summary, high=np.inf, minimize=True)


MEASURES: tuple[Measure, ...] = (
    _interval(
        "coverage", _coverage, "share of rows whose interval holds the truth; compare it with the one asked for",
        high=1, minimize=False,
    ),
    _interval("width", _width, "mean width of the intervals", high=np.inf, minimize=True),
    winkler(),
    _set(
        "set_coverage", _set_coverage, "share of rows whose set holds the true class; compare it with the one asked for",
        high=1, minimize=False,
    ),
    _set("set_size", _set_size, "mean number of classes in a set", high=np.inf, minimize=True),
)  # fmt: skip
