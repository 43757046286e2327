"""Columns that tell something about the target, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def best_columns(x: Array, y: Array, weights: Array | None, k: int, *, classes: bool) -> Array:
    """Which ``k`` columns of ``x``, float ``[n, K]``, have the highest F statistic: bool ``[K]``; the first of equal ones.

    ``y``: float64 ``[n, T]``, of ``classes`` one column of zeros and ones each. As scikit-learn's ``SelectKBest`` with
    ``f_classif`` or ``f_regression``; of several targets a column's highest statistic counts.
    """
    weights = np.ones(len(x)) if weights is None or not weights.any() else weights
    weights = weights / weights[weights > 0].mean()
    scores = _scores(x.astype(np.float64), y, weights, classes=classes)
    kept = np.zeros(x.shape[1], bool)
    kept[np.argsort(-scores, kind="stable")[:k]] = True
    return kept


def _scores(x: Array, y: Array, weights: Array, *, classes: bool) -> Array:
    """F statistics, float64 ``[K]``; -1 for a column that is constant."""
    largest = np.abs(x).max(axis=0, initial=0.0)
    x = x / np.where(largest > 0, largest, 1.0)
    x = x - np.average(x, axis=0, weights=weights)
    total = weights @ x**2
    explained = _explained_by_classes(x, y, weights) if classes else _explained_by_numbers(x, y, weights)
    n_rows = np.count_nonzero(weights)
    between = (weights @ y > 0).sum() - 1 if classes else 1
    within = max(n_rows - between - 1, 1)
    constant = total <= n_rows * np.finfo(np.float64).eps ** 2
    rest = np.maximum(total - explained, 0.0)
    ratio = np.divide(explained * within, rest * max(between, 1), out=np.full(len(total), np.inf), where=rest > 0)
    return np.where(constant, -1.0, ratio)


def _explained_by_classes(x: Array, y: Array, weights: Array) -> Array:
    """The sum of squares between the means of classes."""
    rows = weights @ y
    sums = (weights[:, None] * y).T @ x
    return np.asarray((sums[rows > 0] ** 2 / rows[rows > 0, None]).sum(axis=0))


def _explained_by_numbers(x: Array, y: Array, weights: Array) -> Array:
    """The sum of squares that the straight line of the best target explains."""
    largest = np.abs(y).max(axis=0, initial=0.0)
    y = y / np.where(largest > 0, largest, 1.0)
    y = y - np.average(y, axis=0, weights=weights)
    squares = weights @ y**2
    products = (weights[:, None] * y).T @ x
    return np.asarray((products**2 / np.where(squares > 0, squares, np.inf)[:, None]).max(axis=0))
