"""What a result is cut into: sections of one task by one resampling, and comparisons over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxlearn.errors import DataError
from onnxlearn.experiments.record import Record
from onnxlearn.experiments.results import BenchmarkResult, Results
from onnxlearn.measures import Measure
from onnxlearn.statistics import Scores


@dataclass(frozen=True, kw_only=True)
class Part:
    """Iterations that are shown together, under a title. ``measures``: names of those that they were scored by."""

    title: str
    result: BenchmarkResult
    measures: tuple[str, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """The iterations."""
        return self.result.records

    def scores(self, measure: str) -> Scores:
        """The scores of a measure, on the tasks that have it."""
        tasks = [task for task in _names(self.records, "task") if self.has(task, measure)]
        found = self.result.find_measure(measure)
        minimize = None if found is not None and found.minimize is not None else False
        frame = self.result.scores
        return Scores.from_frame(frame[frame["task"].isin(tasks)], found or measure, minimize=minimize)

    def has(self, task: str, measure: str) -> bool:
        """Whether the measure suits the task."""
        records = [record for record in self.records if record.task == task]
        return _suits(records, measure, self.result.find_measure(measure))

    def ranked(self) -> Iterator[str]:
        """The measures with a better end, on two tasks or more."""
        tasks = _names(self.records, "task")
        for measure in self.measures:
            found = self.result.find_measure(measure)
            if found is not None and found.minimize is not None and sum(self.has(task, measure) for task in tasks) > 1:
                yield measure


def sections(result: Results) -> list[Part]:
    """A part for each task by each resampling, in the order of the results."""
    several = _several_resamplings(result.records)
    pairs = dict.fromkeys((record.task, record.resampling) for record in result.records)
    found = []
    for task, resampling in pairs:
        part = result.filter(tasks=[task], resamplings=[resampling])
        names = tuple(name for name in result.measures if _suits(part.records, name, result.find_measure(name)))
        found.append(Part(title=f"{task} by {resampling}" if several else task, result=part, measures=names))
    return found


def comparisons(result: Results) -> list[Part]:
    """What can be compared over tasks: everything, or where a task was split in several ways each of them."""
    if not _several_resamplings(result.records):
        parts = [Part(title="", result=result.filter(), measures=result.measures)]
    else:
        names = _names(result.records, "resampling")
        parts = [Part(title=name, result=result.filter(resamplings=[name]), measures=result.measures) for name in names]
    return [part for part in parts if len(_names(part.records, "task")) > 1]


def best(values: Sequence[float], measure: Measure | None) -> list[bool]:
    """Which of several values no other is better than; none where nothing is known of the measure, or there is one alone.

    >>> from onnxlearn.measures import get
    >>> best([0.5, float("nan"), 0.5, 0.4], get("acc"))
    [True, False, True, False]
    """
    defined = [value for value in values if value == value]
    if measure is None or measure.minimize is None or len(defined) < 2:
        return [False] * len(values)
    top = min(defined) if measure.minimize else max(defined)
    return [value == top for value in values]


def _suits(records: Sequence[Record], name: str, measure: Measure | None) -> bool:
    """Whether the task of these iterations has the measure: it was computed, or would have been had one not failed."""
    if any(name in record.scores for record in records):
        return True
    failed = all(not record.scores for record in records)
    return failed and (measure is None or measure.task in ("any", records[0].task_type))


def _names(records: Sequence[Record], part: str) -> list[str]:
    return list(dict.fromkeys(getattr(record, part) for record in records))


def _several_resamplings(records: Sequence[Record]) -> bool:
    pairs = {(record.task, record.resampling) for record in records}
    return len(pairs) > len({task for task, _ in pairs})


def require_records(result: Results) -> None:
    """Raise ``DataError`` where there is nothing to report."""
    if not result.records:
        raise DataError("there is nothing to report: no iteration is finished; run the benchmark first")
