"""Random erasing (Zhong et al. 2017, "Random Erasing Data Augmentation")."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.augment.draw import between, factor, happens

# As the paper has them.
LEAST_AREA, MOST_RATIO = 0.02, 1 / 0.3


def erase(images: Tensor, config: AugmentConfig) -> Tensor:
    """Images ``[B, C, h, w]``, in some of which a rectangle is 0, the mean colour."""
    if not config.augment_erase:
        return images
    erased = happens(config.augment_erase, images)
    area, ratio = between(LEAST_AREA, config.augment_erase_area, images), factor(MOST_RATIO, images)
    columns = _span(images.shape[3], (area * ratio).sqrt(), images)
    rows = _span(images.shape[2], (area / ratio).sqrt(), images)
    hole = erased[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return images.masked_fill(hole.unsqueeze(1), 0)


def _span(n: int, share: Tensor, images: Tensor) -> Tensor:
    """Pixels of a side that are within a stretch of this share of it, at random places; bool ``[B, n]``."""
    length = (share * n).round().clamp(1, n)
    start = (between(0, 1, images) * (n - length + 1)).floor().minimum(n - length)
    places = torch.arange(n, device=images.device)
    return (places >= start.unsqueeze(1)) & (places < (start + length).unsqueeze(1))
