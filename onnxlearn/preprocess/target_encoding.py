"""Categories as the mean of the target (impact encoding), which training rows get from the rows of other folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.preprocess.recode import take
from onnxlearn.schema import Target

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class TargetEncoding:
    """Means by code, shrunk towards the mean of all rows, of T numbers of the target, in one table.

    ``offsets``: where those of each number and column begin, int64 ``[T S]``. ``tables``: float64 ``[1 + F, T M]``, the first
    one of all training rows, which every other row is encoded by; then for each of F folds that of the rows outside.
    ``folds``: int64 ``[n]``, which of the tables each training row is encoded by.
    Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical attributes"; smoothing as in scikit-learn's
    ``TargetEncoder``.
    """

    offsets: Array
    tables: Array
    folds: Array

    @classmethod
    def fit(
        cls,
        codes: Array,
        sizes: Sequence[int],
        y: Array,
        weights: Array | None,
        smoothing: float | None,
        n_folds: int,
        groups: Array | None = None,
    ) -> TargetEncoding:
        """Fit on codes, int64 ``[n, S]``, the ``i``-th below ``sizes[i]``, and numbers of the target, float64 ``[n, T]``.

        ``weights``: float64 ``[n]``, >= 0. ``smoothing``: rows that the mean of all counts as beside those of a code; ``None``
        for the share that empirical Bayes gives. ``groups``: int64 ``[n]``, whose rows are in one fold.
        """
        weights = np.ones(len(y)) if weights is None else weights
        folds = _folds(y, n_folds) if groups is None else _folds_of_groups(groups, n_folds)
        tables = [_table(codes, sizes, y, weights * (folds != fold), smoothing) for fold in range(folds.max() + 1)]
        starts = np.cumsum([0, *list(sizes) * y.shape[1]])[:-1]
        return cls(starts, np.stack(tables), folds)

    def apply(self, codes: Array) -> Array:
        """The training rows, each encoded by the rows of other folds: float64 ``[n, T S]``."""
        found: Array = self.tables[self.folds[:, None], self._repeated(codes) + self.offsets]
        return found

    def emit(self, g: GraphBuilder, codes: Value, columns: Sequence[int], fold: Value | None) -> Value:
        """The means, DOUBLE ``[N, T S]``, by these columns of ``codes``; ``fold``: INT64 ``[N, 1]``, of training rows alone."""
        repeated = list(columns) * (len(self.offsets) // len(columns))
        at, table = g.op("Add", take(g, codes, repeated), g.const(self.offsets)), self.tables[0]
        if fold:
            at = g.op("Add", at, g.op("Mul", fold, g.const(np.int64(len(table)))))
            table = self.tables.ravel()
        return g.op("Gather", g.const(table), at, axis=0)

    def _repeated(self, codes: Array) -> Array:
        return np.tile(codes, len(self.offsets) // codes.shape[1])


def target_numbers(target: Target, truth: Array) -> Array:
    """The numbers whose means they are: float64 ``[n, T]``."""
    numbers = as_numbers(target, truth)
    return numbers[:, 1:] if len(target.classes) == 2 else numbers


def as_numbers(target: Target, truth: Array) -> Array:
    """The target, or 0 and 1 for each class: float64, a column for each."""
    if target.type == "regression":
        return np.asarray(truth, np.float64).reshape(len(truth), -1)
    return np.eye(len(target.classes))[truth]


def _folds(y: Array, n_folds: int) -> Array:
    """Numbers of folds from 1, int64 ``[n]``, at random, classes in like shares; 0 where there is one row alone."""
    n_folds = min(n_folds, len(y))
    if n_folds < 2:
        return np.zeros(len(y), np.int64)
    drawn = np.random.default_rng(0).permutation(len(y))
    classes = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
    # Of numbers nearly all are classes of their own: these are not sorted.
    few = len(np.unique(classes)) <= n_folds
    order = drawn[np.argsort(classes[drawn], kind="stable")] if few else drawn
    folds = np.empty(len(y), np.int64)
    folds[order] = np.arange(len(y)) % n_folds + 1
    return folds


def _folds_of_groups(groups: Array, n_folds: int) -> Array:
    """As :func:`_folds`, of whole groups: the largest first, each into the fold with the fewest rows."""
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_folds = min(n_folds, len(sizes))
    if n_folds < 2:
        return np.zeros(len(groups), np.int64)
    drawn = np.random.default_rng(0).permutation(len(sizes))
    fold_of, n_rows = np.empty(len(sizes), np.int64), np.zeros(n_folds, np.int64)
    for group in drawn[np.argsort(-sizes[drawn], kind="stable")]:
        fold_of[group] = n_rows.argmin()
        n_rows[fold_of[group]] += sizes[group]
    return np.asarray(fold_of[group_of.ravel()] + 1)


def _table(codes: Array, sizes: Sequence[int], y: Array, weights: Array, smoothing: float | None) -> Array:
    """The means of all codes of all columns, of one number of the target after the other: float64 ``[T M]``."""
    if not weights.any():
        weights = np.ones(len(y))
    return np.concatenate(
        [_means(codes[:, i], size, column, weights, smoothing) for column in y.T for i, size in enumerate(sizes)]
    )


def _means(codes: Array, size: int, y: Array, weights: Array, smoothing: float | None) -> Array:
    """The mean of each code, shrunk; that of all rows for a code without rows."""
    mean = np.average(y, weights=weights)
    deviations = y - mean
    counts = np.bincount(codes, weights, size)
    rows = np.where(counts > 0, counts, 1.0)
    apart = np.bincount(codes, weights * deviations, size) / rows
    if smoothing is None:
        # The spread of the means against that within codes.
        within = np.bincount(codes, weights * (deviations - apart[codes]) ** 2, size) / rows
        spread = np.average(deviations**2, weights=weights)
        noise = spread * counts + within
        share = np.divide(spread * counts, noise, out=np.zeros(size), where=noise > 0)
    else:
        share = np.divide(counts, counts + smoothing, out=np.zeros(size), where=counts > 0)
    return np.asarray(mean + share * apart)
