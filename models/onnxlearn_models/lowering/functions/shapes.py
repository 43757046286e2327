"""Other forms of the same numbers."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import ONNX_TYPES, Context
from onnxlearn_models.lowering.trace import UnsupportedError


@lowers(
    torch.flatten, torch.reshape, torch.unsqueeze, torch.squeeze, torch.unflatten,
    "flatten", "reshape", "view", "unsqueeze", "squeeze", "unflatten",
)  # fmt: skip
def _reshape(c: Context, input: Tensorish, *sizes: Any, **more: Any) -> Value:
    # All that these functions do is in the shape of their result, which the trace knows.
    del sizes, more
    same_rows = input.shape[:1] == (None,) and input.sample.shape[:1] == c.out.shape[:1]
    return c.reshape(c.value(input), c.shape, same_rows=same_rows)


@lowers("contiguous", "clone", torch.clone, "detach", torch.detach)
def _same(c: Context, input: Tensorish) -> Value:
    return c.value(input)


@lowers(functional.dropout, torch.dropout, functional.alpha_dropout, functional.feature_alpha_dropout)
def _dropout(c: Context, input: Tensorish, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    del p, inplace
    if training:
        raise UnsupportedError("dropout in training mode")
    return c.value(input)


@lowers(torch.permute, "permute")
def _permute(c: Context, input: Tensorish, *dims: Any) -> Value:
    order = dims[0] if isinstance(dims[0], tuple | list) else dims
    return c.g.op("Transpose", c.value(input), perm=[d % len(order) for d in order])


@lowers(torch.transpose, "transpose")
def _transpose(c: Context, input: Tensorish, dim0: int, dim1: int) -> Value:
    order = list(range(len(c.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return c.g.op("Transpose", c.value(input), perm=order)


@lowers("expand")
def _expand(c: Context, input: Tensorish, *sizes: Any) -> Value:
    del sizes
    before = (*[1] * (len(c.shape) - len(input.shape)), *input.shape)
    return c.g.op("Expand", c.value(input), c.g.op("Concat", *map(partial(_new_size, c), c.shape, before), axis=0))


def _new_size(c: Context, size: int | None, before: int | None) -> Value:
    """One dimension of an expanded shape: 1 keeps what is there, and a new batch dimension is read from an ingress."""
    if size is None and before is not None:
        return c.g.op("Shape", c.batch, start=0, end=1)
    return c.int64(1 if size is None else size)


@lowers(torch.cat, torch.concat)
def _cat(c: Context, tensors: Sequence[Tensorish], dim: int = 0) -> Value:
    return c.g.op("Concat", *(c.value(tensor, c.dtype) for tensor in tensors), axis=dim)


@lowers(torch.stack)
def _stack(c: Context, tensors: Sequence[Tensorish], dim: int = 0) -> Value:
    axis = dim % len(c.shape)
    part = (*c.shape[:axis], 1, *c.shape[axis + 1 :])
    return c.g.op("Concat", *(c.reshape(c.value(tensor, c.dtype), part) for tensor in tensors), axis=axis)


@lowers(torch.chunk, torch.split, torch.tensor_split, "chunk", "split")
def _split(c: Context, input: Tensorish, sizes: Any, dim: int = 0) -> tuple[Value, ...]:
    del sizes
    if input.shape[dim] is None:
        raise UnsupportedError("splitting the batch")
    widths = [part.shape[dim] for part in c.out]
    return c.g.ops("Split", c.value(input), c.int64(*widths), n_outputs=len(widths), axis=dim)


@lowers(torch.Tensor.to, "to", "float", "double", "long", "int", "bool", "type_as")
def _to(c: Context, input: Tensorish, *how: Any, **more: Any) -> Value:
    del how, more
    if c.dtype not in ONNX_TYPES:
        raise UnsupportedError(f"the type {c.dtype}")
    return c.value(input, c.dtype)
