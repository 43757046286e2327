"""Layers of k networks at once, the members of an ensemble: ``[N, k, d_in]`` to ``[N, k, d_out]``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class HiddenLayer(NamedTuple):
    """``activation(x W' * scale + bias) * after`` for every member.

    ``weight [d_out, d_in]`` is shared, as in BatchEnsemble (Wen, Tran and Ba 2020); the others are ``[k, d_out]``, or absent.
    ``after`` is the input scaling of the next layer. Members that share nothing have ``weight [k, d_out, d_in]``, members that
    share everything ``bias [d_out]``.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor | None = None
    after: Tensor | None = None


class MemberLinear(nn.Module):
    """A linear map of its own for each member."""

    def __init__(self, k: int, d_in: int, d_out: int) -> None:
        super().__init__()
        # In this order its products are several times faster than in the other one where d_out is small.
        self.weight = nn.Parameter(uniform(d_in, k, d_out, d_in))
        self.bias = nn.Parameter(uniform(d_in, k, d_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map every member's rows."""
        return member_product(x, self.weight) + self.bias


def shared_product(x: Tensor, weight: Tensor) -> Tensor:
    """``x [N, k, d_in]`` times ``weight [d_out, d_in]`` of all members."""
    return functional.linear(x, weight)


def member_product(x: Tensor, weight: Tensor) -> Tensor:
    """``x [N, k or 1, d_in]`` times every member's own ``weight [k, d_out, d_in]``."""
    return torch.einsum("nki,koi->nko", x.expand(-1, weight.shape[0], -1), weight)


def random_scaling(k: int, widths: Sequence[int], *, normal: bool) -> Tensor:
    """Initial scaling ``[k, sum(widths)]`` that sets members apart: random signs, or normal numbers.

    The columns of one feature, ``widths`` for each, share a value: Gorishniy et al. (2025), "TabM", section 3.

    >>> _ = torch.manual_seed(0)
    >>> random_scaling(2, [1, 3], normal=False)
    tensor([[-1.,  1.,  1.,  1.],
            [ 1., -1., -1., -1.]])
    """
    values = torch.randn(k, len(widths)) if normal else torch.randint(0, 2, (k, len(widths))) * 2.0 - 1.0
    return values.repeat_interleave(torch.tensor(widths), dim=1)


def uniform(d_in: int, *shape: int) -> Tensor:
    """Initial weights of layers with ``d_in`` inputs, as torch draws those of its linear layers."""
    return (2 * torch.rand(shape) - 1) / math.sqrt(d_in)
