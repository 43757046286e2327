"""Temperature scaling: probabilities as sure as they are right.

Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", section 4.2: ``softmax(logits / T)``. Here
the logits are the logarithms of (averaged) probabilities, which differ from a network's own by a constant a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.postprocess.heads import softmax

Array = np.ndarray[Any, np.dtype[Any]]

# Smaller probabilities count as this one: far above what float32 rounds to 0, so that graph and numpy see the same.
SMALLEST = 1e-30
# Bounds of T.
COLDEST, HOTTEST = 0.1, 10.0
N_HALVINGS = 50


def fit_temperature(probabilities: Array, truth: Array, counts: Array) -> float:
    """The temperature with the least log loss on calibration rows, 0.1 to 10.

    ``probabilities`` float64 ``[n, C]``, ``truth`` int64 ``[n]``, ``counts`` what each row counts. A Gamma distribution of
    ``1 / T`` with its mode at 1 counts as one row more: few rows, or rows that are all right, do not make the network
    surer than they can know.
    """
    logits = _log(probabilities)
    of_truth = logits[np.arange(len(truth)), truth]

    def slope(inverse: float) -> float:
        """Derivative of the loss by ``1 / T``, which only rises."""
        expected = (softmax(logits * inverse) * logits).sum(axis=1)
        return float(counts @ (expected - of_truth) + 1.0 - 1.0 / inverse)

    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def tempered(probabilities: Array, temperature: float) -> Array:
    """Probabilities at this temperature, float64 ``[N, C]``.

    >>> tempered(np.array([[0.8, 0.2]]), 0.5).round(3)
    array([[0.941, 0.059]])
    """
    return softmax(_log(probabilities) / temperature)


def emit_tempered(g: GraphBuilder, probabilities: Value, temperature: float) -> Value:
    """:func:`tempered` in the graph, FLOAT."""
    logits = g.op("Log", g.op("Max", probabilities, g.const(np.float32(SMALLEST))))
    return g.op("Softmax", g.op("Mul", logits, g.const(np.float32(1 / temperature))), axis=-1)


def _log(probabilities: Array) -> Array:
    return np.asarray(np.log(np.maximum(probabilities, SMALLEST)))
