"""Parametric activations, and hidden layers with them as a single function of autograd.

Holzmüller, Grinsztajn and Steinwart (2024), "Better by Default", section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout, dropout_mask

FastActivation: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_ALPHA, _LAMBDA = 1.6732632423543772, 1.0507009873554805
_LOG2_E = math.log2(math.e)


class ParametricActivation(nn.Module):
    """``x + a (f(x) - x)`` with a learned ``a`` for each unit, 1 at first."""

    def __init__(self, activation: str, d: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.share = nn.Parameter(torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, d]`` to ``[N, d]``."""
        # Not by lerp, which knows one type of number: this one's learned values have another beside an input of 16 bits.
        return torch.addcmul(x, self.activation(x) - x, self.share)


class ParametricBlock(nn.Module):
    """Linear map, parametric activation, dropout."""

    def __init__(self, d_in: int, d_out: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)
        self.activation = ParametricActivation(activation, d_out)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, d_in]`` to ``[N, d_out]``."""
        output: Tensor = self.dropout(self.activation(self.linear(x)))
        return output


def train_blocks(
    x: Tensor, scale: Tensor | None, blocks: Sequence[ParametricBlock], head: nn.Linear, activation: FastActivation
) -> Tensor:
    """``head(blocks(scale * x))`` in training, ``[N, d_in]`` to ``[N, d_out]``.

    ``activation``: that of the blocks, as :data:`FAST` has it; their dropout is the same. In steps of a few milliseconds each
    operation's start counts: one function of autograd for all layers saves some of them.
    """
    tensors = [tensor for block in blocks for tensor in (block.linear.weight, block.linear.bias, block.activation.share)]
    dropped = max((block.dropout.p for block in blocks), default=0.0)
    assert all(block.dropout.p == dropped for block in blocks)
    output: Tensor = _Blocks.apply(x, scale, head.weight, head.bias, activation, dropped, *tensors)  # type: ignore[no-untyped-call]
    return output


class _Blocks(torch.autograd.Function):
    """See :func:`train_blocks`.

    With ``h = x W + b`` and a dropout mask ``m`` a block's output is ``m (h + a (f(h) - h))``. Kept are its input and what its
    gradient is multiplied by on the way to ``h`` and to ``a``: ``m (1 + a (f'(h) - 1))`` and ``m (f(h) - h)``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor | None,
        head: Tensor,
        head_bias: Tensor,
        activation: FastActivation,
        dropped: float,
        *tensors: Tensor,
    ) -> Tensor:
        """The output ``[N, d_out]``."""
        kept = [x]
        if scale is not None:
            x = x * scale
        for i in range(0, len(tensors), 3):
            weight, bias, share = tensors[i : i + 3]
            h = torch.addmm(bias, x, weight.t())
            mask = dropout_mask(h, dropped)
            activated, masked_slope = activation(h, mask)
            bend = activated.sub_(h)
            output = h.addcmul_(bend, share).mul_(mask)
            to_share = bend.mul_(mask)
            to_h = mask.lerp_(masked_slope, share)
            kept += [x, to_h, to_share]
            x = output
        ctx.save_for_backward(scale, head, *tensors[::3], *kept, x)
        return torch.addmm(head_bias, x, head.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients; what was kept for them is overwritten."""
        scale, head, *saved = ctx.saved_tensors
        n_blocks = (len(saved) - 2) // 4
        weights, x, kept, last = saved[:n_blocks], saved[n_blocks], saved[n_blocks + 1 : -1], saved[-1]
        of_head = grad.t() @ last, grad.sum(dim=0)
        weight = head
        gradients: list[Tensor] = []
        for i in reversed(range(n_blocks)):
            inputs, to_h, to_share = kept[3 * i : 3 * i + 3]
            grad = grad @ weight
            of_share = to_share.mul_(grad).sum(dim=0)
            grad, weight = to_h.mul_(grad), weights[i]
            gradients[:0] = grad.t() @ inputs, grad.sum(dim=0), of_share
        needs_x, needs_scale = ctx.needs_input_grad[:2]
        of_scale = None
        if needs_x or needs_scale:
            grad = grad @ weight
        if scale is not None:
            of_scale = (grad * x).sum(dim=0)
            grad = grad.mul_(scale)
        return grad if needs_x else None, of_scale, *of_head, None, None, *gradients


def _selu(h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    # exp(min(h, 0)) as a power of two, and the slope from the result: three quarters of torch's time.
    power = h.clamp_max(0).mul_(_LOG2_E).exp2_()
    activated = power.sub_(1).mul_(_ALPHA * _LAMBDA).add_(torch.relu(h), alpha=_LAMBDA)
    return activated, torch.ops.aten.elu_backward(mask, _ALPHA, _LAMBDA, 1.0, True, activated)  # noqa: FBT003


def _mish(h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    # With s = sigmoid(h) and q = (1 - s)^2: tanh(softplus(h)) = (1 - q) / (1 + q). A quarter of torch's time.
    s = torch.sigmoid(h)
    q = (1 - s).square_()
    t = (1 - q).div_(q.add_(1))
    slope = s.mul_(h).mul_(torch.mul(t, t, out=q).neg_().add_(1)).add_(t)
    return t.mul_(h), slope.mul_(mask)


FAST: dict[str, FastActivation] = {"selu": _selu, "mish": _mish}
"""Activations with a fast training step: from ``h`` and a mask to ``f(h)`` and the mask times ``f'(h)``, both new."""
