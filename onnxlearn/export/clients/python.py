"""Target ``python``."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onnxlearn.errors import ParityError
from onnxlearn.export.clients.client import Client, label_form, row_text
from onnxlearn.export.clients.description import Result, Role, fields_of, moment, wire_values
from onnxlearn.export.clients.words import Style, identifiers
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.schema import MISSING_INT64

if TYPE_CHECKING:
    from onnxlearn.model import Model
    from onnxlearn.wire.feeds import Feeds


@dataclass(frozen=True, kw_only=True)
class PythonClient(Client):
    """Target ``python``: needs numpy and onnxruntime, nothing of onnxlearn."""

    meaning: ClassVar[str] = "a client in Python: numpy and onnxruntime are all it needs"
    language: ClassVar[str] = "Python"
    folder: ClassVar[str] = "python"
    style: ClassVar[Style] = "snake"
    reserved: ClassVar[frozenset[str]] = frozenset({*keyword.kwlist, *dir(builtins), "name", "names", "outputs", "row", "rows"})
    types: ClassVar[dict[Role, str]] = {
        "number": "float | None", "number32": "float | None", "text": "str | None", "whole": "int | None",
        "flag": "bool | None", "strict_flag": "bool", "wall_time": "dt.datetime | None", "instant": "dt.datetime | None",
    }  # fmt: skip

    @classmethod
    def quote(cls, text: str) -> str:
        """A text as Python writes it.

        >>> PythonClient.quote("Köln")
        '"Köln"'
        """
        # Next to a single quote, Python prefers double ones.
        return repr(text) if '"' in text else '"' + repr("'" + text)[2:]

    @classmethod
    def literal(cls, value: Any, role: Role) -> str:
        """A value as Python writes it.

        >>> PythonClient.literal(0, "wall_time")
        'dt.datetime(1970, 1, 1, 0, 0)'
        """
        if value is None or role not in ("wall_time", "instant"):
            return cls.quote(value) if isinstance(value, str) else repr(value)
        naive = repr(moment(value).replace(tzinfo=None)).replace("datetime.", "dt.")
        return f"{naive[:-1]}, tzinfo=dt.timezone.utc)" if role == "instant" else naive

    def write(self, model: Model, out: Path) -> list[str]:
        """Write the client, run it and compare it with the model."""
        super().write(model, out)
        return [f"the client gives what the model gives, on {_prove(model, out)} rows"]

    @classmethod
    def more(cls, model: Model, results: list[Result]) -> dict[str, Any]:
        """The variable that holds a row of each output, and what a prediction has of it."""
        words = identifiers([result.name for result in results], cls.style, cls.reserved, "output")
        n_targets = len(model.schema.target.names)
        label = label_form(model)
        return {
            "array_types": _ARRAY_TYPES,
            "variables": words,
            "expressions": [_expression(result, word, label, n_targets) for result, word in zip(results, words, strict=True)],
        }


_ARRAY_TYPES: dict[Role, str] = {
    "number": "np.float64", "number32": "np.float32", "text": "object", "whole": "np.int64", "flag": "np.float64",
    "strict_flag": "np.bool_", "wall_time": "np.int64", "instant": "np.int64",
}  # fmt: skip


def _expression(result: Result, word: str, label: str, n_targets: int) -> str:
    one = n_targets == 1
    quantiles = (
        f"dict(zip(QUANTILES, {word}[0], strict=True))"
        if one
        else f"{{name: dict(zip(QUANTILES, row, strict=True)) for name, row in zip(TARGETS, {word}, strict=True)}}"
    )
    return {
        "label": {"class": word, "flag": f"bool({word})", "index": f"CLASSES[{word}]"}[label],
        "classes": f"dict(zip(CLASSES, {word}, strict=True))",
        "set": f"[name for name, inside in zip(CLASSES, {word}, strict=True) if inside]",
        "targets": f"{word}[0]" if one else f"dict(zip(TARGETS, {word}, strict=True))",
        "quantiles": quantiles,
        "features": f"dict(zip(COLUMNS, {word}, strict=True))",
        "plain": word,
    }[result.form]


# What a datetime can be, but for a day at either end, where a zone would lead beyond.
_FIRST, _LAST = -62_135_510_400_000_000, 253_402_214_400_000_000
# Batches of other sizes add up in another order.
TOLERANCE = 1e-5


def _prove(model: Model, out: Path) -> int:
    """Run the client on hostile rows; their number. Raises: ParityError."""
    feeds = hostile_feeds(model.schema)
    for column in model.schema.of_kind("datetime"):
        dates = feeds[column.name]
        feeds[column.name] = np.where((dates < _FIRST) | (dates > _LAST), MISSING_INT64, dates)
    given = _load(out / "model.py").predict(python_rows(model, feeds))
    outputs = model.predict_feeds(feeds)
    for i, prediction in enumerate(given):
        for name, value in prediction.items():
            if not _agree(value, outputs[name][i], model, name):
                expected = row_text(outputs[name][i], model, name)
                raise ParityError(f"the client gives {value} as {name} of row {i}, the model {expected}")
    return len(given)


def python_rows(model: Model, feeds: Feeds) -> list[dict[str, Any]]:
    """Rows as the client takes them."""
    columns = {field.name: [_value(value, field.role) for value in wire_values(field, feeds)] for field in fields_of(model)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _value(value: Any, role: Role) -> Any:
    if value is None or role not in ("wall_time", "instant"):
        return value
    return moment(value) if role == "instant" else moment(value).replace(tzinfo=None)


def _agree(value: Any, expected: Any, model: Model, name: str) -> bool:
    if name == "set":
        return [str(label) for label in value] == [
            str(label) for label, inside in zip(model.schema.target.classes, expected, strict=True) if inside
        ]
    if name == "label":
        return bool(value == expected)
    return bool(np.allclose(_numbers(value), np.ravel(expected), rtol=TOLERANCE, atol=TOLERANCE))


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in _numbers(part)]
    return [value]


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("onnxlearn_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
