"""Images of training rows, changed at random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from onnxlearn_models.augment.colour import jitter
from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.augment.erase import erase
from onnxlearn_models.augment.place import move


@torch.no_grad()
def augment(images: Tensor, config: AugmentConfig, *, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,)) -> Tensor:
    """Images of training rows as a network sees them this time: other colours, then other places, then a part erased.

    ``images``: float32 ``[B, C, h, w]`` on any device, as ``(value of 0..1 - mean) / std``; ``mean`` and ``std`` have one
    number, or one for each channel. They stay as they are; where the settings ask for nothing, they are what comes back. A
    missing image, 0 throughout, stays one. Random numbers come from torch's global generator of the device.

    >>> images = torch.rand(8, 3, 16, 16)
    >>> augment(images, AugmentConfig(augment_flip=0.5, augment_rotate=15)).shape
    torch.Size([8, 3, 16, 16])
    >>> augment(images, AugmentConfig()) is images
    True
    """
    return erase(move(_recoloured(images, config, mean, std), config), config)


def _recoloured(images: Tensor, config: AugmentConfig, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    if not (config.augment_brightness or config.augment_contrast or config.augment_saturation or config.augment_hue):
        return images
    middle, scale = (
        torch.tensor(values, dtype=images.dtype, device=images.device).reshape(1, -1, 1, 1) for values in (mean, std)
    )
    found = jitter((images * scale).add_(middle), config).sub_(middle).div_(scale)
    missing = images.flatten(1).abs().amax(dim=1) == 0
    return found.masked_fill_(missing.reshape(-1, 1, 1, 1), 0)
