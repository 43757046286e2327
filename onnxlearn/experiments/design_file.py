"""A benchmark from a file: tasks, learners, resamplings and settings in TOML."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from onnxlearn import measures as _measures
from onnxlearn.errors import UnknownNameError
from onnxlearn.experiments.design import PARTS, Cell, Design, instantiate
from onnxlearn.experiments.design_keys import CellKeys, TopKeys
from onnxlearn.experiments.design_recipes import read_learner, read_learners, read_resampling
from onnxlearn.experiments.design_tasks import read_task
from onnxlearn.experiments.mistakes import Document, key_names
from onnxlearn.learner import Learner
from onnxlearn.resampling import Resampling, Splits
from onnxlearn.task import Task
from onnxlearn.tasks.roles import as_names

T = TypeVar("T")
Tasks: TypeAlias = Mapping[str, Task]
Learners: TypeAlias = Mapping[str, Mapping[str, Learner]]
Resamplings: TypeAlias = Mapping[str, Resampling | Splits]

CELLS = "cells"
EXAMPLES = {
    "tasks": '[tasks.penguins] with data = "penguins.csv" and target = "species"',
    "learners": "[learners.mlp] with max_epochs = 50, say",
    "resamplings": "[resamplings.cv] with folds = 5, say",
    CELLS: '[[cells]] with task = "penguins", say',
}
_KEPT = ("time_limit", "predictions", "models", "histories")


def read_design(path: str | Path) -> Design:
    """Read a benchmark from a TOML file, for :func:`onnxlearn.benchmark`; tables are read and splits made at once.

    ``[tasks.NAME]`` has ``data`` (a file, or ``example:NAME``) and ``target``, and may have any other argument of
    :meth:`onnxlearn.Task.from_file`. ``[learners.NAME]`` has parameters of the learner NAME, or of the one that ``learner``
    says; ``grid`` has lists of values, each combination of which is a learner. ``[resamplings.NAME]`` has parameters of
    the resampling NAME, or of the one that ``resampling`` says (``cv``, ``holdout``, ``nested``), or ``splits``, a file of
    saved ones. ``learners`` and ``resamplings`` may also be lists of names. ``[[cells]]`` have ``task``, ``learner`` and
    ``resampling``, each a name, several or by default all; without them every learner is run on every task by every resampling.

    Above the first table may stand ``measures``, ``seed`` (of all learners and resamplings that name none), ``time_limit``,
    ``fallback``, ``store``, ``predictions``, ``models`` and ``histories``, as in :func:`onnxlearn.benchmark`. Paths are those
    from the file's folder. A parameter that is ``"none"`` is Python's ``None``.

    Raises: DesignError with all mistakes, each with its line; DataError where the file cannot be read; MissingExtraError.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "design.toml")
    >>> _ = path.write_text('''
    ... measures = ["acc"]
    ... learners = ["featureless", "linear"]
    ... [tasks.penguins]
    ... data = "example:penguins"
    ... [resamplings.cv]
    ... folds = 3
    ... ''')
    >>> read_design(path)
    Design(tasks: 'penguins'; learners: 'featureless', 'linear'; resamplings: 'cv'; 6 fits)
    """
    document = Document.read(Path(path))
    folder = Path(path).parent
    top = _top(document)
    seed = top.get("seed")
    tasks = _each(document, "tasks", lambda place, table: read_task(document, place, table, folder))
    learners = read_learners(document, _section(document, "learners"), seed)
    resamplings: dict[str, Resampling | Splits] = _each(
        document, "resamplings", lambda place, table: read_resampling(document, place, table, folder, seed)
    )
    options = {name: top[name] for name in _KEPT if name in top}
    options["measures"] = _measure_names(document, top, tasks)
    if "store" in top:
        options["store"] = folder / top["store"]
    if "fallback" in top:
        options["fallback"] = _fallback(document, top["fallback"], learners, seed)
    cells = _cells(document, tasks, learners, resamplings)
    document.require_right()
    return Design(cells=tuple(cells), options=options)


def _top(document: Document) -> dict[str, Any]:
    """What stands above the tables."""
    sections = (*(f"{part}s" for part in PARTS), CELLS)
    above = {name: value for name, value in document.values.items() if name not in sections}
    for name in above.keys() - set(key_names(TopKeys)):
        del above[name]
        document.unknown((name,), "a design has no such key", (*sections, *key_names(TopKeys)))
    return document.checked((), above, TopKeys, what="a design has no such key")


def _section(document: Document, section: str) -> dict[str, Mapping[str, Any]]:
    """The tables of a section by their names; a list of names stands for tables without a key."""
    given = document.values.get(section, {})
    if section != "tasks" and isinstance(given, list) and all(isinstance(item, str) for item in given):
        for i, name in enumerate(given):
            if name in given[:i]:
                document.wrong((section, i), f"{name!r} is there twice: leave one out")
            document.lines.setdefault((section, name), document.lines[section, i])
        given = {name: {} for name in given}
    if isinstance(given, Mapping) and not given:
        document.wrong((section,), f"there are no {section}, and a benchmark needs some: {EXAMPLES[section]}")
    tables = document.table((section,), given, EXAMPLES[section])
    return {name: document.table((section, name), table, EXAMPLES[section]) for name, table in tables.items()}


def _each(document: Document, section: str, read: Callable[[tuple[str, str], Mapping[str, Any]], T | None]) -> dict[str, T]:
    """What can be made of the tables of a section, by name."""
    made = {name: read((section, name), table) for name, table in _section(document, section).items()}
    return {name: one for name, one in made.items() if one is not None}


def _measure_names(document: Document, top: Mapping[str, Any], tasks: Tasks) -> tuple[_measures.Measure, ...]:
    """The measures, each of which suits some task."""
    names = as_names(top.get("measures"))
    # Where a task could not be read, nobody knows whether it would suit.
    all_read = len(tasks) == len(_names(document, "task")) > 0
    types = {task.schema.target.type for task in tasks.values()}
    chosen = []
    for i, name in enumerate(names):
        place = ("measures", i) if isinstance(top["measures"], tuple) else ("measures",)
        with document.mistakes_at(place):
            measure = _measures.get(name)
            if all_read and measure.task not in ("any", *types):
                document.wrong(place, f"measure {name!r} is for {measure.task}, and no task is one (onnxlearn measures)")
            if name in names[:i]:
                document.wrong(place, f"measure {name!r} is there twice: leave one out")
            chosen.append(measure)
    return tuple(chosen)


def _fallback(document: Document, given: str | dict[str, Any], learners: Learners, seed: int | None) -> Learner | None:
    """One of the design's learners, or another one by its name or its table."""
    place = ("fallback",)
    if isinstance(given, Mapping) and "learner" not in given:
        document.wrong(place, 'needs to say which learner: fallback = { learner = "featureless" }')
        return None
    if isinstance(given, str) and given in _names(document, "learner"):
        made = learners.get(given, {})
        if len(made) > 1:
            document.wrong(place, f"has to be one learner, and the grid of {given!r} makes {len(made)}")
        return next(iter(made.values()), None)
    return read_learner(document, place, {"learner": given} if isinstance(given, str) else given, seed)


def _cells(document: Document, tasks: Tasks, learners: Learners, resamplings: Resamplings) -> list[Cell]:
    """The cells in the order in which they are named, each once; what was a mistake has none."""
    made: dict[tuple[str, str], Splits | None] = {}
    cells = []
    for task, learner, resampling in _chosen(document):
        if task not in tasks or learner not in learners or resampling not in resamplings:
            continue
        if (task, resampling) not in made:
            made[task, resampling] = _splits(document, tasks[task], resampling, resamplings[resampling])
            with document.mistakes_at(("learners", learner), about=f"on task {task!r}: "):
                next(iter(learners[learner].values())).require_tasks(tasks[task])
        splits = made[task, resampling]
        if splits is not None:
            cells += [
                Cell(
                    task=tasks[task], learner=recipe, splits=splits,
                    task_name=task, learner_name=name, resampling_name=resampling,
                )
                for name, recipe in learners[learner].items()
            ]  # fmt: skip
    return cells


def _splits(document: Document, task: Task, name: str, resampling: Resampling | Splits) -> Splits | None:
    with document.mistakes_at(("resamplings", name), about=f"on task {task.name!r}: "):
        return instantiate(resampling, task)
    return None


def _chosen(document: Document) -> list[tuple[str, ...]]:
    """Names of task, learner and resampling of each cell, once."""
    every = {part: _names(document, part) for part in PARTS}
    given = document.values.get(CELLS, [{}])
    if not isinstance(given, list) or not given:
        document.wrong((CELLS,), f"has to be a list of tables, not {given!r}: {EXAMPLES[CELLS]}")
        return []
    found: dict[tuple[str, ...], None] = {}
    for i, cell in enumerate(given):
        place = (CELLS, i)
        keys = document.checked(place, document.table(place, cell, EXAMPLES[CELLS]), CellKeys, what="a cell has no such key")
        chosen = []
        for part in PARTS:
            names = as_names(keys.get(part)) or every[part]
            for name in names:
                if name not in every[part]:
                    document.wrong((*place, part), str(UnknownNameError.of(part, name, every[part])))
            chosen.append(names)
        found |= dict.fromkeys(itertools.product(*chosen))
    return list(found)


def _names(document: Document, part: str) -> tuple[str, ...]:
    """The names of a section, also of what is wrong there."""
    given = document.values.get(f"{part}s", ())
    return tuple(name for name in given if isinstance(name, str)) if isinstance(given, list | Mapping) else ()
