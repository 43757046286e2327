"""Convolutions. ONNX Runtime has them in float32 alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Context, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError

Sizes: TypeAlias = int | Sequence[int]

TRANSPOSED = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)


def each(sizes: float | Sequence[Any], n: int) -> list[Any]:
    """A setting for each of ``n`` dimensions of positions.

    >>> each(2, 3), each((2, 3), 2)
    ([2, 2, 2], [2, 3])
    """
    given = list(sizes) if isinstance(sizes, Sequence) else [sizes]
    return given * n if len(given) == 1 else given


def places_of(x: Tensorish, n: int, what: str) -> tuple[int, ...]:
    """The sizes behind rows and channels, ``n`` of them. Raises: UnsupportedError."""
    if len(x.shape) != n + 2:
        raise UnsupportedError(f"{what} without rows")
    return known_sizes(x.shape[1:], what)[1:]


@lowers(functional.conv1d, functional.conv2d, functional.conv3d)
def _convolution(
    c: Context, input: Tensorish, weight: Tensorish, bias: Tensorish | None = None, stride: Sizes = 1,
    padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1,
) -> Value:  # fmt: skip
    kernel, dilations = _kernel(c, input, weight), each(dilation, len(c.shape) - 2)
    before, after = _paddings(padding, kernel, dilations)
    return c.g.op(
        "Conv", c.value(input), c.value(weight), None if bias is None else c.value(bias), kernel_shape=kernel,
        strides=each(stride, len(kernel)), pads=[*before, *after], dilations=dilations, group=groups,
    )  # fmt: skip


@lowers(*TRANSPOSED)
def _transposed(
    c: Context, input: Tensorish, weight: Tensorish, bias: Tensorish | None = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Value:  # fmt: skip
    kernel = _kernel(c, input, weight)
    n = len(kernel)
    strides, before, more = each(stride, n), each(padding, n), each(output_padding, n)
    how: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "dilations": each(dilation, n), "group": groups}
    sources = c.value(input), c.value(weight)
    if all(extra < step for extra, step in zip(more, strides, strict=True)):
        shift = None if bias is None else c.value(bias)
        return c.g.op("ConvTranspose", *sources, shift, pads=before * 2, output_padding=more, **how)
    # ONNX Runtime wants output_padding below the stride: less is taken away behind instead, or zeros are added there.
    kept = [min(pad, extra) for pad, extra in zip(before, more, strict=True)]
    after = [pad - n_kept for pad, n_kept in zip(before, kept, strict=True)]
    found = c.g.op("ConvTranspose", *sources, pads=[*before, *after], **how)
    zeros = [extra - n_kept for extra, n_kept in zip(more, kept, strict=True)]
    found = c.g.op("Pad", found, c.int64(*[0] * (n + 4), *zeros)) if any(zeros) else found
    return found if bias is None else c.g.op("Add", found, c.per_channel(bias))


def _kernel(c: Context, input: Tensorish, weight: Tensorish) -> list[int]:
    c.need_single("convolutions")
    kernel = list(known_sizes(weight.shape, "weights")[2:])
    places_of(input, len(kernel), "convolutions")
    return kernel


def _paddings(padding: Sizes | str, kernel: list[int], dilations: list[int]) -> tuple[list[int], list[int]]:
    """Positions added before and after; of an odd number torch puts the one more behind."""
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilations, strict=True)]
        return [n // 2 for n in total], [n - n // 2 for n in total]
    both = each(padding, len(kernel))
    return both, both


def scaled_weight(target: Any, weight: Tensor, scale: Tensor, groups: int) -> Tensor:
    """Weights of a convolution or linear map whose channels that come out are ``scale`` times as large.

    >>> import torch
    >>> scaled_weight(functional.linear, torch.ones(2, 1), torch.tensor([1.0, 3.0]), 1).tolist()
    [[1.0], [3.0]]
    """
    if target not in TRANSPOSED:
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    # [in, out of a group, ...]: the group of what comes out is that of what goes in.
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    return (parts * scale.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))).reshape(weight.shape)
