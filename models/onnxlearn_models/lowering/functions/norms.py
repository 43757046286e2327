"""Normalizations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError

_RANKS = {nn.InstanceNorm1d: 3, nn.InstanceNorm2d: 4, nn.InstanceNorm3d: 5}


@lowers(functional.layer_norm)
def _layer_norm(
    c: Context, input: Tensorish, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    scale = c.value(torch.ones(tuple(normalized_shape), dtype=c.dtype) if weight is None else weight)
    shift = None if bias is None else c.value(bias)
    return c.g.op("LayerNormalization", c.value(input), scale, shift, axis=-len(normalized_shape), epsilon=eps)


@lowers(functional.rms_norm)
def _rms_norm(
    c: Context, input: Tensorish, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Value:
    x = c.value(input)
    rank = len(input.shape)
    axes = c.int64(*range(rank - len(normalized_shape), rank))
    mean = c.g.op("ReduceMean", c.g.op("Mul", x, x), axes, keepdims=1)
    root = c.g.op("Sqrt", c.g.op("Add", mean, c.value(torch.finfo(c.dtype).eps if eps is None else eps, c.dtype)))
    normed = c.g.op("Div", x, root)
    return normed if weight is None else c.g.op("Mul", normed, c.value(weight))


@lowers(functional.group_norm)
def group_norm(c: Context, input: Tensorish, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Value:
    """Each group of channels by itself: as the layer norm of a group, with a scale and a shift of each channel."""
    sizes = known_sizes(input.shape[1:], "a group norm")
    per_group = math.prod(sizes) // num_groups
    groups = c.reshape(c.value(input), (None, num_groups, per_group))
    ones = c.value(torch.ones(per_group, dtype=c.dtype))
    normed = c.reshape(c.g.op("LayerNormalization", groups, ones, axis=-1, epsilon=eps), c.shape)
    return _affine(c, normed, weight, bias)


@lowers(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def _instance_norm(c: Context, module: Any, input: Tensorish) -> Value:
    if len(input.shape) != _RANKS[type(module)]:
        raise UnsupportedError("an instance norm without rows")
    weight, bias = (None if p is None else Constant(p.detach(), f"{c.name}.affine") for p in (module.weight, module.bias))
    if module.running_mean is None:
        return group_norm(c, input, known_sizes(input.shape[1:2], "an instance norm")[0], weight, bias, module.eps)
    return batch_norm(c, module, input)


@lowers(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def batch_norm(c: Context, module: Any, input: Tensorish) -> Value:
    """By running statistics: a scale and a shift of each channel."""
    scale, shift = (Constant(each.to(c.dtype), f"{c.name}.affine") for each in affine_of(module))
    return _affine(c, c.value(input), scale, shift)


@lowers(functional.batch_norm)
def _batch_norm(
    c: Context, input: Tensorish, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,  # noqa: FBT001, FBT002  torch's own order
) -> Value:  # fmt: skip
    """As the module's, of norms that others wrote."""
    del momentum
    given = (running_mean, running_var, weight, bias)
    if training or running_mean is None or not all(isinstance(each, Constant | None) for each in given):
        raise UnsupportedError("a batch norm without running statistics")
    scale = torch.rsqrt(_double(running_var) + eps)
    scale = scale if weight is None else scale * _double(weight)
    shift = (0 if bias is None else _double(bias)) - _double(running_mean) * scale
    return _affine(c, c.value(input), *(Constant(each.to(c.dtype), f"{c.name}.affine") for each in (scale, shift)))


def _double(constant: Constant) -> Tensor:
    return constant.tensor.detach().double()


def affine_of(module: Any) -> tuple[Tensor, Tensor]:
    """The scale and the shift of each channel that a norm with running statistics is, in float64.

    Raises: UnsupportedError for one without.
    """
    if module.running_mean is None:
        raise UnsupportedError(f"{type(module).__name__} without running statistics")
    scale = 1 / torch.sqrt(module.running_var.detach().double() + module.eps)
    if module.weight is not None:
        scale = scale * module.weight.detach().double()
    shift = -module.running_mean.detach().double() * scale
    return scale, shift if module.bias is None else shift + module.bias.detach().double()


def _affine(c: Context, x: Value, scale: Tensorish | None, shift: Tensorish | None) -> Value:
    """A scale and a shift of each channel, the second dimension."""
    for op_type, vector in (("Mul", scale), ("Add", shift)):
        if vector is not None:
            x = c.g.op(op_type, x, c.per_channel(vector))
    return x


@lowers(functional.local_response_norm)
def _local_response_norm(
    c: Context, input: Tensorish, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Value:
    """By the mean of squares over channels next to each other; zeros beside the first and the last count."""
    c.need_single("a local response norm")
    channels, *places = known_sizes(input.shape[1:], "a local response norm")
    squares = c.g.op("Mul", c.value(input), c.value(input))
    planes = c.reshape(squares, (None, 1, channels, math.prod(places)))
    means = c.g.op("AveragePool", planes, kernel_shape=[size, 1], pads=[size // 2, 0, (size - 1) // 2, 0], count_include_pad=1)
    scaled = c.g.op("Mul", c.reshape(means, c.shape), c.value(float(alpha), c.dtype))
    divisor = c.g.op("Pow", c.g.op("Add", scaled, c.value(float(k), c.dtype)), c.value(float(beta), c.dtype))
    return c.g.op("Div", c.value(input), divisor)
