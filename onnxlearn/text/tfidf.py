"""TF-IDF of word ids, as scikit-learn's TfidfVectorizer computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.text.words import FIRST_WORD_ID, ints, zeros

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class TfIdf:
    """How often each word is in a text, times its inverse frequency ``ln((1 + n) / (1 + rows)) + 1``; of length 1.

    ``idf``: float32 ``[V]``, ``V = n_ids - 2``, 0 for an id without training rows. ``sublinear``: ``1 + ln(count)`` instead of
    the count. A text without known words gives zeros.

    >>> ids = np.array([[2, 3, 1], [2, 0, 0], [4, 4, 0]])
    >>> TfIdf.fit(ids, n_ids=6).idf.round(3)
    array([1.288, 1.693, 1.693, 0.   ], dtype=float32)
    """

    idf: Array
    sublinear: bool = False

    @classmethod
    def fit(cls, ids: Array, n_ids: int, *, sublinear: bool = False) -> TfIdf:
        """Fit on the ids of the training rows, INT64 ``[n, length]`` below ``n_ids``, of words or of words and pairs.

        Raises: DataError where there are no rows.
        """
        if not len(ids):
            raise DataError("TF-IDF has to be fitted on at least one text, not on an empty table")
        distinct = np.concatenate([np.unique(row) for row in ids])
        n_rows = np.bincount(distinct, minlength=n_ids)[FIRST_WORD_ID:]
        idf = np.log((1 + len(ids)) / (1 + n_rows)) + 1
        return cls(np.where(n_rows > 0, idf, 0).astype(np.float32), sublinear)

    def emit(self, g: GraphBuilder, ids: Value) -> Value:
        """Add the nodes from ids, INT64 ``[N, length]``, to FLOAT ``[N, V]``."""
        weighted = g.op("Mul", self._emit_counts(g, ids), g.const(self.idf))
        square = g.op("ReduceSumSquare", weighted, g.const(ints(1)), keepdims=1)
        # A text without words is divided by 1.
        empty = g.op("Equal", square, g.const(np.float32(0)))
        return g.op("Div", weighted, g.op("Where", empty, g.const(np.float32(1)), g.op("Sqrt", square)))

    def _emit_counts(self, g: GraphBuilder, ids: Value) -> Value:
        n_rows = g.op("Shape", ids, start=0, end=1)
        shape = g.op("Concat", n_rows, g.const(ints(FIRST_WORD_ID + len(self.idf))), axis=0)
        ones = g.op("Expand", g.const(np.ones(1, np.float32)), g.op("Shape", ids))
        counts = g.op("ScatterElements", zeros(g, shape, np.float32), ids, ones, axis=1, reduction="add")
        last = ints(np.iinfo(np.int64).max)
        counts = g.op("Slice", counts, g.const(ints(FIRST_WORD_ID)), g.const(last), g.const(ints(1)))
        if not self.sublinear:
            return counts
        damped = g.op("Add", g.op("Log", g.op("Max", counts, g.const(np.float32(1)))), g.const(np.float32(1)))
        return g.op("Mul", damped, g.op("Cast", g.op("Greater", counts, g.const(np.float32(0))), to=FLOAT))
