"""Target ``java``."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.errors import ParameterError
from onnxlearn.export.clients.client import Client, label_form
from onnxlearn.export.clients.description import Result, Role, moment
from onnxlearn.export.clients.words import Style, quote_ascii
from onnxlearn.schema import Label

if TYPE_CHECKING:
    from onnxlearn.model import Model

_KEYWORDS = """
abstract assert boolean break byte case catch char class const continue default do double else enum extends false final finally
float for goto if implements import instanceof int interface long native new null package private protected public return short
static strictfp super switch synchronized this throw throws transient true try void volatile while
"""


@dataclass(frozen=True, kw_only=True)
class JavaClient(Client):
    """Target ``java``: Java 11 and ONNX Runtime's jar."""

    meaning: ClassVar[str] = "a client in Java on the jar of ONNX Runtime"
    language: ClassVar[str] = "Java"
    folder: ClassVar[str] = "java"
    style: ClassVar[Style] = "camel"
    reserved: ClassVar[frozenset[str]] = frozenset({*_KEYWORDS.split(), "i", "rows", "feeds", "result", "predictions", "one"})
    # A method of Java has 64 KB at most, and a column takes about 22 bytes.
    max_columns: ClassVar[int | None] = 2000
    types: ClassVar[dict[Role, str]] = {
        "number": "Double", "number32": "Float", "text": "String", "whole": "Long", "flag": "Boolean", "strict_flag": "Boolean",
        "wall_time": "LocalDateTime", "instant": "Instant",
    }  # fmt: skip

    @classmethod
    def quote(cls, text: str) -> str:
        """A text as Java writes it."""
        return quote_ascii(text)

    @classmethod
    def comment(cls, text: str) -> str:
        r"""Text of a Javadoc comment. A backslash is written by its number: before a u it would be read as an escape even here.

        >>> JavaClient.comment("*/ \\u000a ö <b> @link")
        '*&#47; &#92;u000a &#246; &lt;b&gt; &#64;link'
        """
        special = "/\\@{}"
        escaped = html.escape(text, quote=False)
        return "".join(c if c.isascii() and c not in special else f"&#{ord(c)};" for c in escaped)

    @classmethod
    def literal(cls, value: Any, role: Role) -> str:
        """A value as Java writes it.

        >>> JavaClient.literal(0, "instant"), JavaClient.literal(-7, "whole"), JavaClient.literal(0.5, "number32")
        ('Instant.parse("1970-01-01T00:00:00Z")', '-7L', '0.5f')
        """
        if value is None:
            return "null"
        if isinstance(value, str):
            return cls.quote(value)
        if isinstance(value, bool):
            return str(value).lower()
        if role in ("wall_time", "instant"):
            text = moment(value).replace(tzinfo=None).isoformat()
            return f'Instant.parse("{text}Z")' if role == "instant" else f'LocalDateTime.parse("{text}")'
        if isinstance(value, int):
            return f"{value}L"
        return f"{value!r}f" if role == "number32" else repr(value)

    @classmethod
    def _require_possible(cls, model: Model) -> None:
        super()._require_possible(model)
        schema = model.schema
        _require_plain([*schema.feature_names, *(level for column in schema.features for level in column.levels)])
        _require_plain(schema.target.classes)

    @classmethod
    def more(cls, model: Model, results: list[Result]) -> dict[str, Any]:
        """Types of the outputs, and how they are read."""
        boxed = {"str": "String", "bool": "Boolean", "int64": "Long"}.get(model.schema.target.dtype, "")
        words = cls._output_words(results)
        return {
            "makers": _MAKERS,
            "class_boxed": boxed,
            "declared": [_declared(cls, result, word, model) for result, word in zip(results, words, strict=True)],
        }


_MAKERS: dict[Role, str] = {
    "number": "numbers", "number32": "floats", "text": "texts", "whole": "integers", "flag": "flags",
    "strict_flag": "strictFlags", "wall_time": "wallTimes", "instant": "moments",
}  # fmt: skip
_TYPES = {"FLOAT": "float", "DOUBLE": "double", "INT64": "long", "BOOL": "boolean", "STRING": "String"}
_LABELS = {"str": "String", "bool": "boolean", "int64": "long"}


def _require_plain(texts: Iterable[Label]) -> None:
    """The runtime's Java interface passes texts as Java's modified UTF-8, in which these are no UTF-8 (``OnnxTensor.c``)."""
    for text in texts:
        if isinstance(text, str) and any(character > "\uffff" or character == "\0" for character in text):
            raise ParameterError(
                f"the Java interface of ONNX Runtime cannot pass {text!r}, which has a character beyond U+FFFF (an emoji, say) "
                "or a zero: recode it before training, or use another language"
            )


def _declared(cls: type[JavaClient], result: Result, word: str, model: Model) -> dict[str, Any]:
    """How an output is read, and stands in a prediction; one target is a number, no array of one."""
    item = _TYPES.get(result.type, "")
    alone = result.form in ("targets", "quantiles") and result.shape[0] == 1
    depth = len(result.shape) - alone
    value = f"{word}[i][0]" if alone else f"{word}[i]"
    kind = item + "[]" * depth
    if result.form == "label":
        kind = _LABELS[model.schema.target.dtype]
        value = {"class": value, "flag": f"{value} == 1", "index": f"CLASSES.get((int) {value})"}[label_form(model)]
    about = {
        "classes": "In the order of CLASSES.",
        "set": "Which of CLASSES are in the set.",
        "targets": "" if alone else "In the order of TARGETS.",
        "quantiles": "In the order of QUANTILES.",
        "features": "In the order of a row's columns.",
    }
    return {
        "array": item + "[]" * (1 + len(result.shape)), "type": kind, "item": item, "value": value, "depth": depth,
        "about": about.get(result.form, ""), "heading": cls.quote(f"  {result.name}:"),
    }  # fmt: skip
