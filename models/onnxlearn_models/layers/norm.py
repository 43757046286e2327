"""Normalizations by name: a line here makes one a choice of every learner with a ``norm``."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}
"""From the width of ``[N, d]`` to the module that normalizes it."""
