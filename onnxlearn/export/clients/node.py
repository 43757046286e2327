"""Target ``node``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.export.clients.client import Client, label_form
from onnxlearn.export.clients.description import Result, Role, moment
from onnxlearn.export.clients.words import Style, quote_json

if TYPE_CHECKING:
    from onnxlearn.model import Model

# JavaScript's numbers hold integers up to here, one less than DOUBLE does without doubt.
_MAX_SAFE = 2**53 - 1
# A Date of four digits a year; beyond, and where it is finer than milliseconds, microseconds are written.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


@dataclass(frozen=True, kw_only=True)
class NodeClient(Client):
    """Target ``node``: needs onnxruntime-node; types for TypeScript are there too."""

    meaning: ClassVar[str] = "a client in JavaScript for Node.js, with types for TypeScript"
    language: ClassVar[str] = "JavaScript"
    folder: ClassVar[str] = "node"
    style: ClassVar[Style] = "camel"
    types: ClassVar[dict[Role, str]] = {
        "number": "number | null", "number32": "number | null", "text": "string | null", "whole": "number | bigint | null",
        "flag": "boolean | null", "strict_flag": "boolean", "wall_time": "Date | bigint | null",
        "instant": "Date | bigint | null",
    }  # fmt: skip

    @classmethod
    def quote(cls, text: str) -> str:
        """A text as JavaScript writes it.

        >>> NodeClient.quote("Köln")
        '"Köln"'
        """
        return quote_json(text)

    @classmethod
    def key(cls, name: str) -> str:
        """A key of an object; as a text alone this one would set what the object inherits from."""
        return f"[{cls.quote(name)}]" if name == "__proto__" else cls.quote(name)

    @classmethod
    def comment(cls, text: str) -> str:
        """Nothing in it ends the comment."""
        return text.replace("*/", "*\\/")

    @classmethod
    def literal(cls, value: Any, role: Role) -> str:
        """A value as JavaScript writes it.

        >>> NodeClient.literal(0, "instant"), NodeClient.literal(2**53, "whole"), NodeClient.literal(None, "text")
        ('new Date("1970-01-01T00:00:00.000Z")', '9007199254740992n', 'null')
        """
        if value is None:
            return "null"
        if isinstance(value, str):
            return cls.quote(value)
        if isinstance(value, bool):
            return str(value).lower()
        if role in ("wall_time", "instant") and _FIRST <= value <= _LAST and value % 1000 == 0:
            text = moment(value).replace(tzinfo=None).isoformat(timespec="milliseconds")
            return f'new Date("{text}Z")'
        as_bigint = role in ("wall_time", "instant") or (role == "whole" and abs(value) > _MAX_SAFE)
        return f"{value}n" if as_bigint else repr(value)

    @classmethod
    def more(cls, model: Model, results: list[Result]) -> dict[str, Any]:
        """What a prediction has of each output, and of which type that is."""
        target = model.schema.target
        large = target.dtype == "int64" and any(abs(int(label)) > _MAX_SAFE for label in target.classes)
        kind = {"str": "string", "bool": "boolean"}.get(target.dtype, "bigint" if large else "number")
        context = {
            "tensor_types": _TENSOR_TYPES,
            "class_type_name": kind,
            "expressions": [_expression(cls, result, model, large=large) for result in results],
            "prediction_types": [_type(result, kind, len(target.names)) for result in results],
            "named": any(result.form in ("classes", "features", "quantiles") for result in results) or len(target.names) > 1,
        }
        # All of one type, where the largest needs it.
        return context | ({"classes": [f"{label}n" for label in target.classes]} if large else {})


_TENSOR_TYPES: dict[Role, str] = {
    "number": "float64", "number32": "float32", "text": "string", "whole": "int64", "flag": "float64", "strict_flag": "bool",
    "wall_time": "int64", "instant": "int64",
}  # fmt: skip


def _expression(cls: type[NodeClient], result: Result, model: Model, *, large: bool) -> str:
    name = cls.quote(result.name)
    values = f"at({name}, row)" + (".map(Boolean)" if result.type == "BOOL" else "")
    one = len(model.schema.target.names) == 1
    label = f"at({name}, row)[0]"
    if label_form(model) == "index":
        label = f"classes[Number({label})]"
    elif label_form(model) == "flag":
        label = f"{label} === 1n"
    elif model.schema.target.dtype == "int64" and not large:
        label = f"Number({label})"
    quantiles = (
        f"named(quantiles, {values})"
        if one
        else f"named(targets, targets.map((_, t) => named(quantiles, {values}.slice(t * quantiles.length))))"
    )
    return {
        "label": label,
        "classes": f"named(classes, {values})",
        "set": f"classes.filter((_, i) => {values}[i])",
        "targets": f"{values}[0]" if one else f"named(targets, {values})",
        "quantiles": quantiles,
        "features": f"named(columns.map(([name]) => name), {values})",
        "plain": values,
    }[result.form]


def _type(result: Result, kind: str, n_targets: int) -> str:
    item = "boolean" if result.type == "BOOL" else "number"
    each = "number" if n_targets == 1 else "Record<string, number>"
    return {
        "label": kind,
        "set": f"{kind}[]",
        "targets": each,
        "quantiles": each.replace("number", "Record<string, number>") if n_targets > 1 else "Record<string, number>",
        "plain": f"{item}[]",
    }.get(result.form, f"Record<string, {item}>")
