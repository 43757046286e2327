"""Small modules that torch has only as functions, or in another form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.text.words import PADDING_ID
from onnxlearn_models.layers.recurrent import PackedRecurrent, lengths_of


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


class TextRecurrent(nn.Module):
    """A recurrent module of torch that does not look behind the end of a text."""

    def __init__(self, module: nn.RNNBase, *, last: bool) -> None:
        super().__init__()
        self.packed, self.last = PackedRecurrent(module), last

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """As ``Recurrent``, of ``x`` and ids int64 ``[N, L]``; the states behind a text's end are 0."""
        states: Tensor
        last: Tensor
        states, last = self.packed(x, lengths_of(ids))
        if not self.last:
            return states
        return torch.cat([last[-2], last[-1]], dim=-1) if self.packed.module.bidirectional else last[-1]


class Attention(nn.Module):
    """Attention of torch, over one to three tensors; ``has_ids``: a last one holds ids of words.

    ``mask``: where not to look, bool ``[positions, positions looked at]``.
    """

    mask: Tensor | None

    def __init__(self, module: nn.MultiheadAttention, *, has_ids: bool, mask: Tensor | None) -> None:
        super().__init__()
        self.module, self.has_ids = module, has_ids
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """From ``[N, L, d]`` to the same."""
        sequences = inputs[:-1] if self.has_ids else inputs
        padding = padding_of(inputs[-1]) if self.has_ids else None
        query, key, value = sequences[0], sequences[min(1, len(sequences) - 1)], sequences[-1]
        attended: Tensor = self.module(query, key, value, key_padding_mask=padding, need_weights=False, attn_mask=self.mask)[0]
        return attended


def later(n_positions: int, n_keys: int) -> Tensor:
    """Which keys come later than a position, bool ``[n_positions, n_keys]``.

    >>> later(2, 3).tolist()
    [[False, True, True], [False, False, True]]
    """
    return torch.ones(n_positions, n_keys, dtype=torch.bool).triu(1)


class EncoderLayer(nn.Module):
    """A transformer's layer of torch's parts that looks neither where ``mask`` is nor behind the end of a text."""

    mask: Tensor | None

    def __init__(self, module: nn.TransformerEncoderLayer, *, mask: Tensor | None) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, ids: Tensor | None = None) -> Tensor:
        """From ``[N, L, d]``, and ids int64 ``[N, L]``, to the same."""
        parts, padding = self.module, None if ids is None else padding_of(ids)
        if parts.norm_first:
            x = x + self._attended(parts.norm1(x), padding)
            return x + self._mapped(parts.norm2(x))
        x = parts.norm1(x + self._attended(x, padding))
        found: Tensor = parts.norm2(x + self._mapped(x))
        return found

    def _attended(self, x: Tensor, padding: Tensor | None) -> Tensor:
        how = {"key_padding_mask": padding, "need_weights": False, "attn_mask": self.mask}
        dropped: Tensor = self.module.dropout1(self.module.self_attn(x, x, x, **how)[0])
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
