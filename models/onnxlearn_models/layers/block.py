"""Blocks of a multilayer perceptron."""

from __future__ import annotations

from torch import nn

from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.norm import NORMS


def dense_block(d_in: int, d_out: int, *, activation: str, norm: str = "none", dropout: float = 0.0) -> list[nn.Module]:
    """Linear, norm, activation, dropout; those that there are."""
    parts: list[nn.Module] = [nn.Linear(d_in, d_out)]
    if norm != "none":
        parts.append(NORMS[norm](d_out))
    parts.append(ACTIVATIONS[activation]())
    if dropout:
        parts.append(Dropout(dropout))
    return parts
