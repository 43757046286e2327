"""Layers that slide a window over positions: convolutions, poolings, upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from onnxlearn.networks.layer import Layer, ShapeError, need_dims, need_numbers, need_size
from onnxlearn.networks.tensor import Dim, Tensor
from onnxlearn.params import REQUIRED, param

PLACES = {1: "[N, C, L]", 2: "[N, C, H, W]", 3: "[N, C, D, H, W]"}


def spread(value: int | tuple[int, ...], n: int, name: str) -> tuple[int, ...]:
    """A setting for each of the dimensions of the positions.

    Raises: ShapeError.
    """
    if isinstance(value, int):
        return (value,) * n
    if len(value) != n:
        raise ShapeError(f"{name}={value!r} has to be one number, or {n}")
    return tuple(value)


class Windowed(Layer):
    """A layer over ``n_places`` dimensions of positions behind the channels."""

    n_places: ClassVar[int]

    def _need(self, x: Tensor) -> None:
        need_numbers(x)
        need_dims(x, 2 + self.n_places, PLACES[self.n_places])

    def _each(self, name: str) -> tuple[int, ...]:
        return spread(getattr(self, name), self.n_places, name)

    def _slid(self, sizes: Sequence[Dim], paddings: Sequence[int], kernel: Sequence[int]) -> list[Dim]:
        """Positions of a window on each dimension."""
        strides, dilations = self._each("step"), self._each("dilation")
        ceil = bool(getattr(self, "ceil_mode", False))
        return [
            _positions(size, width, stride, padding, dilation, ceil=ceil)
            for size, width, stride, padding, dilation in zip(sizes, kernel, strides, paddings, dilations, strict=True)
        ]


def _positions(size: Dim, kernel: int, stride: int, padding: int, dilation: int, *, ceil: bool) -> Dim:
    if size is None:
        return None
    free = size + 2 * padding - dilation * (kernel - 1) - 1
    found = -(-free // stride) + 1 if ceil else free // stride + 1
    if ceil and (found - 1) * stride >= size + padding:
        # A window that began behind the end, in the padding, is left out.
        found -= 1
    if found < 1:
        raise ShapeError(f"its window covers {dilation * (kernel - 1) + 1} positions, and there are {size + 2 * padding}")
    return found


class Conv(Windowed):
    """A convolution: weights that are the same at every position."""

    def shape(self, *inputs: Tensor) -> Tensor:
        """Channels become ``d_out``, positions as the window slides."""
        (x,) = inputs
        self._need(x)
        channels = need_size(x, 1, "channels")
        groups, d_out = self.settings["groups"], self.settings["d_out"]
        if channels % groups or d_out % groups:
            raise ShapeError(f"groups={groups} has to divide the channels, {channels}, and d_out={d_out}")
        kernel, sizes = self._each("kernel_size"), x.shape[2:]
        padding = self.settings["padding"]
        if padding == "same":
            if set(self._each("stride")) != {1}:
                raise ShapeError("padding='same' goes with stride=1")
            added = [-(-d * (k - 1) // 2) for k, d in zip(kernel, self._each("dilation"), strict=True)]
            self._need_source(sizes, added)
            return x.with_row(d_out, *sizes)
        paddings = spread(padding, self.n_places, "padding")
        self._need_source(sizes, paddings)
        return x.with_row(d_out, *self._slid(sizes, paddings, kernel))

    def _need_source(self, sizes: Sequence[Dim], paddings: Sequence[int]) -> None:
        """What is added has to be there: all positions but that at the edge, or all."""
        mode = self.settings["padding_mode"]
        if mode not in ("reflect", "circular"):
            return
        for size, padding in zip(sizes, paddings, strict=True):
            if size is not None and padding > size - (mode == "reflect"):
                raise ShapeError(f"padding_mode={mode!r} adds {padding} positions on a side, and there are {size} to take from")

    @property
    def step(self) -> int | tuple[int, ...]:
        """The step of the window."""
        stride: int | tuple[int, ...] = self.settings["stride"]
        return stride


Sizes = int | tuple[int, ...]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


@dataclass(frozen=True)
class _ConvSettings(Conv):
    d_out: int = param(REQUIRED, "channels that come out", low=1)
    kernel_size: Sizes = param(REQUIRED, "positions of the window, one number or one a dimension", low=1, items=True)
    stride: Sizes = param(1, "step of the window", low=1, items=True)
    padding: Sizes | Literal["same"] = param(
        0, "positions added on both sides, or 'same': as many come out as go in", low=0, items=True
    )
    dilation: Sizes = param(1, "distance of the window's positions", low=1, items=True)
    groups: int = param(1, "groups of channels that do not mix", low=1)
    bias: bool = param(True, "add a bias")
    padding_mode: PaddingMode = param("zeros", "what the added positions hold")


@dataclass(frozen=True)
class Conv1d(_ConvSettings):
    """Over sequences ``[N, C, L]``."""

    kind = "conv1d"
    n_places = 1


@dataclass(frozen=True)
class Conv2d(_ConvSettings):
    """Over images ``[N, C, H, W]``."""

    kind = "conv2d"
    n_places = 2


@dataclass(frozen=True)
class Conv3d(_ConvSettings):
    """Over volumes ``[N, C, D, H, W]``."""

    kind = "conv3d"
    n_places = 3


@dataclass(frozen=True)
class _ConvTranspose(Windowed):
    d_out: int = param(REQUIRED, "channels that come out", low=1)
    kernel_size: Sizes = param(REQUIRED, "positions of the window, one number or one a dimension", low=1, items=True)
    stride: Sizes = param(1, "step between the windows that come out", low=1, items=True)
    padding: Sizes = param(0, "positions taken away on both sides", low=0, items=True)
    output_padding: Sizes = param(0, "positions added at the end", low=0, items=True)
    groups: int = param(1, "groups of channels that do not mix", low=1)
    bias: bool = param(True, "add a bias")
    dilation: Sizes = param(1, "distance of the window's positions", low=1, items=True)

    def shape(self, *inputs: Tensor) -> Tensor:
        """Channels become ``d_out``; as many positions as a convolution would come from."""
        (x,) = inputs
        self._need(x)
        channels = need_size(x, 1, "channels")
        if channels % self.groups or self.d_out % self.groups:
            raise ShapeError(f"groups={self.groups} has to divide the channels, {channels}, and d_out={self.d_out}")
        each = [self._each(name) for name in ("kernel_size", "stride", "padding", "output_padding", "dilation")]
        return x.with_row(self.d_out, *map(self._grown, x.shape[2:], *each))

    def _grown(self, size: Dim, kernel: int, stride: int, padding: int, more: int, dilation: int) -> Dim:
        if more >= max(stride, dilation):
            raise ShapeError(f"output_padding={more} has to be below stride={stride} or dilation={dilation}")
        if size is None:
            return None
        found = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1
        if found < 1:
            raise ShapeError(f"padding={padding} takes all positions away")
        return found


@dataclass(frozen=True)
class ConvTranspose1d(_ConvTranspose):
    """Of sequences ``[N, C, L]``."""

    kind = "conv_transpose1d"
    n_places = 1


@dataclass(frozen=True)
class ConvTranspose2d(_ConvTranspose):
    """Of images ``[N, C, H, W]``."""

    kind = "conv_transpose2d"
    n_places = 2


@dataclass(frozen=True)
class ConvTranspose3d(_ConvTranspose):
    """Of volumes ``[N, C, D, H, W]``."""

    kind = "conv_transpose3d"
    n_places = 3


class Pool(Windowed):
    """One number for each window and channel."""

    def shape(self, *inputs: Tensor) -> Tensor:
        """As the window slides."""
        (x,) = inputs
        self._need(x)
        kernel, paddings = self._each("kernel_size"), self._each("padding")
        if any(2 * padding > width for padding, width in zip(paddings, kernel, strict=True)):
            raise ShapeError(
                f"padding={self.settings['padding']} is more than half of kernel_size={self.settings['kernel_size']}"
            )
        return x.with_row(x.shape[1], *self._slid(x.shape[2:], paddings, kernel))

    @property
    def step(self) -> int | tuple[int, ...]:
        """The step of the window, by default its width."""
        stride: int | tuple[int, ...] | None = self.settings["stride"]
        width: int | tuple[int, ...] = self.settings["kernel_size"]
        return width if stride is None else stride


@dataclass(frozen=True)
class _MaxPool(Pool):
    kernel_size: Sizes = param(REQUIRED, "positions of the window, one number or one a dimension", low=1, items=True)
    stride: Sizes | None = param(None, "step of the window (None: its width)", low=1, items=True)
    padding: Sizes = param(0, "positions added on both sides, which never are the largest", low=0, items=True)
    dilation: Sizes = param(1, "distance of the window's positions", low=1, items=True)
    ceil_mode: bool = param(False, "keep a window that reaches beyond the end")


@dataclass(frozen=True)
class MaxPool1d(_MaxPool):
    """The largest number of windows over ``[N, C, L]``."""

    kind = "max_pool1d"
    n_places = 1


@dataclass(frozen=True)
class MaxPool2d(_MaxPool):
    """The largest number of windows over ``[N, C, H, W]``."""

    kind = "max_pool2d"
    n_places = 2


@dataclass(frozen=True)
class MaxPool3d(_MaxPool):
    """The largest number of windows over ``[N, C, D, H, W]``."""

    kind = "max_pool3d"
    n_places = 3


@dataclass(frozen=True)
class _AvgPool(Pool):
    dilation: ClassVar[int] = 1

    kernel_size: Sizes = param(REQUIRED, "positions of the window, one number or one a dimension", low=1, items=True)
    stride: Sizes | None = param(None, "step of the window (None: its width)", low=1, items=True)
    padding: Sizes = param(0, "zeros added on both sides", low=0, items=True)
    ceil_mode: bool = param(False, "keep a window that reaches beyond the end")
    count_include_pad: bool = param(True, "added zeros count")


@dataclass(frozen=True)
class AvgPool1d(_AvgPool):
    """The mean of windows over ``[N, C, L]``."""

    kind = "avg_pool1d"
    n_places = 1


@dataclass(frozen=True)
class AvgPool2d(_AvgPool):
    """The mean of windows over ``[N, C, H, W]``."""

    kind = "avg_pool2d"
    n_places = 2


@dataclass(frozen=True)
class AvgPool3d(_AvgPool):
    """The mean of windows over ``[N, C, D, H, W]``."""

    kind = "avg_pool3d"
    n_places = 3

    def shape(self, *inputs: Tensor) -> Tensor:
        """As the window slides; torch wants as many positions as its window has, without padding."""
        found = super().shape(*inputs)
        sizes = zip(inputs[0].shape[2:], self._each("kernel_size"), strict=True)
        if any(size is not None and size < width for size, width in sizes):
            raise ShapeError(f"its window of {self._each('kernel_size')} is larger than the positions without padding")
        return found


@dataclass(frozen=True)
class _AdaptiveAvgPool(Windowed):
    n_out: Sizes = param(1, "positions that come out, one number or one a dimension", low=1, items=True)

    def shape(self, *inputs: Tensor) -> Tensor:
        """So many positions, whatever went in."""
        (x,) = inputs
        self._need(x)
        return x.with_row(x.shape[1], *self._each("n_out"))


@dataclass(frozen=True)
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of equal parts of ``[N, C, L]``."""

    kind = "adaptive_avg_pool1d"
    n_places = 1


@dataclass(frozen=True)
class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of equal parts of ``[N, C, H, W]``."""

    kind = "adaptive_avg_pool2d"
    n_places = 2


@dataclass(frozen=True)
class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of equal parts of ``[N, C, D, H, W]``."""

    kind = "adaptive_avg_pool3d"
    n_places = 3


@dataclass(frozen=True)
class Upsample(Layer):
    """More positions, between those that there are."""

    kind = "upsample"

    factor: int = param(2, "positions for each of now", low=1, items=True)
    mode: Literal["nearest", "linear", "cubic"] = param("nearest", "copied, or in between by lines, in images also by cubics")

    def shape(self, *inputs: Tensor) -> Tensor:
        """``factor`` times as many on every dimension behind the channels."""
        (x,) = inputs
        need_numbers(x)
        if not 3 <= x.n_dims <= 5:
            raise ShapeError(f"it needs {', '.join(PLACES.values())}")
        if self.mode == "cubic" and x.n_dims != 4:
            raise ShapeError("mode='cubic' is for images, [N, C, H, W]")
        return x.with_row(x.shape[1], *(None if size is None else size * self.factor for size in x.shape[2:]))
