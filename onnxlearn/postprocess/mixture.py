"""Mean and standard deviation of a mixture of distributions of equal weight."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value

Array = np.ndarray[Any, np.dtype[Any]]


def mixture(mean: Array, std: Array, *, axis: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the mixture over one axis: the mean variance and the variance of the means.

    Computed in units of the largest part, so that no square overflows.

    >>> mixture(np.array([[-1.0, 1.0]]), np.array([[0.0, 0.0]]), axis=1)
    (array([0.]), array([1.]))
    """
    center = mean.mean(axis=axis, keepdims=True)
    away = np.abs(mean - center)
    unit = np.maximum(std, away).max(axis=axis, keepdims=True)
    unit = np.where(unit > 0, unit, 1.0)
    squares = (std / unit) ** 2 + (away / unit) ** 2
    together = np.sqrt(squares.mean(axis=axis, keepdims=True)) * unit
    return np.squeeze(center, axis), np.squeeze(together, axis)


def emit_mixture(g: GraphBuilder, mean: Value, std: Value, *, axis: int) -> tuple[Value, Value]:
    """:func:`mixture` in the graph, for DOUBLE values."""
    axes, one, zero = g.const(np.array([axis])), g.const(np.float64(1)), g.const(np.float64(0))
    center = g.op("ReduceMean", mean, axes, keepdims=1)
    away = g.op("Abs", g.op("Sub", mean, center))
    unit = g.op("ReduceMax", g.op("Max", std, away), axes, keepdims=1)
    unit = g.op("Where", g.op("Greater", unit, zero), unit, one)
    parts = [g.op("Div", part, unit) for part in (std, away)]
    squares = g.op("Add", *(g.op("Mul", part, part) for part in parts))
    together = g.op("Mul", g.op("Sqrt", g.op("ReduceMean", squares, axes, keepdims=1)), unit)
    return g.op("Squeeze", center, axes), g.op("Squeeze", together, axes)
