"""Two learners over several tasks: Wilcoxon's signed-rank test and its Bayesian counterpart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.statistics.paired import Bayes, require_rope
from onnxlearn.statistics.result import Result, scipy_stats
from onnxlearn.statistics.scores import Array, Scores, require_two, settled

# Rows of random weights at a time: [SLICE, n_tasks + 1] float64.
SLICE = 4096


@dataclass(frozen=True, kw_only=True)
class SignedRank:
    """Two learners over the tasks.

    ``wins``, ``ties`` and ``losses`` of ``first`` sum to the number of tasks; ``median``: of ``first`` minus ``second``, in
    the measure's unit; ``statistic``: the smaller sum of ranks; ``p_value`` two-sided, and ``p_holm`` adjusted for the
    number of pairs.
    """

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    median: float
    statistic: float
    p_value: float
    p_holm: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Wilcoxon(Result):
    """What :func:`wilcoxon` gives: one :class:`SignedRank` for each pair of learners, or each with ``control``."""

    measure: str
    minimize: bool
    n_tasks: int
    control: str | None
    pairs: tuple[SignedRank, ...]

    def headline(self) -> str:
        """What was compared."""
        return f"Wilcoxon signed-rank tests by {self.measure} over {self.n_tasks} tasks, Holm's adjustment"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each pair."""
        return [asdict(pair) for pair in self.pairs]


def wilcoxon(scores: Scores, *, control: str | None = None) -> Wilcoxon:
    """Wilcoxon signed-rank tests of all pairs of learners over the tasks, or of each with a control.

    Wilcoxon (1945) by :func:`scipy.stats.wilcoxon`, ties between learners counting half for either (Demšar 2006, section
    3.1.3); adjusted as in Holm (1979), "A simple sequentially rejective multiple test procedure". Differences are ranked
    by size across tasks, so their unit has to mean the same on each: mind measures such as ``rmse``. With fewer than six
    tasks no p value is below 0.05.

    Raises: DataError for fewer than two tasks or learners, for two learners that are equal on all tasks, and as
    :func:`onnxlearn.statistics.ranks`; UnknownNameError for the control.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": list("aabbccddeeff"), "learner": ["mlp", "linear"] * 6,
    ...     "acc": [0.9, 0.8, 0.7, 0.68, 0.95, 0.92, 0.81, 0.8, 0.6, 0.55, 0.77, 0.73]})
    >>> wilcoxon(Scores.from_frame(frame, "acc"))
    Wilcoxon signed-rank tests by acc over 6 tasks, Holm's adjustment
    first second  wins  ties  losses  median  statistic  p_value  p_holm
      mlp linear     6     0       0   0.035          0  0.03125 0.03125
    """
    names = _pairs(scores, control)
    tested = [_signed_rank(scores, *pair) for pair in names]
    adjusted = holm([pair.p_value for pair in tested])
    pairs = tuple(SignedRank(**{**asdict(pair), "p_holm": p}) for pair, p in zip(tested, adjusted, strict=True))
    return Wilcoxon(
        measure=scores.measure, minimize=scores.minimize, n_tasks=len(scores.tasks), control=control, pairs=pairs
    )  # fmt: skip


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number, so that all together err at most as often as one: Holm (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in steps[np.argsort(order)]]


def bayes_signed_rank(
    scores: Scores, first: str, second: str, *, rope: float, prior: float = 0.5, n_samples: int = 50_000, seed: int = 0
) -> Bayes:
    """Bayesian signed-rank test: how probably one learner is better over tasks like these.

    Benavoli, Mangili, Corani, Zaffalon and Ruggeri (2014), "A Bayesian Wilcoxon signed-rank test based on the Dirichlet
    process"; with a region of practical equivalence as in Benavoli, Corani, Demšar and Zaffalon (2017), "Time for a
    change", section 4.3: the share of ``n_samples`` draws of the tasks' weights in which each of the three is the most
    probable. ``rope`` as in :func:`onnxlearn.statistics.bayes_t_test`; ``prior`` > 0: weight of one more task without a
    difference. The same ``seed`` gives the same numbers.

    Raises: ParameterError, UnknownNameError; DataError for fewer than two tasks and as :func:`onnxlearn.statistics.ranks`.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": list("aabbccddeeff"), "learner": ["mlp", "linear"] * 6,
    ...     "acc": [0.9, 0.8, 0.7, 0.68, 0.95, 0.92, 0.81, 0.8, 0.6, 0.55, 0.77, 0.73]})
    >>> bayes_signed_rank(Scores.from_frame(frame, "acc"), "mlp", "linear", rope=0.01).first_better > 0.99
    True
    """
    require_rope(rope)
    _require_draws(prior, n_samples)
    require_two(first, second)
    differences = _differences(scores, first, second)
    less, same, more = _draw_winners(differences, rope, prior, n_samples, seed)
    better, worse = (less, more) if scores.minimize else (more, less)
    return Bayes(
        test="signed-rank test", measure=scores.measure, minimize=scores.minimize, task=None, first=first, second=second,
        rope=float(rope), n=len(differences), difference=float(differences.mean()),
        first_better=better, equivalent=same, second_better=worse,
    )  # fmt: skip


def _pairs(scores: Scores, control: str | None) -> list[tuple[str, str]]:
    if len(scores.learners) < 2:
        raise DataError(f"two learners or more are compared, there is {scores.learners[0]!r} only: score another one")
    if control is None:
        return list(itertools.combinations(scores.learners, 2))
    scores.known("learner", control)
    return [(control, other) for other in scores.learners if other != control]


def _differences(scores: Scores, first: str, second: str) -> Array:
    """First minus second of the tasks' means ``[N]``, N > 1."""
    if len(scores.tasks) < 2:
        raise DataError(
            f"signed ranks compare over two tasks or more, there is {scores.tasks[0]!r} only: add tasks, or compare on this "
            "one with t_test or bayes_t_test"
        )
    table = scores.select(learners=[first, second]).table()
    return np.array([settled(one - other, max(abs(one), abs(other))) for one, other in table.tolist()], np.float64)


def _signed_rank(scores: Scores, first: str, second: str) -> SignedRank:
    differences = _differences(scores, first, second)
    if not differences.any():
        raise DataError(
            f"learners {first!r} and {second!r} have the same {scores.measure} on all {len(differences)} tasks, which leaves "
            "nothing to rank: leave one of them out with scores.select(learners=...)"
        )
    found = scipy_stats().wilcoxon(differences, zero_method="zsplit")
    more, less = int((differences > 0).sum()), int((differences < 0).sum())
    wins, losses = (less, more) if scores.minimize else (more, less)
    p = float(found.pvalue)
    return SignedRank(
        first=first, second=second, wins=wins, ties=len(differences) - wins - losses, losses=losses,
        median=float(np.median(differences)), statistic=float(found.statistic), p_value=p, p_holm=p,
    )  # fmt: skip


def _draw_winners(differences: Array, rope: float, prior: float, n_samples: int, seed: int) -> tuple[float, float, float]:
    """Shares of the draws in which below, within and above the rope is the most probable place of a pair's mean."""
    # The prior's task stands first and has no difference.
    points = np.r_[0.0, differences]
    sums = points[:, None] + points[None, :]
    above, below = _beyond(sums, 2 * rope), _beyond(-sums, 2 * rope)
    rng = np.random.default_rng(seed)
    counts = np.zeros(3, np.int64)
    for start in range(0, n_samples, SLICE):
        weights = rng.dirichlet(np.r_[prior, np.ones(len(differences))], min(SLICE, n_samples - start))
        less, more = (np.einsum("si,ij,sj->s", weights, places, weights, optimize=True) for places in (below, above))
        counts += np.bincount(np.argmax([less, 1 - less - more, more], axis=0), minlength=3)
    less_share, same, more_share = (counts / n_samples).tolist()
    return less_share, same, more_share


def _beyond(sums: Array, limit: float) -> Array:
    """1 where the sum exceeds the limit, a half where it meets it but for rounding, else 0."""
    gap = sums - limit
    gap[np.abs(gap) <= 1e-12 * max(np.abs(sums).max(), limit)] = 0
    return np.asarray(np.heaviside(gap, 0.5))


def _require_draws(prior: float, n_samples: int) -> None:
    if isinstance(prior, bool) or not isinstance(prior, (int, float)) or not 0 < prior < np.inf:
        raise ParameterError(
            f"prior is a finite number > 0, the weight of a task without a difference, got {prior!r}: prior=0.5"
        )
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 1:
        raise ParameterError(f"n_samples is a whole number >= 1, got {n_samples!r}: n_samples=50_000")
