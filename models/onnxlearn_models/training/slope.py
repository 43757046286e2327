"""Losses whose derivatives are known: what autograd makes of them takes longer than the derivative itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from onnxlearn_models.training.loss import RowLoss, losses

Slope: TypeAlias = Callable[[Tensor, Tensor, "float | Tensor"], tuple[Tensor, Tensor]]
"""(output [N, D], target, what each row counts, a number or [N, 1]) -> the loss of each row [N], and the derivative [N, D] of
their sum, each times what it counts."""


def slope_of(each: RowLoss) -> Slope | None:
    """Values and derivative of a loss of rows, if they are known here."""
    return next((slope for name, slope in _SLOPES.items() if each is losses[name].make), None)


def _squared_error(output: Tensor, target: Tensor, share: float | Tensor) -> tuple[Tensor, Tensor]:
    error = output - target
    return error.square().mean(dim=1), error.mul_(share * (2 / error.shape[1]))


def _cross_entropy(logits: Tensor, target: Tensor, share: float | Tensor) -> tuple[Tensor, Tensor]:
    logs = functional.log_softmax(logits, dim=1)
    loss = functional.nll_loss(logs, target, reduction="none")
    # Probabilities, less 1 at the true class.
    is_true = target.unsqueeze(1) == torch.arange(logs.shape[1], device=logs.device)
    return loss, logs.exp_().sub_(is_true.to(logs.dtype)).mul_(share)


_SLOPES: dict[str, Slope] = {"mse": _squared_error, "cross_entropy": _cross_entropy}
