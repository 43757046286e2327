"""Poolings. The sizes that come out are known, so that what ``ceil_mode`` adds is padding behind the end."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.convolutions import Sizes, each, places_of
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Context, Traced
from onnxlearn_models.lowering.trace import UnsupportedError


@lowers(
    functional.max_pool1d, functional.max_pool2d, functional.max_pool3d, torch.max_pool1d, torch.max_pool2d, torch.max_pool3d
)
def _max_pool(
    c: Context, input: Tensorish, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Value:  # fmt: skip
    del ceil_mode
    if return_indices:
        raise UnsupportedError("the positions of maxima")
    n = len(c.shape) - 2
    kernel, before, dilations = each(kernel_size, n), each(padding, n), each(dilation, n)
    strides = kernel if stride in (None, []) else each(stride, n)
    after = _behind(c, input, [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)], strides, before)
    x, pads = c.value(input), [*before, *after]
    if any(pad >= width for pad, width in zip(pads, kernel * 2, strict=True)):
        # Operators want less padding than the window has positions, distances between them not counted.
        x, pads = _padded(c, x, before, after, -np.inf), [0] * (2 * n)
    return c.g.op("MaxPool", x, kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations)


@lowers(functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
def avg_pool(
    c: Context, input: Tensorish, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Value:  # fmt: skip
    """Means of windows; what ``ceil_mode`` adds behind the end never counts, padding does where it is asked for."""
    del ceil_mode
    c.need_single("mean poolings")
    n = len(c.shape) - 2
    kernel, before = each(kernel_size, n), each(padding, n)
    strides = kernel if stride in (None, []) else each(stride, n)
    after = _behind(c, input, kernel, strides, before)
    if divisor_override is not None:
        sums = _means(c, c.value(input), kernel, strides, [*before, *after], counted=True)
        return c.g.op("Mul", sums, c.value(math.prod(kernel) / divisor_override, c.dtype))
    if not count_include_pad or after == before:
        return _means(c, c.value(input), kernel, strides, [*before, *after], counted=count_include_pad)
    more = [max(0, a - b) for a, b in zip(after, before, strict=True)]
    padded = _padded(c, c.value(input), before, before, 0.0) if any(before) else c.value(input)
    return _means(c, padded, kernel, strides, [*[0] * n, *more], counted=False)


@lowers(functional.lp_pool1d, functional.lp_pool2d, functional.lp_pool3d)
def _lp_pool(
    c: Context, input: Tensorish, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Value:
    power = c.g.op("Pow", c.value(input), c.value(float(norm_type), c.dtype))
    raised = Traced(power, input.sample, input.shape)
    n = math.prod(each(kernel_size, len(c.shape) - 2))
    total = c.g.op("Mul", avg_pool(c, raised, kernel_size, stride, 0, ceil_mode), c.value(float(n), c.dtype))
    return c.g.op("Pow", total, c.value(1 / norm_type, c.dtype))


@lowers(functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d)
def _adaptive_avg_pool(c: Context, input: Tensorish, output_size: Any) -> Value:
    """The mean of each part; where parts are of different widths, along one dimension after the other."""
    del output_size
    n = len(c.shape) - 2
    sizes, found = places_of(input, n, "poolings"), places_of_result(c)
    if set(found) == {1}:
        return c.g.op("ReduceMean", c.value(input), c.int64(*range(2, n + 2)), keepdims=1)
    if _divides(found, sizes) and c.dtype == torch.float32:
        return _means(c, c.value(input), *_parts(sizes, found), [0] * (2 * n), counted=True)
    return _along_each(c, input, _mean_of)


@lowers(
    functional.adaptive_max_pool1d, functional.adaptive_max_pool2d, functional.adaptive_max_pool3d,
    torch.adaptive_max_pool1d,
)  # fmt: skip
def _adaptive_max_pool(c: Context, input: Tensorish, output_size: Any, return_indices: bool = False) -> Value:
    del output_size
    if return_indices:
        raise UnsupportedError("the positions of maxima")
    n = len(c.shape) - 2
    sizes, found = places_of(input, n, "poolings"), places_of_result(c)
    if not _divides(found, sizes):
        return _along_each(c, input, _largest_of)
    kernel, strides = _parts(sizes, found)
    return c.g.op("MaxPool", c.value(input), kernel_shape=kernel, strides=strides)


def places_of_result(c: Context) -> tuple[int, ...]:
    """The sizes behind rows and channels of what comes out."""
    return tuple(int(size) for size in c.out.shape[2:])


def _behind(c: Context, x: Tensorish, widths: list[int], strides: list[int], before: list[int]) -> list[int]:
    """Positions that are missing behind the end for the windows that come out."""
    each_place = zip(places_of_result(c), places_of(x, len(widths), "poolings"), widths, strides, before, strict=True)
    return [max(0, (n_out - 1) * stride + width - size - pad) for n_out, size, width, stride, pad in each_place]


def _padded(c: Context, x: Value, before: list[int], after: list[int], value: float) -> Value:
    return c.g.op("Pad", x, c.int64(0, 0, *before, 0, 0, *after), c.value(value, c.dtype))


def _means(c: Context, x: Value, kernel: list[int], strides: list[int], pads: list[int], *, counted: bool) -> Value:
    return c.g.op("AveragePool", x, kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=int(counted))


def _divides(found: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    return all(size % n == 0 for n, size in zip(found, sizes, strict=True))


def _parts(sizes: tuple[int, ...], found: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Width and step of equal parts."""
    widths = [size // n for n, size in zip(found, sizes, strict=True)]
    return widths, widths


def _along_each(c: Context, input: Tensorish, reduce: Callable[[Context, Value, list[int], int], Value]) -> Value:
    """Reduce the parts along one dimension after the other."""
    x, shape = c.value(input), list(input.shape)
    for axis in range(2, len(shape)):
        size, n_out = shape[axis], c.shape[axis]
        assert size is not None
        assert n_out is not None
        if n_out == size:
            continue
        starts = [i * size // n_out for i in range(n_out)]
        ends = [-(-(i + 1) * size // n_out) for i in range(n_out)]
        widths = [end - start for start, end in zip(starts, ends, strict=True)]
        # Parts of one width: the last position of narrower ones comes again.
        places = [min(start + j, end - 1) for start, end in zip(starts, ends, strict=True) for j in range(max(widths))]
        parted = c.g.op("Gather", x, c.int64(*places), axis=axis)
        shape[axis : axis + 1] = [n_out, max(widths)]
        x = reduce(c, c.reshape(parted, tuple(shape)), widths, axis + 1)
        del shape[axis + 1]
    return x


def _mean_of(c: Context, parts: Value, widths: list[int], axis: int) -> Value:
    shares = torch.zeros(len(widths), max(widths), dtype=torch.float64)
    for i, width in enumerate(widths):
        shares[i, :width] = 1 / width
    weighted = c.g.op("Mul", parts, c.value(shares.reshape(len(widths), -1, *[1] * (len(c.shape) - axis)), c.dtype))
    return c.g.op("ReduceSum", weighted, c.int64(axis), keepdims=0)


def _largest_of(c: Context, parts: Value, widths: list[int], axis: int) -> Value:
    del widths
    return c.g.op("ReduceMax", parts, c.int64(axis), keepdims=0)
