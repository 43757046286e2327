"""B-splines: smooth bumps along a column, by which a straight line becomes a curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.preprocess.recode import take
from onnxlearn.preprocess.scaling import SMALLEST

Array = np.ndarray[Any, np.dtype[Any]]

DEGREE = 3
# Knots that are nearer, as a share of the column's spread, are one.
NEAREST = 1e-12


@dataclass(frozen=True, eq=False)
class Splines:
    """Knots, float64 ``[K, L]``, that rise within a column; ``first`` and ``last``, ``[K]``, are the ends of the training rows.

    As scikit-learn's ``SplineTransformer(degree=3, knots="quantile", extrapolation="constant")``: beyond the ends the values
    at the ends hold. Knots that fall together are one: such a column has fewer splines, and the others are 0.
    """

    knots: Array
    first: Array
    last: Array
    columns: tuple[int, ...]

    @classmethod
    def fit(cls, x: Array, columns: tuple[int, ...], n_splines: int) -> Splines:
        """Fit on training rows, float64 ``[n, K']`` without NaN."""
        n_knots = n_splines - DEGREE + 1
        knots = np.full((len(columns), n_splines + DEGREE + 1), np.inf)
        ends = np.zeros((len(columns), 2))
        for i, column in enumerate(columns):
            inner = _distinct(np.percentile(x[:, column], np.linspace(0, 100, n_knots)))
            ends[i] = inner[0], inner[-1]
            if len(inner) > 1:
                made = _extended(inner)
                knots[i, : len(made)] = made
        return cls(knots, ends[:, 0], ends[:, 1], columns)

    @property
    def n_splines(self) -> int:
        """How many there are of a column at most."""
        return int(self.knots.shape[1]) - DEGREE - 1

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        """The splines of a column side by side, DOUBLE ``[N, K S]``, by the recursion of Cox and de Boor."""
        inside = g.op("Min", g.op("Max", take(g, x, self.columns), g.const(self.first)), g.const(self.last))
        value = g.op("Unsqueeze", inside, g.const(np.array([2])))
        left, right = self.knots[:, :-1], self.knots[:, 1:]
        at = g.op("And", g.op("GreaterOrEqual", value, g.const(left)), g.op("Less", value, g.const(right)))
        bumps = g.op("Cast", at, to=DOUBLE)
        for degree in range(1, DEGREE + 1):
            bumps = self._emit_degree(g, value, bumps, degree)
        return g.op("Reshape", bumps, g.const(np.array([0, len(self.columns) * self.n_splines])))

    def _emit_degree(self, g: GraphBuilder, value: Value, bumps: Value, degree: int) -> Value:
        n = self.knots.shape[1] - degree - 1
        from_left, to_right = (self._weights(start, degree, n) for start in (0, 1))
        rising = g.op("Mul", g.op("Sub", value, g.const(from_left[0])), g.const(from_left[2]))
        falling = g.op("Mul", g.op("Sub", g.const(to_right[1]), value), g.const(to_right[2]))
        axis, one = g.const(np.array([2])), g.const(np.array([1]))
        former = g.op("Slice", bumps, g.const(np.array([0])), g.const(np.array([n])), axis, one)
        latter = g.op("Slice", bumps, one, g.const(np.array([n + 1])), axis, one)
        return g.op("Add", g.op("Mul", rising, former), g.op("Mul", falling, latter))

    def _weights(self, start: int, degree: int, n: int) -> tuple[Array, Array, Array]:
        """Left end, right end and 1 / width of the bumps of the degree before; all 0 where there is none."""
        left, right = (self.knots[:, start + shift : start + shift + n] for shift in (0, degree))
        there = np.isfinite(right)
        width = np.where(there, right, 1.0) - np.where(there, left, 0.0)
        return np.where(there, left, 0.0), np.where(there, right, 0.0), np.where(there, 1 / width, 0.0)


def _distinct(quantiles: Array) -> Array:
    """Those that rise so far that ratios of their distances are finite numbers."""
    reach = max(float(np.ptp(quantiles)), SMALLEST / NEAREST) * NEAREST
    quantiles = np.sort(quantiles)
    return np.concatenate([quantiles[:1], quantiles[1:][np.diff(quantiles) > reach]])


def _extended(inner: Array) -> Array:
    """Knots before and behind, as far apart as the first and the last two."""
    steps = np.arange(1, DEGREE + 1)
    before = inner[0] - (inner[1] - inner[0]) * steps[::-1]
    behind = inner[-1] + (inner[-1] - inner[-2]) * steps
    return np.concatenate([before, inner, behind])
