"""One iteration: fit a learner on a split's training rows, run its file on the test rows."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxlearn import measures as _measures
from onnxlearn.code_digest import code_digest, is_installed
from onnxlearn.errors import InternalError, OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.experiments.limit import TimeLimitExceeded, time_limit
from onnxlearn.experiments.record import Finished, Key, Record, Status
from onnxlearn.learner import Learner
from onnxlearn.measures import Measure, Outcome, Run
from onnxlearn.parts import part_of
from onnxlearn.prediction import Prediction
from onnxlearn.session import on_one_core
from onnxlearn.task import Task

if TYPE_CHECKING:
    from onnxlearn.model import Model

Rows: TypeAlias = NDArray[np.int64]

# Fits in threads of one process wait for each other anyway, since torch has one stream of random numbers: here, so that
# waiting counts neither for the time limit nor as time to train. A learner may resample within its fit.
FITTING = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How iterations are run and what is kept of each.

    ``measures``: those of them that suit the task are computed. ``time_limit``: seconds that a fit may take. ``fallback``: the
    learner that predicts where the one asked for failed. ``on_error``: ``record`` goes on without the failed one, ``raise``
    ends everything.
    """

    measures: tuple[Measure, ...] = ()
    time_limit: float | None = None
    fallback: Learner | None = None
    on_error: Literal["record", "raise"] = "record"
    predictions: bool = True
    models: bool = False
    histories: bool = True

    def __post_init__(self) -> None:
        limit = self.time_limit
        if limit is not None and not (isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0):
            raise ParameterError(f"time_limit is a number of seconds above 0, or None, not {limit!r}")
        if self.on_error not in ("record", "raise"):
            raise ParameterError(f"on_error is 'record' or 'raise', not {self.on_error!r}")
        if self.fallback is not None and not isinstance(self.fallback, Learner):
            raise ParameterError(f'fallback is a learner or None, not {self.fallback!r}: ol.learner("featureless")')

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: what results depend on."""
        return {
            "measures": [measure.name for measure in self.measures],
            "code": {measure.name: code_digest(measure.function) for measure in self.measures if is_own(measure)},
            "time_limit": self.time_limit,
            "fallback": None if self.fallback is None else self.fallback.to_dict(),
            "predictions": self.predictions,
            "models": self.models,
            "histories": self.histories,
        }


@dataclass(frozen=True)
class Begun:
    """A fit that was begun together with others: what makes its model, and its share of the time that this took."""

    fit: Callable[[], Model]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """A learner and the rows of a task that it is fitted on and tested on. Pickled, it goes to another process."""

    key: Key
    learner: Learner
    train: Rows
    test: Rows

    def run(self, task: Task, settings: Settings, begun: Begun | None = None) -> Finished:
        """Fit, or end the fit that was begun, predict and measure what it takes. Everything is done by one thread.

        Raises: whatever the learner raises, where ``on_error`` is ``raise``.
        """
        try:
            with on_one_core():
                return self._run(self.learner, task, self._record(task), settings, begun)
        except TimeLimitExceeded:
            return self.give_up(task, settings, "timeout", too_long(settings))
        except Exception as error:
            if settings.on_error == "raise":
                raise
            return self.give_up(task, settings, "failed", error_text(error))
        except SystemExit as error:
            # It ends what the learner does, and nothing else.
            return self.give_up(task, settings, "failed", error_text(error))

    def give_up(self, task: Task, settings: Settings, status: Status, error: str) -> Finished:
        """What is kept where the learner has no model: why, and the fallback's prediction.

        Raises: OnnxlearnError where ``on_error`` is ``raise``.
        """
        if settings.on_error == "raise":
            raise OnnxlearnError(f"{self.key}: {error}")
        failed = replace(self._record(task), status=status, error=error)
        if settings.fallback is None:
            return Finished(failed)
        try:
            with on_one_core():
                return self._run(settings.fallback, task, replace(failed, fallback=True), replace(settings, time_limit=None))
        except Exception as also:  # noqa: BLE001  - whatever a learner raises
            return Finished(replace(failed, error=f"{error}; the fallback failed too: {error_text(also)}"))

    def _record(self, task: Task) -> Record:
        target = task.schema.target
        return Record(**self.key._asdict(), task_type=target.type, n_train=len(self.train), n_test=len(self.test))

    def _fit(self, learner: Learner, train: Task, test: Task | None) -> Model:
        with part_of(self.title(learner)):
            return single_threaded(learner).fit(train, test=test, progress=False)

    def title(self, learner: Learner) -> str:
        """What the iteration is called beside its task and its kind of learner."""
        inner = "" if self.key.inner is None else f".{self.key.inner}"
        own = "" if self.key.learner == learner.name else f"{self.key.learner} "
        return f"{own}{self.key.resampling} {self.key.iteration}{inner}"

    def _run(self, learner: Learner, task: Task, blank: Record, settings: Settings, begun: Begun | None = None) -> Finished:
        train, test = task.select(self.train), task.select(self.test)
        if begun is None:
            begun = Begun(partial(self._fit, learner, train, test if learner.uses_test else None), 0.0)
        with FITTING, time_limit(settings.time_limit):
            start = time.perf_counter() - begun.seconds
            model = begun.fit()
        fitted = time.perf_counter()
        prediction = replace(model.predict(test), row_ids=self.test)
        predicted = time.perf_counter()
        training, data = model.metadata["training"], model.to_bytes()
        record = replace(
            blank,
            seconds_train=fitted - start,
            seconds_predict=predicted - fitted,
            n_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            history=training.get("history", {}) if settings.histories else {},
            notes=tuple(note for note in model.metadata.get("notes", ()) if note not in task.notes),
            versions=model.metadata["versions"],
        )
        scores, notes = scored(prediction, record, settings)
        record = replace(record, scores=scores, notes=(*record.notes, *notes))
        return Finished(record, prediction if settings.predictions else None, model if settings.models else None)


def scored(prediction: Prediction, record: Record, settings: Settings) -> tuple[dict[str, float | None], list[str]]:
    """The value of each measure that suits the task, ``None`` where the rows do not define it; and why it failed where it did.

    Raises: whatever a measure raises, where ``on_error`` is ``raise``.
    """
    outcome, scores, notes = outcome_of(prediction, record), dict[str, float | None](), []
    for measure in settings.measures:
        if measure.task not in ("any", prediction.target.type):
            continue
        value = math.nan
        try:
            value = measure(outcome)
        except Exception as error:
            if settings.on_error == "raise":
                raise
            notes.append(f"measure {measure.name!r} failed: {error_text(error)}")
        scores[measure.name] = value if math.isfinite(value) else None
    return scores, notes


def outcome_of(prediction: Prediction, record: Record) -> Outcome:
    """What measures read: the prediction, and what it took."""
    run = Run(seconds_train=record.seconds_train, seconds_predict=record.seconds_predict, n_bytes=record.n_bytes)
    return replace(prediction.outcome(), run=run)


def single_threaded(learner: Learner) -> Learner:
    """The learner as it is, but that it trains by one thread unless it was told how many.

    The last digits of a large network's weights depend on that number: results must not depend on how many processes share
    the cores.
    """
    return learner.replace(n_threads=1) if learner.values.get("n_threads", 1) is None else learner


def is_own(measure: Measure) -> bool:
    """Whether there is more to a measure than its name tells: code, or a matrix of costs."""
    try:
        return _measures.get(measure.name) != measure or not is_installed(measure.function)
    except (UnknownNameError, ParameterError):
        return True


def too_long(settings: Settings) -> str:
    """The error of a fit that was ended."""
    return f"the fit took longer than {settings.time_limit:g} seconds"


def error_text(error: BaseException) -> str:
    """The message; of errors that are not meant for users also their type."""
    plain = isinstance(error, OnnxlearnError) and not isinstance(error, InternalError)
    return str(error) if plain else f"{type(error).__name__}: {error}"
