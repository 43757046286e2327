"""Measures of how alike the order of predicted numbers is to that of the truth.

A weight counts as so many equal rows.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from onnxlearn.measures.base import Measure
from onnxlearn.measures.outcome import Array, Outcome


def _ranks(values: Array, weights: Array) -> Array:
    """Mean rank of each value, ``[N]``, ties sharing theirs."""
    _, place = np.unique(values, return_inverse=True)
    total = np.bincount(place, weights)
    return np.asarray((np.cumsum(total) - total / 2)[place])


def _spearman(x: Array, y: Array, weights: Array) -> float:
    # Spearman (1904): the correlation of the ranks.
    a, b = (ranks - np.average(ranks, weights=weights) for ranks in (_ranks(x, weights), _ranks(y, weights)))
    spread = (weights @ a**2) * (weights @ b**2)
    return float(weights @ (a * b) / np.sqrt(spread)) if spread > 0 else float("nan")


def _kendall(x: Array, y: Array, weights: Array) -> float:
    # Kendall (1945), Biometrika 33, 239-251: tau-b.
    x, y = (np.unique(values[weights > 0], return_inverse=True)[1] for values in (x, y))
    weights = weights[weights > 0]
    _, both = np.unique(np.c_[x, y], axis=0, return_inverse=True)
    pairs, tied_x, tied_y, tied_both = (_pairs(groups, weights) for groups in (np.zeros_like(x), x, y, both.ravel()))
    # By x, and among equal x by y, so that no pair of these counts as an inversion.
    order = np.lexsort((y, x))
    concordance = pairs - tied_x - tied_y + tied_both - 2 * _inversions(y[order], weights[order])
    # Counted, since a difference of sums may leave something where all is tied.
    if x.max() == 0 or y.max() == 0:
        return float("nan")
    return float(concordance / np.sqrt((pairs - tied_x) * (pairs - tied_y)))


def _pairs(groups: Array, weights: Array) -> float:
    """Weight of the pairs of rows within groups: the product of the two."""
    total = np.bincount(groups, weights)
    return float((total @ total - weights @ weights) / 2)


def _inversions(ranks: Array, weights: Array) -> float:
    """Weight of the pairs of rows of which the earlier one has the greater rank; ranks are integers from 0 on.

    Bit by bit: a pair is counted at the highest bit in which its ranks differ, in O(N log N) each.
    """
    total = 0.0
    for bit in range(int(ranks.max()).bit_length()):
        order = np.argsort(ranks >> (bit + 1), kind="stable")
        group, set_, w = (ranks >> (bit + 1))[order], (ranks >> bit & 1)[order].astype(bool), weights[order]
        seen = np.cumsum(np.where(set_, w, 0.0))
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        before_group = np.r_[0.0, seen][starts]
        in_group = seen - np.repeat(before_group, np.diff(np.r_[starts, len(group)]))
        total += float(w[~set_] @ in_group[~set_])
    return total


def _mean_over_targets(kind: str, outcome: Outcome) -> float:
    correlation = {"spearman": _spearman, "kendall": _kendall}[kind]
    columns = zip(outcome.truth.T, outcome.response.T, strict=True)
    return float(np.mean([correlation(truth, response, outcome.weights) for truth, response in columns]))


def _correlation(name: str, kind: str, summary: str) -> Measure:
    return Measure(
        name=name, function=partial(_mean_over_targets, kind), summary=summary, task="regression", needs="numbers", low=-1,
        high=1, minimize=False, undefined="truth or prediction is constant",
    )  # fmt: skip


MEASURES: tuple[Measure, ...] = (
    _correlation("srho", "spearman", "correlation of the ranks of truth and prediction (Spearman's rho)"),
    _correlation("ktau", "kendall", "pairs of rows in the right order less those in the wrong one (Kendall's tau-b)"),
)
