"""Pairs of neighbouring words, hashed: the n-grams that standard operators can tell exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.text.words import FIRST_WORD_ID, PADDING_ID, ints

Array = np.ndarray[Any, np.dtype[Any]]

# A prime, so that no usual number of buckets divides it and the first word counts.
FACTOR = 1_000_003


@dataclass(frozen=True)
class HashedPairs:
    """Adds an id for each two known words that stand side by side: ``n_words + (1000003 first + second) mod n_buckets``.

    The hash is of ids: standard operators compute with numbers, none hashes a text. So a pair with an unknown word has none
    (id 0). ``n_words`` is the vocabulary's ``n_ids``. Raises: ParameterError where ``n_buckets`` is below 1.

    >>> HashedPairs(n_words=5, n_buckets=8).ids(np.array([[2, 3, 1, 4], [3, 2, 0, 0]]))
    array([[2, 3, 1, 4, 6, 0, 0],
           [3, 2, 0, 0, 8, 0, 0]])
    """

    n_words: int
    n_buckets: int

    def __post_init__(self) -> None:
        if self.n_buckets < 1:
            raise ParameterError(f"n_buckets is at least 1, not {self.n_buckets}")

    @property
    def n_ids(self) -> int:
        """How many ids there may be, those of words included."""
        return self.n_words + self.n_buckets

    def ids(self, ids: Array) -> Array:
        """INT64 ``[N, 2 length - 1]``: the ids of words and of pairs, as the graph computes them."""
        first, second = ids[:, :-1], ids[:, 1:]
        known = np.minimum(first, second) >= FIRST_WORD_ID
        pairs = np.where(known, (first * FACTOR + second) % self.n_buckets + self.n_words, PADDING_ID)
        return np.concatenate([ids, pairs], axis=1)

    def emit(self, g: GraphBuilder, ids: Value) -> Value:
        """Add the nodes from ids of words, INT64 ``[N, length]``, to those of words and pairs, ``[N, 2 length - 1]``."""
        one, start, end = g.const(ints(1)), g.const(ints(0)), g.const(ints(np.iinfo(np.int64).max))
        first = g.op("Slice", ids, start, g.const(ints(-1)), one)
        second = g.op("Slice", ids, one, end, one)
        known = g.op("GreaterOrEqual", g.op("Min", first, second), g.const(ints(FIRST_WORD_ID)))
        mixed = g.op("Add", g.op("Mul", first, g.const(ints(FACTOR))), second)
        pairs = g.op("Add", g.op("Mod", mixed, g.const(ints(self.n_buckets))), g.const(ints(self.n_words)))
        return g.op("Concat", ids, g.op("Where", known, pairs, g.const(ints(PADDING_ID))), axis=1)
