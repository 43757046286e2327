"""Linear algebra."""

# The signatures are torch's own.

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context
from onnxlearn_models.lowering.trace import UnsupportedError


@lowers(functional.linear)
def linear(c: Context, input: Tensorish, weight: Tensorish, bias: Tensorish | None = None) -> Value:
    """``input @ weight.T + bias``: one Gemm for rows of numbers."""
    if len(c.shape) == 2:
        return c.g.op("Gemm", c.value(input), c.value(weight), None if bias is None else c.value(bias), transB=1)
    if not isinstance(weight, Constant):
        raise UnsupportedError("a linear map with computed weights")
    product = c.g.op("MatMul", c.value(input), c.value(Constant(weight.tensor.T, weight.name)))
    return product if bias is None else c.g.op("Add", product, c.value(bias))


@lowers(torch.matmul, operator.matmul, torch.bmm, "matmul", "bmm", "__matmul__")
def _matmul(c: Context, input: Tensorish, other: Tensorish) -> Value:
    return c.g.op("MatMul", c.value(input), c.value(other))


@lowers(torch.baddbmm, "baddbmm")
def _baddbmm(c: Context, input: Tensorish, batch1: Tensorish, batch2: Tensorish, *, beta: float = 1, alpha: float = 1) -> Value:
    if beta != 1 or alpha != 1:
        raise UnsupportedError("baddbmm with factors")
    return c.g.op("Add", c.g.op("MatMul", c.value(batch1), c.value(batch2)), c.value(input))


@lowers(torch.einsum)
def _einsum(c: Context, equation: str, *operands: Any) -> Value:
    terms = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    return c.g.op("Einsum", *(c.value(term) for term in terms), equation=equation.replace(" ", ""))
