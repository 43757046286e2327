"""Leave one out, and none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxlearn.resampling.lost import lost_classes
from onnxlearn.resampling.resampling import Resampling
from onnxlearn.resampling.rows import Rows
from onnxlearn.resampling.splits import Iteration


@dataclass(frozen=True, repr=False)
class LeaveOneOut(Resampling):
    """Test each row, or each group where the task has groups, by a model that was trained on all others.

    Groups come in the order in which the table shows them.

    >>> LeaveOneOut()
    LeaveOneOut()
    """

    name = "loo"

    def sets(self, rows: Rows) -> list[Iteration]:
        """One iteration a row or group. Raises: ParameterError where there is one only."""
        rows.require_units(2, type(self).__name__)
        if rows.groups is None:
            return [Iteration(test=np.array([row]), fold=row) for row in range(len(rows))]
        by_group = np.argsort(rows.groups, kind="stable")
        starts = np.flatnonzero(np.diff(rows.groups[by_group])) + 1
        return [Iteration(test=test, fold=fold) for fold, test in enumerate(np.split(by_group, starts))]

    def notes(self, rows: Rows, iterations: list[Iteration]) -> list[str]:
        """What to warn of: one row has one class, but the training rows should have all."""
        return lost_classes(rows, iterations, in_test=False)


@dataclass(frozen=True, repr=False)
class InSample(Resampling):
    """Train and test on all rows: how well a model fits, not how well it predicts.

    >>> InSample()
    InSample()
    """

    name = "insample"

    def sets(self, rows: Rows) -> list[Iteration]:
        """The one iteration."""
        everything = np.arange(len(rows))
        return [Iteration(train=everything, test=everything)]
