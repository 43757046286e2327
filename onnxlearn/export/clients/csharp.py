"""Target ``csharp``."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.export.clients.client import Client, label_form
from onnxlearn.export.clients.description import Result, Role, moment
from onnxlearn.export.clients.words import Style, identifiers, quote_json

if TYPE_CHECKING:
    from onnxlearn.model import Model

# What a class of rows or predictions has already; words of the language are in small letters, properties are not.
_MEMBERS = "equals finalize gethashcode gettype memberwiseclone modelprediction modelrow referenceequals tostring"
_LOCALS = """
abstract as base bool break byte case catch char checked class const continue decimal default delegate do double else enum event
explicit extern false finally fixed float for foreach goto if implicit in int interface internal is lock long namespace new null
object operator out override params private protected public readonly ref return sbyte sealed short sizeof stackalloc static
string struct switch this throw true try typeof uint ulong unchecked unsafe ushort using virtual void volatile while
i inputs outputs predictions row rows session values
"""


@dataclass(frozen=True, kw_only=True)
class CSharpClient(Client):
    """Target ``csharp``: C# 7.3, so that .NET Framework and Unity take it too."""

    meaning: ClassVar[str] = "a client in C# on the package of ONNX Runtime"
    language: ClassVar[str] = "C#"
    folder: ClassVar[str] = "csharp"
    style: ClassVar[Style] = "pascal"
    reserved: ClassVar[frozenset[str]] = frozenset(_MEMBERS.split())
    types: ClassVar[dict[Role, str]] = {
        "number": "double?", "number32": "float?", "text": "string", "whole": "long?", "flag": "bool?", "strict_flag": "bool?",
        "wall_time": "DateTime?", "instant": "DateTimeOffset?",
    }  # fmt: skip

    @classmethod
    def quote(cls, text: str) -> str:
        """A text as C# writes it."""
        return quote_json(text)

    @classmethod
    def comment(cls, text: str) -> str:
        """Text of a documentation comment, which is XML."""
        return html.escape(text, quote=False)

    @classmethod
    def literal(cls, value: Any, role: Role) -> str:
        """A value as C# writes it.

        >>> CSharpClient.literal(1, "instant"), CSharpClient.literal(None, "text")
        ('new DateTimeOffset(1970, 1, 1, 0, 0, 0, TimeSpan.Zero).AddTicks(10)', 'null')
        """
        if value is None:
            return "null"
        if isinstance(value, str):
            return cls.quote(value)
        if isinstance(value, bool):
            return str(value).lower()
        if role in ("wall_time", "instant"):
            when = moment(value)
            parts = ", ".join(map(str, when.timetuple()[:6]))
            made = f"new DateTimeOffset({parts}, TimeSpan.Zero)" if role == "instant" else f"new DateTime({parts})"
            return made + (f".AddTicks({when.microsecond * 10})" if when.microsecond else "")
        if isinstance(value, int):
            return f"{value}L"
        return f"{value!r}f" if role == "number32" else repr(value)

    @classmethod
    def more(cls, model: Model, results: list[Result]) -> dict[str, Any]:
        """Types of the outputs, and how they are read."""
        words = identifiers([result.name for result in results], "camel", frozenset(_LOCALS.split()), "output")
        return {
            "reads": _READS,
            "locals": words,
            "class_name": _LABELS.get(model.schema.target.dtype, ""),
            "declared": [_declared(cls, result, word, model) for result, word in zip(results, words, strict=True)],
        }


_READS: dict[Role, str] = {
    "number": "VALUE ?? double.NaN", "number32": "VALUE ?? float.NaN", "text": 'VALUE ?? ""', "whole": "VALUE ?? long.MinValue",
    "flag": "Flag(VALUE)", "strict_flag": "Present(VALUE)", "wall_time": "Microseconds(VALUE?.Ticks)",
    "instant": "Microseconds(VALUE?.UtcTicks)",
}  # fmt: skip
_TYPES = {"FLOAT": "float", "DOUBLE": "double", "INT64": "long", "BOOL": "bool", "STRING": "string"}
_LABELS = {"str": "string", "bool": "bool", "int64": "long"}


def _declared(cls: type[CSharpClient], result: Result, word: str, model: Model) -> dict[str, Any]:
    """How an output is read, and stands in a prediction: one number of one target, else a flat array."""
    item = _TYPES.get(result.type, "")
    alone = result.form == "label" or (result.form == "targets" and result.size == 1)
    value = f"{word}[i][0]" if alone else f"{word}[i]"
    kind = item if alone else f"{item}[]"
    if result.form == "label":
        kind = _LABELS[model.schema.target.dtype]
        value = {"class": value, "flag": f"{value} == 1", "index": f"Classes[{value}]"}[label_form(model)]
    one = len(model.schema.target.names) == 1
    about = {
        "classes": "In the order of Classes.",
        "set": "Which of Classes are in the set.",
        "targets": "" if alone else "In the order of Targets.",
        "quantiles": "In the order of Quantiles" + ("." if one else ", of the first target, then of the next."),
        "features": "In the order of a row's properties.",
    }
    return {
        "item": item, "type": kind, "value": value, "alone": alone, "about": about.get(result.form, ""),
        "heading": cls.quote(f"  {result.name}:"),
    }  # fmt: skip
