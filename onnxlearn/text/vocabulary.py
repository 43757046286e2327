"""The words that a column of texts is known by, and their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import ML_DOMAIN, GraphBuilder, Value
from onnxlearn.text.words import FIRST_WORD_ID, PADDING_ID, UNKNOWN_ID, Splitter, to_grid

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Ids of words: 0 behind the end of a text, 1 for a word that is not known, 2.. for ``words``, the most frequent first.

    ``words`` are lower-cased. As no standard operator lower-cases, ``spellings`` says which texts stand for each: the word in
    lower case, in capitals, with a capital first, and as it was spelled in the training rows ("iPhone"). Any other
    spelling is unknown. ``n_ids`` follows from ``max_words`` alone, however many words there were.

    >>> texts = ["Good phone", "not GOOD", "a phone!", "iPhone"]
    >>> vocabulary = Vocabulary.fit(texts, Splitter(length=3), min_rows=2, max_words=10)
    >>> vocabulary.words, vocabulary.n_ids
    (('good', 'phone'), 12)
    >>> vocabulary.ids(["Phone, good?", "", "GoOd"]).tolist()
    [[3, 2, 0], [0, 0, 0], [1, 0, 0]]
    """

    splitter: Splitter
    words: tuple[str, ...]
    spellings: Mapping[str, int]
    max_words: int

    @classmethod
    def fit(
        cls, texts: Iterable[str], splitter: Splitter | None = None, *, min_rows: int = 2, max_words: int = 10_000
    ) -> Vocabulary:
        """The words of training texts that are in at least ``min_rows`` of them; at most ``max_words``, those in most texts.

        Missing texts are "". Raises: ParameterError where ``min_rows`` or ``max_words`` is below 1.
        """
        for name, value in (("min_rows", min_rows), ("max_words", max_words)):
            if value < 1:
                raise ParameterError(f"{name} is at least 1, not {value}")
        splitter = splitter or Splitter()
        n_rows: Counter[str] = Counter()
        seen: set[str] = set()
        for text in texts:
            found = splitter.words(text)
            seen.update(found)
            n_rows.update({word.lower() for word in found})
        often = sorted((-n, word) for word, n in n_rows.items() if n >= min_rows)
        words = tuple(word for _, word in often[:max_words])
        return cls(splitter, words, _spellings(words, seen), max_words)

    @property
    def n_ids(self) -> int:
        """How many ids there may be: the rows of a table of embeddings."""
        return FIRST_WORD_ID + self.max_words

    def ids(self, texts: Sequence[str]) -> Array:
        """INT64 ``[N, length]``, as the graph computes them."""
        ids = np.full((len(texts), self.splitter.length), PADDING_ID, np.int64)
        for row, text in zip(ids, texts, strict=True):
            found = [self.spellings.get(word, UNKNOWN_ID) for word in self.splitter.words(text)]
            row[: len(found)] = found
        return ids

    def emit(self, g: GraphBuilder, texts: Value) -> Value:
        """Add the nodes from texts, STRING ``[N, 1]``, to ids, INT64 ``[N, length]``."""
        found = self.splitter.emit(g, texts)
        # An attribute cannot be an empty list, and no word is the empty text.
        keys = {"": UNKNOWN_ID, **self.spellings}
        ids = g.op(
            "LabelEncoder", found.words, domain=ML_DOMAIN,
            keys_strings=list(keys), values_int64s=list(keys.values()), default_int64=UNKNOWN_ID,
        )  # fmt: skip
        return to_grid(g, ids, found, texts, self.splitter.length)


def _spellings(words: Sequence[str], seen: Iterable[str]) -> dict[str, int]:
    """All that stands for each word: a text that is lower-cased to it, so that none stands for two."""
    ids = {word: i for i, word in enumerate(words, FIRST_WORD_ID)}
    usual = (text for word in words for text in (word, word.capitalize(), word.upper()))
    return {text: ids[text.lower()] for text in (*usual, *sorted(seen)) if text.lower() in ids}
