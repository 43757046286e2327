"""Blocks of a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from torch import nn

ActivationName: TypeAlias = Literal["relu", "gelu", "silu", "mish", "selu", "elu", "leaky_relu", "tanh"]
NormName: TypeAlias = Literal["none", "batch", "layer"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}

_NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def dense_block(d_in: int, d_out: int, *, activation: ActivationName, norm: NormName, dropout: float) -> list[nn.Module]:
    """Linear, norm, activation, dropout; those that there are."""
    parts: list[nn.Module] = [nn.Linear(d_in, d_out)]
    if norm != "none":
        parts.append(_NORMS[norm](d_out))
    parts.append(ACTIVATIONS[activation]())
    if dropout:
        parts.append(nn.Dropout(dropout))
    return parts
