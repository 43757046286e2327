"""Brightness, contrast, saturation and hue of images in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.augment.draw import around, between

# ITU-R BT.601, as Pillow has it.
GREY = (0.299, 0.587, 0.114)


def jitter(pixels: Tensor, config: AugmentConfig) -> Tensor:
    """Images ``[B, C, h, w]`` in 0..1 with other brightness, contrast, saturation and hue, changed in this order and place."""
    coloured = pixels.shape[1] == 3
    if config.augment_brightness:
        brighten(pixels, _drawn(config.augment_brightness, pixels))
    if config.augment_contrast:
        contrast(pixels, _drawn(config.augment_contrast, pixels))
    if config.augment_saturation and coloured:
        saturate(pixels, _drawn(config.augment_saturation, pixels))
    if config.augment_hue and coloured:
        return turn_hue(pixels, _each(around(config.augment_hue, pixels)))
    return pixels


def _drawn(size: float, pixels: Tensor) -> Tensor:
    return _each(between(1 - size, 1 + size, pixels))


def _each(values: Tensor) -> Tensor:
    """One value for each image, to go with its pixels."""
    return values.reshape(-1, 1, 1, 1)


def brighten(pixels: Tensor, factor: Tensor) -> None:
    """Multiply by the factor, in place."""
    pixels.mul_(factor).clamp_(0, 1)


def contrast(pixels: Tensor, factor: Tensor) -> None:
    """Multiply differences from the image's mean grey by the factor, in place."""
    mean = grey(pixels).mean(dim=(2, 3), keepdim=True)
    pixels.sub_(mean).mul_(factor).add_(mean).clamp_(0, 1)


def saturate(pixels: Tensor, factor: Tensor) -> None:
    """Multiply differences from the pixel's grey by the factor, in place."""
    light = grey(pixels)
    pixels.sub_(light).mul_(factor).add_(light).clamp_(0, 1)


def grey(pixels: Tensor) -> Tensor:
    """The grey of each pixel, ``[B, 1, h, w]``."""
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = (pixels[:, i : i + 1] for i in range(3))
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def turn_hue(pixels: Tensor, share: Tensor) -> Tensor:
    """Turn the hue of HSV by this share of its circle."""
    largest, where = pixels.max(dim=1, keepdim=True)
    spread = largest - pixels.amin(dim=1, keepdim=True)
    # In sixths of the circle: 0 red, 2 green, 4 blue, and towards the next colour by the difference of the other two.
    following, preceding = pixels.gather(1, (where + 1) % 3), pixels.gather(1, (where + 2) % 3)
    hue = 2 * where + (following - preceding) / spread.clamp(min=1e-12) + 6 * share
    sixths = (torch.tensor([5.0, 3.0, 1.0], device=pixels.device).reshape(1, 3, 1, 1) + hue).remainder_(6)
    return largest - spread * torch.minimum(sixths, 4 - sixths).clamp_(0, 1)
