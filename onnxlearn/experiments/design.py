"""Which learners are run on which splits of which tasks, and what they are called."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from onnxlearn.code_digest import code_digest, is_installed
from onnxlearn.errors import ParameterError, listing
from onnxlearn.experiments.job import Job, is_own
from onnxlearn.experiments.record import Key
from onnxlearn.learner import Learner, as_learner
from onnxlearn.measures import Measure
from onnxlearn.params import is_recorded, to_json
from onnxlearn.resampling import Resampling, Splits
from onnxlearn.task import Task
from onnxlearn.tasks.fingerprint import task_fingerprint

T = TypeVar("T")
Named: TypeAlias = "T | Sequence[T] | Mapping[str, T]"

PARTS = ("task", "learner", "resampling")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A learner on the splits of a task, each with the name that results give it."""

    task: Task
    learner: Learner
    splits: Splits
    task_name: str
    learner_name: str
    resampling_name: str

    @property
    def n_fits(self) -> int:
        """How many models are fitted, those on inner splits counted."""
        return sum(1 + len(iteration.inner) for iteration in self.splits.iterations)

    def jobs(self) -> Iterator[Job]:
        """The iterations, in order; behind each its inner ones, where the resampling is nested."""
        for i, iteration in enumerate(self.splits.iterations):
            key = Key(self.task_name, self.learner_name, self.resampling_name, i)
            yield self._job(key, self.splits, i)
            if iteration.inner:
                inner = self.splits.inner(i)
                for j in range(len(inner)):
                    yield self._job(key._replace(inner=j), inner, j)

    def _job(self, key: Key, splits: Splits, i: int) -> Job:
        return Job(key=key, learner=self.learner, train=splits.train(i), test=splits.test(i))


@dataclass(frozen=True, kw_only=True, repr=False)
class Design:
    """A benchmark to be run: its cells, and other arguments of :func:`onnxlearn.benchmark` by name."""

    cells: tuple[Cell, ...]
    options: Mapping[str, Any]

    def __repr__(self) -> str:
        names = {part: dict.fromkeys(getattr(cell, f"{part}_name") for cell in self.cells) for part in PARTS}
        parts = [f"{part}s: {listing(found)}" for part, found in names.items()]
        return f"Design({'; '.join([*parts, f'{self.n_fits} fits'])})"

    @property
    def n_fits(self) -> int:
        """How many models are fitted."""
        return sum(cell.n_fits for cell in self.cells)


def grid(tasks: Named[Task], learners: Named[Learner], resamplings: Named[Resampling | Splits]) -> list[Cell]:
    """Every learner on every task by every resampling: a design for :func:`onnxlearn.benchmark`, to be thinned out at will.

    Each argument is one, several, or a dict of them by the names that results give them. Each resampling is made once for
    each task: all learners get the same rows. Those that are made already (Splits) have to be the task's.

    Raises: ParameterError where two have one name, or where the task does not suit the resampling.
    """
    named_tasks = _named(tasks, Task, lambda task: task.name, "task")
    named_learners = _named_learners(learners)
    named_resamplings = _named(resamplings, (Resampling, Splits), _resampling_name, "resampling")
    cells = []
    for task_name, task in named_tasks.items():
        instantiated = {name: instantiate(resampling, task) for name, resampling in named_resamplings.items()}
        cells += [
            Cell(
                task=task, learner=learner, splits=splits,
                task_name=task_name, learner_name=learner_name, resampling_name=resampling_name,
            )
            for learner_name, learner in named_learners.items()
            for resampling_name, splits in instantiated.items()
        ]  # fmt: skip
    return cells


def instantiate(resampling: Resampling | Splits, task: Task) -> Splits:
    """The rows of each iteration. Raises: ParameterError."""
    if isinstance(resampling, Splits):
        resampling.require(task)
        return resampling
    return resampling.split(task)


def outline(cells: Sequence[Cell]) -> dict[str, Any]:
    """The design as plain JSON, for readers. ``given``: the parameters that each learner was given; the others are defaults."""
    return {
        "format_version": 1,
        "tasks": {
            cell.task_name: {
                "n_rows": cell.task.n_rows,
                "features": dict(Counter(column.kind for column in cell.task.schema.features)),
                "target": cell.task.schema.target.to_dict(),
            }
            for cell in _first_by(cells, lambda cell: cell.task_name)
        },
        "learners": {cell.learner_name: cell.learner.to_dict() for cell in cells},
        "given": {cell.learner_name: to_json(cell.learner.given) for cell in cells},
        "splits": {_splits_name(cell): {"resampling": cell.splits.resampling, "n": len(cell.splits)} for cell in cells},
        "cells": [[cell.task_name, cell.learner_name, cell.resampling_name] for cell in cells],
    }


def describe(cells: Sequence[Cell]) -> dict[str, Any]:
    """The outline with fingerprints, which tell it from any other: two designs with equal descriptions have equal results."""
    document = outline(cells)
    for cell in cells:
        if code := own_code(cell.learner):
            document["learners"][cell.learner_name]["code"] = code
    for cell in _first_by(cells, lambda cell: cell.task_name):
        document["tasks"][cell.task_name]["sha256"] = task_fingerprint(cell.task)
    for cell in _first_by(cells, _splits_name):
        document["splits"][_splits_name(cell)]["sha256"] = digest(cell.splits)
    return document


def own_code(value: object) -> Any:
    """Digests of the user's own code that a value holds, as lists and dictionaries; nothing where there is none."""
    if isinstance(value, Learner):
        return {name: code for name, each in value.values.items() if (code := own_code(each))}
    if isinstance(value, list | tuple):
        codes = [own_code(each) for each in value if is_recorded(each)]
        return codes if any(codes) else None
    if isinstance(value, Measure):
        return code_digest(value.function) if is_own(value) else None
    return None if is_installed(value if callable(value) else type(value)) else code_digest(value)


def _splits_name(cell: Cell) -> str:
    return f"{cell.task_name}/{cell.resampling_name}"


def digest(splits: Splits) -> str:
    """SHA-256 of the rows of all iterations."""
    return hashlib.sha256(json.dumps(splits.to_dict(), sort_keys=True).encode()).hexdigest()


def _first_by(cells: Iterable[Cell], key: Callable[[Cell], object]) -> list[Cell]:
    found: dict[object, Cell] = {}
    for cell in cells:
        found.setdefault(key(cell), cell)
    return list(found.values())


_WAYS_OUT = {
    "task": 'ol.Task.from_frame(df, target="y")',
    "learner": 'ol.learner("mlp")',
    "resampling": "ol.CV(folds=5)",
}


def _named(given: Any, types: Any, name_of: Callable[[Any], str], noun: str) -> dict[str, Any]:
    """By name. Raises: ParameterError where one is of another type, or two have the same name."""
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        several = [given] if isinstance(given, types) or not isinstance(given, list | tuple) else given
        pairs = [(name_of(one) if isinstance(one, types) else "", one) for one in several]
    if not pairs:
        raise ParameterError(f"there is no {noun}: a benchmark needs at least one")
    for _, one in pairs:
        if not isinstance(one, types):
            what = repr(one) if isinstance(one, str | type) else f"a {type(one).__name__}"
            raise ParameterError(f"a {noun} is needed here, not {what}: {_WAYS_OUT[noun]}")
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ParameterError(f"two {noun}s are called {listing(twice)}: name them with a dict, {{'a': ..., 'b': ...}}")
    return dict(pairs)


def _named_learners(learners: Named[Learner]) -> dict[str, Learner]:
    """By name, where several have one with what was given to each."""
    if isinstance(learners, Mapping):
        return _named({name: as_learner(each) for name, each in learners.items()}, Learner, lambda each: each.name, "learner")
    several = [as_learner(each) for each in (learners if isinstance(learners, list | tuple) else [learners])]
    counts = Counter(learner.name for learner in several if isinstance(learner, Learner))

    def name_of(learner: Learner) -> str:
        if counts[learner.name] == 1 or not learner.given:
            return learner.name
        return f"{learner.name}({', '.join(f'{name}={value}' for name, value in learner.given.items())})"

    return _named(several, Learner, name_of, "learner")


def _resampling_name(resampling: Resampling | Splits) -> str:
    """As it was called, without the quirks of a file name."""
    made = resampling if isinstance(resampling, Resampling) else Resampling.from_dict(resampling.resampling)
    return repr(made)
