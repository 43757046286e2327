"""Which rows to set aside: the latest, whole groups, or a share of every class and stratum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import ParameterError

_N_GROUP_DRAWS = 20


def holdout_rows(
    n_rows: int,
    share: float,
    seed: int,
    *,
    strata: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
    order: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """A mask ``[n_rows]`` of the rows to set aside, about ``share`` (in (0, 1)) of them, the same for the same seed.

    With ``order`` the latest rows (equal values stay together); with ``groups`` whole groups, drawn so that the strata keep
    their shares as well as possible; otherwise a share of each stratum, of which at least one row stays behind.
    Raises ``ParameterError`` where either part would be empty.
    """
    if not 0 < share < 1:
        raise ParameterError(f"the share of rows to set aside must lie between 0 and 1, both excluded; got {share}")
    n_aside = min(max(round(n_rows * share), 1), n_rows - 1)
    rng = np.random.default_rng(seed)
    # Rows of one group resemble each other, and so do neighbours in time: chance would leak them across.
    if order is not None:
        aside = _latest(order if groups is None else group_ends(order, groups), n_aside)
    elif groups is not None:
        aside = _drawn_groups(groups, strata, n_aside, rng)
    else:
        aside = _stratified(np.zeros(n_rows, dtype=np.int64) if strata is None else strata, n_aside, rng)
    if not aside.any() or aside.all():
        rows = "1 row" if n_rows == 1 else f"{n_rows} rows"
        why = "one part would be empty; give more rows or groups, or set no rows aside (validation=None)"
        if order is not None and n_rows > 1 and (order == order[0]).all():
            why = "all have the same place in the order; name another column, or set no rows aside (validation=None)"
        if strata is not None and groups is None and order is None and n_rows > 1:
            why = (
                "a share of every class (and stratum) is set aside, and each has one row only; name another target, say "
                "type='regression' (--task regression) if it is numbers, or set no rows aside (validation=None)"
            )
        raise ParameterError(f"{rows} cannot be parted at a share of {share}: {why}")
    return aside


def _latest(order: NDArray[np.int64], n_aside: int) -> NDArray[np.bool_]:
    """The rows whose value is among the last, cut between two values nearest to the wanted number."""
    values, counts = np.unique(order, return_counts=True)
    if len(values) == 1:
        return np.zeros(len(order), dtype=bool)
    n_after = np.cumsum(counts[::-1])[::-1][1:]
    first = values[1:][np.argmin(np.abs(n_after - n_aside))]
    return np.asarray(order >= first)


def group_ends(order: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank of each row's group by its last row, so that groups come apart only as wholes."""
    _, codes = np.unique(groups, return_inverse=True)
    ends = np.full(codes.max() + 1, np.iinfo(np.int64).min)
    np.maximum.at(ends, codes, order)
    rank = np.empty(len(ends), dtype=np.int64)
    rank[np.argsort(ends, kind="stable")] = np.arange(len(ends))
    return np.asarray(rank[codes])


def _drawn_groups(
    groups: NDArray[np.int64], strata: NDArray[np.int64] | None, n_aside: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    _, codes = np.unique(groups, return_inverse=True)
    # Exact balance is a knapsack problem; the best of some draws is close and stays random.
    draws = [_latest(rng.permutation(codes.max() + 1)[codes], n_aside) for _ in range(_N_GROUP_DRAWS)]
    return min(draws, key=lambda aside: _imbalance(aside, strata, n_aside))


def _imbalance(aside: NDArray[np.bool_], strata: NDArray[np.int64] | None, n_aside: int) -> float:
    """How far the number of rows set aside is from the wanted one, summed over strata; a stratum that is gone costs most."""
    if strata is None:
        return abs(int(aside.sum()) - n_aside)
    counts = np.bincount(strata)
    taken = np.bincount(strata[aside], minlength=len(counts))
    lost = np.count_nonzero((taken == counts) & (counts > 0))
    return float(np.abs(taken - counts * n_aside / len(aside)).sum() + lost * len(aside))


def _stratified(strata: NDArray[np.int64], n_aside: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    _, codes, counts = np.unique(strata, return_inverse=True, return_counts=True)
    taken = _allocate(counts, n_aside, rng)
    # Ranks of the rows within their stratum, in random order.
    shuffled = rng.permutation(len(codes))
    by_stratum = shuffled[np.argsort(codes[shuffled], kind="stable")]
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    aside = np.zeros(len(codes), dtype=bool)
    aside[by_stratum] = rank < np.repeat(taken, counts)
    return aside


def _allocate(counts: NDArray[np.int64], n_aside: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows to take from each stratum: proportional, largest remainders first, one row of each left behind."""
    ideal = counts * (n_aside / counts.sum())
    taken: NDArray[np.int64] = np.minimum(np.floor(ideal).astype(np.int64), counts - 1)
    while taken.sum() < n_aside and np.any(taken < counts - 1):
        lacking = np.where(taken < counts - 1, ideal - taken, -np.inf)
        best = np.flatnonzero(lacking == lacking.max())
        taken[rng.choice(best)] += 1
    return taken
