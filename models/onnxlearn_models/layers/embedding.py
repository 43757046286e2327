"""Entity embeddings of categorical codes (Guo and Berkhahn 2016, "Entity Embeddings of Categorical Variables")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn


class Settled(nn.Module):
    """A part of a network with tables of which some rows may have no training rows; ``ingress``: what it looks up in them."""

    ingress = "cat"

    def settle(self, counts: Sequence[np.ndarray]) -> None:
        """Let no such row reach a prediction. ``counts``: training rows of each code, one array for each column of ingress."""
        raise NotImplementedError


class CodeEmbedding(Settled):
    """One table of vectors for each column of ``cat``; the looked-up vectors side by side.

    ``forward(cat)``: int64 ``[N, n_cat]``, column ``i`` below ``cardinalities[i]``, gives float32 ``[N, d_out]``.
    The tables start from a normal distribution of standard deviation ``std``. ``ingress``: the name of the tensor of codes.
    """

    def __init__(self, cardinalities: Sequence[int], widths: Sequence[int], *, std: float = 1.0, ingress: str = "cat") -> None:
        super().__init__()
        self.ingress = ingress
        self.tables = nn.ModuleList(nn.Embedding(n, d) for n, d in zip(cardinalities, widths, strict=True))
        for weight in self.parameters():
            nn.init.normal_(weight, std=std)
        self.d_out = sum(widths)

    def forward(self, cat: Tensor) -> Tensor:
        """Look up every column."""
        return torch.cat([table(cat[..., i]) for i, table in enumerate(self.tables)], dim=-1)

    def column_tables(self) -> list[Tensor]:
        """The table of each column: one row a code."""
        return list(self.parameters())

    @torch.no_grad()
    def settle(self, counts: Sequence[np.ndarray]) -> None:
        """Replace the vector of every code without training rows by the mean vector of the training rows.

        Such a vector has never been trained: what it started from must not reach a prediction. ``counts``: training rows
        of each code, one array for each column.
        """
        for weight, count in zip(self.column_tables(), counts, strict=True):
            absent = torch.from_numpy(count == 0).to(weight.device)
            share = torch.from_numpy(count / count.sum()).to(weight)
            weight[absent] = share @ weight


class TokenEmbedding(CodeEmbedding):
    """Vectors of one width for every column, one below the other: a single look-up, float32 ``[N, n_cat, d_token]``."""

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], d_token: int, *, ingress: str = "cat") -> None:
        super().__init__([sum(cardinalities)], [d_token], ingress=ingress)
        self.cardinalities = list(cardinalities)
        self.register_buffer("offsets", torch.tensor([0, *cardinalities[:-1]]).cumsum(0))

    def forward(self, cat: Tensor) -> Tensor:
        """Look up every column."""
        tokens: Tensor = self.tables[0](cat + self.offsets)
        return tokens

    def column_tables(self) -> list[Tensor]:
        """The table of each column: its part of the one table."""
        return list(torch.split(next(self.parameters()).detach(), self.cardinalities))


def settle(module: nn.Module, counts: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Settle every part of a network that can be; ``counts`` by ingress, each as :meth:`Settled.settle` takes them."""
    for part in module.modules():
        if isinstance(part, Settled):
            part.settle(counts[part.ingress])
