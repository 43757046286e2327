"""Learners and resamplings of a design file."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from onnxlearn.errors import OnnxlearnError, UnknownNameError
from onnxlearn.experiments.mistakes import Document
from onnxlearn.files.toml import Path as Place
from onnxlearn.learner import Learner
from onnxlearn.params import parse_text, read_from_files
from onnxlearn.registry import learner
from onnxlearn.resampling import Custom, Resampling, Splits
from onnxlearn.resampling.resampling import resampling_class

# Parameters that are resamplings themselves.
_PARTS = ("outer", "inner")


def read_learners(
    document: Document, tables: Mapping[str, Mapping[str, Any]], seed: int | None
) -> dict[str, dict[str, Learner]]:
    """The learners by the name of their table and their own; a grid makes several of one table."""
    found: dict[str, dict[str, Learner]] = {}
    for name, table in tables.items():
        made = _grid(document, ("learners", name), table, seed)
        for twice in [other for others in found.values() for other in others if other in made]:
            document.wrong(("learners", name), f"two learners are called {twice!r}: give one of them another name")
        if made:
            found[name] = made
    return found


def _grid(document: Document, place: Place, table: Mapping[str, Any], seed: int | None) -> dict[str, Learner]:
    """One learner for each combination of the values in ``grid``; nothing where there are mistakes."""
    before = document.n_mistakes
    lists = document.table((*place, "grid"), table.get("grid", {}), "grid = { lr = [0.001, 0.01] }")
    for name, values in lists.items():
        if not isinstance(values, list) or not values:
            document.wrong((*place, "grid", name), f"has to be a list of values to try, not {values!r}")
        elif name in table:
            document.wrong((*place, "grid", name), "is set beside the grid as well: leave one of the two out")
    plain = {name: value for name, value in table.items() if name != "grid"}
    if document.n_mistakes > before:
        read_learner(document, place, plain, seed)
        return {}
    made = {}
    for numbers in itertools.product(*(range(len(values)) for values in lists.values())):
        places = {name: (*place, "grid", name, i) for name, i in zip(lists, numbers, strict=True)}
        chosen = {name: lists[name][i] for name, i in zip(lists, numbers, strict=True)}
        recipe = read_learner(document, place, {**plain, **chosen}, seed, places)
        text = f"({', '.join(f'{name}={value}' for name, value in chosen.items())})" if chosen else ""
        if recipe is not None:
            made[f"{place[-1]}{text}"] = recipe
    return made if document.n_mistakes == before else {}


def read_learner(
    document: Document,
    place: Place,
    table: Mapping[str, Any],
    seed: int | None,
    places: Mapping[str, Place] | None = None,
) -> Learner | None:
    """The learner with the parameters of a table; ``None`` where there are mistakes.

    ``seed`` is the learner's, if it has one and the table does not say it; ``places`` as in :meth:`Document.checked`.
    """
    before = document.n_mistakes
    name = table.get("learner", place[-1])
    recipe: Learner | None = None
    if not isinstance(name, str):
        document.wrong((*place, "learner"), f"has to be the name of a learner, not {name!r} (onnxlearn learners)")
    else:
        with document.mistakes_at(*_said(place, table, "learner", "mlp")):
            recipe = learner(name)
    if recipe is None:
        return None
    values = {name: value for name, value in table.items() if name != "learner"}
    recipe = _configured(document, place, recipe, values, places)
    if document.n_mistakes > before:
        return None
    has_seed = seed is not None and "seed" not in table and any(param.name == "seed" for param in recipe.params)
    return recipe.replace(seed=seed) if has_seed else recipe


def _configured(
    document: Document, place: Place, recipe: Learner, values: Mapping[str, Any], places: Mapping[str, Place] | None
) -> Learner:
    """The learner with these parameters, as far as they are right."""
    # A parameter can bring others along, as a network or the base of bagging does: those are read by what it brings.
    before, left = document.n_mistakes, list(values)
    while left:
        known = {param.name for param in recipe.params}
        names = [name for name in left if name in known] or left
        left = [name for name in left if name not in names]
        if document.n_mistakes > before:
            # What was to bring them is wrong itself.
            names = [name for name in names if not recipe.may_bring(name)]
        told = {name: reason for name in names if name not in known and (reason := recipe.stranger(name))}
        for name, reason in told.items():
            document.wrong((places or {}).get(name, (*place, name)), f"learner {recipe.name!r} has no such parameter: {reason}")
        found = {name: _none_read(recipe.config_types, name, values[name]) for name in names if name not in told}
        some = {name: _beside(document.path.parent, recipe.config_types, name, value) for name, value in found.items()}
        some_places = {name: found for name, found in (places or {}).items() if name in some}
        right = document.checked(
            place, some, *recipe.config_types, what=f"learner {recipe.name!r} has no such parameter", places=some_places
        )
        try:
            recipe = recipe.replace(**right)
        except OnnxlearnError as error:
            guilty = [name for name in right if _fails_alike(recipe, name, right[name], error)]
            document.wrong(some_places.get(guilty[0], (*place, guilty[0])) if guilty else place, str(error))
    return recipe


def _beside(folder: Path, configs: Iterable[type], name: str, value: Any) -> Any:
    """The path of a file that a parameter is read from: relative ones start in the design's folder."""
    is_file = isinstance(value, str) and not Path(value).is_absolute() and (folder / value).is_file()
    return str(folder / value) if is_file and read_from_files(configs, name) else value


def _fails_alike(recipe: Learner, name: str, value: Any, error: OnnxlearnError) -> bool:
    """Whether a parameter by itself is what the error is about."""
    try:
        recipe.replace(**{name: value})
    except OnnxlearnError as own:
        return str(own) == str(error)
    return False


def _said(place: Place, table: Mapping[str, Any], key: str, example: str) -> tuple[Place, str]:
    """Where a table says what it is of, and, where its name alone does, what else can be done."""
    return ((*place, key), "") if key in table else (place, f' For a name of your own say what it is: {key} = "{example}"')


def read_resampling(
    document: Document, place: Place, given: object, folder: Path, seed: int | None
) -> Resampling | Splits | None:
    """The resampling of a table, or by its name alone; ``None`` where there are mistakes."""
    table = {"resampling": given} if isinstance(given, str) else document.table(place, given, '{ resampling = "cv" }')
    if "splits" in table:
        return _saved(document, place, table, folder)
    name = table.get("resampling", place[-1])
    kind: type[Resampling] | None = None
    with document.mistakes_at(*_said(place, table, "resampling", "cv")):
        if not isinstance(name, str):
            raise UnknownNameError(f"the name of a resampling is text, not {name!r}")
        kind = resampling_class(name)
    return None if kind is None else _resampling(document, place, kind, table, folder, seed)


def _resampling(
    document: Document, place: Place, kind: type[Resampling], table: Mapping[str, Any], folder: Path, seed: int | None
) -> Resampling | None:
    before = document.n_mistakes
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: _none_read([kind], name, value) for name, value in table.items() if name != "resampling"}
    for name in _PARTS:
        if name in fields and name not in values:
            document.wrong(place, f'needs {name}: {name} = {{ resampling = "cv", folds = 3 }}')
        elif name in fields:
            values[name] = read_resampling(document, (*place, name), values[name], folder, seed)
    if document.n_mistakes == before and kind is not Custom:
        values = document.checked(place, values, kind, what=f"resampling {kind.name!r} has no such parameter")
    if document.n_mistakes > before:
        return None
    if seed is not None and "seed" in fields:
        values = {"seed": seed, **values}
    with document.mistakes_at(place):
        return Resampling.from_dict({"name": kind.name, "params": values})
    return None


def _saved(document: Document, place: Place, table: Mapping[str, Any], folder: Path) -> Splits | None:
    """Splits that were saved."""
    for name in table.keys() - {"splits"}:
        document.wrong((*place, name), "means nothing beside splits, which are made already: leave one of the two out")
    with document.mistakes_at((*place, "splits")):
        return Splits.load(folder / str(table["splits"]))
    return None


def _none_read(configs: Iterable[type], name: str, value: Any) -> Any:
    """TOML has no word for nothing: "none" is read as on the command line."""
    return parse_text(list(configs), name, value) if value == "none" else value
