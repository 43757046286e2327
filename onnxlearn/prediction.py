"""Predictions: labels or numbers, probabilities, and the truth where it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """

    target: Target
    row_ids: Array
    response: Array
    prob: Array | None = None
    truth: Array | None = None
    weights: Array | None = None
    no_truth: str = "the rows came without it"

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
    ) -> Self:
        """Read a model's outputs (``label`` and ``probabilities``, or ``prediction``).

        ``truth`` as :meth:`onnxlearn.task.Task.truth` gives it: int64 ``[N]`` positions in the classes, or float64 ``[N, T]``.
        """
        prob = outputs["probabilities"] if target.type == "classification" else None
        response = labels_of(target, outputs["label"]) if prob is not None else _squeezed(outputs["prediction"])
        if truth is not None:
            truth = class_array(target)[truth] if prob is not None else _squeezed(truth)
        ids = np.arange(len(response)) if row_ids is None else row_ids
        return cls(target=target, row_ids=ids, response=response, prob=prob, truth=truth, weights=weights, no_truth=no_truth)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The classes, in the order of the columns of ``prob``; empty for regression."""
        return self.target.classes

    def __len__(self) -> int:
        return len(self.response)

    def __repr__(self) -> str:
        known = "with truth" if self.truth is not None else "no truth"
        return f"<Prediction of {', '.join(self.target.names)}: {len(self)} rows, {known}>"

    def to_frame(self) -> pd.DataFrame:
        """A data frame indexed by ``row_ids``: ``label`` and ``prob_<class>``, or ``prediction`` (``prediction_<target>``)."""
        import pandas as pd

        return pd.DataFrame(self.to_columns(), index=pd.Index(self.row_ids))

    def to_columns(self) -> dict[str, Array]:
        """The columns of :meth:`to_frame` as arrays."""
        values = [self.response, *self.prob.T] if self.prob is not None else list(self._numbers(self.response).T)
        return dict(zip(column_names(self.target), values, strict=True))

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
        return Outcome.of(self.target, pair[0], pair[1], self.prob, self.weights)

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


def column_names(target: Target) -> list[str]:
    """Names of the columns that a prediction has in a table.

    >>> column_names(Target(names=("y",), type="classification", dtype="bool", classes=(False, True), positive=True))
    ['label', 'prob_False', 'prob_True']
    """
    if target.type == "classification":
        return ["label", *(f"prob_{label}" for label in target.classes)]
    return ["prediction"] if len(target.names) == 1 else [f"prediction_{name}" for name in target.names]


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


def one_row(target: Target, outputs: Sequence[Array]) -> dict[str, Any]:
    """The outputs of one row as plain Python values."""
    if target.type == "classification":
        label = outputs[0].item(0)
        values = outputs[1][0].tolist()
        return {
            "label": bool(label) if target.dtype == "bool" else label,
            "probabilities": dict(zip(target.classes, values, strict=True)),
        }
    values = outputs[0][0].tolist()
    return {"prediction": values[0] if len(values) == 1 else dict(zip(target.names, values, strict=True))}


def _squeezed(values: Array) -> Array:
    """``[N]`` for one target, ``[N, T]`` for several."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
