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
    concentration = torch.tensor(alpha)
    share = float(torch.distributions.Beta(concentration, concentration).sample())
    partner = torch.randperm(len(batch)).to(batch.target.device)
    others = batch.map(lambda tensor: tensor[partner])
    own = torch.rand(len(batch), device=partner.device) < share
    inputs = {name: _mix(tensor, others.inputs[name], share, own) for name, tensor in batch.inputs.items()}
    return Mixed(inputs, others.target, others.weight, share)


def _mix(tensor: Tensor, other: Tensor, share: float, own: Tensor) -> Tensor:
    if tensor.is_floating_point():
        return other.lerp(tensor, share)
    return torch.where(own.reshape(-1, *[1] * (tensor.ndim - 1)), tensor, other)
