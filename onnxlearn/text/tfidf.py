"""TF-IDF of word ids, as scikit-learn's TfidfVectorizer computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.text.vocabulary import FIRST_WORD_ID, Vocabulary
from onnxlearn.text.words import zeros

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class TfIdf:
    """How often each word is in a text, times its inverse frequency ``ln((1 + n) / (1 + rows)) + 1``; of length 1.

    ``idf``: float32 ``[V]``, ``V = max_words`` of the vocabulary, 0 for places without a word. ``sublinear``: ``1 + ln(count)``
    instead of the count. A text without known words gives zeros.

    >>> vocabulary = Vocabulary.fit(["good phone", "good", "bad"], min_rows=1, max_words=4)
    >>> TfIdf.fit(vocabulary, vocabulary.ids(["good phone", "good", "bad"])).idf.round(3)
    array([1.288, 1.693, 1.693, 0.   ], dtype=float32)
    """

    idf: Array
    sublinear: bool = False

    @classmethod
    def fit(cls, vocabulary: Vocabulary, ids: Array, *, sublinear: bool = False) -> TfIdf:
        """Fit on the ids of the training rows, INT64 ``[n, length]``. Raises: DataError where there are no rows."""
        if not len(ids):
            raise DataError("TF-IDF has to be fitted on at least one text, not on an empty table")
        distinct = np.concatenate([np.unique(row) for row in ids])
        n_rows = np.bincount(distinct, minlength=vocabulary.n_ids)[FIRST_WORD_ID:]
        idf = np.log((1 + len(ids)) / (1 + n_rows)) + 1
        known = np.arange(vocabulary.max_words) < len(vocabulary.words)
        return cls(np.where(known, idf, 0).astype(np.float32), sublinear)

    def emit(self, g: GraphBuilder, ids: Value) -> Value:
        """Add the nodes from ids, INT64 ``[N, length]``, to FLOAT ``[N, V]``."""
        weighted = g.op("Mul", self._emit_counts(g, ids), g.const(self.idf))
        square = g.op("ReduceSumSquare", weighted, g.const(np.int64([1])), keepdims=1)
        # A text without words is divided by 1.
        empty = g.op("Equal", square, g.const(np.float32(0)))
        return g.op("Div", weighted, g.op("Where", empty, g.const(np.float32(1)), g.op("Sqrt", square)))

    def _emit_counts(self, g: GraphBuilder, ids: Value) -> Value:
        n_rows = g.op("Shape", ids, start=0, end=1)
        shape = g.op("Concat", n_rows, g.const(np.int64([FIRST_WORD_ID + len(self.idf)])), axis=0)
        ones = g.op("Expand", g.const(np.float32([1])), g.op("Shape", ids))
        counts = g.op("ScatterElements", zeros(g, shape, np.float32), ids, ones, axis=1, reduction="add")
        last = np.int64([np.iinfo(np.int64).max])
        counts = g.op("Slice", counts, g.const(np.int64([FIRST_WORD_ID])), g.const(last), g.const(np.int64([1])))
        if not self.sublinear:
            return counts
        damped = g.op("Add", g.op("Log", g.op("Max", counts, g.const(np.float32(1)))), g.const(np.float32(1)))
        return g.op("Mul", damped, g.op("Cast", g.op("Greater", counts, g.const(np.float32(0))), to=FLOAT))
