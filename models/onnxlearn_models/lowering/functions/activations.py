"""Activation functions."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import math

import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.arithmetic import erf_value, unary
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Context
from onnxlearn_models.lowering.trace import UnsupportedError

# From here on torch's default gives x itself, which the exact function equals in float32.
_SOFTPLUS_IS_LINE = 20


for _function, _op_type in {
    functional.relu: "Relu", functional.tanh: "Tanh", functional.sigmoid: "Sigmoid", functional.softsign: "Softsign",
}.items():  # fmt: skip
    lowers(_function)(unary(_op_type))


@lowers(functional.gelu)
def _gelu(c: Context, input: Tensorish, approximate: str = "none") -> Value:
    x = c.value(input)
    if approximate == "tanh":
        cubic = c.g.op("Mul", c.g.op("Mul", x, c.g.op("Mul", x, x)), c.value(0.044715, c.dtype))
        inner = c.g.op("Tanh", c.g.op("Mul", c.g.op("Add", x, cubic), c.value(math.sqrt(2 / math.pi), c.dtype)))
    else:
        inner = erf_value(c, c.g.op("Div", x, c.value(math.sqrt(2), c.dtype)))
    return c.g.op("Mul", c.g.op("Mul", x, c.g.op("Add", inner, c.value(1.0, c.dtype))), c.value(0.5, c.dtype))


@lowers(functional.silu)
def _silu(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        # Of the product ONNX Runtime 1.24 makes an operator of its own, which it has in float32 alone.
        power = c.g.op("Exp", c.g.op("Neg", c.value(input)))
        return c.g.op("Div", c.value(input), c.g.op("Add", power, c.value(1.0, c.dtype)))
    return c.g.op("Mul", c.value(input), c.g.op("Sigmoid", c.value(input)))


@lowers(functional.mish)
def _mish(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Mul", c.value(input), c.g.op("Tanh", c.g.op("Softplus", c.value(input))))


@lowers(functional.hardswish)
def _hardswish(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        return c.g.op("Mul", c.value(input), _hardsigmoid(c, input))
    return c.g.op("HardSwish", c.value(input))


# Attributes of operators are FLOAT. In a network that computes in DOUBLE their constants are tensors instead.


@lowers(functional.selu)
def _selu(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    alpha, gamma = 1.6732632423543772, 1.0507009873554805
    if c.dtype == torch.float64:
        return c.g.op("Mul", _exponential_below(c, c.value(input), alpha, 1.0), c.value(gamma, c.dtype))
    return c.g.op("Selu", c.value(input), alpha=alpha, gamma=gamma)


@lowers(functional.elu)
def _elu(c: Context, input: Tensorish, alpha: float = 1.0, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        return _exponential_below(c, c.value(input), alpha, 1.0)
    return c.g.op("Elu", c.value(input), alpha=float(alpha))


@lowers(functional.celu)
def _celu(c: Context, input: Tensorish, alpha: float = 1.0, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        return _exponential_below(c, c.value(input), alpha, alpha)
    return c.g.op("Celu", c.value(input), alpha=float(alpha))


@lowers(functional.leaky_relu)
def _leaky_relu(c: Context, input: Tensorish, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        above, below = _parted(c, c.value(input))
        return c.g.op("Add", above, c.g.op("Mul", below, c.value(negative_slope, c.dtype)))
    return c.g.op("LeakyRelu", c.value(input), alpha=float(negative_slope))


@lowers(functional.rrelu)
def _rrelu(
    c: Context, input: Tensorish, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Value:
    if training:
        raise UnsupportedError("rrelu in training mode")
    return _leaky_relu(c, input, (lower + upper) / 2, inplace)


@lowers(functional.hardsigmoid)
def _hardsigmoid(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        line = c.g.op("Div", c.g.op("Add", c.value(input), c.value(3.0, c.dtype)), c.value(6.0, c.dtype))
        return c.g.op("Clip", line, c.value(0.0, c.dtype), c.value(1.0, c.dtype))
    return c.g.op("HardSigmoid", c.value(input), alpha=1 / 6, beta=0.5)


def _exponential_below(c: Context, x: Value, height: float, width: float) -> Value:
    """``x`` above 0, ``height (exp(x / width) - 1)`` below."""
    above, below = _parted(c, x)
    power = c.g.op("Exp", c.g.op("Div", below, c.value(width, c.dtype)))
    return c.g.op("Add", above, c.g.op("Mul", c.g.op("Sub", power, c.value(1.0, c.dtype)), c.value(height, c.dtype)))


def _parted(c: Context, x: Value) -> tuple[Value, Value]:
    """The positive and the negative part."""
    return c.g.op("Relu", x), c.g.op("Min", x, c.value(0.0, c.dtype))


@lowers(functional.prelu)
def _prelu(c: Context, input: Tensorish, weight: Tensorish) -> Value:
    # torch has one slope per channel, dimension 1; ONNX broadcasts from the last dimension.
    return c.g.op("PRelu", c.value(input), c.per_channel(weight))


@lowers(functional.hardtanh)
def _hardtanh(c: Context, input: Tensorish, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Clip", c.value(input), c.value(min_val, c.dtype), c.value(max_val, c.dtype))


@lowers(functional.relu6)
def _relu6(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Clip", c.value(input), c.value(0.0, c.dtype), c.value(6.0, c.dtype))


@lowers(functional.softplus)
def _softplus(c: Context, input: Tensorish, beta: float = 1.0, threshold: float = 20.0) -> Value:
    x = c.value(input)
    inside = x if beta == 1 else c.g.op("Mul", x, c.value(beta, c.dtype))
    found = c.g.op("Softplus", inside)
    if beta != 1:
        found = c.g.op("Div", found, c.value(beta, c.dtype))
    if threshold >= _SOFTPLUS_IS_LINE:
        return found
    return c.g.op("Where", c.g.op("Greater", inside, c.value(threshold, c.dtype)), x, found)


@lowers(functional.logsigmoid)
def _logsigmoid(c: Context, input: Tensorish) -> Value:
    return c.g.op("Neg", c.g.op("Softplus", c.g.op("Neg", c.value(input))))


@lowers(functional.glu)
def _glu(c: Context, input: Tensorish, dim: int = -1) -> Value:
    half = c.shape[dim]
    if half is None:
        raise UnsupportedError("glu over the batch")
    value, gate = c.g.ops("Split", c.value(input), c.int64(half, half), n_outputs=2, axis=dim)
    return c.g.op("Mul", value, c.g.op("Sigmoid", gate))


@lowers(functional.softshrink)
def _softshrink(c: Context, input: Tensorish, lambd: float = 0.5) -> Value:
    x = c.value(input)
    return c.g.op("Sub", x, c.g.op("Clip", x, c.value(-float(lambd), c.dtype), c.value(float(lambd), c.dtype)))


@lowers(functional.hardshrink)
def _hardshrink(c: Context, input: Tensorish, lambd: float = 0.5) -> Value:
    x = c.value(input)
    small = c.g.op("LessOrEqual", c.g.op("Abs", x), c.value(float(lambd), c.dtype))
    return c.g.op("Where", small, c.value(0.0, c.dtype), x)


@lowers(functional.tanhshrink)
def _tanhshrink(c: Context, input: Tensorish) -> Value:
    return c.g.op("Sub", c.value(input), c.g.op("Tanh", c.value(input)))


@lowers(functional.threshold)
def _threshold(c: Context, input: Tensorish, threshold: float, value: float, inplace: bool = False) -> Value:
    del inplace
    below = c.g.op("LessOrEqual", c.value(input), c.value(float(threshold), c.dtype))
    return c.g.op("Where", below, c.value(float(value), c.dtype), c.value(input))
