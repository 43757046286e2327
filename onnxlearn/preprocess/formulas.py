"""Numbers computed from columns: formulas in text, read by Python's own parser, of which little is allowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxlearn.errors import ParameterError, listing
from onnxlearn.schema import Column, Schema

LONGEST = 1000
"""Characters of a formula."""

OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow",
}  # fmt: skip
COMPARISONS: Mapping[type[ast.AST], str] = {
    ast.Lt: "Less", ast.LtE: "LessOrEqual", ast.Gt: "Greater", ast.GtE: "GreaterOrEqual", ast.Eq: "Equal", ast.NotEq: "Equal",
}  # fmt: skip
FUNCTIONS = {"log": "Log", "exp": "Exp", "sqrt": "Sqrt", "abs": "Abs", "min": "Min", "max": "Max"}
# Those that give no number for usual numbers; division and powers do so too.
_PARTIAL = {"log", "exp", "sqrt"}
ALLOWED = "+ - * / **, comparisons, numbers, columns and log, exp, sqrt, abs, min, max"


@dataclass(frozen=True)
class Formula:
    """A number made of columns, named ``name``; ``sources`` are the features that ``text`` names.

    A comparison is 1 or 0. What is computed of a missing value is missing, and so is whatever is no finite number: a division
    by 0, the logarithm of 0, the root of a negative number, an overflow, an infinite value of a column.

    >>> Formula.parse("bmi", "weight / height ** 2").sources
    ('height', 'weight')
    """

    name: str
    text: str
    sources: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> Formula:
        """Read a formula. A column whose name is no identifier stands in backticks: ``"`bill length` / 2"``.

        Raises: ParameterError for a text that is no formula.
        """
        if not (isinstance(name, str) and name and isinstance(text, str)):
            raise ParameterError(
                f"formulas has names and texts, such as {{'bmi': 'weight / height ** 2'}}, not {name!r}: {text!r}"
            )
        tree, names = read_formula(name, text)
        _require_allowed(name, text, tree)
        functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        found = {names.get(n.id, n.id) for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in functions}
        if not found:
            raise ParameterError(f"formula {name!r}, {text!r}, names no column: it would be the same number for every row")
        return cls(name, text, tuple(sorted(found)))

    def column(self, schema: Schema) -> Column:
        """What it is: a column of numbers."""
        tree, _ = read_formula(self.name, self.text)
        partial = any(
            isinstance(n, ast.Div | ast.Pow) or (isinstance(n, ast.Name) and n.id in _PARTIAL) for n in ast.walk(tree)
        )
        missing = partial or any(schema.column(source).has_missing for source in self.sources)
        return Column(name=self.name, kind="numeric", dtype="float64", has_missing=missing)


def plan_formulas(formulas: Mapping[str, str] | None, schema: Schema) -> tuple[Formula, ...]:
    """The formulas, of columns that the task has and that hold numbers.

    Raises: ParameterError.
    """
    parsed = [Formula.parse(name, text) for name, text in (formulas or {}).items()]
    numeric = [column.name for column in schema.of_kind("numeric")]
    for formula in parsed:
        if formula.name in (*schema.feature_names, *schema.target.names):
            raise ParameterError(f"formula {formula.name!r} has the name of a column: choose another one")
        for source in formula.sources:
            if source in numeric:
                continue
            kind = f"is {schema.column(source).kind}" if source in schema.feature_names else "is none of the task's columns"
            raise ParameterError(
                f"formula {formula.name!r}, {formula.text!r}: {source!r} {kind}; formulas compute with columns of numbers: "
                f"{listing(numeric) or 'this task has none'}"
            )
    return tuple(parsed)


def read_formula(name: str, text: str) -> tuple[ast.expr, dict[str, str]]:
    """The tree, and what stands for columns in backticks. Raises: ParameterError."""
    if len(text) > LONGEST:
        raise ParameterError(f"formula {name!r} has {len(text)} characters: at most {LONGEST}")
    quoted: dict[str, str] = {}
    stem = "_"
    while stem in text:
        stem += "_"

    def alias(match: re.Match[str]) -> str:
        made = f"{stem}{len(quoted)}"
        quoted[made] = match[1]
        return f" {made} "

    try:
        return ast.parse(re.sub("`([^`]+)`", alias, text).strip(), mode="eval").body, quoted
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ParameterError(
            f"formula {name!r} cannot be read: {text!r}; write it as in Python, such as 'weight / height ** 2', with names "
            "that have spaces or signs in backticks"
        ) from None


def _require_allowed(name: str, text: str, node: ast.AST) -> None:
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            parts: Sequence[ast.AST] = [left, right]
        case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
            parts = [operand]
        case ast.Compare(left, [op], [right]) if type(op) in COMPARISONS:
            parts = [left, right]
        case ast.Call(ast.Name(function), args, []) if function in FUNCTIONS and _fits(function, args):
            parts = args
        case ast.Constant(int() | float() as value) if not isinstance(value, bool) and abs(value) < 1e300:
            parts = []
        case ast.Name():
            parts = []
        case _:
            raise ParameterError(f"formula {name!r}: {ast.unparse(node)!r} in {text!r} is not allowed; formulas have {ALLOWED}")
    for part in parts:
        _require_allowed(name, text, part)


def _fits(function: str, args: Sequence[ast.expr]) -> bool:
    many = function in ("min", "max")
    return len(args) >= 2 if many else len(args) == 1
