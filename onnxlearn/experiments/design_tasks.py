"""Tasks of a design file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxlearn.errors import ColumnNotFoundError, DataError, OnnxlearnError, TableReadError, UnknownNameError
from onnxlearn.examples.records import example_info
from onnxlearn.experiments.design_keys import TaskKeys, TopKeys
from onnxlearn.experiments.mistakes import Document, key_names
from onnxlearn.files.tables import EXAMPLE_PREFIX, STDIN, read_whole
from onnxlearn.files.toml import Path as Place
from onnxlearn.task import Task
from onnxlearn.tasks.roles import as_names

# What names columns.
_ROLES = ("target", "group", "stratum", "weight", "order", "id", "ignore", "kinds", "levels", "strict_bool")

# Without these there is no task at all.
_BASIC = {"name", "target", "type", "format", "na"}


def read_task(document: Document, place: Place, table: Mapping[str, Any], folder: Path) -> Task | None:
    """The task of a table of keys, whose files are in ``folder``; ``None`` where there are mistakes."""
    before = document.n_mistakes
    options = _options(document, place, table)
    data = options.pop("data", None)
    if data is None:
        return None
    file = data if data.startswith(EXAMPLE_PREFIX) else folder / data
    if "folder" in options.get("images", {}):
        options["images"] = {**options["images"], "folder": folder / options["images"]["folder"]}
    try:
        if document.n_mistakes == before:
            return Task.from_file(file, **options)
        # The other mistakes of the table are told as well.
        _blame_columns(document, place, file, options)
    except ColumnNotFoundError as error:
        _blame_columns(document, place, file, options)
        if document.n_mistakes == before:
            document.wrong(place, str(error))
    except OnnxlearnError as error:
        _blame_options(document, place, file, options, error)
    return None


def _options(document: Document, place: Place, table: Mapping[str, Any]) -> dict[str, Any]:
    """What is right of the arguments of ``Task.from_file``, and ``data``; an example has a target of its own."""
    late = [name for name in table if name in key_names(TopKeys)]
    for name in late:
        document.wrong((*place, name), "is said for all tasks: move it above the first table of the file")
    values = {name: value for name, value in table.items() if name not in late}
    right = document.checked(place, values, TaskKeys, what="a task has no such key")
    if "data" not in table:
        document.wrong(place, 'needs data: data = "penguins.csv", or "example:penguins"')
    elif right.get("data") == STDIN:
        document.wrong((*place, "data"), "has to be a file, not standard input: save it first")
        del right["data"]
    data = right.get("data", "")
    if "target" not in table and data.startswith(EXAMPLE_PREFIX):
        with document.mistakes_at((*place, "data")):
            example = example_info(data.removeprefix(EXAMPLE_PREFIX))
            right = {"type": example.type, "target": example.target, **right}
    elif "target" not in table:
        document.wrong(place, 'needs a target, the column to predict: target = "species"')
    return {"name": str(place[-1]), **right}


def _blame_columns(document: Document, place: Place, file: str | Path, options: Mapping[str, Any]) -> None:
    """Note every column that is named and not there, not only the first."""
    numeric = [column for column, kind in options.get("kinds", {}).items() if kind == "numeric"]
    there = read_whole(file, options.get("format"), options.get("na"), numeric=numeric).frame.columns
    named = {role: as_names(options[role]) for role in _ROLES if role in options}
    taken = {name for names in named.values() for name in names}
    for role, names in named.items():
        for i, name in enumerate(names):
            if name not in there:
                error = ColumnNotFoundError.of([name], there, needed_by=f"the role {role!r}", taken=taken)
                document.wrong((*place, role, name if isinstance(options[role], dict) else i), str(error))


def _blame_options(
    document: Document, place: Place, file: str | Path, options: Mapping[str, Any], error: OnnxlearnError
) -> None:
    """Note what is wrong with each argument by itself; else what is wrong with all of them together."""
    if "target" not in options:
        document.wrong((*place, *_blamed(error, options)), str(error))
        return
    before = document.n_mistakes
    basic = {name: value for name, value in options.items() if name in _BASIC}
    try:
        Task.from_file(file, **basic)
    except OnnxlearnError as own:
        document.wrong((*place, *_blamed(own, options)), str(own))
    else:
        for name in options.keys() - _BASIC:
            with document.mistakes_at((*place, name)):
                Task.from_file(file, **basic, **{name: options[name]})
    if document.n_mistakes == before:
        document.wrong((*place, *_blamed(error, options)), str(error))


def _blamed(error: OnnxlearnError, options: Mapping[str, Any]) -> Place:
    """The key that an error is about, if that is known."""
    if isinstance(error, TableReadError | UnknownNameError):
        return ("data",)
    role = re.match(r"(\w+) column '", str(error)) if isinstance(error, DataError) else None
    return (role[1],) if role is not None and role[1] in options else ()
