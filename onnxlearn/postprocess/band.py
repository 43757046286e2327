"""The quantiles that make an interval; apart from what makes graphs, for a machine that only predicts."""

from __future__ import annotations

from collections.abc import Sequence


def band_levels(coverage: float, levels: Sequence[float]) -> tuple[float, float]:
    """Of a network's quantiles the two between which the truth is nearest to lying with this probability.

    >>> band_levels(0.8, (0.05, 0.5, 0.95))
    (0.05, 0.95)
    """
    low, high = (min(levels, key=lambda level: abs(level - tail)) for tail in ((1 - coverage) / 2, (1 + coverage) / 2))
    return low, high
