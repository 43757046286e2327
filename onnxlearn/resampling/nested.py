"""Splits within the training rows of splits, for choosing settings without a look at the test rows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.params import param
from onnxlearn.resampling.custom import Custom
from onnxlearn.resampling.resampling import Resampling
from onnxlearn.resampling.rows import Rows
from onnxlearn.resampling.splits import Iteration


@dataclass(frozen=True, repr=False)
class Nested(Resampling):
    """The splits of ``outer``, and in each of them those that ``inner`` makes of its training rows.

    The inner splits are what ``inner`` makes of a task of the outer training rows alone. Copies of a row that a bootstrap drew
    more than once stay together like a group.

    :func:`onnxlearn.benchmark` fits every learner on the inner splits as well: ``result.inner`` has these scores, to choose by,
    and ``result.scores`` those on the outer ones, to judge the choice.

    >>> from onnxlearn.resampling import CV, Holdout
    >>> Nested(CV(5), Holdout(0.8))
    Nested(outer=CV(folds=5), inner=Holdout(ratio=0.8))
    """

    name = "nested"

    outer: Resampling = param(None, "splits into rows to score and rows to choose and train on")
    inner: Resampling = param(None, "splits of the latter")

    def __post_init__(self) -> None:
        super().__post_init__()
        for part, resampling in (("outer", self.outer), ("inner", self.inner)):
            if isinstance(resampling, Nested):
                raise ParameterError(f"Nested: {part} is nested itself; give a plain resampling such as ol.CV()")
        if isinstance(self.inner, Custom):
            raise ParameterError(
                "Nested: inner=Custom(...) names rows of the whole task, and the inner splits are of other rows in every outer "
                "iteration; use ol.CustomCV(column) or a resampling that draws"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of both."""
        return tuple(dict.fromkeys(self.outer.columns + self.inner.columns))

    def sets(self, rows: Rows) -> list[Iteration]:
        """The outer iterations. Raises as the two do."""
        return self.outer.sets(rows)

    def iterations(self, rows: Rows) -> list[Iteration]:
        """The outer iterations with the inner ones. Raises as the two do."""
        outer = self.outer.iterations(rows)
        return [dataclasses.replace(iteration, inner=self._inner(rows, i, iteration)) for i, iteration in enumerate(outer)]

    def _inner(self, rows: Rows, i: int, iteration: Iteration) -> tuple[Iteration, ...]:
        try:
            return tuple(self.inner.iterations(_training(rows, iteration)))
        except (ParameterError, DataError) as error:
            raise type(error)(f"inner splits of iteration {i}: {error}") from error

    def notes(self, rows: Rows, iterations: list[Iteration]) -> list[str]:
        """What to warn of: what is to be said of the outer splits, and of the first inner ones that are worth it."""
        texts = self.outer.notes(rows, iterations)
        for i, iteration in enumerate(iterations):
            inner = self.inner.notes(_training(rows, iteration), list(iteration.inner))
            # The others of that kind would say the same of other numbers.
            if new := [text for text in inner if text not in texts]:
                return texts + [f"inner splits of iteration {i}: {text}" for text in new]
        return texts


def _training(rows: Rows, iteration: Iteration) -> Rows:
    if iteration.train is not None:
        return rows.take(iteration.train)
    return rows.take(rows.index[~np.isin(rows.index, iteration.test)])
