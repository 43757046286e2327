"""Vectors of codes, alone and in bags."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError

_OF_BAG = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}


@lowers(functional.embedding)
def _embedding(
    c: Context, input: Tensorish, weight: Tensorish, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Value:  # fmt: skip
    del padding_idx, norm_type, scale_grad_by_freq, sparse
    if max_norm is not None:
        raise UnsupportedError("embeddings with max_norm")
    return c.g.op("Gather", c.value(weight), c.value(input), axis=0)


@lowers(functional.one_hot)
def _one_hot(c: Context, tensor: Tensorish, num_classes: int = -1) -> Value:
    if num_classes < 0:
        raise UnsupportedError("one_hot whose width depends on the values")
    return c.g.op("OneHot", c.value(tensor), c.int64(num_classes), c.int64(0, 1), axis=-1)


@lowers(functional.embedding_bag)
def _embedding_bag(
    c: Context, input: Tensorish, weight: Constant, offsets: Any = None, max_norm: float | None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensorish | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Value:  # fmt: skip
    del norm_type, scale_grad_by_freq, sparse, include_last_offset
    if offsets is not None or max_norm is not None:
        raise UnsupportedError("bags of embeddings with offsets or max_norm")
    width = known_sizes(input.shape[1:], "bags of embeddings")[0]
    if padding_idx is None:
        vectors = c.g.op("Gather", c.value(weight), c.value(input), axis=0)
        if per_sample_weights is not None:
            vectors = c.g.op("Mul", vectors, c.reshape(c.value(per_sample_weights), (None, width, 1)))
        return c.g.op(_OF_BAG[mode], vectors, c.int64(1), keepdims=0)
    if per_sample_weights is not None:
        raise UnsupportedError("bags of embeddings with padding and weights")
    return _padded_bag(c, input, weight, padding_idx, mode)


def _padded_bag(c: Context, input: Tensorish, weight: Constant, padding_idx: int, mode: str) -> Value:
    """Without the entries that are ``padding_idx``: a bag of nothing else is 0."""
    table = weight.tensor.detach().clone()
    table[padding_idx] = -torch.inf if mode == "max" else 0
    vectors = c.g.op("Gather", c.value(Constant(table, weight.name)), c.value(input), axis=0)
    found = c.g.op("ReduceMax" if mode == "max" else "ReduceSum", vectors, c.int64(1), keepdims=0)
    if mode == "sum":
        return found
    there = c.g.op("Not", c.g.op("Equal", c.value(input), c.value(padding_idx % len(table), input.sample.dtype)))
    n = c.g.op("ReduceSum", c.cast(there, c.dtype), c.int64(1), keepdims=1)
    if mode == "mean":
        return c.g.op("Div", found, c.g.op("Max", n, c.value(1.0, c.dtype)))
    return c.g.op("Where", c.g.op("Greater", n, c.value(0.0, c.dtype)), found, c.value(0.0, c.dtype))
