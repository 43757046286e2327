"""Quantile binning: which of a column's quantiles a number lies between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.preprocess.recode import take

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Bins:
    """Edges between bins, float64 ``[B - 1, K]``, that rise within a column; columns with fewer end in infinities.

    As scikit-learn's ``KBinsDiscretizer(strategy="quantile")``: a number on an edge is in the upper bin, and edges that fall
    together are one. ``columns`` are those that are binned.
    """

    edges: Array
    columns: tuple[int, ...]

    @classmethod
    def fit(cls, x: Array, columns: tuple[int, ...], n_bins: int) -> Bins:
        """Fit on training rows, float64 ``[n, K']`` without NaN."""
        edges = np.full((n_bins - 1, len(columns)), np.inf)
        for i, column in enumerate(columns):
            quantiles = np.percentile(x[:, column], np.linspace(0, 100, n_bins + 1))
            inner = np.unique(quantiles)[1:-1]
            edges[: len(inner), i] = inner
        return cls(edges, columns)

    @property
    def n_bins(self) -> int:
        """How many there are of a column at most."""
        return len(self.edges) + 1

    def emit_onehot(self, g: GraphBuilder, x: Value) -> Value:
        """0/1 columns, DOUBLE ``[N, K B]``, the bins of a column side by side; a column without edges has none but 0."""
        lower, upper = (np.vstack(pair).T.ravel() for pair in self._ends())
        value = take(g, x, [column for column in self.columns for _ in range(self.n_bins)])
        inside = g.op("And", g.op("GreaterOrEqual", value, g.const(lower)), g.op("Less", value, g.const(upper)))
        return g.op("Cast", inside, to=DOUBLE)

    def emit_ordinal(self, g: GraphBuilder, x: Value) -> Value:
        """The number of the bin from 0, divided by the highest one of the column: DOUBLE ``[N, K]``."""
        value = g.op("Unsqueeze", take(g, x, self.columns), g.const(np.array([2])))
        above = g.op("Cast", g.op("GreaterOrEqual", value, g.const(self.edges.T)), to=DOUBLE)
        number = g.op("ReduceSum", above, g.const(np.array([2])), keepdims=0)
        highest = np.maximum(np.isfinite(self.edges).sum(axis=0), 1).astype(np.float64)
        return g.op("Div", number, g.const(highest))

    def _ends(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Lower and upper ends of all bins; a column of one bin has none, since it would be 1 for every row."""
        infinite = np.full((1, len(self.columns)), np.inf)
        first = np.where(np.isinf(self.edges[:1]), np.inf, -np.inf)
        return (first, self.edges), (self.edges, infinite)
