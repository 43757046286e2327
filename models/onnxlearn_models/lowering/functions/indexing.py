"""Parts of a tensor by their positions."""

from __future__ import annotations

import operator
from typing import Any

import torch

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context, Traced, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError

_INT64_MAX = 2**63 - 1


@lowers(operator.getitem)
def _getitem(c: Context, input: Any, index: Any) -> Any:
    if isinstance(input, tuple | list):
        return input[index]
    if isinstance(index, Traced) and index.sample.dtype == torch.int64:
        return c.g.op("Gather", c.value(input), index.value, axis=0)
    parts = _explicit(index if isinstance(index, tuple) else (index,), len(input.shape))
    plain = [part for part in parts if part is not None]
    value = _slices(c, c.value(input), plain, input.shape)
    for axis, part in reversed(list(enumerate(plain))):
        if not isinstance(part, slice):
            value = c.g.op("Gather", value, c.value(part, torch.int64), axis=axis)
    return c.reshape(value, c.shape) if None in parts else value


def _explicit(index: tuple[Any, ...], rank: int) -> list[Any]:
    """An index with one part for each dimension (``None`` adds one): slices, numbers or one tensor of positions."""
    tensors = [part for part in index if isinstance(part, Constant)]
    allowed = int if not tensors else Constant
    usual = all(part is None or part is Ellipsis or isinstance(part, slice | allowed) for part in index)
    if not usual or len(tensors) > 1 or any(t.tensor.dtype != torch.int64 or t.tensor.ndim != 1 for t in tensors):
        raise UnsupportedError("this way of indexing")
    fill = [slice(None)] * (rank - sum(part is not None and part is not Ellipsis for part in index))
    at = next((i for i, part in enumerate(index) if part is Ellipsis), None)
    return [*index, *fill] if at is None else [*index[:at], *fill, *index[at + 1 :]]


def _slices(c: Context, value: Value, parts: list[Any], shape: tuple[int | None, ...]) -> Value:
    """Apply all slices that leave something out, in one node."""
    cut = [(axis, part) for axis, part in enumerate(parts) if isinstance(part, slice) and part != slice(None)]
    if any(shape[axis] is None for axis, _ in cut):
        raise UnsupportedError("slicing the batch")
    if not cut:
        return value
    starts = [part.start or 0 for _, part in cut]
    ends = [_INT64_MAX if part.stop is None else part.stop for _, part in cut]
    steps = [part.step or 1 for _, part in cut]
    return c.g.op("Slice", value, c.int64(*starts), c.int64(*ends), c.int64(*(axis for axis, _ in cut)), c.int64(*steps))


@lowers(torch.index_select, "index_select")
def _index_select(c: Context, input: Tensorish, dim: int, index: Tensorish) -> Value:
    return c.g.op("Gather", c.value(input), c.value(index, torch.int64), axis=dim)


@lowers(torch.select, "select")
def _select(c: Context, input: Tensorish, dim: int, index: int) -> Value:
    known_sizes((input.shape[dim],), "choosing a row")
    return c.g.op("Gather", c.value(input), c.value(index, torch.int64), axis=dim)
