"""The rules of ``docs/file-format.md`` on a schema, held against what a file says before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnxlearn.schema import MISSING_INT64, OUTPUT_NAMES

SCOPES = ("prep/", "net/", "post/")

# The training types of each kind of column, and those of targets.
_COLUMN_TYPES: Mapping[str, tuple[str, ...]] = {
    "numeric": ("float64", "int64", "decimal", "duration", "float32"),
    "categorical": ("str", "int64"),
    "ordered": ("str", "int64"),
    "boolean": ("bool", "int64"),
    "datetime": ("naive", "utc"),
    "text": ("str",),
    "image": ("uint8",),
}
_TARGET_TYPES: Mapping[str, tuple[str, ...]] = {
    "classification": ("str", "int64", "bool"),
    "regression": ("float64", "int64"),
}
_LEVEL_TYPES: Mapping[str, type] = {"str": str, "int64": int, "bool": bool}
_LISTS_OF_TEXT = ("stratum", "id", "ignored", "na")
_ROLES = ("group", "weight", "order")
_NUM_KINDS = ("number", "time", "flag")


def schema_mistake(schema: object) -> str | None:
    """What is wrong with a schema as read from JSON, in words that follow "its schema: "; ``None`` where nothing is.

    >>> target = {"names": ["y"], "type": "regression", "dtype": "float64"}
    >>> schema_mistake({"name": "t", "features": [], "target": target}) is None
    True
    >>> schema_mistake({"name": "t", "features": [{"name": "x", "kind": "numeric", "dtype": "str"}], "target": target})
    "features[0] is numeric, which has dtype 'float64', 'int64', 'decimal', 'duration', 'float32', not 'str'"
    """
    try:
        _check_schema(schema)
    except _Mistake as mistake:
        return str(mistake)
    return None


class _Mistake(Exception):  # noqa: N818  never leaves this module
    """What a schema has wrong."""


def _check_schema(schema: object) -> None:
    data = _object(schema, "it")
    _text(data.get("name"), "name")
    features = _list(data.get("features"), "features")
    names = [_check_column(_object(column, f"features[{i}]"), f"features[{i}]") for i, column in enumerate(features)]
    _distinct(names, "features")
    _check_target(_object(data.get("target"), "target"))
    for role in _ROLES:
        if data.get(role) is not None:
            _text(data[role], role)
    for name in _LISTS_OF_TEXT:
        _texts(data.get(name, []), name)
    if data.get("ingress") is not None:
        _check_ingress(_object(data["ingress"], "ingress"))


def _check_column(column: Mapping[str, Any], place: str) -> str:
    """The column's name."""
    name = _text(column.get("name"), f"{place}.name")
    if not name or name in OUTPUT_NAMES or name.startswith(SCOPES):
        raise _Mistake(f"{place} is called {_shown(name)}, which no column may be")
    kind, dtype = column.get("kind"), column.get("dtype")
    types = _choice(_COLUMN_TYPES, kind, f"{place}.kind")
    if dtype not in types:
        raise _Mistake(f"{place} is {kind}, which has dtype {', '.join(map(repr, types))}, not {_shown(dtype)}")
    levels = _list(column.get("levels", []), f"{place}.levels")
    if levels and kind not in ("categorical", "ordered"):
        raise _Mistake(f"{place} is {kind} and has levels")
    _values(levels, str(dtype), f"{place}.levels")
    if MISSING_INT64 in levels or "" in levels:
        raise _Mistake(f"{place}.levels has the value that stands for a missing one")
    for flag in ("has_missing", "strict_bool"):
        if type(column.get(flag, False)) is not bool:
            raise _Mistake(f"{place}.{flag} is {_shown(column[flag])}, not true or false")
    n_channels = column.get("n_channels", 0)
    if type(n_channels) is not int or n_channels not in ((1, 3) if kind == "image" else (0,)):
        raise _Mistake(f"{place} is {kind} and has {_shown(n_channels)} channels")
    return name


def _check_target(target: Mapping[str, Any]) -> None:
    names = _texts(target.get("names"), "target.names")
    if not names:
        raise _Mistake("target.names is empty")
    _distinct(names, "target.names")
    kind, dtype = target.get("type"), target.get("dtype")
    types = _choice(_TARGET_TYPES, kind, "target.type")
    if dtype not in types:
        raise _Mistake(f"target.dtype of a {kind} is {', '.join(map(repr, types))}, not {_shown(dtype)}")
    classes = _list(target.get("classes", []), "target.classes")
    if (kind == "classification") != bool(classes):
        raise _Mistake(f"target.classes has {len(classes)} classes in a {kind}")
    if kind == "classification" and len(names) != 1:
        raise _Mistake(f"target.names has {len(names)} columns in a classification")
    _values(classes, str(dtype), "target.classes")
    positive = target.get("positive")
    if positive is not None and not any(type(positive) is type(label) and positive == label for label in classes):
        raise _Mistake(f"target.positive is {_shown(positive)}, none of its classes")


def _check_ingress(ingress: Mapping[str, Any]) -> None:
    _check_group(ingress)
    names = []
    for i, entry in enumerate(_list(ingress.get("groups", []), "ingress.groups")):
        group = _object(entry, f"ingress.groups[{i}]")
        names.append(_text(group.get("name"), f"ingress.groups[{i}].name"))
        _check_group(group)
    _distinct(names, "ingress.groups")


def _check_group(ingress: Mapping[str, Any]) -> None:
    lists = {name: _texts(ingress.get(name, []), f"ingress.{name}") for name in ("num_names", "num_sources", "cat_names")}
    kinds = _list(ingress.get("num_kinds", []), "ingress.num_kinds")
    for kind in kinds:
        _choice(_NUM_KINDS, kind, "ingress.num_kinds")
    sizes = _list(ingress.get("cardinalities", []), "ingress.cardinalities")
    if any(type(size) is not int or size < 1 for size in sizes):
        raise _Mistake("ingress.cardinalities has to hold numbers of codes, from 1")
    for one, other in ((len(kinds), len(lists["num_names"])), (len(sizes), len(lists["cat_names"]))):
        if one != other:
            raise _Mistake(f"ingress has lists of {one} and {other} for the same columns")
    for i, column in enumerate(_list(ingress.get("columns", []), "ingress.columns")):
        _check_column_tensor(_object(column, f"ingress.columns[{i}]"), f"ingress.columns[{i}]")


def _check_column_tensor(column: Mapping[str, Any], place: str) -> None:
    for key in ("name", "column"):
        _text(column.get(key), f"{place}.{key}")
    _choice(("float32", "int64"), column.get("dtype"), f"{place}.dtype")
    for key, lengths in (("shape", range(1, 9)), ("given_size", (0, 2))):
        sizes = _list(column.get(key, []), f"{place}.{key}")
        if len(sizes) not in lengths or any(type(size) is not int or not 1 <= size < 2**31 for size in sizes):
            raise _Mistake(f"{place}.{key} has to hold sizes, from 1")
    for key in ("n_ids", "d_vectors"):
        if type(column.get(key, 0)) is not int or not 0 <= column.get(key, 0) < 2**31:
            raise _Mistake(f"{place}.{key} is {_shown(column[key])}, not a number from 0 on")


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Mistake(f"{place} has to be an object, not {_shown(value)}")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Mistake(f"{place} has to be a list, not {_shown(value)}")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise _Mistake(f"{place} has to be a text, not {_shown(value)}")
    _require_unicode(value, place)
    return value


def _require_unicode(text: str, place: str) -> None:
    """JSON can spell halves of characters, which no file, screen or runtime takes."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _Mistake(f"{place} is {_shown(text)}, which is no Unicode")


def _texts(value: object, place: str) -> list[str]:
    return [_text(item, f"{place}[{i}]") for i, item in enumerate(_list(value, place))]


def _choice(choices: Any, value: object, place: str) -> Any:
    """Of a mapping what belongs to the value."""
    if not isinstance(value, str) or value not in choices:
        raise _Mistake(f"{place} is {_shown(value)}, not one of {', '.join(map(repr, choices))}")
    return choices[value] if isinstance(choices, Mapping) else value


def _values(values: list[Any], dtype: str, place: str) -> None:
    """Levels or classes: of one type, in the range of int64, each once."""
    wanted = _LEVEL_TYPES.get(dtype)
    for i, value in enumerate(values):
        if type(value) is not wanted or (type(value) is int and not -(2**63) <= value < 2**63):
            raise _Mistake(f"{place}[{i}] is {_shown(value)}, which is no {dtype}")
        if isinstance(value, str):
            _require_unicode(value, f"{place}[{i}]")
    _distinct(values, place)


def _distinct(values: Iterable[Any], place: str) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise _Mistake(f"{place} has {_shown(value)} twice")
        seen.add(value)


def _shown(value: object) -> str:
    """A value for a message of one line: a hostile file's may be of any size."""
    text = repr(value) if not isinstance(value, dict | list) else f"a {'list' if isinstance(value, list) else 'object'}"
    return text if len(text) <= 60 else f"{text[:57]}..."
