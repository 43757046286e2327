"""What a measure is, what it needs, and how the values of several folds are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.measures.outcome import Array, Outcome
from onnxlearn.params import to_json

Needs: TypeAlias = Literal["labels", "prob", "numbers", "intervals", "sets", "quantiles", "std", "run"]
Average: TypeAlias = Literal["macro", "micro"]
TaskKind: TypeAlias = Literal["classification", "regression", "any"]
Function: TypeAlias = Callable[[Outcome], float]
RowFunction: TypeAlias = Callable[[Outcome], Array]

# Of each need: whether an outcome has it, what it is called, and how to get it.
_NEEDS: Mapping[Needs, tuple[Callable[[Outcome], bool], str, str]] = {
    "labels": (lambda o: o.n_classes > 0, "classes", "score the prediction of a classification"),
    "prob": (lambda o: o.prob is not None, "probabilities", "score the prediction of a classification"),
    "numbers": (lambda o: o.n_classes == 0, "numbers", "score the prediction of a regression"),
    "intervals": (lambda o: o.lower is not None and o.upper is not None, "intervals", "train with coverage=0.9"),
    "sets": (lambda o: o.sets is not None, "sets of classes", "train with coverage=0.9"),
    "quantiles": (lambda o: o.quantiles is not None, "quantiles", "train with head='quantile'"),
    "std": (lambda o: o.std is not None, "standard deviations", "train with head='normal'"),
    "run": (lambda o: o.run is not None, "times and file size", "they are measured by resample and benchmark"),
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure: ``measure(outcome)`` gives its value.

    ``low`` and ``high`` bound the value (``inf``: unbounded); ``minimize`` tells whether less is better (``None``: neither,
    nearest to 0 is best); ``needs`` what it reads: labels, probabilities, numbers, intervals, sets, quantiles, standard
    deviations, or what the run took. ``two_classes``: it is for two classes alone. ``weighted``: row weights count.
    ``undefined`` says when it is ``nan``.
    ``average`` is how folds are put together unless told, see :func:`aggregate`. ``per_row`` gives the value ``[N]`` of each
    row, where the measure is the weighted mean of such values.
    """

    name: str
    task: TaskKind
    summary: str
    low: float
    high: float
    minimize: bool | None
    needs: Needs
    undefined: str = ""
    two_classes: bool = False
    weighted: bool = True
    average: Average = "macro"
    function: Function
    per_row: RowFunction | None = None

    def __call__(self, outcome: Outcome) -> float:
        """The measure's value on these rows.

        Raises: DataError where the prediction lacks what the measure needs.
        """
        self.require(outcome)
        return self.function(outcome)

    def rows(self, outcome: Outcome) -> Array:
        """The value of each row, float64 ``[N]``, of which the measure is the weighted mean.

        Raises: ParameterError for a measure that is no mean over rows; DataError as when called.

        >>> from onnxlearn.measures import get
        >>> truth, response = np.array([[1.0], [2.0]]), np.array([[1.5], [0.0]])
        >>> outcome = Outcome(truth=truth, response=response, prob=None, weights=np.ones(2))
        >>> get("mse").rows(outcome)
        array([0.25, 4.  ])
        """
        if self.per_row is None:
            raise ParameterError(f"measure {self.name!r} is no mean over rows: it has a value for all of them only")
        self.require(outcome)
        return self.per_row(outcome)

    def require(self, outcome: Outcome) -> None:
        """Raise ``DataError`` where the outcome lacks what the measure needs."""
        is_there, what, way_out = _NEEDS[self.needs]
        if not is_there(outcome):
            raise DataError(f"measure {self.name!r} needs {what}, and the prediction has none: {way_out}")
        if self.two_classes and outcome.positive is None:
            raise DataError(f"measure {self.name!r} is for two classes, there are {outcome.n_classes}: choose another one")

    @property
    def range(self) -> str:
        """Its bounds, e.g. ``[0, 1]`` or ``[0, inf)``."""
        left = "(-inf" if self.low == -np.inf else f"[{self.low:g}"
        right = "inf)" if self.high == np.inf else f"{self.high:g}]"
        return f"{left}, {right}"

    @property
    def better(self) -> str:
        """Which values are better: ``smaller``, ``larger`` or ``nearest 0``."""
        return {True: "smaller", False: "larger", None: "nearest 0"}[self.minimize]


@to_json.register
def _(measure: Measure) -> str:
    return measure.name


def aggregate(measure: Measure, outcomes: Sequence[Outcome], average: Average | None = None) -> float:
    """One value from the outcomes of several folds.

    ``macro``: the plain mean of the folds' values, also of such as ``rmse``, which is then no longer the root of a mean;
    ``nan`` where one of them is. ``micro``: the value of all rows together. By default the measure's own ``average``.

    Raises: ParameterError for another average, and for ``micro`` of what a run took; DataError without outcomes, or where
    they cannot be pooled.

    >>> from onnxlearn.measures import get
    >>> def fold(errors):
    ...     response = np.array(errors)[:, None]
    ...     return Outcome(truth=response * 0, response=response, prob=None, weights=np.ones(len(errors)))
    >>> folds = [fold([1.0, 1.0, 1.0]), fold([3.0])]
    >>> aggregate(get("rmse"), folds), aggregate(get("mse"), folds, "micro")
    (2.0, 3.0)
    """
    chosen = measure.average if average is None else average
    if chosen not in get_args(Average):
        raise ParameterError(f"folds are put together by average='macro' or 'micro', not {average!r}")
    if not outcomes:
        raise DataError("there are no outcomes to put together")
    if chosen == "macro":
        return float(np.mean([measure(outcome) for outcome in outcomes]))
    if measure.needs == "run":
        raise ParameterError(f"measure {measure.name!r} is of a run, not of rows that could be pooled: use average='macro'")
    return measure(Outcome.pooled(outcomes))


def rowwise(values: RowFunction, **facts: Any) -> Measure:
    """A measure that is the weighted mean over rows of ``values``, ``[N]`` or ``[N, T]``."""
    return Measure(function=partial(_mean_of, values), per_row=partial(_rows_of, values), **facts)


def _mean_of(values: RowFunction, outcome: Outcome) -> float:
    return outcome.mean(values(outcome))


def _rows_of(values: RowFunction, outcome: Outcome) -> Array:
    found = np.asarray(values(outcome), np.float64)
    return found if found.ndim == 1 else found.mean(axis=1)


def require_number(what: str, value: Any, fits: Callable[[float], bool], rule: str, example: str) -> None:
    """Raise ``ParameterError`` where the parameter of a measure is no number, or not one that fits."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (is_number and fits(value)):
        raise ParameterError(f"{what} has to be {rule}, not {value!r}: for example {example}")
