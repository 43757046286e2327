"""Parametric activations, and a hidden layer with one as a single function of autograd.

Holzmüller, Grinsztajn and Steinwart (2024), "Better by Default", section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout, dropout_mask

_SELU = 1.6732632423543772, 1.0507009873554805
_elu_backward = torch.ops.aten.elu_backward.grad_input


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
    """The training step of a block, in few passes over memory: with these widths they take as long as the matrix products."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, share: Tensor, dropout: float, fast: tuple[Any, Any]
    ) -> Tensor:
        """The output ``[N, d_out]``."""
        activate, ctx.slope = fast
        linear = torch.addmm(bias, x, weight.T)
        activated, kept = activate(linear)
        bent = torch.sub(activated, linear, out=linear)
        output = torch.addcmul(activated, bent, share - 1)
        mask = dropout_mask(output, dropout) if dropout else None
        ctx.save_for_backward(x, weight, share, bent, kept, mask)
        return output if mask is None else output.mul_(mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients; what was kept for them is overwritten."""
        x, weight, share, bent, kept, mask = ctx.saved_tensors
        grad = grad.clone() if mask is None else mask.mul_(grad)
        grad_share = bent.mul_(grad).sum(dim=0)
        of_activated = torch.mul(grad, share, out=bent)
        grad.sub_(of_activated).add_(ctx.slope(of_activated, kept))
        return grad @ weight if ctx.needs_input_grad[0] else None, grad.T @ x, grad.sum(dim=0), grad_share, None, None


def _selu(x: Tensor) -> tuple[Tensor, Tensor]:
    activated = functional.selu(x)
    return activated, activated


def _selu_slope(grad: Tensor, activated: Tensor) -> Tensor:
    # From its result: without another exponential.
    return _elu_backward(grad, *_SELU, 1.0, True, activated, grad_input=grad)  # type: ignore[no-any-return]  # noqa: FBT003


def _mish(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mish and its slope by one sigmoid ``s``, in a quarter of torch's time.

    tanh(softplus(x)) = (1 - q) / (1 + q) with q = (1 - s)^2.
    """
    s = torch.sigmoid(x)
    q = (1 - s).square_()
    t = (1 - q).div_(q.add_(1))
    slope = (1 - t.square()).mul_(x).mul_(s).add_(t)
    return t.mul_(x), slope


def _mish_slope(grad: Tensor, slope: Tensor) -> Tensor:
    return grad.mul_(slope)


FAST: dict[str, tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], Tensor]]] = {
    "selu": (_selu, _selu_slope),
    "mish": (_mish, _mish_slope),
}
"""Activations with a fast training step.

The function, which also gives something to keep; and what makes, in place, of the gradient of its result and what was kept the
gradient of its argument.
"""
