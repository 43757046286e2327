"""Sparse maps from scores to shares: like softmax they give what sums to 1, unlike it they give exact zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

SparseFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(scores ``[N, d]``, the same in descending order, the numbers 1 to d in their type) -> shares ``[N, d]``."""


def sparsemax(scores: Tensor, ordered: Tensor, ranks: Tensor) -> Tensor:
    """The nearest point to the scores that is a distribution (Martins and Astudillo 2016, "From Softmax to Sparsemax").

    >>> scores = torch.tensor([[1.0, 0.5, -1.0]])
    >>> sparsemax(scores, scores, torch.tensor([1.0, 2.0, 3.0]))
    tensor([[0.7500, 0.2500, 0.0000]])
    """
    highest = ordered[:, :1]
    sums = torch.cumsum(ordered - highest, dim=1)
    # The threshold of algorithm 1 there is the largest of those that the j highest scores alone would have.
    threshold = torch.amax((sums - 1) / ranks, dim=1, keepdim=True)
    return torch.relu(scores - highest - threshold)


def entmax15(scores: Tensor, ordered: Tensor, ranks: Tensor) -> Tensor:
    """Between softmax and sparsemax: 1.5-entmax (Peters, Niculae and Martins 2019, "Sparse Sequence-to-Sequence Models").

    >>> scores = torch.tensor([[1.0, 0.5, -2.0]])
    >>> entmax15(scores, scores, torch.tensor([1.0, 2.0, 3.0]))
    tensor([[0.6740, 0.3260, 0.0000]])
    """
    highest = ordered[:, :1]
    halves = (ordered - highest) / 2
    sums, squares = torch.cumsum(halves, dim=1), torch.cumsum(torch.square(halves), dim=1)
    mean = sums / ranks
    thresholds = mean - torch.sqrt(torch.relu((1 - squares + sums * mean) / ranks))
    # Up to the last score that is above its own threshold they grow; that of the highest score alone is -1.
    threshold = torch.amax(torch.where(thresholds <= halves, thresholds, -1.0), dim=1, keepdim=True)
    return torch.square(torch.relu((scores - highest) / 2 - threshold))


SPARSE: dict[str, tuple[SparseFunction, float]] = {"sparsemax": (sparsemax, 2.0), "entmax": (entmax15, 1.5)}
"""By name: the function, and its alpha among the entmax functions."""


class SparseMap(nn.Module):
    """One of :data:`SPARSE` for scores ``[N, width]``."""

    ranks: Tensor

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.function, self.alpha = SPARSE[name]
        self.register_buffer("ranks", torch.arange(1.0, width + 1), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """Shares of the same shape."""
        if self.training:
            # As softmax, it adds up and subtracts: not in 16 bits, where scores have these.
            shares: Tensor = _InTraining.apply(scores.to(self.ranks.dtype), self.ranks, self.function, self.alpha)  # type: ignore[no-untyped-call]
            return shares
        return self.function(scores, torch.topk(scores, len(self.ranks), dim=1)[0], self.ranks)


class _InTraining(torch.autograd.Function):
    """The same with a faster sort and the gradient in closed form (Peters et al. 2019, section 3.3)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, ranks: Tensor, function: SparseFunction, alpha: float) -> Tensor:
        shares = function(scores, _descending(scores), ranks)
        ctx.save_for_backward(shares)
        ctx.alpha = alpha
        return shares

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (shares,) = ctx.saved_tensors
        slopes = (shares > 0).to(grad.dtype) if ctx.alpha == 2 else shares ** (2 - ctx.alpha)
        weighted = grad * slopes
        mean = weighted.sum(dim=1, keepdim=True) / slopes.sum(dim=1, keepdim=True)
        return weighted - slopes * mean, None, None, None


def _descending(scores: Tensor) -> Tensor:
    if scores.device.type == "cpu":
        # Rows of 30 in a tenth of the time that torch takes, which would be a good part of a step.
        return torch.from_numpy(-np.sort(-scores.detach().numpy(), axis=1))
    return torch.sort(scores, dim=1, descending=True)[0]
