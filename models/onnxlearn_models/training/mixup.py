"""Mixup (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"): convex combinations of pairs of rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from onnxlearn_models.training.tensors import Tensors


@dataclass(frozen=True)
class Mixed:
    """Mixed inputs, and target and weight of each row's partner, which counts ``1 - share``."""

    inputs: dict[str, Tensor]
    target: Tensor
    weight: Tensor | None
    share: float


def mix(batch: Tensors, alpha: float) -> Mixed:
    """Mix every row with another one of the batch, all in one proportion from Beta(alpha, alpha).

    Numbers are mixed; a code cannot be: it is the partner's with probability ``1 - share``, for all codes of a row together.
    """
    share = draw_share(alpha)
    # Batches are shuffled: the row before is as random a partner as any.
    others = batch.map(lambda tensor: tensor.roll(1, 0))
    own = torch.rand(len(batch), device=batch.target.device) < share
    inputs = {name: _mix(tensor, others.inputs[name], share, own) for name, tensor in batch.inputs.items()}
    return Mixed(inputs, others.target, others.weight, share)


def draw_share(alpha: float) -> float:
    """A number from Beta(alpha, alpha), by torch's global generator."""
    # Gamma(alpha) is Gamma(alpha + 1) * uniform^(1 / alpha): in logarithms small alphas do not underflow.
    gamma = torch._standard_gamma(torch.full((2,), alpha + 1, dtype=torch.float64))
    first, second = gamma.log() + torch.rand(2, dtype=torch.float64).log() / alpha
    return float(torch.sigmoid(first - second))


def _mix(tensor: Tensor, other: Tensor, share: float, own: Tensor) -> Tensor:
    if tensor.is_floating_point():
        return other.lerp(tensor, share)
    return torch.where(own.reshape(-1, *[1] * (tensor.ndim - 1)), tensor, other)
