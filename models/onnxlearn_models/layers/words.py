"""Vectors of the words of texts."""

from __future__ import annotations

import hashlib
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
    ``std``. ``words`` int64 ``[n_ids]`` says which word each id is, by a digest; 0 where that is not known.
    """

    words: Tensor

    def __init__(self, ingress: str, n_ids: int, d_out: int, *, std: float = 0.1) -> None:
        super().__init__()
        self.ingress = ingress
        self.table = nn.Embedding(n_ids, d_out, padding_idx=PADDING_ID)
        nn.init.normal_(self.table.weight, std=std)
        with torch.no_grad():
            self.table.weight[PADDING_ID] = 0
        self.register_buffer("words", torch.zeros(n_ids, dtype=torch.int64))

    def forward(self, ids: Tensor) -> Tensor:
        """Look up every word."""
        vectors: Tensor = self.table(ids)
        return vectors

    @torch.no_grad()
    def name(self, words: Sequence[str]) -> None:
        """Note which words the ids are, the first known one first."""
        digests = [int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little", signed=True) for word in words]
        self.words.zero_()
        self.words[FIRST_WORD_ID : FIRST_WORD_ID + len(digests)] = torch.tensor(digests, dtype=torch.int64)

    @torch.no_grad()
    def start(self, given: WordVectors, *, kept: bool) -> None:
        """Begin with vectors of a file; words that it does not have keep theirs.

        ``kept``: the table stays as it is, and these words get the mean of the given vectors: what was drawn by chance must not
        reach a prediction.
        """
        words = self.table.weight[FIRST_WORD_ID : FIRST_WORD_ID + len(given.found)]
        found = torch.from_numpy(given.found)
        vectors = torch.from_numpy(given.vectors[given.found]).to(words)
        if kept:
            self.table.weight[PADDING_ID + 1 :] = vectors.mean(dim=0) if len(vectors) else 0.0
        words[found] = vectors

    @torch.no_grad()
    def moved(self, table: Tensor, words: Tensor) -> tuple[Tensor, int]:
        """Another vocabulary's vectors at the ids that their words have here, and how many words that are.

        ``table`` ``[n_ids, d_out]`` and ``words`` are those of the other one.
        """
        places = {digest: i for i, digest in enumerate(words.tolist()) if digest}
        pairs = [(i, places[digest]) for i, digest in enumerate(self.words.tolist()) if digest in places]
        # Padding and unknown words are the same everywhere.
        pairs += [(i, i) for i in range(FIRST_WORD_ID)]
        here, there = (torch.tensor(ids) for ids in zip(*pairs, strict=True))
        found = self.table.weight.detach().clone()
        found[here.to(found.device)] = table[there].to(found)
        return found, len(pairs) - FIRST_WORD_ID

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


def start_words(module: nn.Module, vectors: Mapping[str, WordVectors], *, unfreezes: bool) -> None:
    """Let every embedding of words begin with the vectors that were given for its ingress.

    ``unfreezes``: what is frozen is so for a time.
    """
    for part in module.modules():
        if isinstance(part, WordEmbedding) and part.ingress in vectors:
            part.start(vectors[part.ingress], kept=not part.table.weight.requires_grad and not unfreezes)


def name_words(module: nn.Module, words: Mapping[str, Sequence[str]]) -> None:
    """Let every embedding know the words of its ingress."""
    for part in module.modules():
        if isinstance(part, WordEmbedding) and part.ingress in words:
            part.name(words[part.ingress])
