"""Activation functions by name: a line here makes one a choice of every learner with an ``activation``."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "hardswish": nn.Hardswish,
}


class GatedLinear(nn.Module):
    """``a * f(b)`` of the two halves of the last dimension, which it halves (Shazeer 2020, "GLU Variants")."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """From ``[..., 2 d]`` to ``[..., d]``."""
        a, b = x.chunk(2, dim=-1)
        return a * self.gate(b)


GATED: dict[str, Callable[[], nn.Module]] = {
    "reglu": lambda: GatedLinear(functional.relu),
    "geglu": lambda: GatedLinear(functional.gelu),
    "swiglu": lambda: GatedLinear(functional.silu),
}
"""Activations that halve the width; the layer before them gives twice as many units."""

PLAIN_OR_GATED: Mapping[str, Callable[[], nn.Module]] = ChainMap(ACTIVATIONS, GATED)
