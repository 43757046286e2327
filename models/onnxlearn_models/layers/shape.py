"""Layer widths in shapes (Zimmer, Lindauer and Hutter 2021, "Auto-PyTorch Tabular", search spaces 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Shape: TypeAlias = Callable[[int, int, int, int], list[int]]
"""(width before, largest width, width at the end, number of layers >= 2) -> width of each layer."""


def shaped_widths(shape: str, n_layers: int, n_max: int, *, d_in: int, d_out: int) -> list[int]:
    """Width of each of ``n_layers`` layers. ``d_in`` units come before them, ``d_out`` is what the last one leads to.

    A funnel's layers differ by the same whole number, so that its last one has ``d_out`` units or a few more.

    >>> [shaped_widths("funnel", n, 128, d_in=9, d_out=3) for n in (1, 2, 3, 4)]
    [[128], [128, 3], [128, 66, 4], [128, 87, 46, 5]]
    >>> shaped_widths("diamond", 5, 128, d_in=20, d_out=3)
    [74, 128, 87, 46, 5]
    """
    return [n_max] if n_layers == 1 else SHAPES[shape](d_in, n_max, d_out, n_layers)


def shaped_dropouts(shape: str, n_layers: int, highest: float) -> list[float]:
    """Dropout after each of ``n_layers`` layers; what follows the last one of most shapes has (almost) none.

    >>> shaped_dropouts("funnel", 3, 0.4), shaped_dropouts("brick", 3, 0.4)
    ([0.4, 0.2, 0.0], [0.4, 0.4, 0.0])
    """
    return [width / 1000 * highest for width in shaped_widths(shape, n_layers, 1000, d_in=0, d_out=0)]


def _falling(high: int, low: int, n: int) -> list[int]:
    """``n`` widths from ``high`` down to about ``low`` in equal steps."""
    step = max(0, (high - low) // max(1, n - 1))
    return [high - i * step for i in range(n)]


def _rising(low: int, high: int, n: int) -> list[int]:
    """``n`` widths in equal steps from above ``low``; the last is ``high``."""
    step = max(0, (high - low) // n)
    return [min(high, low + i * step) for i in range(1, n)] + [high]


def _diamond(d_in: int, n_max: int, d_out: int, n: int) -> list[int]:
    n_rising = n // 2
    return _rising(d_in, n_max, n_rising)[:-1] + _falling(n_max, d_out, n - n_rising + 1)


def _hexagon(d_in: int, n_max: int, d_out: int, n: int) -> list[int]:
    n_side = max(1, n // 3)
    widths = _rising(d_in, n_max, n_side) + [n_max] * (n - 2 * n_side - 1) + _falling(n_max, d_out, n_side + 1)
    return widths[-n:]  # two layers have no room for the left side


def _stairs(_d_in: int, n_max: int, d_out: int, n: int) -> list[int]:
    step = 2 * max(0, (n_max - d_out) // (n - 1))
    return [n_max - (i + 1 - n % 2) // 2 * step for i in range(n - 1)] + [d_out]


SHAPES: dict[str, Shape] = {
    "funnel": lambda _d_in, n_max, d_out, n: _falling(n_max, d_out, n),
    "long_funnel": lambda _d_in, n_max, d_out, n: [n_max] * (n // 2) + _falling(n_max, d_out, n - n // 2),
    "diamond": _diamond,
    "hexagon": _hexagon,
    "brick": lambda _d_in, n_max, d_out, n: [n_max] * (n - 1) + [d_out],
    "triangle": lambda d_in, n_max, d_out, n: [*_rising(d_in, n_max, n - 1), d_out],
    "stairs": _stairs,
}
"""Shapes by name: a line here makes one a choice of the shaped learners."""
