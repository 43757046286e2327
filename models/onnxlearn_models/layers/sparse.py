"""Sparse maps from scores to shares: like softmax they give what sums to 1, unlike it they give exact zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

SparseFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(scores ``[N, d]``, the numbers 1 to d in their type) -> shares ``[N, d]``."""


def sparsemax(scores: Tensor, ranks: Tensor) -> Tensor:
    """The nearest point to the scores that is a distribution (Martins and Astudillo 2016, "From Softmax to Sparsemax").

    >>> sparsemax(torch.tensor([[1.0, 0.5, -1.0]]), torch.tensor([1.0, 2.0, 3.0]))
    tensor([[0.7500, 0.2500, 0.0000]])
    """
    scores = scores - torch.amax(scores, dim=1, keepdim=True)
    sums = torch.cumsum(_descending(scores, ranks), dim=1)
    # The threshold of algorithm 1 there is the largest of those that the j highest scores alone would have.
    threshold = torch.amax((sums - 1) / ranks, dim=1, keepdim=True)
    return torch.relu(scores - threshold)


def entmax15(scores: Tensor, ranks: Tensor) -> Tensor:
    """Between softmax and sparsemax: 1.5-entmax (Peters, Niculae and Martins 2019, "Sparse Sequence-to-Sequence Models").

    >>> entmax15(torch.tensor([[1.0, 0.5, -2.0]]), torch.tensor([1.0, 2.0, 3.0]))
    tensor([[0.6740, 0.3260, 0.0000]])
    """
    halves = (scores - torch.amax(scores, dim=1, keepdim=True)) / 2
    ordered = _descending(halves, ranks)
    sums, squares = torch.cumsum(ordered, dim=1), torch.cumsum(torch.square(ordered), dim=1)
    mean = sums / ranks
    thresholds = mean - torch.sqrt(torch.relu((1 - squares + sums * mean) / ranks))
    # Up to the last score that is above its own threshold they grow; that of the highest score alone is -1.
    threshold = torch.amax(torch.where(thresholds <= ordered, thresholds, -1.0), dim=1, keepdim=True)
    return torch.square(torch.relu(halves - threshold))


SPARSE: dict[str, tuple[SparseFunction, float]] = {"sparsemax": (sparsemax, 2.0), "entmax": (entmax15, 1.5)}
"""By name: the function, and its alpha among the entmax functions."""


class SparseMap(nn.Module):
    """One of :data:`SPARSE` for scores ``[N, width]``, with the gradient in closed form."""

    ranks: Tensor

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.function, self.alpha = SPARSE[name]
        self.register_buffer("ranks", torch.arange(1.0, width + 1), persistent=False)

    def forward(self, scores: Tensor) -> Tensor:
        """Shares of the same shape."""
        if not self.training:
            return self.function(scores, self.ranks)
        shares: Tensor = _WithGradient.apply(scores, self.ranks, self.function, self.alpha)  # type: ignore[no-untyped-call]
        return shares


class _WithGradient(torch.autograd.Function):
    """The gradient of every entmax function is in its result (Peters et al. 2019, section 3.3): sorting needs none."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, ranks: Tensor, function: SparseFunction, alpha: float) -> Tensor:
        shares = function(scores, ranks)
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


def _descending(scores: Tensor, ranks: Tensor) -> Tensor:
    return torch.topk(scores, len(ranks), dim=1)[0]
