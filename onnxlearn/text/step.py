"""A column of texts on its way into the network: its vocabulary is that of the training rows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.schema import Column, ColumnTensor
from onnxlearn.text.config import TextConfig, plan_texts
from onnxlearn.text.pairs import HashedPairs
from onnxlearn.text.tfidf import TfIdf
from onnxlearn.text.vectors import WordVectors, read_word_vectors
from onnxlearn.text.vocabulary import Vocabulary
from onnxlearn.text.words import Splitter, ints

Array = np.ndarray[Any, np.dtype[Any]]


def _require_memory(name: str, n_texts: int, n_ids: int) -> None:
    """Training holds TF-IDF in memory. Raises: ParameterError where it would be more than this machine has."""
    needed = 4.0 * n_texts * n_ids
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    if needed > there:
        raise ParameterError(
            f"column {name!r}: text_form='tfidf' takes {needed / 1e9:.0f} GB for {n_texts:,} training texts and {n_ids:,} ids "
            f"(4 bytes each), and this machine has {there / 1e9:.0f} GB: lower text_max_words or text_pairs, or take "
            "text_form='ids'"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class TextStep:
    """Words of texts, their pairs and TF-IDF, those that the settings ask for.

    ``counts``: how often training rows have each id, int64 ``[n_ids]``. ``vectors``: those of a file, of each of the
    vocabulary's words, ``None`` where none were given.
    """

    tensor: ColumnTensor
    n_missing: int
    vocabulary: Vocabulary
    pairs: HashedPairs | None
    tfidf: TfIdf | None
    counts: Array
    vectors: WordVectors | None

    @classmethod
    def fit(cls, column: Column, config: TextConfig, feed: Array) -> Self:
        """Fit on the texts of the training rows, STRING ``[N, 1]``. Raises: TableReadError for a file of vectors."""
        texts = feed[:, 0].tolist()
        vocabulary = Vocabulary.fit(
            texts, Splitter(length=config.text_length), min_rows=config.text_min_rows, max_words=config.text_max_words
        )
        ids, n_ids = vocabulary.ids(texts), vocabulary.n_ids
        pairs = HashedPairs(n_ids, config.text_pairs) if config.text_pairs else None
        if pairs is not None:
            ids, n_ids = pairs.ids(ids), pairs.n_ids
        if config.text_form == "tfidf":
            _require_memory(column.name, len(texts), n_ids)
        file = config.text_vectors
        return cls(
            tensor=plan_texts(column, config),
            n_missing=texts.count(""),
            vocabulary=vocabulary,
            pairs=pairs,
            tfidf=TfIdf.fit(ids, n_ids, sublinear=config.text_sublinear) if config.text_form == "tfidf" else None,
            counts=np.bincount(ids.ravel(), minlength=n_ids),
            vectors=None if file is None else read_word_vectors(file.path, vocabulary.words),
        )

    def few_vectors(self) -> str:
        """That a file has no vectors for nearly all of the known words, where that is so: it may be one of another language."""
        if self.vectors is None or not self.vocabulary.words:
            return ""
        n_found, n_words = int(self.vectors.found.sum()), len(self.vocabulary.words)
        if n_found > n_words / 10:
            return ""
        return (
            f"column {self.tensor.column!r}: text_vectors has vectors of {n_found} of the {n_words} words that are known alone"
        )

    def emit(self, g: GraphBuilder, column: Value) -> tuple[Value, Value | None]:
        """Add the nodes to INT64 ``[N, length]``, or FLOAT ``[N, V]``, and BOOL ``[N, 1]``: an empty text is a missing one."""
        ids = self.vocabulary.emit(g, column)
        if self.pairs is not None:
            ids = self.pairs.emit(g, ids)
        tensor = ids if self.tfidf is None else self.tfidf.emit(g, ids)
        # Its width is known only to us: what follows shall see numbers.
        tensor = g.op("Reshape", tensor, g.const(ints(0, *self.tensor.shape)))
        return tensor, g.op("Equal", column, g.const(np.array([""], object)))
