"""The part of a graph that takes images in: uint8 ``[N, H, W, C]`` of any size to float32 ``[N, C, h, w]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.images.config import ImageConfig

# A picture as thin as a line must not become one of millions of pixels: no side is resized to more than this many times
# the larger target side, before the crop takes the middle of it.
MOST_TIMES = 16
# ITU-R BT.601, as Pillow and torchvision have it.
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Images:
    """What enters the network: ``pixels`` float32 ``[N, n_channels, h, w]``, 0 throughout where ``missing`` BOOL ``[N]``."""

    pixels: Value
    missing: Value
    n_channels: int


def emit_images(g: GraphBuilder, x: Value, config: ImageConfig, *, n_channels: int) -> Images:
    """Add what brings uint8 ``[N, H, W, C]`` into the network; H and W are at least 1, C is ``n_channels``, 1 or 3.

    In this order: cast, grey, resize, crop or pad, normalise. A missing image (all zeros) is 0 throughout behind it, the mean
    colour, whatever the padding.

    Raises: ParameterError where ``image_mean`` or ``image_std`` have another number of channels.

    >>> g = GraphBuilder()
    >>> with g.scope("prep"):
    ...     pixels = g.input("photo", "UINT8", ["N", "height", "width", 3])
    ...     images = emit_images(g, pixels, ImageConfig(), n_channels=3)
    >>> images.n_channels
    3
    """
    n_out = 1 if config.image_grey else n_channels
    scale, shift = _scale_and_shift(config, n_out)
    # Cast before Transpose: ONNX Runtime's optimizer breaks on a transposed uint8 in front of Resize.
    pixels = g.op("Cast", x, to=FLOAT)
    brightest = g.op("ReduceMax", pixels, _ints(g, [1, 2, 3]), keepdims=0)
    missing = g.op("Equal", brightest, g.const(np.float32(0)))
    pixels = g.op("Transpose", pixels, perm=[0, 3, 1, 2])
    if n_out < n_channels:
        weighted = g.op("Mul", pixels, g.const(np.array(GREY, np.float32).reshape(1, 3, 1, 1)))
        pixels = g.op("ReduceSum", weighted, _ints(g, [1]), keepdims=1)
    pixels = _fitted(g, pixels, config)
    pixels = g.op("Add", g.op("Mul", pixels, g.const(scale)), g.const(shift))
    nowhere = g.op("Unsqueeze", missing, _ints(g, [1, 2, 3]))
    return Images(g.op("Where", nowhere, g.const(np.float32(0)), pixels), missing, n_out)


def _scale_and_shift(config: ImageConfig, n_channels: int) -> tuple[Any, Any]:
    """``(x / 255 - mean) / std`` as ``x * scale + shift``, float32 ``[1, C, 1, 1]``."""
    for name in ("image_mean", "image_std"):
        if len(getattr(config, name)) not in (1, n_channels):
            raise ParameterError(
                f"{name} holds one number or one for each channel ({n_channels} here), not {len(getattr(config, name))}"
            )
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in (config.image_mean, config.image_std))
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def _fitted(g: GraphBuilder, pixels: Value, config: ImageConfig) -> Value:
    """Bring ``[N, C, H, W]`` to the size in the network."""
    size = np.array([config.image_height, config.image_width])
    if config.image_fit == "none":
        return pixels
    if config.image_fit == "stretch":
        return _resize(g, pixels, _sizes(g, pixels, size), config.image_resample)
    fit = _crop if config.image_fit == "crop" else _pad
    # Its size is known only to us: what follows shall see numbers.
    return g.op("Reshape", fit(g, pixels, size, config), _ints(g, [0, 0, *size]))


def _sizes(g: GraphBuilder, pixels: Value, size: Any) -> Value:
    """The size as Resize takes it."""
    if size.min() > 1:
        return _ints(g, size)
    # Of constant sizes with a 1 ONNX Runtime takes none for given, and refuses the node.
    return g.op("Add", g.op("Mul", g.op("Shape", pixels, start=2, end=4), _ints(g, [0])), _ints(g, size))


def _resize(g: GraphBuilder, pixels: Value, sizes: Value, resample: str) -> Value:
    """Resize with antialias as Pillow and torch do it, which needs exclude_outside=1: without, borders are grey levels off."""
    how: dict[str, Any] = {"mode": "linear"} if resample == "bilinear" else {"mode": "cubic", "cubic_coeff_a": -0.5}
    resized = g.op("Resize", pixels, None, None, sizes, antialias=1, exclude_outside=1, axes=[2, 3], **how)
    if resample == "bilinear":
        return resized
    # Cubic weights overshoot at edges.
    return g.op("Clip", resized, g.const(np.float32(0)), g.const(np.float32(255)))


def _kept_shape(g: GraphBuilder, pixels: Value, size: Any) -> Value:
    """Height and width that the image would have with the other one of ``size``, rounded down, INT64 ``[2]``."""
    one = _ints(g, [1])
    height, width = (g.op("Max", g.op("Shape", pixels, start=axis, end=axis + 1), one) for axis in (2, 3))
    by_width = g.op("Div", g.op("Mul", height, _ints(g, size[1:])), width)
    by_height = g.op("Div", g.op("Mul", width, _ints(g, size[:1])), height)
    return g.op("Concat", by_width, by_height, axis=0)


def _crop(g: GraphBuilder, pixels: Value, size: Any, config: ImageConfig) -> Value:
    wide = np.maximum(size, np.floor(size / config.image_crop).astype(np.int64))
    covering = g.op("Max", _kept_shape(g, pixels, wide), _ints(g, wide))
    covering = g.op("Min", covering, _ints(g, [MOST_TIMES * wide.max()]))
    resized = _resize(g, pixels, covering, config.image_resample)
    rest = g.op("Sub", covering, _ints(g, size))
    # Half of it, and of halves the even neighbour, as torchvision rounds.
    half = g.op("Div", rest, _ints(g, [2]))
    start = g.op("Div", g.op("Add", rest, g.op("Mod", half, _ints(g, [2]))), _ints(g, [2]))
    return g.op("Slice", resized, start, g.op("Add", start, _ints(g, size)), _ints(g, [2, 3]))


def _pad(g: GraphBuilder, pixels: Value, size: Any, config: ImageConfig) -> Value:
    within = g.op("Min", g.op("Max", _kept_shape(g, pixels, size), _ints(g, [1])), _ints(g, size))
    resized = _resize(g, pixels, within, config.image_resample)
    rest = g.op("Sub", _ints(g, size), within)
    before = g.op("Div", rest, _ints(g, [2]))
    pads = g.op("Concat", before, g.op("Sub", rest, before), axis=0)
    return g.op("Pad", resized, pads, g.const(np.float32(0)), _ints(g, [2, 3]))


def _ints(g: GraphBuilder, values: Any) -> Value:
    return g.const(np.asarray(values, np.int64))
