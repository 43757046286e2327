"""Folds: each row is tested once, by a model that was trained on the other folds."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.resampling.lost import lost_classes, small_strata
from onnxlearn.resampling.resampling import Resampling, derived_seed, repeats_param, seed_param, stratify_param
from onnxlearn.resampling.rows import Rows
from onnxlearn.resampling.splits import Iteration
from onnxlearn.tasks.folds import fold_numbers


@dataclass(frozen=True, repr=False)
class CV(Resampling):
    """Cross-validation, once or repeated with other folds.

    Every class and stratum is spread evenly over the folds, to the row; whole groups where the task has groups, the strata
    as evenly as they allow (scikit-learn's ``StratifiedGroupKFold``); where it has an order, the folds follow each other in
    time, which :class:`TimeSeriesSplit` is stricter about: it never trains on what comes later.

    >>> CV(10, repeats=3)
    CV(folds=10, repeats=3)
    """

    name = "cv"

    folds: int = param(5, "number of folds", low=2)
    _: KW_ONLY
    repeats: int = repeats_param(1)
    seed: int = seed_param()
    stratify: bool = stratify_param()

    def sets(self, rows: Rows) -> list[Iteration]:
        """One iteration a fold and repetition.

        Raises: ParameterError for fewer rows, groups or points in time than folds, for strata that all have fewer rows, and for
        repetitions of a task with an order, which would all be the same.
        """
        rows.require_units(self.folds, f"CV(folds={self.folds})", "take fewer folds")
        if rows.order is not None and self.repeats > 1:
            raise ParameterError(
                f"CV(repeats={self.repeats}) repeats with other folds, and folds of a task with the order column "
                f"{rows.task.schema.order!r} are always the same: use repeats=1"
            )
        strata = rows.strata(classes=self.stratify)
        if strata is not None and rows.order is None:
            small_strata(rows, strata, self.folds, classes=self.stratify)
        return [
            Iteration(test=np.flatnonzero(numbers == fold), repeat=repeat, fold=fold)
            for repeat in range(self.repeats)
            for numbers in [
                fold_numbers(
                    len(rows), self.folds, derived_seed(self.seed, repeat), strata=strata, groups=rows.groups, order=rows.order
                )
            ]
            for fold in range(self.folds)
        ]

    def notes(self, rows: Rows, iterations: list[Iteration]) -> list[str]:
        """What to warn of: lost classes, and strata that are smaller than the folds."""
        texts = lost_classes(rows, iterations)
        strata = rows.strata(classes=self.stratify)
        if strata is None or rows.order is not None or not rows.task.schema.stratum:
            return texts
        return small_strata(rows, strata, self.folds, classes=self.stratify) + texts
