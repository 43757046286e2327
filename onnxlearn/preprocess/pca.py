"""Principal components of scaled numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.preprocess.scaling import LARGEST_UNSCALED

Array = np.ndarray[Any, np.dtype[Any]]

# Of longer sums ONNX Runtime changes the order with the number of rows.
LONGEST_SUM = 128


@dataclass(frozen=True, eq=False)
class Components:
    """``(y - mean) @ weights``: float64 ``[K]`` and ``[K, C]``. Components that training rows do not have are 0."""

    mean: Array
    weights: Array

    @classmethod
    def fit(cls, y: Array, n_components: int, *, whiten: bool) -> Components:
        """Fit on training rows, float64 ``[n, K]``; ``whiten``: components have variance 1.

        Signs as in scikit-learn's ``PCA``: the largest weight of a component is positive.
        """
        mean = y.mean(axis=0)
        deviations = y - mean
        variances, vectors = np.linalg.eigh(deviations.T @ deviations / max(len(y) - 1, 1))
        variances, vectors = variances[::-1][:n_components], vectors[:, ::-1][:, :n_components]
        largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(n_components)]
        there = variances > len(mean) * np.finfo(np.float64).eps * max(variances[0], np.finfo(np.float64).tiny)
        scale = np.sqrt(np.where(there, variances, 1.0)) if whiten else 1.0
        return cls(mean, np.where(there, vectors * np.sign(largest) / scale, 0.0))

    def emit(self, g: GraphBuilder, y: Value) -> Value:
        """The components, DOUBLE ``[N, C]``, of scaled numbers, DOUBLE ``[N, K]``."""
        deviations = g.op("Sub", y, g.const(self.mean))
        sizes = [len(self.mean[start : start + LONGEST_SUM]) for start in range(0, len(self.mean), LONGEST_SUM)]
        parts = [deviations]
        if len(sizes) > 1:
            parts = list(g.ops("Split", deviations, g.const(np.array(sizes)), n_outputs=len(sizes), axis=1))
        total: Value | None = None
        for part, start in zip(parts, range(0, len(self.mean), LONGEST_SUM), strict=True):
            share = g.op("MatMul", part, g.const(self.weights[start : start + LONGEST_SUM]))
            total = share if total is None else g.op("Add", total, share)
        assert total is not None
        low, high = (g.const(np.float64(end)) for end in (-LARGEST_UNSCALED, LARGEST_UNSCALED))
        return g.op("Min", g.op("Max", total, low), high)
