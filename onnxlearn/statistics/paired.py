"""Two learners on one task, split by split: the corrected resampled t-test and its Bayesian counterpart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.statistics.averages import standard_error, t_quantile
from onnxlearn.statistics.result import Result, scipy_stats
from onnxlearn.statistics.scores import Array, Cell, Scores, require_share


@dataclass(frozen=True, kw_only=True, repr=False)
class TTest(Result):
    """What :func:`t_test` gives.

    ``difference``: mean of ``first`` minus ``second`` in the measure's unit, over ``n`` iterations, with its corrected
    standard error ``se`` and its confidence interval ``lower`` to ``upper``. ``p_value`` is two-sided.
    """

    measure: str
    minimize: bool
    task: str
    first: str
    second: str
    n: int
    difference: float
    se: float
    lower: float
    upper: float
    confidence: float
    statistic: float
    df: int
    p_value: float

    def headline(self) -> str:
        """What was compared."""
        return f"Corrected resampled t-test of {self.measure} on {self.task}: {self.first} minus {self.second}"

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        left_out = ("measure", "minimize", "confidence")
        return [{name: value for name, value in self.to_dict().items() if name not in left_out}]


def t_test(scores: Scores, first: str, second: str, *, task: str | None = None, confidence: float = 0.95) -> TTest:
    """Corrected resampled t-test of whether two learners differ on a task, by default the only one.

    Nadeau and Bengio (2003), as in :func:`onnxlearn.statistics.means`, of the differences within each split. Bouckaert and
    Frank (2004), "Evaluating the replicability of significance tests for comparing learning algorithms", for repeated
    cross-validation.

    Raises: ParameterError, UnknownNameError; ColumnNotFoundError without ``n_train`` and ``n_test``; DataError where a score
    is NaN, the splits are not the same, there is one split only, or the differences do not vary.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": "iris", "learner": ["mlp"] * 4 + ["linear"] * 4, "iteration": [0, 1, 2, 3] * 2,
    ...     "acc": [0.9, 0.8, 0.9, 0.8, 0.7, 0.7, 0.8, 0.6], "n_train": 75, "n_test": 25})
    >>> result = t_test(Scores.from_frame(frame, "acc"), "mlp", "linear")
    >>> round(result.statistic, 3), round(result.p_value, 3)
    (3.402, 0.042)
    """
    require_share("confidence", confidence)
    name, one, other = scores.pair(first, second, task)
    differences = _differences(name, one, other)
    n, mean = len(differences), float(differences.mean())
    se = standard_error(differences, one.ratio())
    margin = se * t_quantile(n, confidence)
    return TTest(
        measure=scores.measure, minimize=scores.minimize, task=name, first=first, second=second, n=n,
        difference=mean, se=se, lower=mean - margin, upper=mean + margin, confidence=confidence,
        statistic=mean / se, df=n - 1, p_value=float(2 * scipy_stats().t.sf(abs(mean / se), n - 1)),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class Bayes(Result):
    """Three posterior probabilities, which sum to 1.

    ``first_better`` and ``second_better``: that it is better by more than ``rope``, the region of practical equivalence, in
    the measure's unit; ``equivalent``: that neither is. ``difference``: mean of ``first`` minus ``second`` over ``n``
    iterations of ``task``, or over n tasks, and then ``task`` is ``None``.
    """

    test: str
    measure: str
    minimize: bool
    task: str | None
    first: str
    second: str
    rope: float
    n: int
    difference: float
    first_better: float
    equivalent: float
    second_better: float

    def headline(self) -> str:
        """What was compared, and how."""
        where = f"{self.n} tasks" if self.task is None else self.task
        return f"Bayesian {self.test} of {self.measure} on {where}, equivalent within {self.rope:g}"

    def rows(self) -> list[dict[str, Any]]:
        """One row."""
        names = ("first", "second", "n", "difference", "first_better", "equivalent", "second_better")
        return [{name: getattr(self, name) for name in names}]


def bayes_t_test(scores: Scores, first: str, second: str, *, rope: float, task: str | None = None) -> Bayes:
    """Bayesian correlated t-test: how probably one learner is better on a task, by default the only one.

    Corani and Benavoli (2015), "A Bayesian approach for comparing cross-validated algorithms on multiple data sets", Machine
    Learning 100, section 2: the posterior of the difference is Student's with n - 1 degrees of freedom around the mean, its
    scale the corrected standard error of :func:`onnxlearn.statistics.means`. ``rope``, >= 0 and in the measure's unit: the
    difference up to which two learners are as good as each other; the authors take 0.01 for the accuracy.

    Raises: as :func:`onnxlearn.statistics.t_test`.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": "iris", "learner": ["mlp"] * 4 + ["linear"] * 4, "iteration": [0, 1, 2, 3] * 2,
    ...     "acc": [0.9, 0.8, 0.9, 0.8, 0.7, 0.7, 0.8, 0.6], "n_train": 75, "n_test": 25})
    >>> bayes_t_test(Scores.from_frame(frame, "acc"), "mlp", "linear", rope=0.01)
    Bayesian correlated t-test of acc on iris, equivalent within 0.01
    first second  n  difference  first_better  equivalent  second_better
      mlp linear  4        0.15        0.9749    0.007129        0.01802
    """
    require_rope(rope)
    name, one, other = scores.pair(first, second, task)
    differences = _differences(name, one, other)
    t = scipy_stats().t(len(differences) - 1, differences.mean(), standard_error(differences, one.ratio()))
    less, more = float(t.cdf(-rope)), float(t.sf(rope))
    better, worse = (less, more) if scores.minimize else (more, less)
    return Bayes(
        test="correlated t-test", measure=scores.measure, minimize=scores.minimize, task=name, first=first, second=second,
        rope=float(rope), n=len(differences), difference=float(differences.mean()),
        first_better=better, equivalent=max(0.0, 1 - less - more), second_better=worse,
    )  # fmt: skip


def require_rope(rope: float) -> None:
    """Raise ``ParameterError`` unless it is a finite number >= 0."""
    if isinstance(rope, bool) or not isinstance(rope, (int, float)) or not 0 <= rope < np.inf:
        raise ParameterError(f"rope is a finite number >= 0 in the measure's unit, got {rope!r}: rope=0.01")


def _differences(task: str, one: Cell, other: Cell) -> Array:
    """First minus second ``[J]``; J > 1, and they vary by more than rounding."""
    differences: Array = one.values - other.values
    if len(differences) < 2:
        raise DataError(
            f"a t-test needs two iterations or more, task {task!r} has {len(differences)}: resample with more folds or repeats"
        )
    size = max(np.abs(one.values).max(), np.abs(other.values).max())
    if np.ptp(differences) <= 8 * np.finfo(np.float64).eps * size:
        raise DataError(
            f"a t-test needs differences that vary between iterations; on task {task!r} all {len(differences)} are "
            f"{differences[0]:.6g}: report the difference as it is, or resample with other splits"
        )
    return differences
