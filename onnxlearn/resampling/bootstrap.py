"""Draws with replacement; what was not drawn is tested."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from onnxlearn.resampling.lost import require_two_alike
from onnxlearn.resampling.resampling import Resampling, derived_seed, ratio_param, repeats_param, seed_param, stratify_param
from onnxlearn.resampling.rows import Codes, Rows
from onnxlearn.resampling.splits import Iteration


@dataclass(frozen=True, repr=False)
class Bootstrap(Resampling):
    """Train on rows drawn with replacement, ``ratio`` times as many as there are; test on those that were not drawn.

    Efron and Tibshirani (1993), "An introduction to the bootstrap", chapter 17. Each class and stratum is drawn from by
    itself, at least once; where the task has groups these are drawn, whole, each as one of the stratum that most of its rows
    are in. A draw that leaves nothing to test is repeated. Not for tasks with an order.

    >>> Bootstrap(repeats=100, seed=1)
    Bootstrap(ratio=1.0, repeats=100, seed=1)
    """

    name = "bootstrap"

    ratio: float = ratio_param(1.0, high_open=False)
    _: KW_ONLY
    repeats: int = repeats_param(30)
    seed: int = seed_param()
    stratify: bool = stratify_param()

    def sets(self, rows: Rows) -> list[Iteration]:
        """One iteration a repetition. Raises: ParameterError where nothing could be left to test, or the task has an order."""
        what = type(self).__name__
        rows.require_no_order(what)
        rows.require_units(2, what)
        strata = rows.strata(classes=self.stratify)
        if rows.groups is None:
            require_two_alike(rows, strata, what, classes=self.stratify)
        units = np.arange(len(rows)) if rows.groups is None else rows.groups
        kinds = _kinds(units, strata)
        draws = (_draw(kinds, self.ratio, derived_seed(self.seed, repeat)) for repeat in range(self.repeats))
        return [
            Iteration(
                train=np.repeat(np.arange(len(rows)), drawn[units]), test=np.flatnonzero(drawn[units] == 0), repeat=repeat
            )
            for repeat, drawn in enumerate(draws)
        ]


def _kinds(units: Codes, strata: Codes | None) -> list[Codes]:
    """The units of each stratum, ``units`` being the one of each row; a unit is of the stratum of most of its rows.

    Where every stratum has one unit, all are of one.
    """
    n_units = int(units.max()) + 1
    if strata is None:
        return [np.arange(n_units)]
    pairs, counts = np.unique(units * (strata.max() + 1) + strata, return_counts=True)
    unit, stratum = np.divmod(pairs, strata.max() + 1)
    # The last one written stays: that of most rows, of the first stratum where several have as many.
    order = np.lexsort((-stratum, counts))
    kind = np.empty(n_units, np.int64)
    kind[unit[order]] = stratum[order]
    if np.bincount(kind).max() == 1:
        return [np.arange(n_units)]
    by_kind = np.argsort(kind, kind="stable")
    return np.split(by_kind, np.flatnonzero(np.diff(kind[by_kind])) + 1)


def _draw(kinds: list[Codes], ratio: float, seed: int) -> NDArray[np.int64]:
    """How often each unit is drawn; at least one never is."""
    rng = np.random.default_rng(seed)
    n_units = sum(map(len, kinds))
    while True:
        picked = [rng.choice(units, max(round(ratio * len(units)), 1)) for units in kinds]
        drawn = np.bincount(np.concatenate(picked), minlength=n_units)
        if not drawn.all():
            return drawn
