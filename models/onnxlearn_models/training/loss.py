"""Losses and scores of a batch: one number each, weighted where there are weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import Tensor
from torch.nn import functional

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(network output [N, C] or [N, T], target, weight [N] or None) -> mean loss, a scalar."""


def classification_loss(label_smoothing: float = 0.0) -> Loss:
    """Cross entropy of logits ``[N, C]`` with class indices int64 ``[N]``."""
    return partial(_cross_entropy, label_smoothing)


def _cross_entropy(label_smoothing: float, logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return functional.cross_entropy(logits, target, label_smoothing=label_smoothing)
    each = functional.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)
    return (each * weight).mean()


def squared_error(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """Mean squared error of ``[N, T]`` with ``[N, T]``; weights count for rows."""
    if weight is None:
        return functional.mse_loss(output, target)
    return ((output - target).square().mean(dim=1) * weight).mean()


@dataclass(frozen=True)
class Score:
    """What the history tells of the validation rows beside the loss: ``finish`` of the mean over rows."""

    name: str
    mean: Loss
    finish: Callable[[float], float] = float


def accuracy() -> Score:
    """Share of the rows whose class has the highest logit."""
    return Score("acc", _hits)


def root_mean_squared_error(unit: Tensor) -> Score:
    """In the targets' own units; ``unit``: what 1 of a scaled target is, ``[T]``."""

    def mean(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        return squared_error(output * unit, target * unit, weight)

    return Score("rmse", mean, math.sqrt)


def _hits(logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    hits = (logits.argmax(dim=1) == target).float()
    return hits.mean() if weight is None else (hits * weight).mean()
