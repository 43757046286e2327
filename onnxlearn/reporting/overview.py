"""What was compared, what failed and what is known of the making: tables of the whole result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from onnxlearn.errors import OnnxlearnError
from onnxlearn.experiments.record import Record
from onnxlearn.experiments.results import Results
from onnxlearn.reporting.tables import Cell, Column, Table, numbers, numeric, text
from onnxlearn.resampling import Resampling

LISTED_CLASSES = 12
UNKNOWN = "not known"


def compared(result: Results) -> list[Table]:
    """Tasks, learners and resamplings, in the order of the result, and the versions that made it."""
    types = {name: records[0].task_type for name, records in _grouped(result.records, "task").items()}
    learners = list(_grouped(result.records, "learner"))
    return [tasks(result.design, types), learners_of(result.design, learners), _resamplings(result), _versions(result.records)]


def tasks(design: Mapping[str, Any], types: Mapping[str, str]) -> Table:
    """A line for each task; ``types`` of tasks by name."""
    columns = [Column(name="task"), Column(name="type"), numeric("rows"), Column(name="features"), Column(name="target")]
    rows = []
    for name, task_type in types.items():
        about = design.get("tasks", {}).get(name, {})
        features = ", ".join(f"{n} {kind}" for kind, n in about.get("features", {}).items())
        rows.append(
            [
                text(name),
                text(task_type),
                numbers(about["n_rows"]) if "n_rows" in about else text(UNKNOWN),
                text(features or UNKNOWN),
                text(_target(about.get("target"))),
            ]
        )
    return Table(caption="Tasks", columns=columns, rows=rows)


def _target(target: Mapping[str, Any] | None) -> str:
    if not target:
        return UNKNOWN
    names = ", ".join(target["names"])
    classes = target.get("classes", ())
    if not classes:
        return names
    more = ", …" if len(classes) > LISTED_CLASSES else ""
    return f"{names}, one of {len(classes)}: {', '.join(map(str, classes[:LISTED_CLASSES]))}{more}"


def learners_of(design: Mapping[str, Any], names: Iterable[str]) -> Table:
    """A line for each learner, with all its parameters to unfold."""
    columns = [Column(name="learner"), Column(name="kind"), Column(name="given, the rest as by default")]
    rows = []
    for name in names:
        about = design.get("learners", {}).get(name, {})
        given = design.get("given", {}).get(name)
        params = tuple((key, str(value)) for key, value in sorted(about.get("params", {}).items()))
        shown = UNKNOWN if given is None else ", ".join(f"{key}={value}" for key, value in given.items()) or "nothing"
        rows.append([text(name), text(about.get("name", UNKNOWN)), Cell(text=shown, details=params)])
    return Table(caption="Learners", columns=columns, rows=rows)


def _resamplings(result: Results) -> Table:
    columns = [Column(name="resampling"), Column(name="what it is"), Column(name="tasks"), numeric("iterations a learner")]
    rows = []
    for name, records in _grouped(result.records, "resampling").items():
        tasks = list(_grouped(records, "task"))
        recipes = {recipe(result.design.get("splits", {}).get(f"{task}/{name}", {})) for task in tasks}
        n = max(Counter((record.task, record.learner) for record in records).values())
        rows.append([text(name), text("; ".join(sorted(recipes))), text(", ".join(tasks)), numbers(n)])
    return Table(caption="Resamplings", columns=columns, rows=rows)


def recipe(about: Mapping[str, Any]) -> str:
    """The resampling with all that it was told, also what is as usual."""
    if "resampling" not in about:
        return UNKNOWN
    try:
        kind = type(Resampling.from_dict(about["resampling"])).__name__
    except OnnxlearnError:
        kind = str(about["resampling"].get("name"))
    params = about["resampling"].get("params", {})
    return f"{kind}({', '.join(f'{name}={_brief(value)}' for name, value in params.items())})"


def _brief(value: Any) -> str:
    if isinstance(value, Mapping) and "name" in value:
        return recipe({"resampling": value})
    return str(value) if not isinstance(value, list) or len(value) < 8 else f"{len(value)} of them"


def _versions(records: Iterable[Record]) -> Table:
    made = Counter(tuple(sorted(record.versions.items())) for record in records)
    columns = [Column(name="packages"), numeric("iterations")]
    rows = [
        [text(", ".join(f"{name} {version}" for name, version in versions) or UNKNOWN), numbers(n)]
        for versions, n in sorted(made.items(), reverse=True)
    ]
    return Table(caption="Made with", columns=columns, rows=rows)


def failures(result: Results) -> Table | None:
    """The iterations that failed or took too long, each with its error; ``None`` where there are none."""
    columns = [Column(name=name) for name in ("task", "learner", "resampling")]
    columns += [numeric("iteration"), Column(name="status"), Column(name="error"), Column(name="predicted by")]
    rows = [
        [
            text(record.task), text(record.learner), text(record.resampling), numbers(record.iteration),
            text(record.status), text(record.error), text("the fallback" if record.fallback else "none"),
        ]
        for record in result.records
        if record.status != "done"
    ]  # fmt: skip
    return Table(caption="Iterations that failed", columns=columns, rows=rows) if rows else None


def title(result: Results) -> str:
    """What the page is called.

    >>> title(Results([Record(task="iris", learner="mlp", resampling="CV()", iteration=0, task_type="regression", n_train=1,
    ...     n_test=1)], lambda record: None))
    'mlp on iris'
    """
    tasks, learners = (list(_grouped(result.records, part)) for part in ("task", "learner"))
    left = learners[0] if len(learners) == 1 else f"{len(learners)} learners"
    return f"{left} on {tasks[0] if len(tasks) == 1 else f'{len(tasks)} tasks'}"


def _grouped(records: Iterable[Record], part: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(getattr(record, part), []).append(record)
    return found
