"""What came of a resampling or a benchmark."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onnxlearn import measures as _measures
from onnxlearn.errors import DataError, ParameterError, UnknownNameError, listing
from onnxlearn.experiments.job import outcome_of
from onnxlearn.experiments.nested import chosen_by_inner
from onnxlearn.experiments.record import Finished, Key, Record
from onnxlearn.experiments.store import Store
from onnxlearn.measures import Average, Measure
from onnxlearn.model import Model
from onnxlearn.prediction import Prediction

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.statistics import Scores

# From a record to the iteration; ``model=False`` where its model is not wanted.
Fetch: TypeAlias = Callable[..., Finished]

CELL = ["task", "learner", "resampling"]
ABOUT = [*CELL, "iteration", "n_train", "n_test", "status"]
INNER = [*CELL, "iteration", "inner", "n_train", "n_test", "status"]


class Results:
    """Iterations: ``records`` tell how each went, ``inner_records`` those on the inner splits of a nested resampling.

    ``measures``: what the scores are of, where they are no longer known by their names. ``fetch`` gives an iteration with its
    prediction and model, where they were kept. ``design``: what was compared, as in a folder's ``design.json``.
    """

    def __init__(
        self,
        records: Sequence[Record],
        fetch: Fetch,
        measures: Iterable[Measure] = (),
        design: Mapping[str, Any] | None = None,
    ) -> None:
        self.records = tuple(record for record in records if record.inner is None)
        self.inner_records = tuple(record for record in records if record.inner is not None)
        self._fetch = fetch
        self.design = dict(design or {})
        self._measures = {measure.name: measure for measure in measures}

    def __repr__(self) -> str:
        parts = {"task": "tasks", "learner": "learners", "resampling": "resamplings"}
        named = [
            f"{many}: {listing(dict.fromkeys(getattr(record, one) for record in self.records))}" for one, many in parts.items()
        ]
        n_failed = sum(record.status != "done" for record in self._all)
        failed = f", {n_failed} failed" if n_failed else ""
        return f"{type(self).__name__}({'; '.join(named)}; {len(self._all)} iterations{failed})"

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures that were asked for, or computed, when the iterations were run."""
        asked = self.design.get("settings", {}).get("measures", ())
        computed = (name for record in self._all for name in record.scores)
        return tuple(dict.fromkeys([*self._measures, *asked, *computed]))

    @property
    def _all(self) -> tuple[Record, ...]:
        return self.records + self.inner_records

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores that were computed when the iterations were run, one line each."""
        return _table(self.records, ABOUT, self.measures, lambda record: record.scores)

    @cached_property
    def inner(self) -> pd.DataFrame:
        """The scores on the inner splits of a nested resampling, one line each: what one may choose by, unlike ``scores``."""
        return _table(self.inner_records, INNER, self.measures, lambda record: record.scores)

    def score(self, *measures: str | Measure) -> pd.DataFrame:
        """Any measures, computed from the predictions that were kept, one line each iteration.

        Raises: DataError where none were kept, UnknownNameError.
        """
        chosen = [self._measure(one) if isinstance(one, str) else one for one in measures]

        def values(record: Record) -> dict[str, float | None]:
            prediction = self.prediction(record)
            if prediction is None:
                return dict.fromkeys([measure.name for measure in chosen])
            outcome = outcome_of(prediction, record)
            suit = [measure for measure in chosen if measure.task in ("any", prediction.target.type)]
            return {measure.name: measure(outcome) for measure in suit}

        return _table(self.records, ABOUT, [measure.name for measure in chosen], values)

    def statistics(self, measure: str) -> Scores:
        """The scores of one measure, for the tests and ranks of :mod:`onnxlearn.statistics`."""
        from onnxlearn.statistics import Scores

        return Scores.from_frame(self.scores, self.find_measure(measure) or measure)

    def _measure(self, name: str) -> Measure:
        return self._measures.get(name) or _measures.get(name)

    def _aggregate(self, name: str, records: Sequence[Record], average: Average | None) -> float:
        """One value of several iterations; NaN where the measure does not suit the task, or an iteration failed."""
        if any(record.status != "done" and not record.fallback for record in records):
            return math.nan
        stored = all(name in record.scores for record in records)
        # One's own measure, of which a folder knows the name alone, has no other way to be put together.
        if stored and (average or self._average(name)) == "macro":
            return float(np.mean([_number(record.scores[name]) for record in records]))
        measure = self._measure(name)
        if measure.task not in ("any", records[0].task_type):
            return math.nan
        outcomes = [outcome_of(prediction, record) for record in records if (prediction := self.prediction(record))]
        return _measures.aggregate(measure, outcomes, average)

    def _average(self, name: str) -> Average:
        measure = self.find_measure(name)
        return "macro" if measure is None else measure.average

    def _n_missing(self, cell: tuple[str, str, str], n_there: int) -> int:
        n: int = self.design.get("splits", {}).get(f"{cell[0]}/{cell[2]}", {}).get("n", n_there)
        return n - n_there

    @property
    def n_missing(self) -> int:
        """How many iterations of the design a folder does not have yet."""
        there = Counter(record.key[:3] for record in self.records)
        cells = {tuple(cell) for cell in self.design.get("cells", ())} | there.keys()
        return sum(self._n_missing(cell, there[cell]) for cell in cells)

    def find_measure(self, name: str) -> Measure | None:
        """What is known of a measure; nothing of one's own whose name alone a folder tells."""
        try:
            return self._measure(name)
        except UnknownNameError:
            return None

    def filter(
        self,
        *,
        tasks: Iterable[str] | None = None,
        learners: Iterable[str] | None = None,
        resamplings: Iterable[str] | None = None,
    ) -> BenchmarkResult:
        """The iterations of some tasks, learners and resamplings. Raises: UnknownNameError."""
        wanted = {"task": tasks, "learner": learners, "resampling": resamplings}
        records, cells = self._all, self.design.get("cells", [])
        for part, names in wanted.items():
            if names is None:
                continue
            chosen, known = [names] if isinstance(names, str) else list(names), {getattr(r, part) for r in self._all}
            for name in chosen:
                if name not in known:
                    raise UnknownNameError.of(part, name, known)
            records = tuple(record for record in records if getattr(record, part) in chosen)
            cells = [cell for cell in cells if cell[CELL.index(part)] in chosen]
        return BenchmarkResult(records, self._fetch, self._measures.values(), {**self.design, "cells": cells})

    @property
    def errors(self) -> pd.DataFrame:
        """The iterations that failed or took too long, also those on inner splits, with the error of each."""
        failed = [record for record in self._all if record.status != "done"]
        place = [*CELL, "iteration", *(["inner"] if self.inner_records else [])]
        return _table(failed, [*place, "status", "error", "fallback"], (), lambda _: {})

    def prediction(self, record: Record) -> Prediction | None:
        """The prediction of an iteration, ``None`` where it failed. Raises: DataError where it was not kept."""
        if record.status != "done" and not record.fallback:
            return None
        found = self._fetch(record, model=False).prediction
        if found is None:
            raise DataError("the predictions were not kept: run it again with predictions=True")
        return found

    def model(self, record: Record) -> Model:
        """The model of an iteration. Raises: DataError where it failed or was not kept."""
        found = self._fetch(record).model
        if found is None:
            raise DataError("the models were not kept: run it again with models=True")
        return found


class BenchmarkResult(Results):
    """Iterations of one or several learners on one or several tasks."""

    @classmethod
    def load(cls, *folders: str | Path) -> BenchmarkResult:
        """The finished iterations of results folders; several ones are put together, each iteration once.

        Where several folders of one design have an iteration, the first one's counts: kinds of machines differ in last digits.

        Raises: DataError where a folder holds no results, or has other ones of the same name by another design.
        """
        stores = [Store.open(folder) for folder in folders]
        _require_alike(stores)
        holder: dict[Key, Store] = {}
        records: dict[Key, Record] = {}
        for store in stores:
            for record in store.records():
                there = holder.setdefault(record.key, store)
                records.setdefault(record.key, record)
                if there is not store and there.about(record.key) != store.about(record.key):
                    raise _is_twice(record)

        def fetch(record: Record, **parts: bool) -> Finished:
            return holder[record.key].read(record, **parts)

        return cls(list(records.values()), fetch, (), _put_together([store.design for store in stores]))

    def aggregate(self, *measures: str, average: Average | None = None) -> pd.DataFrame:
        """One line for each learner on a task: the mean over iterations (macro) or the value on pooled rows (micro).

        ``measures``: names, by default those that were computed. ``average``: for all measures, by default what each has. Where
        an iteration failed and had no fallback, the value is NaN: a mean over what is left would favour whoever fails on the
        hard ones; ``n_failed`` counts them. ``n_missing`` counts those that a folder does not have yet: they are in no mean.

        Raises: UnknownNameError; DataError where predictions are needed that were not kept.
        """
        import pandas as pd

        names = measures or self.measures
        rows = [
            {
                **dict(zip(CELL, cell, strict=True)),
                **{name: self._aggregate(name, records, average) for name in names},
                "n": len(records),
                "n_failed": sum(record.status != "done" for record in records),
                "n_missing": self._n_missing(cell, len(records)),
            }
            for cell, records in self._by_cell().items()
        ]
        return pd.DataFrame(rows, columns=[*CELL, *names, "n", "n_failed", "n_missing"])

    def choose(self, measure: str) -> pd.DataFrame:
        """Which learner each outer iteration of a nested resampling chooses by its inner splits, and how good the choice is.

        Columns: ``task``, ``resampling``, ``iteration``, the chosen ``learner``, its mean ``inner`` score, which flatters since
        it was the best of several, and its ``outer`` score on rows that had no say in the choice. Of equal learners the first
        is chosen. Cawley and Talbot (2010), "On over-fitting in model selection and subsequent selection bias in performance
        evaluation", Journal of Machine Learning Research 11.

        Raises: UnknownNameError; DataError without inner scores, or where every learner failed; ParameterError for a measure
        without a better end.
        """
        if measure not in self.measures:
            raise UnknownNameError.of("computed measure", measure, self.measures)
        return chosen_by_inner(self.scores, self.inner, self._measure(measure))

    def _by_cell(self) -> dict[tuple[str, str, str], list[Record]]:
        found: dict[tuple[str, str, str], list[Record]] = {}
        for record in self.records:
            found.setdefault(record.key[:3], []).append(record)
        return found

    def combine(self, *others: BenchmarkResult) -> BenchmarkResult:
        """These iterations and those of other results, each once.

        Raises: DataError where one is there twice with another outcome.
        """
        fetch_of: dict[Key, Fetch] = {}
        records: dict[Key, Record] = {}
        for result in (self, *others):
            for record in result._all:
                there = records.setdefault(record.key, record)
                fetch_of.setdefault(record.key, result._fetch)
                if (there.sha256, there.status, there.scores) != (record.sha256, record.status, record.scores):
                    raise _is_twice(record)
        measures = [measure for result in (self, *others) for measure in result._measures.values()]
        design = _put_together([result.design for result in (self, *others)])

        def fetch(record: Record, **parts: bool) -> Finished:
            return fetch_of[record.key](record, **parts)

        return BenchmarkResult(list(records.values()), fetch, measures, design)

    def resample_result(
        self, task: str | None = None, learner: str | None = None, resampling: str | None = None
    ) -> ResampleResult:
        """The iterations of one learner on one task; a name may be left out where there is only one.

        Raises: ParameterError where there are several.
        """
        names = {"tasks": task, "learners": learner, "resamplings": resampling}
        found = self.filter(**{part: [name] for part, name in names.items() if name is not None})
        if len(found._by_cell()) != 1:
            there = listing(" / ".join(cell) for cell in found._by_cell())
            raise ParameterError(f"one learner on one task is wanted; there are {there}: name task, learner and resampling")
        return ResampleResult(found._all, found._fetch, found._measures.values(), found.design)


class ResampleResult(Results):
    """Iterations of one learner on one task."""

    def aggregate(self, *measures: str, average: Average | None = None) -> dict[str, float]:
        """Each measure's mean over iterations (macro) or value on pooled rows (micro), by name.

        The arguments and errors of :meth:`BenchmarkResult.aggregate`.
        """
        return {name: self._aggregate(name, self.records, average) for name in measures or self.measures}

    @property
    def predictions(self) -> list[Prediction | None]:
        """The prediction of each iteration; ``None`` where it failed. Raises: DataError where they were not kept."""
        return [self.prediction(record) for record in self.records]

    @property
    def models(self) -> list[Model | None]:
        """The model of each iteration; ``None`` where it failed. Raises: DataError where they were not kept."""
        return [self.model(record) if record.status == "done" or record.fallback else None for record in self.records]

    @property
    def histories(self) -> list[pd.DataFrame]:
        """The training curves of each iteration: the loop's own values."""
        import pandas as pd

        return [pd.DataFrame(record.history) for record in self.records]


def _table(
    records: Sequence[Record],
    about: Sequence[str],
    names: Sequence[str],
    values: Callable[[Record], Mapping[str, float | None]],
) -> pd.DataFrame:
    """One line each: what is told of the iterations, then the values by name."""
    import pandas as pd

    rows = []
    for record in records:
        found = values(record)
        rows.append({name: getattr(record, name) for name in about} | {name: _number(found.get(name)) for name in names})
    return pd.DataFrame(rows, columns=[*about, *names])


# What a design has by name.
_NAMED_PARTS = ("tasks", "learners", "given", "splits")


def _put_together(designs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several designs compared, and the measures that they asked for."""
    measures = [name for design in designs for name in design.get("settings", {}).get("measures", ())]
    united = {
        part: {name: about for design in designs for name, about in design.get(part, {}).items()} for part in _NAMED_PARTS
    }
    cells = dict.fromkeys(tuple(cell) for design in designs for cell in design.get("cells", ()))
    return {**united, "cells": [list(cell) for cell in cells], "settings": {"measures": list(dict.fromkeys(measures))}}


def _require_alike(stores: Sequence[Store]) -> None:
    """Raise ``DataError`` where one name stands for different tasks, learners or splits."""
    first: dict[tuple[str, str], tuple[Store, Any]] = {}
    for store in stores:
        for part, one in (("tasks", "task"), ("learners", "learner"), ("splits", "resampling")):
            for name, about in store.design[part].items():
                other, there = first.setdefault((part, name), (store, about))
                if there != about:
                    raise DataError(
                        f"{one} {name!r} is another one in {str(store.folder)!r} than in {str(other.folder)!r}: results of "
                        "different designs are not put together; give one of them another name"
                    )


def _is_twice(record: Record) -> DataError:
    return DataError(
        f"{record.key} is there twice, by different designs or with different results: give one of them another name"
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
