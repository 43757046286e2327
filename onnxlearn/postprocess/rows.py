"""How much calibration rows count."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]


def counts(n_rows: int, weights: Array | None) -> Array:
    """What each row counts, float64 ``[n]``: 1 without weights.

    With weights the counts are in proportion to them and sum to the effective number of rows, ``sum(w)^2 / sum(w^2)``
    (Kish 1965, "Survey sampling", section 11.7). A new row, drawn by these weights, has the mean weight
    ``sum(w^2) / sum(w)``, so it counts 1 on this scale.

    Raises: DataError where no row has a positive weight.

    >>> counts(3, np.array([2.0, 2.0, 0.0]))
    array([1., 1., 0.])
    """
    given = np.ones(n_rows) if weights is None else np.asarray(weights, np.float64)
    largest = given.max(initial=0.0)
    if not largest > 0:
        raise DataError(f"the weights of the {n_rows} calibration rows sum to 0: at least one has to be positive")
    relative = given / largest
    return np.asarray(relative * (relative.sum() / (relative**2).sum()))
