"""Arithmetic, comparisons, and functions of one number."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import operator
from typing import Any

import torch

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Entry, Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context, Traced
from onnxlearn_models.lowering.trace import UnsupportedError


@lowers(torch.add, operator.add, "add", "__add__")
def _add(c: Context, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return _arithmetic(c, "Add", input, other, alpha)


@lowers(torch.sub, operator.sub, "sub", "__sub__")
def _sub(c: Context, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return _arithmetic(c, "Sub", input, other, alpha)


def _arithmetic(c: Context, op_type: str, input: Any, other: Any, alpha: float) -> Value:
    right = c.value(other, c.dtype)
    if alpha != 1:
        right = c.g.op("Mul", right, c.value(alpha, c.dtype))
    return c.g.op(op_type, c.value(input, c.dtype), right)


@lowers(torch.div, torch.true_divide, operator.truediv, "div", "__truediv__")
def _div(c: Context, input: Any, other: Any, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise UnsupportedError("division with rounding")
    return c.g.op("Div", c.value(input, c.dtype), c.value(other, c.dtype))


@lowers(torch.addcmul, "addcmul")
def _addcmul(c: Context, input: Tensorish, tensor1: Tensorish, tensor2: Tensorish, *, value: float = 1) -> Value:
    product = c.g.op("Mul", c.value(tensor1), c.value(tensor2))
    if value != 1:
        product = c.g.op("Mul", product, c.value(value, c.dtype))
    return c.g.op("Add", c.value(input), product)


@lowers(torch.lerp, "lerp")
def _lerp(c: Context, input: Tensorish, end: Tensorish, weight: Any) -> Value:
    way = c.g.op("Sub", c.value(end), c.value(input))
    return c.g.op("Add", c.value(input), c.g.op("Mul", way, c.value(weight, c.dtype)))


def _binary(op_type: str) -> Entry:
    def entry(c: Context, input: Any, other: Any) -> Value:
        return c.g.op(op_type, c.value(input, c.dtype), c.value(other, c.dtype))

    return entry


lowers(torch.mul, operator.mul, "mul", "__mul__")(_binary("Mul"))
lowers(torch.pow, operator.pow, "pow", "__pow__")(_binary("Pow"))
lowers(torch.maximum, "maximum")(_binary("Max"))
lowers(torch.minimum, "minimum")(_binary("Min"))
lowers(torch.logical_and, "logical_and")(_binary("And"))
lowers(torch.logical_or, "logical_or")(_binary("Or"))


def _comparison(op_type: str, *, negate: bool = False) -> Entry:
    def entry(c: Context, input: Any, other: Any) -> Value:
        samples = [x.sample if isinstance(x, Traced | Constant) else x for x in (input, other)]
        dtype = torch.result_type(*samples)
        found = c.g.op(op_type, c.value(input, dtype), c.value(other, dtype))
        return c.g.op("Not", found) if negate else found

    return entry


lowers(torch.gt, operator.gt, "gt")(_comparison("Greater"))
lowers(torch.ge, operator.ge, "ge")(_comparison("GreaterOrEqual"))
lowers(torch.lt, operator.lt, "lt")(_comparison("Less"))
lowers(torch.le, operator.le, "le")(_comparison("LessOrEqual"))
lowers(torch.eq, operator.eq, "eq")(_comparison("Equal"))
lowers(torch.ne, operator.ne, "ne")(_comparison("Equal", negate=True))


@lowers(torch.where)
def _where(c: Context, condition: Tensorish, input: Any, other: Any) -> Value:
    return c.g.op("Where", c.value(condition), c.value(input, c.dtype), c.value(other, c.dtype))


@lowers(torch.clamp, torch.clip, "clamp", "clip")
def _clamp(c: Context, input: Tensorish, min: Any = None, max: Any = None) -> Value:
    bounded = c.value(input, c.dtype)
    if min is not None:
        bounded = c.g.op("Max", bounded, c.value(min, c.dtype))
    return bounded if max is None else c.g.op("Min", bounded, c.value(max, c.dtype))


# Functions of one number


def unary(op_type: str, **attributes: Any) -> Entry:
    """An entry for a function that is an operator."""

    def entry(c: Context, input: Tensorish, inplace: bool = False) -> Value:
        del inplace
        return c.g.op(op_type, c.value(input, c.dtype), **attributes)

    return entry


for _name, _op_type in {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "neg": "Neg", "sin": "Sin", "cos": "Cos",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "reciprocal": "Reciprocal", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "relu": "Relu", "logical_not": "Not",
}.items():  # fmt: skip
    lowers(getattr(torch, _name), _name)(unary(_op_type))
lowers(operator.neg)(unary("Neg"))


@lowers(torch.square, "square")
def _square(c: Context, input: Tensorish) -> Value:
    return c.g.op("Mul", c.value(input), c.value(input))


@lowers(torch.rsqrt, "rsqrt")
def _rsqrt(c: Context, input: Tensorish) -> Value:
    return c.g.op("Reciprocal", c.g.op("Sqrt", c.value(input, c.dtype)))


@lowers(torch.erf, torch.special.erf, "erf")
def _erf(c: Context, input: Tensorish) -> Value:
    return erf_value(c, c.value(input, c.dtype))


def erf_value(c: Context, x: Value) -> Value:
    """The error function."""
    if c.dtype != torch.float64:
        return c.g.op("Erf", x)
    # ONNX Runtime has it in float32 alone; its values are below 1, so this rounding stays small.
    return c.cast(c.g.op("Erf", c.cast(x, torch.float32)), torch.float64)
