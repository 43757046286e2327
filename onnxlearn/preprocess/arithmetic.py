"""The nodes of formulas."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import numpy as np

from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.preprocess.formulas import COMPARISONS, FUNCTIONS, OPERATORS, Formula, read_formula

# Numbers of 64 bits that the widest registers hold.
AT_ONCE = 8


def emit_formula(g: GraphBuilder, formula: Formula, columns: Mapping[str, Value]) -> Value:
    """The number, DOUBLE ``[N, 1]``, of the columns, DOUBLE or FLOAT ``[N, 1]``; NaN where it is missing."""
    tree, names = read_formula(formula.name, formula.text)
    values = {source: _finite(g, g.op("Cast", columns[source], to=DOUBLE)) for source in formula.sources}
    return _finite(g, _emit(g, tree, {alias: values[source] for alias, source in names.items()} | values))


def _emit(g: GraphBuilder, node: ast.AST, columns: Mapping[str, Value]) -> Value:
    match node:
        case ast.BinOp(left, op, right):
            return _finite(g, _emit_binary(g, type(op), _emit(g, left, columns), _emit(g, right, columns)))
        case ast.UnaryOp(op, operand):
            value = _emit(g, operand, columns)
            return g.op("Neg", value) if isinstance(op, ast.USub) else value
        case ast.Compare(left, [op], [right]):
            return _emit_comparison(g, op, _emit(g, left, columns), _emit(g, right, columns))
        case ast.Call(ast.Name(function), args, []):
            return _emit_function(g, FUNCTIONS[function], [_emit(g, each, columns) for each in args])
        case ast.Constant(int() | float() as value):
            return g.const(np.float64(value))
    assert isinstance(node, ast.Name)
    return columns[node.id]


def _emit_binary(g: GraphBuilder, op: type[ast.AST], a: Value, b: Value) -> Value:
    if op is not ast.Pow:
        return g.op(OPERATORS[op], a, b)
    # By the standard of floating point 1 ** NaN and NaN ** 0 are 1.
    return _where_known(g, a, b, _emit_alike(g, "Pow", a, b))


def _emit_comparison(g: GraphBuilder, op: ast.cmpop, a: Value, b: Value) -> Value:
    holds = g.op(COMPARISONS[type(op)], a, b)
    if isinstance(op, ast.NotEq):
        holds = g.op("Not", holds)
    return _where_known(g, a, b, g.op("Cast", holds, to=DOUBLE))


def _emit_function(g: GraphBuilder, op_type: str, args: Sequence[Value]) -> Value:
    if op_type not in ("Min", "Max"):
        return _finite(g, _emit_alike(g, op_type, args[0]))
    value = args[0]
    for other in args[1:]:
        value = _where_known(g, value, other, g.op(op_type, value, other))
    return value


def _emit_alike(g: GraphBuilder, op_type: str, *args: Value) -> Value:
    """An operator on copies side by side, of which one is taken: the same last digits for any number of rows.

    Processors compute some numbers at once, and those left over at the end by another program.
    """
    ones = g.const(np.ones((1, AT_ONCE)))
    made = g.op(op_type, *(g.op("Mul", arg, ones) for arg in args))
    return g.op("Gather", made, g.const(np.array([0])), axis=1)


def _where_known(g: GraphBuilder, a: Value, b: Value, value: Value) -> Value:
    """NaN where one of the two is: operators differ in what they make of it."""
    missing = g.op("Or", g.op("IsNaN", a), g.op("IsNaN", b))
    return g.op("Where", missing, g.const(np.float64(np.nan)), value)


def _finite(g: GraphBuilder, value: Value) -> Value:
    """NaN for infinities."""
    return g.op("Where", g.op("IsInf", value), g.const(np.float64(np.nan)), value)
