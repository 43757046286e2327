"""What measures read: truth and prediction of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.schema import Target

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What it took to get a model and its predictions; ``None`` is what was not measured."""

    seconds_train: float | None = None
    seconds_predict: float | None = None
    n_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Truth and prediction of the same rows, as measures read them.

    Classification: ``truth`` and ``response`` int64 ``[N]``, positions in the target's classes; ``prob`` ``[N, C]``; ``sets``
    bool ``[N, C]``. ``positive`` is the position of the positive one of two classes, ``None`` for more.
    Regression: ``truth`` and ``response`` float64 ``[N, T]``; ``lower``, ``upper`` and ``std`` likewise, ``quantiles``
    ``[N, T, Q]`` at the probabilities ``levels``.
    Both: ``weights`` float64 ``[N]``, not negative; ``run``, what the prediction took.

    Raises: DataError where there is no row, or no row that counts.
    """

    truth: Array
    response: Array
    prob: Array | None
    weights: Array
    n_classes: int = 0
    positive: int | None = None
    lower: Array | None = None
    upper: Array | None = None
    sets: Array | None = None
    quantiles: Array | None = None
    levels: tuple[float, ...] = ()
    std: Array | None = None
    run: Run | None = None

    def __post_init__(self) -> None:
        if not len(self.truth):
            raise DataError("there are no rows to score")
        if not self.weights.sum() > 0:
            raise DataError("the weights of the rows to score sum to 0: at least one has to be positive")

    @classmethod
    def of(
        cls, target: Target, truth: Array, response: Array, prob: Array | None, weights: Array | None, **further: Any
    ) -> Outcome:
        """An outcome for this target; without weights every row counts once. ``further``: the other fields by name."""
        positive = target.classes.index(target.positive) if target.positive is not None else None
        return cls(
            truth=truth,
            response=response,
            prob=prob,
            weights=np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64),
            n_classes=len(target.classes),
            positive=positive,
            **further,
        )

    @classmethod
    def pooled(cls, outcomes: Sequence[Outcome]) -> Outcome:
        """The rows of several outcomes of one target as one; what each run took is not among it.

        Raises: DataError where they are of different targets, or have different things.
        """
        if not outcomes:
            raise DataError("there are no outcomes to put together")
        for name in ("n_classes", "positive", "levels"):
            found = [getattr(outcome, name) for outcome in outcomes]
            if any(value != found[0] for value in found):
                raise DataError(f"rows can be pooled where they have the same {name}, not {found}: use average='macro'")
        return cls(
            n_classes=outcomes[0].n_classes,
            positive=outcomes[0].positive,
            levels=outcomes[0].levels,
            **{name: _joined(name, outcomes) for name in _OF_ROWS},
        )

    def mean(self, values: Array) -> float:
        """Weighted mean over rows, then the plain mean over target columns."""
        return float(np.mean(np.average(values, axis=0, weights=self.weights)))

    def confusion(self) -> Array:
        """Weight of the rows of each true class (first axis) and predicted class: float64 ``[C, C]``."""
        cells = self.truth * self.n_classes + self.response
        counts = np.bincount(cells, weights=self.weights, minlength=self.n_classes**2)
        return counts.reshape(self.n_classes, self.n_classes)


_OF_ROWS = ("truth", "response", "prob", "weights", "lower", "upper", "sets", "quantiles", "std")


def _joined(name: str, outcomes: Sequence[Outcome]) -> Any:
    arrays = [getattr(outcome, name) for outcome in outcomes]
    present = [array for array in arrays if array is not None]
    if present and len(present) < len(arrays):
        raise DataError(f"rows can be pooled where all have the same outputs; {name} is in {len(present)} of {len(arrays)}")
    return np.concatenate(present) if present else None
