"""Some rows to train on, the rest to test: once, or several times by chance."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from onnxlearn.resampling.lost import require_two_alike
from onnxlearn.resampling.resampling import Resampling, derived_seed, ratio_param, repeats_param, seed_param, stratify_param
from onnxlearn.resampling.rows import Rows
from onnxlearn.resampling.splits import Iteration
from onnxlearn.tasks.holdout import holdout_rows


@dataclass(frozen=True, repr=False)
class Holdout(Resampling):
    """Train on a share of the rows, test on the others.

    Of every class and stratum the same share; whole groups where the task has groups; the latest rows to test where it has
    an order. A stratum of one row is trained on.

    >>> Holdout(0.8, seed=1)
    Holdout(ratio=0.8, seed=1)
    """

    name = "holdout"

    ratio: float = ratio_param(2 / 3)
    _: KW_ONLY
    seed: int = seed_param()
    stratify: bool = stratify_param()

    def sets(self, rows: Rows) -> list[Iteration]:
        """The one iteration. Raises: ParameterError where either part would be empty."""
        return _parted(rows, self, repeats=1)


@dataclass(frozen=True, repr=False)
class Subsampling(Resampling):
    """Holdout, several times: each draws its training rows anew (Monte Carlo cross-validation).

    The first repetition is the :class:`Holdout` of the same seed. Not for tasks with an order.

    >>> Subsampling(0.9, repeats=10)
    Subsampling(ratio=0.9, repeats=10)
    """

    name = "subsampling"

    ratio: float = ratio_param(2 / 3)
    _: KW_ONLY
    repeats: int = repeats_param(30)
    seed: int = seed_param()
    stratify: bool = stratify_param()

    def sets(self, rows: Rows) -> list[Iteration]:
        """One iteration a repetition. Raises: ParameterError where either part would be empty, or the task has an order."""
        rows.require_no_order(type(self).__name__)
        return _parted(rows, self, repeats=self.repeats)


def _parted(rows: Rows, resampling: Holdout | Subsampling, *, repeats: int) -> list[Iteration]:
    what = type(resampling).__name__
    rows.require_units(2, what)
    strata = rows.strata(classes=resampling.stratify)
    if rows.groups is None and rows.order is None:
        require_two_alike(rows, strata, what, classes=resampling.stratify)
    share, iterations = 1 - resampling.ratio, []
    for repeat in range(repeats):
        seed = derived_seed(resampling.seed, repeat)
        aside = holdout_rows(len(rows), share, seed, strata=strata, groups=rows.groups, order=rows.order)
        iterations.append(Iteration(test=np.flatnonzero(aside), repeat=repeat))
    return iterations
