"""Ranks of learners over tasks, and whether they differ at all: Friedman's test."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.statistics.result import Result, scipy_stats
from onnxlearn.statistics.scores import Array, Scores


@dataclass(frozen=True, kw_only=True, repr=False)
class Ranks(Result):
    """Ranks of the learners' mean scores, 1 the best, equal scores sharing the mean of their ranks.

    ``by_task`` ``[n_tasks][n_learners]``; ``mean`` ``[n_learners]``, over the tasks; ``n_best``: on how many tasks a learner
    was the best or one of them.
    """

    measure: str
    minimize: bool
    tasks: tuple[str, ...]
    learners: tuple[str, ...]
    by_task: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    n_best: tuple[int, ...]

    def headline(self) -> str:
        """The measure and how many tasks there are."""
        return f"Mean ranks by {self.measure} over {len(self.tasks)} tasks, 1 is the best"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each learner, the best first."""
        triples = zip(self.learners, self.mean, self.n_best, strict=True)
        rows = [{"learner": learner, "mean_rank": mean, "n_best": n} for learner, mean, n in triples]
        return sorted(rows, key=lambda row: row["mean_rank"])


def ranks(scores: Scores) -> Ranks:
    """Rank the learners on every task by their mean score, and average the ranks over the tasks.

    Scores that agree to 12 digits are equal. Demšar (2006), "Statistical comparisons of classifiers over multiple data
    sets", Journal of Machine Learning Research 7, section 3.2.2.

    Raises: DataError where a learner was not run on a task, or a score is NaN or infinite.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": ["a"] * 3 + ["b"] * 3, "learner": ["mlp", "linear", "tabm"] * 2,
    ...     "rmse": [3.0, 4.0, 3.0, 1.0, 2.0, 0.5]})
    >>> ranks(Scores.from_frame(frame, "rmse"))
    Mean ranks by rmse over 2 tasks, 1 is the best
    learner  mean_rank  n_best
       tabm       1.25       2
        mlp       1.75       1
     linear          3       0
    """
    table = scores.table()
    costs = table if scores.minimize else -table
    by_task = scipy_stats().rankdata(costs, axis=1)
    best = costs == costs.min(axis=1, keepdims=True)
    return Ranks(
        measure=scores.measure, minimize=scores.minimize, tasks=scores.tasks, learners=scores.learners,
        by_task=tuple(map(tuple, by_task.tolist())), mean=tuple(by_task.mean(axis=0).tolist()),
        n_best=tuple(best.sum(axis=0).tolist()),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class Friedman(Result):
    """What :func:`friedman` gives.

    ``statistic`` and ``p_value``: Friedman's, chi-squared with ``df`` degrees of freedom. ``f_statistic`` and
    ``f_p_value``: Iman and Davenport's, F with ``f_df``; infinite where the learners rank alike on all tasks, and the p value
    is then the exact one.
    """

    measure: str
    n_tasks: int
    n_learners: int
    statistic: float
    df: int
    p_value: float
    f_statistic: float
    f_df: tuple[int, int]
    f_p_value: float

    def headline(self) -> str:
        """What was compared."""
        return f"Friedman's test by {self.measure}: {self.n_learners} learners, {self.n_tasks} tasks"

    def rows(self) -> list[dict[str, Any]]:
        """Friedman's test, then Iman and Davenport's."""
        chi = {"test": "Friedman", "statistic": self.statistic, "df": str(self.df), "p_value": self.p_value}
        f = {"test": "Iman-Davenport", "statistic": self.f_statistic, "df": f"{self.f_df[0]}, {self.f_df[1]}"}
        return [chi, {**f, "p_value": self.f_p_value}]


def friedman(scores: Scores) -> Friedman:
    """Friedman's test of whether three learners or more differ in rank over two tasks or more.

    Friedman (1937), corrected for ties as :func:`scipy.stats.friedmanchisquare` does; Iman and Davenport (1980),
    "Approximations of the critical region of the Friedman statistic", which is less conservative and the one to read
    (Demšar 2006, section 3.2.2).

    Raises: DataError for fewer tasks or learners, for learners that are equal on all tasks, and as
    :func:`onnxlearn.statistics.ranks`.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": list("aaabbbcccddd"), "learner": ["mlp", "linear", "tabm"] * 4,
    ...     "rmse": [3, 4, 2, 1, 2, 0.5, 1, 3, 2, 5, 7, 6]})
    >>> friedman(Scores.from_frame(frame, "rmse"))
    Friedman's test by rmse: 3 learners, 4 tasks
              test  statistic   df  p_value
          Friedman          6    2  0.04979
    Iman-Davenport          9 2, 6  0.01562
    """
    table = scores.table()
    n, k = table.shape
    require_grid(n, k)
    by_task = np.array(ranks(scores).by_task)
    if (by_task == by_task[0, 0]).all():
        raise DataError(
            f"Friedman's test compares learners that differ; all {k} have the same {scores.measure} on each of the {n} tasks: "
            "take another measure or other learners"
        )
    found = scipy_stats().friedmanchisquare(*by_task.T)
    statistic = float(found.statistic)
    f, f_p = _iman_davenport(by_task, statistic)
    return Friedman(
        measure=scores.measure, n_tasks=n, n_learners=k, statistic=statistic, df=k - 1, p_value=float(found.pvalue),
        f_statistic=f, f_df=(k - 1, (k - 1) * (n - 1)), f_p_value=f_p,
    )  # fmt: skip


def require_grid(n_tasks: int, n_learners: int) -> None:
    """Raise ``DataError`` for fewer than two tasks or three learners."""
    if n_tasks < 2:
        raise DataError(
            "ranks are compared over two tasks or more, there is 1: add tasks, or compare two learners on this one with "
            "t_test or bayes_t_test"
        )
    if n_learners < 3:
        raise DataError(
            f"this compares three learners or more, there {'is 1' if n_learners == 1 else 'are 2'}: compare two with wilcoxon"
        )


def _iman_davenport(by_task: Array, statistic: float) -> tuple[float, float]:
    n, k = by_task.shape
    left = n * (k - 1) - statistic
    if (by_task == by_task[0]).all():
        # All tasks alike: one arrangement of the ranks in as many as there are, to which each task agrees by itself.
        arrangements = math.factorial(k) // math.prod(map(math.factorial, Counter(by_task[0].tolist()).values()))
        return math.inf, float(arrangements) ** (1 - n)
    f = (n - 1) * statistic / left
    return f, float(scipy_stats().f.sf(f, k - 1, (k - 1) * (n - 1)))
