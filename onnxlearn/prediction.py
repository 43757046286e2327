"""Predictions: labels or numbers, probabilities, what else the file gives, and the truth where it is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from onnxlearn import measures as _measures
from onnxlearn.errors import DataError
from onnxlearn.measures import Array, Measure, Outcome
from onnxlearn.schema import Target

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction:
    """What a model says of N rows.

    ``row_ids`` ``[N]``: the index of the data frame, or 0, 1, ... ``response``: labels ``[N]`` in the training type (object
    array of str, int64, bool), or float64 ``[N]`` (``[N, T]`` for several targets). ``prob``: float32 ``[N, C]`` in the
    order of ``classes``, ``None`` for regression. ``truth``: like ``response``, ``None`` where it is not known, and then
    ``no_truth`` says why. ``weights``: float64 ``[N]`` where the model was trained with weights and the rows have them.
    ``further``: the file's other outputs by name, as they come, first axis N; ``axes``: what stands along their last axis.
    """

    target: Target
    row_ids: Array
    response: Array
    prob: Array | None = None
    truth: Array | None = None
    weights: Array | None = None
    no_truth: str = "the rows came without it"
    further: Mapping[str, Array] = field(default_factory=dict)
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def from_outputs(
        cls,
        target: Target,
        outputs: Mapping[str, Array],
        *,
        row_ids: Array | None = None,
        truth: Array | None = None,
        weights: Array | None = None,
        no_truth: str = "the rows came without it",
        axes: Mapping[str, Sequence[Any]] | None = None,
    ) -> Self:
        """Read a model's outputs: ``label`` and ``probabilities``, or ``prediction``, and any others.

        ``truth`` as :meth:`onnxlearn.task.Task.truth` gives it: int64 ``[N]`` positions in the classes, or float64 ``[N, T]``.
        """
        prob = outputs["probabilities"] if target.type == "classification" else None
        response = labels_of(target, outputs["label"]) if prob is not None else _squeezed(outputs["prediction"])
        if truth is not None:
            truth = class_array(target)[truth] if prob is not None else _squeezed(truth)
        ids = np.arange(len(response)) if row_ids is None else row_ids
        further = {name: array for name, array in outputs.items() if name not in ("label", "probabilities", "prediction")}
        return cls(
            target=target, row_ids=ids, response=response, prob=prob, truth=truth, weights=weights, no_truth=no_truth,
            further=further, axes={} if axes is None else axes,
        )  # fmt: skip

    @property
    def classes(self) -> tuple[Any, ...]:
        """The classes, in the order of the columns of ``prob``; empty for regression."""
        return self.target.classes

    @property
    def lower(self) -> Array | None:
        """Lower ends of the intervals: float64 ``[N]`` (``[N, T]`` for several targets); ``None`` where there are none."""
        return self._further("lower")

    @property
    def upper(self) -> Array | None:
        """Upper ends of the intervals, like :attr:`lower`."""
        return self._further("upper")

    @property
    def std(self) -> Array | None:
        """Standard deviations of the predicted distribution, like :attr:`lower`."""
        return self._further("std")

    @property
    def quantiles(self) -> Array | None:
        """Predicted quantiles at :attr:`levels`, ascending: float64 ``[N, Q]`` (``[N, T, Q]``), or ``None``."""
        return self._further("quantiles")

    @property
    def levels(self) -> tuple[float, ...]:
        """The probabilities of :attr:`quantiles`."""
        return tuple(self.axes.get("quantiles", ()))

    @property
    def sets(self) -> Array | None:
        """Which classes are in the predicted set: bool ``[N, C]``; ``None`` where there are no sets."""
        return self.further.get("set")

    @property
    def masks(self) -> Array | None:
        """How much each feature counted: float32 ``[N, F]``, or ``[N, k, F]`` in each of k steps; ``None`` without masks."""
        return self.further.get("masks")

    def _further(self, name: str) -> Array | None:
        return _squeezed(self.further[name]) if name in self.further else None

    def __len__(self) -> int:
        return len(self.response)

    def __repr__(self) -> str:
        known = "with truth" if self.truth is not None else "no truth"
        return f"<Prediction of {', '.join(self.target.names)}: {len(self)} rows, {known}>"

    def to_frame(self) -> pd.DataFrame:
        """A data frame indexed by ``row_ids``, its columns as :func:`column_names` tells."""
        import pandas as pd

        return pd.DataFrame(self.to_columns(), index=pd.Index(self.row_ids))

    def to_columns(self) -> dict[str, Array]:
        """The columns of :meth:`to_frame` as arrays."""
        outputs = self.to_outputs()
        names = column_names(self.target, {name: array.shape[1:] for name, array in outputs.items()}, self.axes)
        columns = [column for array in outputs.values() for column in array.reshape(len(self), _size(array)).T]
        return dict(zip(names, columns, strict=True))

    def to_outputs(self) -> dict[str, Array]:
        """The outputs by name as the file gives them, numbers as ``[N, T]``; labels in the training type."""
        if self.prob is not None:
            return {"label": self.response, "probabilities": self.prob, **self.further}
        return {"prediction": self._numbers(self.response), **self.further}

    def outcome(self) -> Outcome:
        """Truth and prediction as measures read them.

        Raises: DataError where the truth is not known.
        """
        if self.truth is None:
            raise DataError(f"this cannot be scored: {self.no_truth}")
        if self.prob is None:
            pair = [self._numbers(array) for array in (self.truth, self.response)]
        else:
            pair = [class_codes(self.target, array) for array in (self.truth, self.response)]
        further = {field: self.further.get(name) for field, name in _OF_MEASURES.items()}
        return Outcome.of(self.target, pair[0], pair[1], self.prob, self.weights, levels=self.levels, **further)

    def _numbers(self, values: Array) -> Array:
        """``[N, T]`` also for one target."""
        return values.reshape(len(self), len(self.target.names))

    @overload
    def score(self, measure: str | Measure, /) -> float: ...

    @overload
    def score(self, *measures: str | Measure) -> dict[str, float]: ...

    def score(self, *measures: str | Measure) -> float | dict[str, float]:
        """The value of one measure; of several, or of the usual ones if none is named, the values by name.

        Raises: DataError where the truth is not known, UnknownNameError, ParameterError.
        """
        scores = self.scores(measures)
        return next(iter(scores.values())) if len(measures) == 1 else scores

    def scores(self, measures: Iterable[str | Measure] = ()) -> dict[str, float]:
        """Each measure's value by name, however many there are.

        Raises: as :meth:`score`.
        """
        return _measures.score(self.outcome(), _measures.resolve(measures, self.target))


def column_names(
    target: Target, shapes: Mapping[str, tuple[int, ...]], axes: Mapping[str, Sequence[Any]] | None = None
) -> list[str]:
    """Names of the columns that outputs have in a table.

    ``label`` and ``prob_<class>``, ``set_<class>``; ``prediction``, ``lower``, ``upper``, ``std``, ``q0.05``, each followed
    by ``_<target>`` where there are several. Of any other output the name, followed by what stands along its axes.
    ``shapes``: the outputs and the shape of a row of each.

    >>> target = Target(names=("y",), type="classification", dtype="bool", classes=(False, True), positive=True)
    >>> column_names(target, {"label": (), "probabilities": (2,), "embedding": (2,)})
    ['label', 'prob_False', 'prob_True', 'embedding_0', 'embedding_1']
    """
    return [column for name, shape in shapes.items() for column in _column_names(target, name, shape, axes or {})]


def _column_names(target: Target, name: str, shape: tuple[int, ...], axes: Mapping[str, Sequence[Any]]) -> list[str]:
    if name in _OF_CLASSES:
        return [f"{_OF_CLASSES[name]}_{label}" for label in target.classes]
    endings = [f"_{one}" for one in target.names] if len(target.names) > 1 else [""]
    if name in _OF_TARGETS:
        return [f"{name}{ending}" for ending in endings]
    last = axes.get(name) or (range(shape[-1]) if shape else ())
    if name == "quantiles":
        return [f"q{level}{ending}" for ending in endings for level in last]
    places = itertools.product(*map(range, shape[:-1]), last) if shape else [()]
    return ["_".join(map(str, (name, *place))) for place in places]


_OF_CLASSES = {"probabilities": "prob", "set": "set"}
_OF_TARGETS = ("prediction", "lower", "upper", "std")
# Outputs that measures read, by the name that they have there.
_OF_MEASURES = {"lower": "lower", "upper": "upper", "sets": "set", "quantiles": "quantiles", "std": "std"}


def class_array(target: Target) -> Array:
    """The classes in the array type of a response."""
    return np.array(target.classes, dtype={"str": object, "int64": np.int64, "bool": np.bool_}[target.dtype])


def class_codes(target: Target, labels: Array) -> Array:
    """Position of each label in the classes, int64; labels are of the classes."""
    position = {label: code for code, label in enumerate(target.classes)}
    return np.fromiter(map(position.__getitem__, labels.tolist()), np.int64, len(labels))


def labels_of(target: Target, labels: Array) -> Array:
    """The file's labels in the training type: booleans are stored as 0 and 1."""
    return labels.astype(np.bool_) if target.dtype == "bool" else labels


def one_row(target: Target, outputs: Mapping[str, Array], axes: Mapping[str, Sequence[Any]] | None = None) -> dict[str, Any]:
    """The outputs of one row as plain Python values."""
    return {name: _plain(target, name, array[:1].tolist()[0], axes or {}) for name, array in outputs.items()}


def _plain(target: Target, name: str, values: Any, axes: Mapping[str, Sequence[Any]]) -> Any:
    if name == "label":
        return bool(values) if target.dtype == "bool" else values
    if name == "probabilities":
        return dict(zip(target.classes, values, strict=True))
    if name == "set":
        return [label for label, inside in zip(target.classes, values, strict=True) if inside]
    if name == "quantiles":
        values = [dict(zip(axes.get(name) or range(len(row)), row, strict=True)) for row in values]
    if name in _OF_TARGETS or name == "quantiles":
        return values[0] if len(values) == 1 else dict(zip(target.names, values, strict=True))
    flat = name in axes and isinstance(values, list) and not (values and isinstance(values[0], list))
    return dict(zip(axes[name], values, strict=True)) if flat else values


def _size(array: Array) -> int:
    """Number of columns of an output in a table."""
    return math.prod(array.shape[1:])


def _squeezed(values: Array) -> Array:
    """``[N]`` for one target, ``[N, T]`` for several; likewise without the axis of targets in ``[N, T, Q]``."""
    return values[:, 0] if values.ndim > 1 and values.shape[1] == 1 else values
