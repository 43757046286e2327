"""Losses whose derivatives are known: what autograd makes of them takes longer than the derivative itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from onnxlearn_models.training.loss import RowLoss, losses

Slope: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""(output [N, D], target, weight [N] or None) -> the mean loss and its derivative by the output [N, D]."""


def slope_of(each: RowLoss) -> Slope | None:
    """Mean and derivative of a loss of rows, if they are known here."""
    return next((slope for name, slope in _SLOPES.items() if each is losses[name].make), None)


def _squared_error(output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    error = output - target
    slope = error * (2 / error.numel())
    if weight is not None:
        slope.mul_(weight.unsqueeze(1))
    return error.mul_(slope).sum().mul_(0.5), slope


def _cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    logs = functional.log_softmax(logits, dim=1)
    loss = functional.nll_loss(logs, target) if weight is None else _weighted(logs, target, weight)
    # Of the mean over rows: probabilities, less 1 at the true class.
    is_true = target.unsqueeze(1) == torch.arange(logs.shape[1], device=logs.device)
    slope = logs.exp_().sub_(is_true.to(logs.dtype)).mul_(1 / len(target))
    return loss, slope if weight is None else slope.mul_(weight.unsqueeze(1))


def _weighted(logs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return (functional.nll_loss(logs, target, reduction="none") * weight).mean()


_SLOPES: dict[str, Slope] = {"mse": _squared_error, "cross_entropy": _cross_entropy}
