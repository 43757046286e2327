"""Vectors of the words of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.text.vectors import WordVectors
from onnxlearn.text.words import FIRST_WORD_ID, PADDING_ID
from onnxlearn_models.layers.embedding import Settled


class WordEmbedding(Settled):
    """A vector for each id of a text: int64 ``[N, L]`` below ``n_ids`` to float32 ``[N, L, d_out]``; zeros behind its end.

    ``ingress``: the name of the tensor whose ids these are. The vectors start from a normal distribution of standard deviation
    ``std``.
    """

    def __init__(self, ingress: str, n_ids: int, d_out: int, *, std: float = 0.1) -> None:
        super().__init__()
        self.ingress = ingress
        self.table = nn.Embedding(n_ids, d_out, padding_idx=PADDING_ID)
        nn.init.normal_(self.table.weight, std=std)
        with torch.no_grad():
            self.table.weight[PADDING_ID] = 0

    def forward(self, ids: Tensor) -> Tensor:
        """Look up every word."""
        vectors: Tensor = self.table(ids)
        return vectors

    @torch.no_grad()
    def start(self, given: WordVectors) -> None:
        """Begin with vectors of a file; words that it does not have keep theirs."""
        words = self.table.weight[FIRST_WORD_ID : FIRST_WORD_ID + len(given.found)]
        words[torch.from_numpy(given.found)] = torch.from_numpy(given.vectors[given.found]).to(words)

    @torch.no_grad()
    def settle(self, counts: Sequence[np.ndarray]) -> None:
        """Replace the vector of every id that no training row has by the mean vector of the training rows' words.

        ``counts``: how often training rows have each id. Without any word the mean is 0.
        """
        (count,) = counts
        there = torch.from_numpy(count).to(self.table.weight)
        there[PADDING_ID] = 0
        absent = there == 0
        absent[PADDING_ID] = False
        self.table.weight[absent] = (there / there.sum().clamp(min=1)) @ self.table.weight


class WordBag(nn.Module):
    """The mean, or the sum, of the vectors of a text's words: int64 ``[N, L]`` to ``[N, d_out]``; zeros for a text without.

    ``words`` is the embedding.
    """

    def __init__(self, words: WordEmbedding, mode: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.words, self.mode = words, mode

    def forward(self, ids: Tensor) -> Tensor:
        """Look up and add."""
        total: Tensor = self.words(ids).sum(dim=1)
        if self.mode == "sum":
            return total
        n_words = (ids != PADDING_ID).to(total.dtype).sum(dim=1, keepdim=True)
        mean: Tensor = total / n_words.clamp(min=1.0)
        return mean


def start_words(module: nn.Module, vectors: Mapping[str, WordVectors]) -> None:
    """Let every embedding of words begin with the vectors that were given for its ingress."""
    for part in module.modules():
        if isinstance(part, WordEmbedding) and part.ingress in vectors:
            part.start(vectors[part.ingress])
