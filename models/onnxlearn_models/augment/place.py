"""Where the pixels of an image come from: flips and whole pixels by index, all else by one matrix and one sampling.

A matrix ``[B, 3, 3]`` takes a place in the new image to its place in the old one. Places are ``(x, y, 1)`` in pixels, x to the
right, y downwards, from the middle of the image. What lies outside of the old image is 0, the mean colour.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.augment.draw import around, between, factor, happens


def move(images: Tensor, config: AugmentConfig) -> Tensor:
    """Images ``[B, C, h, w]`` as they are flipped, shifted, cut out, turned, moved, scaled and sheared, in this order."""
    bends = _bends(config)
    if not (bends or config.augment_flip or config.augment_flip_vertical or config.augment_shift):
        return images
    flips = [happens(share, images) for share in (config.augment_flip, config.augment_flip_vertical)]
    shifts = [_whole(config.augment_shift, images) for _ in "xy"]
    if not bends:
        return index(images, flips, shifts)
    whole = scaling(*(1.0 - 2.0 * flip for flip in flips)) @ shifting(*shifts)
    return sample(images, functools.reduce(torch.matmul, [whole, *_drawn(images, config)]))


def _bends(config: AugmentConfig) -> bool:
    """Whether places between pixels are asked for."""
    return bool(
        config.augment_rotate or config.augment_translate or config.augment_shear or config.augment_crop < 1
        or config.augment_scale > 1
    )  # fmt: skip


def _whole(most: int, images: Tensor) -> Tensor:
    """A whole number for each image, from ``-most`` to ``most``."""
    return around(most + 0.5, images).round().clamp(-most, most)


def index(images: Tensor, flips: Sequence[Tensor], shifts: Sequence[Tensor]) -> Tensor:
    """Flip, then shift to the right and downwards by whole pixels, exactly; ``[B]`` bool and float32, of x and y."""
    for axis, flip, shift in ((3, flips[0], shifts[0]), (2, flips[1], shifts[1])):
        n = images.shape[axis]
        places = torch.arange(n, device=images.device) - shift.long().unsqueeze(1)
        inside = (places >= 0) & (places < n)
        places = torch.where(flip.unsqueeze(1), n - 1 - places, places).clamp(0, n - 1)
        shape = [len(images), 1, 1, 1]
        shape[axis] = n
        images = images.gather(axis, places.reshape(shape).expand_as(images)) * inside.reshape(shape)
    return images


def sample(images: Tensor, matrix: Tensor) -> Tensor:
    """The images as the matrix ``[B, 3, 3]`` takes new places to old ones, bilinear between pixels."""
    height, width = images.shape[2:]
    # torch's places go from -1 to 1 along each side.
    half = torch.tensor([width / 2, height / 2, 1.0], device=images.device)
    theta = matrix[:, :2] * half / half[:2, None]
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _drawn(images: Tensor, config: AugmentConfig) -> list[Tensor]:
    """What is drawn beside flips and shifts by whole pixels."""
    height, width = images.shape[2:]
    drawn = []
    if config.augment_crop < 1:
        drawn.append(_crop(images, config))
    if config.augment_rotate:
        drawn.append(rotation(around(config.augment_rotate, images)))
    if config.augment_translate:
        drawn.append(shifting(*(around(config.augment_translate * side, images) for side in (width, height))))
    if config.augment_scale > 1:
        size = 1 / factor(config.augment_scale, images)
        drawn.append(scaling(size, size))
    if config.augment_shear:
        drawn.append(shearing(around(config.augment_shear, images)))
    return drawn


def _crop(images: Tensor, config: AugmentConfig) -> Tensor:
    """A part of the image, of random size, shape and place; one that would be longer than a side is as long as that."""
    area, ratio = between(config.augment_crop, 1, images), factor(config.augment_crop_ratio, images)
    sides = [(area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)]
    lengths = [images.shape[3], images.shape[2]]
    starts = [around(0.5, images) * (1 - side) * length for side, length in zip(sides, lengths, strict=True)]
    return shifting(*(-start for start in starts)) @ scaling(*sides)


def rotation(degrees: Tensor) -> Tensor:
    """Turn counterclockwise."""
    angle = degrees.deg2rad()
    sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    return _matrix([cosine, -sine, zero], [sine, cosine, zero])


def shifting(x: Tensor, y: Tensor) -> Tensor:
    """Move to the right and downwards, by pixels."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix([one, zero, -x], [zero, one, -y])


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Show so large a share of each side; negative: mirrored."""
    zero = torch.zeros_like(x)
    return _matrix([x, zero, zero], [zero, y, zero])


def shearing(degrees: Tensor) -> Tensor:
    """Lean vertical lines over, to the right at their upper end."""
    one, zero = torch.ones_like(degrees), torch.zeros_like(degrees)
    return _matrix([one, degrees.deg2rad().tan(), zero], [zero, one, zero])


def _matrix(first: list[Tensor], second: list[Tensor]) -> Tensor:
    zero, one = torch.zeros_like(first[0]), torch.ones_like(first[0])
    rows = [torch.stack(row, dim=1) for row in (first, second, [zero, zero, one])]
    return torch.stack(rows, dim=1)
