"""Small modules that torch has only as functions, or in another form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


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
    """Attention of torch, over the first tensor itself or over a second one."""

    def __init__(self, module: nn.MultiheadAttention) -> None:
        super().__init__()
        self.module = module

    def forward(self, queries: Tensor, tokens: Tensor | None = None) -> Tensor:
        """From ``[N, L, d]`` to the same."""
        tokens = queries if tokens is None else tokens
        attended: Tensor = self.module(queries, tokens, tokens, need_weights=False)[0]
        return attended
