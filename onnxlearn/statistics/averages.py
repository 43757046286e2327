"""Means over the iterations of a resampling, with standard errors that know that the training sets overlap."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from onnxlearn.statistics.result import Result, scipy_stats
from onnxlearn.statistics.scores import Array, Cell, Scores, require_share


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Mean score of one learner on one task.

    ``n``: iterations, of which ``n_undefined`` scores are NaN or infinite; all numbers are NaN if any is. ``std``: standard
    deviation of the scores; ``se``: corrected standard error of the mean; ``lower`` and ``upper``: the confidence interval,
    which may exceed the measure's range. These four are NaN for one iteration.
    """

    task: str
    learner: str
    n: int
    n_undefined: int
    mean: float
    std: float
    se: float
    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Means(Result):
    """What :func:`means` gives: one :class:`Mean` for each task and learner."""

    measure: str
    minimize: bool
    confidence: float
    means: tuple[Mean, ...]

    def headline(self) -> str:
        """The measure, its direction and the confidence."""
        better = "less" if self.minimize else "more"
        return f"Mean {self.measure} ({better} is better), corrected standard errors, {self.confidence:.0%} intervals"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each task and learner."""
        return [asdict(mean) for mean in self.means]


def means(scores: Scores, *, confidence: float = 0.95) -> Means:
    """Mean, corrected standard error and confidence interval of every learner on every task.

    Nadeau and Bengio (2003), "Inference for the generalization error", Machine Learning 52, section 5: the scores of J
    random splits are not independent, and their variance counts ``1 / J + n_test / n_train`` times instead of ``1 / J``. The
    interval is Student's with J - 1 degrees of freedom. Bouckaert and Frank (2004) take the same for repeated
    cross-validation. Failed runs are counted, not left out: their cell's numbers are NaN.

    Raises: ColumnNotFoundError without ``n_train`` and ``n_test``; ParameterError.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": "iris", "learner": "mlp", "iteration": range(5), "acc": [0.9, 1.0, 0.8, 0.9, 0.9]})
    >>> means(Scores.from_frame(frame.assign(n_train=120, n_test=30), "acc"))
    Mean acc (more is better), corrected standard errors, 95% intervals
    task learner  n  n_undefined  mean     std      se  lower  upper
    iris     mlp  5            0   0.9 0.07071 0.04743 0.7683  1.032
    """
    require_share("confidence", confidence)
    rows = tuple(_mean(task, learner, cell, confidence) for (task, learner), cell in scores.cells.items())
    return Means(measure=scores.measure, minimize=scores.minimize, confidence=confidence, means=rows)


def _mean(task: str, learner: str, cell: Cell, confidence: float) -> Mean:
    n = len(cell.values)
    mean = std = se = margin = math.nan
    if not cell.n_undefined:
        mean = float(cell.values.mean())
        if n > 1:
            std = float(cell.values.std(ddof=1))
            se = standard_error(cell.values, cell.ratio())
            margin = se * t_quantile(n, confidence)
    return Mean(
        task=task, learner=learner, n=n, n_undefined=cell.n_undefined,
        mean=mean, std=std, se=se, lower=mean - margin, upper=mean + margin,
    )  # fmt: skip


def standard_error(values: Array, ratio: float) -> float:
    """Corrected standard error of the mean of ``[J]`` values, J > 1, by splits with ``ratio`` test rows per training row.

    >>> import numpy as np
    >>> round(standard_error(np.array([0.9, 1.0, 0.8, 0.9, 0.9]), 30 / 120) ** 2, 12) == round(0.005 * (1 / 5 + 1 / 4), 12)
    True
    """
    return math.sqrt((1 / len(values) + ratio) * float(values.var(ddof=1)))


def t_quantile(n: int, confidence: float) -> float:
    """Half the width, in standard errors, of an interval of this confidence for a mean of n > 1 values."""
    return float(scipy_stats().t.ppf((1 + confidence) / 2, n - 1))
