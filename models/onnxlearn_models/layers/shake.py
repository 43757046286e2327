"""Shake-shake and shake-drop: residual branches scaled at random, otherwise forwards than backwards.

Every row has random numbers of its own. In evaluation a branch has the factor that it has in the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ShakeShake(nn.Module):
    """A random convex combination of two branches (Gastaldi 2017, "Shake-Shake regularization"); their mean in evaluation."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """From two of ``[N, d]`` to one."""
        if not self.training:
            return 0.5 * (a + b)
        return b + scale_both_ways(a - b, _uniform(a), _uniform(a))


class ShakeDrop(nn.Module):
    """A branch with the factor 1, or in ``probability`` of all rows with one from (0, 1), and another for its gradient.

    Yamada, Iwamura, Akiba and Kise (2019), "ShakeDrop Regularization for Deep Residual Learning", equation 6.
    DIFF: the forward factor is from (0, 1) as in Auto-PyTorch, where the authors found (-1, 1) best on images.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``[N, d]``."""
        if not self.training:
            return x * (1 - self.probability / 2)
        shaken = _uniform(x) < self.probability
        one = torch.ones_like(x[:, :1])
        return scale_both_ways(x, torch.where(shaken, _uniform(x), one), torch.where(shaken, _uniform(x), one))


def drop_probabilities(n_blocks: int, last: float) -> list[float]:
    """Probability of shaking each block, rising linearly to that of the last one (equation 4 of Yamada et al.).

    >>> drop_probabilities(4, 0.5)
    [0.125, 0.25, 0.375, 0.5]
    """
    return [(i + 1) / n_blocks * last for i in range(n_blocks)]


def _uniform(x: Tensor) -> Tensor:
    """A number for each row, in the type and on the device of ``x``."""
    return torch.rand_like(x[:, :1])


def scale_both_ways(x: Tensor, forwards: Tensor, backwards: Tensor) -> Tensor:
    """``x * forwards``, the gradient of which is ``backwards``."""
    return x * backwards + (x * (forwards - backwards)).detach()
