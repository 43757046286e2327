"""Target ``c``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.errors import ParameterError
from onnxlearn.export.clients.client import Client
from onnxlearn.export.clients.description import Result, Role
from onnxlearn.export.clients.words import Style, quote_c

if TYPE_CHECKING:
    from onnxlearn.model import Model

# Of C11 and C++20, and what common headers define beside them.
_KEYWORDS = """
alignas alignof and and_eq asm atomic auto bitand bitor bool break case catch char class compl concept const const_cast
consteval constexpr constinit continue co_await co_return co_yield decltype default delete do double dynamic_cast else enum
explicit export extern false far float for friend generic goto if imaginary inline int interface linux long max min mutable
namespace near new noexcept noreturn not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
requires restrict return short signed sizeof small static static_assert static_cast struct switch template this thread_local
throw true try typedef typeid typename typeof union unix unsigned using virtual void volatile wchar_t while xor xor_eq
nan null infinity eof errno stdin stdout stderr bufsiz
"""


@dataclass(frozen=True, kw_only=True)
class CClient(Client):
    """Target ``c``: C11 against the C interface of ONNX Runtime; the header is C++ too."""

    meaning: ClassVar[str] = "a client in C, for C++ too, on the C interface of ONNX Runtime"
    language: ClassVar[str] = "C"
    folder: ClassVar[str] = "c"
    style: ClassVar[Style] = "snake"
    reserved: ClassVar[frozenset[str]] = frozenset(_KEYWORDS.split())
    types: ClassVar[dict[Role, str]] = {
        "number": "double", "number32": "float", "text": "const char *", "whole": "int64_t", "flag": "double",
        "strict_flag": "bool", "wall_time": "int64_t", "instant": "int64_t",
    }  # fmt: skip

    @classmethod
    def quote(cls, text: str) -> str:
        """A text as C writes it: UTF-8."""
        return quote_c(text)

    @classmethod
    def literal(cls, value: Any, role: Role) -> str:
        """A value as C writes it.

        >>> CClient.literal(None, "number"), CClient.literal(-7, "whole"), CClient.literal(True, "flag")
        ('NAN', 'INT64_C(-7)', '1')
        """
        if value is None:
            return _MISSING[role]
        if isinstance(value, str):
            return cls.quote(value)
        if isinstance(value, bool):
            return str(value).lower() if role == "strict_flag" else str(int(value))
        if isinstance(value, int):
            return f"INT64_C({value})"
        return f"{value!r}f" if role == "number32" else repr(value)

    @classmethod
    def more(cls, model: Model, results: list[Result]) -> dict[str, Any]:
        """Types and places of inputs and outputs.

        Raises: ParameterError for a name that no text of C can hold.
        """
        target = model.schema.target
        texts = [*model.schema.feature_names, *target.names, *(label for label in target.classes if isinstance(label, str))]
        _require_no_zero(texts)
        return {
            "missing": _MISSING,
            "class_c_type": {"str": "const char *const ", "bool": "const bool "}.get(target.dtype, "const int64_t "),
            "longest_class": max((len(str(label).encode()) for label in target.classes), default=0),
            "declared": [_declared(cls, result) for result in results],
        }


_MISSING: dict[Role, str] = {
    "number": "NAN", "number32": "NAN", "text": "NULL", "whole": "INT64_MIN", "flag": "NAN", "strict_flag": "false",
    "wall_time": "INT64_MIN", "instant": "INT64_MIN",
}  # fmt: skip
_TYPES = {"FLOAT": "float", "DOUBLE": "double", "INT64": "int64_t", "BOOL": "bool"}


def _require_no_zero(texts: list[str]) -> None:
    for text in texts:
        if "\0" in text:
            raise ParameterError(f"a text of C cannot hold the zero byte of {text!r}: use the target python or node")


def _declared(cls: type[CClient], result: Result) -> dict[str, str]:
    """How an output stands in a prediction; one target is a number, no array of one."""
    shape = result.shape[1:] if result.form in ("targets", "quantiles") and result.shape[0] == 1 else result.shape
    told = {
        "classes": "In the order of MODEL_CLASSES.",
        "set": "Which of MODEL_CLASSES are in the set.",
        "targets": "In the order of MODEL_TARGETS." if shape else "",
        "quantiles": "In the order of MODEL_QUANTILES.",
        "features": "In the order of a row's columns.",
    }.get(result.form, "")
    return {
        "type": _TYPES.get(result.type, ""),
        "dims": "".join(f"[{size}]" for size in shape),
        "zeros": "[0]" * len(shape),
        "about": told and f"  // {told}",
        "shows": {"FLOAT": '%.9g", (double)VALUE', "BOOL": '%s", VALUE ? "true" : "false"'}.get(
            result.type, '%.15g", (double)VALUE'
        ),
        "heading": cls.quote(f"  {result.name}:"),
    }
