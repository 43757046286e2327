"""Means, and the mean and standard deviation of a mixture of distributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value

Array = np.ndarray[Any, np.dtype[Any]]


def mixture(mean: Array, std: Array, *, axis: int, weights: Array | None = None) -> tuple[Array, Array]:
    """Mean and standard deviation of the mixture over one axis: the mean variance and the variance of the means.

    ``weights``: what each part counts, with sum 1; ``None``: all the same. Computed in units of the largest part, so that no
    square overflows.

    >>> mixture(np.array([[-1.0, 1.0]]), np.array([[0.0, 0.0]]), axis=1)
    (array([0.]), array([1.]))
    """
    center = weighted_mean(mean, axis, weights)
    away = np.abs(mean - center)
    unit = np.maximum(std, away).max(axis=axis, keepdims=True)
    unit = np.where(unit > 0, unit, 1.0)
    squares = (std / unit) ** 2 + (away / unit) ** 2
    together = np.sqrt(weighted_mean(squares, axis, weights)) * unit
    return np.squeeze(center, axis), np.squeeze(together, axis)


def weighted_mean(values: Array, axis: int, weights: Array | None) -> Array:
    """The mean over one axis, which stays with length 1; also of no rows.

    >>> weighted_mean(np.array([[1.0, 4.0]]), 1, np.array([0.5, 0.5]))
    array([[2.5]])
    """
    if weights is None:
        return np.asarray(values.mean(axis=axis, keepdims=True))
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    return np.asarray((values * weights.reshape(shape)).sum(axis=axis, keepdims=True))


def emit_mixture(g: GraphBuilder, mean: Value, std: Value, *, axis: int, weights: Array | None = None) -> tuple[Value, Value]:
    """:func:`mixture` in the graph, for DOUBLE values ``[N, k, T]``."""
    axes, one, zero = g.const(np.array([axis])), g.const(np.float64(1)), g.const(np.float64(0))
    weights = None if weights is None else weights.reshape(-1, 1)
    center = emit_mean(g, mean, axis=axis, keepdims=1, weights=weights)
    away = g.op("Abs", g.op("Sub", mean, center))
    unit = g.op("ReduceMax", g.op("Max", std, away), axes, keepdims=1)
    unit = g.op("Where", g.op("Greater", unit, zero), unit, one)
    parts = [g.op("Div", part, unit) for part in (std, away)]
    squares = g.op("Add", *(g.op("Mul", part, part) for part in parts))
    together = g.op("Mul", g.op("Sqrt", emit_mean(g, squares, axis=axis, keepdims=1, weights=weights)), unit)
    return g.op("Squeeze", center, axes), g.op("Squeeze", together, axes)


def emit_mean(g: GraphBuilder, values: Value, *, axis: int, keepdims: int, weights: Array | None = None) -> Value:
    """The mean over one axis; ``weights``, with sum 1, are of the values' type and a shape that is broadcast to theirs."""
    axes = g.const(np.array([axis]))
    if weights is None:
        return g.op("ReduceMean", values, axes, keepdims=keepdims)
    return g.op("ReduceSum", g.op("Mul", values, g.const(weights)), axes, keepdims=keepdims)
