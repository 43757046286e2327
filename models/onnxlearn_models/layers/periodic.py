"""Periodic embeddings of numbers.

PBLD (periodic bias linear dense) of Holzmüller, Grinsztajn and Steinwart (2024), "Better by default", section 3, after the
PLR of Gorishniy et al. (2022), "On Embeddings for Numerical Features": here without an activation at the end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PeriodicEmbedding(nn.Module):
    """For each number ``x`` the values ``cos(2 pi x w + b) W + c``, with weights of its own for each column.

    ``scales``: float32 ``[p, n_frequencies]``, the standard deviations that the frequencies ``w`` of each of the ``p``
    columns start from. ``forward(num)``: float32 ``[N, p]`` gives ``[N, p * d_embedding]``, column after column.
    """

    def __init__(self, scales: Tensor, d_embedding: int) -> None:
        super().__init__()
        n_columns, n_frequencies = scales.shape
        bound = n_frequencies**-0.5
        self.frequency = nn.Parameter(torch.randn(n_columns, n_frequencies) * scales)
        self.phase = nn.Parameter(_uniform(math.pi, n_columns, n_frequencies))
        self.weight = nn.Parameter(_uniform(bound, n_columns, n_frequencies, d_embedding))
        self.bias = nn.Parameter(_uniform(bound, n_columns, d_embedding))
        self.d_out = n_columns * d_embedding

    def forward(self, num: Tensor) -> Tensor:
        """Embed every column."""
        waves = torch.cos(num.unsqueeze(-1) * (2 * math.pi * self.frequency) + self.phase)
        return (torch.einsum("npk,pkd->npd", waves, self.weight) + self.bias).flatten(1)


def frequency_scales(is_time: list[bool], n_frequencies: int, scale: float, time_range: tuple[float, float]) -> Tensor:
    """Standard deviations of the frequencies, ``[p, n_frequencies]``: one for numbers, a geometric range for times.

    What repeats in time (days, weeks) is much shorter than the whole span, which scaling makes about 1.

    >>> frequency_scales([False, True], 3, 0.1, (0.1, 10.0))
    tensor([[ 0.1000,  0.1000,  0.1000],
            [ 0.1000,  1.0000, 10.0000]])
    """
    low, high = (math.log10(bound) for bound in time_range)
    rows = [torch.logspace(low, high, n_frequencies) if time else torch.full((n_frequencies,), scale) for time in is_time]
    return torch.stack(rows)


def _uniform(bound: float, *shape: int) -> Tensor:
    return (2 * torch.rand(shape) - 1) * bound
