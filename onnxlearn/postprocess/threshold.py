"""The decision threshold of two classes: from which probability on the positive one is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn import measures
from onnxlearn.measures import Measure, Outcome

Array = np.ndarray[Any, np.dtype[Any]]

MAX_CANDIDATES = 1000
# Probabilities that differ by less are equal: rounding must not part them.
DECIMALS = 6


def fit_threshold(probability: Array, is_positive: Array, weights: Array, measure: str) -> float:
    """The threshold in (0, 1) that makes a measure best on calibration rows; of equally good ones the nearest to 0.5.

    ``probability`` of the positive class and ``is_positive``, whether it is the true one, ``[n]``. At most 1,000
    thresholds are tried, spread evenly over the rows.
    """
    chosen = measures.get(measure)
    candidates = _candidates(np.round(np.asarray(probability, np.float64), DECIMALS))
    values = np.array([_value(chosen, probability >= candidate, is_positive, weights) for candidate in candidates])
    # Undefined is only kappa, where truth and prediction are one class throughout: nothing is better.
    values = np.nan_to_num(values, nan=chosen.high)
    best = values.min() if chosen.minimize else values.max()
    tied = candidates[np.isclose(values, best, rtol=1e-12, atol=1e-12)]
    return float(tied[np.abs(tied - 0.5).argmin()])


def _candidates(probability: Array) -> Array:
    """One number between any two neighbouring probabilities, 0 and 1 among them, and 0.5."""
    values = np.unique(np.r_[0.0, probability, 1.0])
    between = (values[:-1] + values[1:]) / 2
    if len(between) > MAX_CANDIDATES:
        between = between[np.linspace(0, len(between) - 1, MAX_CANDIDATES).round().astype(int)]
    return np.union1d(between, 0.5)


def _value(measure: Measure, predicted: Array, is_positive: Array, weights: Array) -> float:
    return measure(
        Outcome(
            truth=is_positive.astype(np.int64),
            response=predicted.astype(np.int64),
            prob=None,
            weights=weights,
            n_classes=2,
            positive=1,
        )
    )
