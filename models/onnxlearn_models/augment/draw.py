"""Random numbers for the images of a batch, by torch's global generator of the device that the images are on."""

from __future__ import annotations

import torch
from torch import Tensor


def between(low: float, high: float, like: Tensor) -> Tensor:
    """A number for each image, float32 ``[B]``, uniform in this range; ``like``: the images ``[B, ...]``."""
    return torch.empty(len(like), device=like.device).uniform_(low, high)


def around(size: float, like: Tensor) -> Tensor:
    """A number for each image, uniform from ``-size`` to ``size``."""
    return between(-size, size, like)


def factor(most: float, like: Tensor) -> Tensor:
    """A factor for each image, from ``1 / most`` to ``most``, uniform in its logarithm."""
    return most ** around(1, like)


def happens(probability: float, like: Tensor) -> Tensor:
    """Whether it happens to each image, bool ``[B]``."""
    return between(0, 1, like) < probability
