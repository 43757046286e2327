"""The rules of ``docs/file-format.md`` on what a metadata document says besides its schema, as far as onnxlearn reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

Rule: TypeAlias = Callable[[Any, str], str | None]
"""What is wrong with a value that stands at a place; ``None`` where nothing is."""


def document_mistake(document: Mapping[str, Any]) -> str | None:
    """What is wrong with a document whose required parts are there, in words that follow "its metadata: ".

    >>> document_mistake({"training": {"scores": {"test": {"acc": 0.9}}}, "notes": []}) is None
    True
    >>> document_mistake({"training": {"scores": {"test": 0.9}}})
    'training.scores.test is no object'
    >>> document_mistake({"training": {}, "labels": "numbers"})
    "labels is 'numbers', not 'names' or 'indices'"
    """
    return _keys(_DOCUMENT)(document, "")


def _number(value: Any, place: str) -> str | None:
    fine = value is None or type(value) in (int, float)
    return None if fine else f"{place} is no number"


def _text(value: Any, place: str) -> str | None:
    return None if isinstance(value, str) else f"{place} is no text"


def _labels(value: Any, place: str) -> str | None:
    return None if value in ("names", "indices") else f"{place} is {value!r}, not 'names' or 'indices'"


def _plain(value: Any, place: str) -> str | None:
    return _number(value, place) if not isinstance(value, str) else None


def _object(value: Any, place: str) -> str | None:
    return None if isinstance(value, dict) else f"{place} is no object"


def _each(rule: Rule) -> Rule:
    """An object whose values all keep to the rule."""

    def check(value: Any, place: str) -> str | None:
        if (mistake := _object(value, place)) is not None:
            return mistake
        return next((found for key, item in value.items() if (found := rule(item, _inner(place, key)))), None)

    return check


def _list(rule: Rule) -> Rule:
    def check(value: Any, place: str) -> str | None:
        if not isinstance(value, list):
            return f"{place} is no list"
        return next((found for i, item in enumerate(value) if (found := rule(item, f"{place}[{i}]"))), None)

    return check


def _keys(rules: Mapping[str, Rule]) -> Rule:
    """An object whose values keep to the rules of their keys; other keys and those with ``null`` are passed over."""

    def check(value: Any, place: str) -> str | None:
        if (mistake := _object(value, place)) is not None:
            return mistake
        there = {key: rule for key, rule in rules.items() if value.get(key) is not None}
        return next((found for key, rule in there.items() if (found := rule(value[key], _inner(place, key)))), None)

    return check


def _history(value: Any, place: str) -> str | None:
    if (mistake := _each(_list(_number))(value, place)) is not None:
        return mistake
    return None if len({len(column) for column in value.values()}) <= 1 else f"{place} has lists of different lengths"


def _inner(place: str, key: str) -> str:
    name = key if len(key) <= 40 else f"{key[:37]}..."
    return f"{place}.{name}" if place else name


_TRAINING: Mapping[str, Rule] = MappingProxyType(
    {
        "n_rows": _number, "n_validation_rows": _number, "n_calibration_rows": _number, "epochs": _number,
        "scores": _each(_each(_number)), "history": _history, "calibration": _object, "chosen": _object, "stopped": _text,
        "members": _list(_keys({"history": _history})),
    }
)  # fmt: skip
_DOCUMENT: Mapping[str, Rule] = MappingProxyType(
    {
        "learner": _keys({"name": _text, "params": _object}), "training": _keys(_TRAINING), "parity": _object,
        "versions": _each(_text), "notes": _list(_text), "outputs": _each(_list(_plain)), "labels": _labels,
        "conversion": _object,
    }
)  # fmt: skip
