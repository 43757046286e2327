"""Train on what was, test on what came next."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.resampling.resampling import Resampling
from onnxlearn.resampling.rows import Codes, Rows
from onnxlearn.resampling.splits import Iteration
from onnxlearn.tasks.holdout import group_ends


@dataclass(frozen=True, repr=False)
class TimeSeriesSplit(Resampling):
    """Folds in time: each is tested by a model that was trained on what came before, by the task's order column.

    The sizes are as in scikit-learn's ``TimeSeriesSplit``: test sets of ``test_size`` rows, ``n // (folds + 1)`` by default,
    the last one at the end. Rows of one moment are never parted: the cuts are those nearest to these sizes, ``gap`` is at least
    and ``max_train_size`` at most so large. Whole groups where the task has groups, each at the moment of its last row.

    >>> TimeSeriesSplit(3, gap=7)
    TimeSeriesSplit(folds=3, gap=7)
    """

    name = "time_series"

    folds: int = param(5, "number of test sets", low=1)
    _: KW_ONLY
    gap: int = param(0, "rows to leave out between training and test rows", low=0)
    max_train_size: int | None = param(None, "train on the latest rows only, at most so many (None: on all)", low=1)
    test_size: int | None = param(None, "rows of a test set (None: n // (folds + 1))", low=1)

    def sets(self, rows: Rows) -> list[Iteration]:
        """One iteration a fold. Raises: ParameterError without an order, or where the rows do not suffice."""
        if rows.order is None:
            raise ParameterError(
                "TimeSeriesSplit goes by the task's order column, and it has none: make it with order='date' (--order date), "
                "say, or use ol.CV()"
            )
        rows.require_units(self.folds + 1, f"TimeSeriesSplit(folds={self.folds})", "take fewer folds")
        times = rows.order if rows.groups is None else group_ends(rows.order, rows.groups)
        by_time = np.argsort(times, kind="stable")
        # Where a moment begins, and the end.
        bounds = np.append(np.flatnonzero(np.diff(times[by_time], prepend=-1)), len(rows))
        cuts = self._cuts(bounds)
        spans = [self._span(bounds, int(cut)) for cut in cuts[:-1]]
        return [
            Iteration(train=by_time[slice(*span)], test=by_time[start:stop], fold=fold)
            for fold, (span, start, stop) in enumerate(zip(spans, cuts, cuts[1:], strict=False))
        ]

    def _cuts(self, bounds: Codes) -> Codes:
        """Where the test sets begin, each at a moment of its own, and the end: ``[folds + 1]``."""
        n, inside = int(bounds[-1]), bounds[1:-1]
        size = self.test_size or n // (self.folds + 1)
        wanted = n - size * np.arange(self.folds, 0, -1)
        if wanted[0] - self.gap <= 0:
            raise ParameterError(
                f"{self.folds} test sets of {size} rows and a gap of {self.gap} leave none of {n} rows to train the first "
                "model on: take fewer folds, a smaller test_size or gap"
            )
        nearest = np.abs(inside[None] - wanted[:, None]).argmin(axis=1)
        # Many rows of one moment can draw several cuts to it.
        steps = np.arange(self.folds)
        chosen = np.maximum.accumulate(nearest - steps) + steps
        return np.append(inside[np.minimum(chosen, len(inside) - self.folds + steps)], n)

    def _span(self, bounds: Codes, cut: int) -> tuple[int, int]:
        """Where the training rows of the test set that begins at ``cut`` begin and end."""
        stop = int(bounds[np.searchsorted(bounds, cut - self.gap, side="right") - 1]) if cut > self.gap else 0
        start = 0 if self.max_train_size is None else int(bounds[np.searchsorted(bounds, stop - self.max_train_size)])
        if start >= stop:
            raise ParameterError(
                f"no rows are left to train on before row {cut} in time: rows of one moment stay together, and gap={self.gap}, "
                f"max_train_size={self.max_train_size} leave none; take a smaller gap or a larger max_train_size"
            )
        return start, stop
