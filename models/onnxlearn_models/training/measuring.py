"""Measures of what the network says while it is trained: the loop's own values, beside those of the file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from onnxlearn import measures as _measures
from onnxlearn.errors import DataError, ParameterError, UnknownNameError
from onnxlearn.measures import Measure, Outcome
from onnxlearn.postprocess.heads import Head
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.task import Task

Array = np.ndarray[Any, np.dtype[Any]]
Outputs: TypeAlias = Mapping[str, Array]

MEASURED_ROWS = 10_000
"""Training rows at most that are measured: more would make measures of them cost as much as their training."""

OWN = ("loss", "score")
"""What the loop tells of validation rows without any measure."""

_NOT_YET = {
    "run": "what a run took is known when it is over",
    "intervals": "intervals are calibrated after the training",
    "sets": "sets of classes are calibrated after the training",
}


@dataclass(frozen=True, eq=False)
class Known:
    """Rows whose truth is known: as of a task, which of them (``None``: all), and their weights."""

    truth: Array
    weights: Array | None
    rows: Array | None = None

    @classmethod
    def of(cls, task: Task, most: int | None = None) -> Known:
        """Of a task; of more than ``most`` rows so many, evenly spaced, of those that count."""
        truth, weights = task.truth(), task.weights()
        rows = np.arange(len(truth)) if weights is None else np.flatnonzero(weights > 0)
        if most is None or len(rows) <= most:
            return cls(truth, weights)
        rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
        return cls(truth[rows], None if weights is None else weights[rows], rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measuring:
    """What the history tells of epochs beside the loss, computed as from the file's outputs before any calibration.

    ``measures``: those of ``every`` so many epochs and of the last one, of validation and of training rows; ``monitored``: one
    of every epoch's validation rows. Rows count by their own weights, without those of classes.
    """

    measures: tuple[Measure, ...]
    monitored: Measure | None
    every: int
    head: Head
    scaling: TargetScaling | None
    post: Postprocessing
    train: Known
    valid: Known | None

    @property
    def names(self) -> tuple[str, ...]:
        """What the values of all epochs are called."""
        of_valid = () if self.valid is None else (*self.measures, *([] if self.monitored is None else [self.monitored]))
        names = [f"train_{each.name}" for each in self.measures] + [f"valid_{each.name}" for each in of_valid]
        return tuple(dict.fromkeys(names))

    def is_due(self, epoch: int, *, last: bool) -> bool:
        """Whether the measures belong to this epoch."""
        return bool(self.measures) and (last or epoch % self.every == 0)

    def read(self, output: Tensor) -> Outputs:
        """What the head makes of the network's output of some rows."""
        return self.head.apply(output.numpy(force=True), self.scaling)

    def of_train(self, parts: Sequence[Outputs]) -> dict[str, float | None]:
        """The measures of training rows, whose outputs come part by part: by names such as ``train_auc``."""
        return self._values("train", self.measures, parts, self.train)

    def of_valid(self, parts: Sequence[Outputs], *, due: bool) -> dict[str, float | None]:
        """Those of validation rows, where there are such; the monitored one alone where the measures are not due."""
        if self.valid is None:
            return {}
        measures = [*(self.measures if due else ()), *([] if self.monitored is None else [self.monitored])]
        return self._values("valid", measures, parts, self.valid)

    def low(self, values: Mapping[str, float | None]) -> float | None:
        """The monitored one of the values of an epoch, such that lower is better."""
        assert self.monitored is not None
        value = values[f"valid_{self.monitored.name}"]
        return None if value is None else {True: value, False: -value, None: abs(value)}[self.monitored.minimize]

    def outcome(self, outputs: Outputs, known: Known) -> Outcome:
        """What measures read, of the outputs of the head."""
        target, made = self.head.target, self.post.apply(outputs, self.head.target)
        response = made["label"] if "label" in made else made["prediction"]
        further = {name: made[name] for name in ("quantiles", "std") if name in made}
        probabilities = made.get("probabilities")
        return Outcome.of(target, known.truth, response, probabilities, known.weights, levels=self.post.levels, **further)

    def _values(
        self, rows: str, measures: Sequence[Measure], parts: Sequence[Outputs], known: Known
    ) -> dict[str, float | None]:
        if not measures:
            return {}
        outcome = self.outcome({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, known)
        values = {f"{rows}_{measure.name}": measure(outcome) for measure in dict.fromkeys(measures)}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}


def make_measuring(
    measures: Sequence[str | Measure],
    monitor: str,
    every: int,
    *,
    head: Head,
    scaling: TargetScaling | None,
    post: Postprocessing,
    train: Task,
    valid: Task | None,
) -> Measuring | None:
    """What is measured in training; ``None`` where that is nothing. ``post``: of the file, without what is calibrated.

    Raises: UnknownNameError, ParameterError for a measure that does not suit the task, or cannot be known in training.
    """
    monitored = None if monitor in OWN else _named(monitor, measures)
    wanted = [*measures, *([] if monitored is None else [monitored])]
    if not wanted:
        return None
    chosen = _measures.resolve(wanted, head.target)
    measuring = Measuring(
        measures=chosen[: len(measures)],
        monitored=monitored,
        every=every,
        head=head,
        scaling=scaling,
        post=post,
        train=Known.of(train, MEASURED_ROWS),
        valid=None if valid is None else Known.of(valid),
    )
    for measure in chosen:
        _require_measurable(measure, measuring)
    return measuring


def _named(monitor: str, measures: Sequence[str | Measure]) -> Measure:
    """The measure of that name: one of those that are measured anyway, or any other."""
    own = {measure.name: measure for measure in measures if isinstance(measure, Measure)}
    if monitor in own:
        return own[monitor]
    try:
        return _measures.get(monitor)
    except UnknownNameError:
        raise UnknownNameError.of("monitor", monitor, [*OWN, *_measures.MEASURES]) from None


def _require_measurable(measure: Measure, measuring: Measuring) -> None:
    """Raise ``ParameterError`` for a measure that needs what the network's outputs do not have."""
    if measure.needs in _NOT_YET:
        raise ParameterError(f"measure {measure.name!r} cannot be known in training: {_NOT_YET[measure.needs]}")
    nothing = measuring.head.apply(np.zeros((1, measuring.head.width), np.float32), measuring.scaling)
    try:
        measure.require(measuring.outcome(nothing, Known(measuring.train.truth[:1], None)))
    except DataError as error:
        raise ParameterError(str(error)) from None
