"""How much calibration rows count."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]


def counts(n_rows: int, weights: Array | None, groups: Array | None = None) -> Array:
    """What each row counts, float64 ``[n]``: 1 without weights and groups.

    With weights the counts are in proportion to them and sum to the effective number of rows, ``sum(w)^2 / sum(w^2)``
    (Kish 1965, "Survey sampling", section 11.7). A new row, drawn by these weights, has the mean weight
    ``sum(w^2) / sum(w)``, so it counts 1 on this scale.

    With ``groups``, int64 ``[n]``, each group counts as a row of its rows' mean weight, which they share (Lee, Barber and
    Willett 2023, "Distribution-free inference with hierarchical data"): rows of a group resemble each other, and a new row is
    one of a new group.

    Raises: DataError where no row has a positive weight.

    >>> counts(3, np.array([2.0, 2.0, 0.0]))
    array([1., 1., 0.])
    >>> counts(3, None, np.array([0, 0, 1]))
    array([0.5, 0.5, 1. ])
    """
    given = np.ones(n_rows) if weights is None else np.asarray(weights, np.float64)
    largest = given.max(initial=0.0)
    if not largest > 0:
        raise DataError(f"the weights of the {n_rows} calibration rows sum to 0: at least one has to be positive")
    relative = given / largest
    if groups is None:
        return _effective(relative)
    group = np.unique(groups, return_inverse=True)[1].reshape(-1)
    total, n_in_group = np.bincount(group, relative), np.bincount(group, relative > 0)
    some = total > 0
    of_group = np.zeros(len(total))
    of_group[some] = _effective(total[some] / n_in_group[some])
    return np.asarray(of_group[group] * relative / np.where(some, total, 1.0)[group])


def _effective(relative: Array) -> Array:
    """Weights, the largest about 1, scaled to sum to the effective number of rows."""
    return np.asarray(relative * (relative.sum() / (relative**2).sum()))
