"""Parametric activations, and a hidden layer with one as a single function of autograd.

Holzmüller, Grinsztajn and Steinwart (2024), "Better by Default", section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout, dropout_mask

FastActivation: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_SELU = 1.6732632423543772, 1.0507009873554805


class ParametricActivation(nn.Module):
    """``x + a (f(x) - x)`` with a learned ``a`` for each unit, 1 at first."""

    def __init__(self, activation: str, d: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.share = nn.Parameter(torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, d]`` to ``[N, d]``."""
        return torch.lerp(x, self.activation(x), self.share)


class ParametricBlock(nn.Module):
    """Linear map, parametric activation, dropout."""

    def __init__(self, d_in: int, d_out: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)
        self.activation = ParametricActivation(activation, d_out)
        self.dropout = Dropout(dropout)
        self.fast = FAST.get(activation)

    def forward(self, x: Tensor) -> Any:
        """From ``[N, d_in]`` to ``[N, d_out]``."""
        if self.training and self.fast is not None:
            linear = self.linear
            return _FusedBlock.apply(x, linear.weight, linear.bias, self.activation.share, self.dropout.p, self.fast)  # type: ignore[no-untyped-call]
        return self.dropout(self.activation(self.linear(x)))


class _FusedBlock(torch.autograd.Function):
    """The training step of a block in few passes over memory.

    With ``h = x W + b`` and a dropout mask ``m`` the output is ``m (h + a (f(h) - h))``. Kept is only what its gradient is
    multiplied by on the way to ``h`` and to ``a``: ``m (1 + a (f'(h) - 1))`` and ``m (f(h) - h)``.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, share: Tensor, dropout: float, activate: FastActivation
    ) -> Tensor:
        """The output ``[N, d_out]``."""
        h = torch.addmm(bias, x, weight.T)
        mask = dropout_mask(h, dropout)
        activated, masked_slope = activate(h, mask)
        bend = activated.sub_(h)
        output = h.addcmul_(bend, share).mul_(mask)
        to_share = bend.mul_(mask)
        to_h = mask.lerp_(masked_slope, share)
        ctx.save_for_backward(x, weight, to_h, to_share)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients; what was kept for them is overwritten."""
        x, weight, to_h, to_share = ctx.saved_tensors
        grad_h, grad_share = to_h.mul_(grad), to_share.mul_(grad).sum(dim=0)
        return grad_h @ weight if ctx.needs_input_grad[0] else None, grad_h.T @ x, grad_h.sum(dim=0), grad_share, None, None


def _selu(h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    activated = functional.selu(h)
    # The slope from the result: without another exponential.
    return activated, torch.ops.aten.elu_backward(mask, *_SELU, 1.0, True, activated)  # noqa: FBT003


def _mish(h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    # With s = sigmoid(h) and q = (1 - s)^2: tanh(softplus(h)) = (1 - q) / (1 + q). A quarter of torch's time.
    s = torch.sigmoid(h)
    q = (1 - s).square_()
    t = (1 - q).div_(q.add_(1))
    slope = s.mul_(h).mul_(torch.mul(t, t, out=q).neg_().add_(1)).add_(t)
    return t.mul_(h), slope.mul_(mask)


FAST: dict[str, FastActivation] = {"selu": _selu, "mish": _mish}
"""Activations with a fast training step: from ``h`` and a mask to ``f(h)`` and the mask times ``f'(h)``, both new."""
