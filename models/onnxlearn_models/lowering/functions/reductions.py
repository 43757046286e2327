"""Along a dimension: shares, sums, the largest."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Entry, Tensorish, lowers
from onnxlearn_models.lowering.operand import Context
from onnxlearn_models.lowering.trace import UnsupportedError


def _softmax(op_type: str) -> Entry:
    def entry(c: Context, input: Tensorish, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
        del _stacklevel
        if dim is None:
            raise UnsupportedError("softmax without dim")
        return c.g.op(op_type, c.value(input, dtype), axis=dim)

    return entry


lowers(functional.softmax, torch.softmax, "softmax")(_softmax("Softmax"))
lowers(functional.log_softmax, torch.log_softmax, "log_softmax")(_softmax("LogSoftmax"))


def _reduction(op_type: str) -> Entry:
    def entry(c: Context, input: Tensorish, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
        del dtype
        rank = len(input.shape)
        dims = range(rank) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
        # ONNX Runtime takes negative axes for others where there are no rows.
        axes = [d % rank for d in dims]
        if any(input.shape[axis] is None for axis in axes):
            raise UnsupportedError("a reduction over the batch")
        return c.g.op(op_type, c.value(input, c.dtype), c.int64(*axes), keepdims=int(keepdim))

    return entry


lowers(torch.sum, "sum")(_reduction("ReduceSum"))
lowers(torch.mean, "mean")(_reduction("ReduceMean"))
lowers(torch.amax, "amax")(_reduction("ReduceMax"))
lowers(torch.amin, "amin")(_reduction("ReduceMin"))


@lowers(torch.cumsum, "cumsum")
def _cumsum(c: Context, input: Tensorish, dim: int) -> Value:
    if input.shape[dim] is None:
        raise UnsupportedError("a cumulative sum over the batch")
    return c.g.op("CumSum", c.value(input, c.dtype), c.value(dim, torch.int64))


@lowers(torch.topk, "topk")
def _topk(c: Context, input: Tensorish, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Value, ...]:
    axis = dim % len(input.shape)
    if input.shape[axis] is None:
        raise UnsupportedError("the largest over the batch")
    return c.g.ops("TopK", c.value(input), c.int64(k), n_outputs=2, axis=axis, largest=int(largest), sorted=int(sorted))
