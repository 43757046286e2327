"""Which learners differ in rank, once Friedman's test says that some do: Nemenyi and Bonferroni-Dunn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from onnxlearn.statistics.ranking import ranks, require_grid
from onnxlearn.statistics.result import Result, scipy_stats
from onnxlearn.statistics.scores import Scores, require_share


@dataclass(frozen=True, kw_only=True)
class RankPair:
    """Two learners: mean rank of ``first`` minus that of ``second``, the p value, and whether they differ."""

    first: str
    second: str
    difference: float
    p_value: float
    differ: bool


@dataclass(frozen=True, kw_only=True, repr=False)
class Posthoc(Result):
    """Comparisons of mean ranks.

    ``learners``, the best first, with their ``mean_ranks``. Two differ at the level ``alpha`` if their mean ranks are
    ``critical_difference`` or more apart. ``pairs``: all of them, or those with ``control`` where there is one, with p
    values that are adjusted for their number.
    """

    test: Literal["Nemenyi", "Bonferroni-Dunn"]
    measure: str
    alpha: float
    n_tasks: int
    learners: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    critical_difference: float
    control: str | None
    pairs: tuple[RankPair, ...]

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Learners that do not differ: what a critical-difference diagram joins by a bar.

        Nemenyi: the largest runs of two or more of which the first and the last do not differ. With a control: the control
        and those that do not differ from it.
        """
        if self.control is not None:
            same = {self.control, *(pair.second for pair in self.pairs if not pair.differ)}
            group = tuple(learner for learner in self.learners if learner in same)
            return (group,) if len(group) > 1 else ()
        runs = [self._run(start) for start in range(len(self.learners))]
        # A run that ends where the one before it ends lies within it.
        largest = [run for before, run in zip([(0, 0), *runs], runs, strict=False) if run[1] > before[1]]
        return tuple(self.learners[start:end] for start, end in largest if end - start > 1)

    def _run(self, start: int) -> tuple[int, int]:
        near = [mean - self.mean_ranks[start] < self.critical_difference for mean in self.mean_ranks[start:]]
        return start, start + sum(near)

    def headline(self) -> str:
        """The test, its level and the critical difference."""
        return (
            f"{self.test} test of mean ranks by {self.measure} over {self.n_tasks} tasks: critical difference "
            f"{self.critical_difference:.4g} at {self.alpha:g}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row for each pair."""
        return [asdict(pair) for pair in self.pairs]


def nemenyi(scores: Scores, *, alpha: float = 0.05) -> Posthoc:
    """Nemenyi's test: compare all learners with each other by their mean ranks.

    Nemenyi (1963), as in Demšar (2006), section 3.2.2: critical values of the studentized range with infinite degrees of
    freedom, divided by the root of 2.

    Raises: as :func:`onnxlearn.statistics.friedman`, though not for learners that are all equal; ParameterError.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": list("aaabbbcccddd"), "learner": ["mlp", "linear", "tabm"] * 4,
    ...     "rmse": [3, 4, 2, 1, 2, 0.5, 1, 3, 2, 5, 7, 6]})
    >>> result = nemenyi(Scores.from_frame(frame, "rmse"))
    >>> result
    Nemenyi test of mean ranks by rmse over 4 tasks: critical difference 1.657 at 0.05
    first second  difference  p_value  differ
      mlp   tabm           0        1   False
      mlp linear        -1.5  0.08554   False
     tabm linear        -1.5  0.08554   False
    >>> result.groups
    (('mlp', 'tabm', 'linear'),)
    """
    require_share("alpha", alpha)
    spread = scipy_stats().studentized_range

    def p_value(z: float, k: int) -> float:
        # Its integral ends a hair from 1 where the ranks are equal.
        return float(min(1.0, spread.sf(z * math.sqrt(2), k, np.inf))) if z else 1.0

    return _compare(
        scores, "Nemenyi", alpha, None,
        critical=lambda k: float(spread.ppf(1 - alpha, k, np.inf)) / math.sqrt(2), p_value=p_value,
    )  # fmt: skip


def bonferroni_dunn(scores: Scores, control: str, *, alpha: float = 0.05) -> Posthoc:
    """Bonferroni and Dunn's test: compare every learner with a control, e.g. the baseline, by their mean ranks.

    Dunn (1961), as in Demšar (2006), section 3.2.2: normal critical values at ``alpha / (k - 1)`` for k - 1 comparisons,
    and p values times k - 1. It finds more than :func:`nemenyi`, which compares all with all.

    Raises: as :func:`nemenyi`; UnknownNameError for the control.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": list("aaabbbcccddd"), "learner": ["mlp", "linear", "tabm"] * 4,
    ...     "rmse": [3, 4, 2, 1, 2, 0.5, 1, 3, 2, 5, 7, 6]})
    >>> bonferroni_dunn(Scores.from_frame(frame, "rmse"), "linear")
    Bonferroni-Dunn test of mean ranks by rmse over 4 tasks: critical difference 1.585 at 0.05
     first second  difference  p_value  differ
    linear    mlp         1.5  0.06779   False
    linear   tabm         1.5  0.06779   False
    """
    require_share("alpha", alpha)
    scores.known("learner", control)
    normal = scipy_stats().norm
    return _compare(
        scores, "Bonferroni-Dunn", alpha, control,
        critical=lambda k: float(normal.isf(alpha / (2 * (k - 1)))),
        p_value=lambda z, k: min(1.0, float(2 * (k - 1) * normal.sf(z))),
    )  # fmt: skip


def _compare(
    scores: Scores,
    test: Literal["Nemenyi", "Bonferroni-Dunn"],
    alpha: float,
    control: str | None,
    *,
    critical: Callable[[int], float],
    p_value: Callable[[float, int], float],
) -> Posthoc:
    """Compare mean ranks by a normal approximation; ``critical`` and ``p_value`` are of their difference in its errors."""
    n, k = len(scores.tasks), len(scores.learners)
    require_grid(n, k)
    found = ranks(scores)
    error = math.sqrt(k * (k + 1) / (6 * n))
    limit = critical(k) * error
    mean = dict(sorted(zip(found.learners, found.mean, strict=True), key=lambda pair: pair[1]))

    def pair(first: str, second: str) -> RankPair:
        difference = mean[first] - mean[second]
        p = p_value(abs(difference) / error, k)
        return RankPair(first=first, second=second, difference=difference, p_value=p, differ=abs(difference) >= limit)

    compared = itertools.combinations(mean, 2) if control is None else [(control, other) for other in mean if other != control]
    return Posthoc(
        test=test, measure=scores.measure, alpha=alpha, n_tasks=n, learners=tuple(mean), mean_ranks=tuple(mean.values()),
        critical_difference=limit, control=control, pairs=tuple(pair(*names) for names in compared),
    )  # fmt: skip
