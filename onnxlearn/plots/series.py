"""What a plot is drawn from: results or a prediction, as predictions of one or several learners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnxlearn.errors import DataError, DataTypeError, ParameterError, listing
from onnxlearn.experiments.record import Record
from onnxlearn.experiments.results import Results
from onnxlearn.measures import Outcome
from onnxlearn.plots.canvas import short_names
from onnxlearn.prediction import Prediction
from onnxlearn.schema import Target

if TYPE_CHECKING:
    from onnxlearn.learner import TaskType

Source: TypeAlias = Results | Prediction


@dataclass(frozen=True, kw_only=True)
class Series:
    """Predictions of one learner, one an iteration, all with their truth.

    ``name`` is empty for a Prediction that came alone. ``note`` says what the predictions lack.
    """

    name: str
    predictions: tuple[Prediction, ...]
    outcomes: tuple[Outcome, ...]
    note: str = ""

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.predictions[0].target


def titles(several: Sequence[Series], further: Sequence[str] | None = None) -> list[str]:
    """What each is called in a legend: its name, what further is said of it, and its note."""
    names = short_names([series.name for series in several]) if several[0].name else [""]
    texts = [f"{name} ({text})".strip() for name, text in zip(names, further, strict=True)] if further else names
    return [f"{text}\n({series.note})" if series.note else text for text, series in zip(texts, several, strict=True)]


def series_of(source: Source, type: TaskType, plot: str) -> list[Series]:
    """Every learner that has predictions.

    Raises: DataTypeError for what is neither; DataError for predictions that were not kept, have no truth or are of the other
    type of task; ParameterError where there are several tasks.
    """
    if isinstance(source, Prediction):
        found = [Series(name="", predictions=(source,), outcomes=(source.outcome(),))]
    else:
        groups = by_learner(source, plot).items()
        found = [series for name, records in groups if (series := _series(source, name, records))]
    if not found:
        raise DataError(f"there is nothing to draw: all iterations failed ({plot})")
    target = found[0].target
    if target.type != type:
        raise DataError(f"{plot} is for {type}, and {listing(target.names)} is predicted by {target.type}: choose another plot")
    return found


def one_series(source: Source, type: TaskType, plot: str) -> Series:
    """The only learner. Raises: as :func:`series_of`; ParameterError where there are several."""
    found = series_of(source, type, plot)
    require_one("learner", [series.name for series in found], plot)
    return found[0]


def by_learner(source: object, plot: str) -> dict[str, list[Record]]:
    """The iterations of each learner. Raises: DataTypeError, DataError; ParameterError where there are several tasks."""
    if not isinstance(source, Results):
        raise DataTypeError(
            f"{plot} draws what ol.resample or ol.benchmark gave, or where it can a Prediction, not {source.__class__.__name__}"
        )
    if not source.records:
        raise DataError(f"{plot} has nothing to draw: the result has no iterations")
    require_one("task", [record.task for record in source.records], plot)
    require_one("resampling", [record.resampling for record in source.records], plot)
    found: dict[str, list[Record]] = {}
    for record in source.records:
        found.setdefault(record.learner, []).append(record)
    return found


def require_one(part: str, names: Sequence[str], plot: str) -> None:
    """Raise ``ParameterError`` where there are several."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) > 1:
        raise ParameterError(
            f"{plot} is of one {part}, and there are {listing(distinct)}: choose, as in result.filter({part}s={distinct[0]!r})"
        )


def _series(result: Results, name: str, records: Sequence[Record]) -> Series | None:
    predictions = tuple(found for record in records if (found := result.prediction(record)) is not None)
    if not predictions:
        return None
    outcomes = tuple(prediction.outcome() for prediction in predictions)
    return Series(name=name, predictions=predictions, outcomes=outcomes, note=shortfall(records))


def shortfall(records: Sequence[Record]) -> str:
    """How many iterations failed, and how many of them the fallback learner stands in for; empty where none did."""
    n, failed = len(records), sum(record.status != "done" for record in records)
    fallen = sum(record.fallback for record in records)
    if not failed:
        return ""
    return f"{failed} of {n} failed" + (f", {fallen} by the fallback" if fallen else "")
