"""Small modules that torch has only as functions, or in another form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.text.words import PADDING_ID


class Function(nn.Module):
    """A function of tensors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        """What the function gives."""
        return self.function(*inputs)


class Called(nn.Module):
    """A method of tensors, by its name, with its arguments."""

    def __init__(self, method: str, *arguments: int) -> None:
        super().__init__()
        self.method, self.arguments = method, arguments

    def forward(self, x: Tensor) -> Tensor:
        """What the method gives."""
        found: Tensor = getattr(x, self.method)(*self.arguments)
        return found


class Reshape(nn.Module):
    """The numbers of each row in another form."""

    def __init__(self, row: Sequence[int]) -> None:
        super().__init__()
        self.row = tuple(row)

    def forward(self, x: Tensor) -> Tensor:
        """To ``[N, *row]``."""
        return x.reshape(x.shape[0], *self.row)


class Concat(nn.Module):
    """Tensors side by side."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: Tensor) -> Tensor:
        """Join them along a dimension."""
        return torch.cat(inputs, dim=self.dim)


class Merge(nn.Module):
    """One tensor after the other."""

    def __init__(self, merge: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.merge = merge

    def forward(self, *inputs: Tensor) -> Tensor:
        """Merge them all."""
        return functools.reduce(self.merge, inputs)


class Take(nn.Module):
    """One entry along a dimension."""

    def __init__(self, index: int, dim: int) -> None:
        super().__init__()
        self.index, self.dim = index, dim

    def forward(self, x: Tensor) -> Tensor:
        """One dimension fewer."""
        return x.select(self.dim, self.index)


class NumberTokens(nn.Module):
    """``x w + b`` of each number, with vectors of its column's: ``[N, n]`` to ``[N, n, d_token]``."""

    def __init__(self, n_columns: int, d_token: int, *, bias: bool) -> None:
        super().__init__()
        bound = d_token**-0.5
        self.weight = nn.Parameter(torch.empty(n_columns, d_token).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_columns, d_token).uniform_(-bound, bound)) if bias else None

    def forward(self, num: Tensor) -> Tensor:
        """Make the tokens."""
        tokens = num[..., None] * self.weight
        return tokens if self.bias is None else tokens + self.bias


class ClassToken(nn.Module):
    """A learned token behind the others: ``[N, n, d]`` to ``[N, n + 1, d]``."""

    def __init__(self, d: int) -> None:
        super().__init__()
        bound = d**-0.5
        self.token = nn.Parameter(torch.empty(d).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Add the token."""
        return torch.cat([x, self.token.expand(x.shape[0], 1, -1)], dim=1)


class Recurrent(nn.Module):
    """A recurrent module of torch, of whose results only the states are wanted."""

    def __init__(self, module: nn.RNNBase, *, last: bool) -> None:
        super().__init__()
        self.module, self.last = module, last

    def forward(self, x: Tensor) -> Tensor:
        """The states ``[N, L, d]``, or the last one of each direction ``[N, d]``."""
        states: Tensor = self.module(x)[0]
        if not self.last:
            return states
        if not self.module.bidirectional:
            return states[:, -1]
        # Backwards the last state is that of the first position.
        there, back = states.chunk(2, dim=-1)
        return torch.cat([there[:, -1], back[:, 0]], dim=-1)


class SelfAttention(nn.Module):
    """Attention of torch, over the first tensor itself or over a second one; ``has_ids``: the last one holds ids of words."""

    def __init__(self, module: nn.MultiheadAttention, *, has_ids: bool) -> None:
        super().__init__()
        self.module, self.has_ids = module, has_ids

    def forward(self, *inputs: Tensor) -> Tensor:
        """From ``[N, L, d]`` to the same."""
        sequences = inputs[:-1] if self.has_ids else inputs
        padding = padding_of(inputs[-1]) if self.has_ids else None
        tokens = sequences[-1]
        attended: Tensor = self.module(sequences[0], tokens, tokens, key_padding_mask=padding, need_weights=False)[0]
        return attended


class TextLayer(nn.Module):
    """A transformer's layer that does not look behind the end of a text; the parts are those of torch's."""

    def __init__(self, module: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """From ``[N, L, d]``, and ids int64 ``[N, L]``, to the same."""
        parts, padding = self.module, padding_of(ids)
        if parts.norm_first:
            x = x + self._attended(parts.norm1(x), padding)
            return x + self._mapped(parts.norm2(x))
        x = parts.norm1(x + self._attended(x, padding))
        found: Tensor = parts.norm2(x + self._mapped(x))
        return found

    def _attended(self, x: Tensor, padding: Tensor) -> Tensor:
        attended: Tensor = self.module.self_attn(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        dropped: Tensor = self.module.dropout1(attended)
        return dropped

    def _mapped(self, x: Tensor) -> Tensor:
        parts = self.module
        inner = parts.dropout(parts.activation(parts.linear1(x)))
        dropped: Tensor = parts.dropout2(parts.linear2(inner))
        return dropped


class WordMean(nn.Module):
    """The mean over the positions of a text that hold words; 0 for a text without."""

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """From ``[N, L, d]``, and ids int64 ``[N, L]``, to ``[N, d]``."""
        words = (ids != PADDING_ID).to(x.dtype)
        return (x * words[:, :, None]).sum(dim=1) / words.sum(dim=1, keepdim=True).clamp(min=1.0)


class PositionVectors(nn.Module):
    """A vector for each position, added: learned ones, or sines and cosines of Vaswani et al. (2017), section 3.5."""

    vectors: Tensor

    def __init__(self, n_positions: int, d: int, *, learned: bool) -> None:
        super().__init__()
        if learned:
            self.vectors = nn.Parameter(torch.empty(n_positions, d).normal_(0, 0.02))
        else:
            self.register_buffer("vectors", waves(n_positions, d))

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, L, d]`` to the same."""
        return x + self.vectors


def waves(n_positions: int, d: int) -> Tensor:
    """Sines in even, cosines in odd columns, float32 ``[n_positions, d]``.

    >>> waves(2, 4)[1, :2]
    tensor([0.8415, 0.5403])
    """
    column = torch.arange(d, dtype=torch.float64)
    rates = 10_000.0 ** (-(column - column % 2) / d)
    angles = torch.arange(n_positions, dtype=torch.float64)[:, None] * rates
    return torch.where(column % 2 == 0, angles.sin(), angles.cos()).float()


def padding_of(ids: Tensor) -> Tensor:
    """Where no word stands, bool ``[N, L]``; nowhere in a text without any, for something has to be looked at."""
    return torch.logical_and(ids == PADDING_ID, ids.sum(dim=1, keepdim=True) > 0)
