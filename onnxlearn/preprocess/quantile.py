"""Quantile scaling to the normal distribution: an exact search in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.preprocess.scaling import SMALLEST, clean

Array = np.ndarray[Any, np.dtype[Any]]

# Shares nearer to 0 or 1 are cut off, as in scikit-learn: results lie in ±5.2.
EDGE = 1e-7

# Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", and their later papers: so many rows a reference.
ROWS_PER_QUANTILE = 30

# Wichura (1988), "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37(3), 477-484,
# routine PPND16 (16 digits); coefficients of falling powers. Its far tail begins at shares below exp(-25) < EDGE.
CENTER_NUM = (
    2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125,
    1971.5909503065514427, 133.14166789178437745, 3.387132872796366608,
)  # fmt: skip
CENTER_DEN = (
    5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077,
    687.1870074920579083, 42.313330701600911252, 1.0,
)  # fmt: skip
TAIL_NUM = (
    7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
    3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734,
)  # fmt: skip
TAIL_DEN = (
    1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
    0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The distinct quantiles of each column and their ranks, one below the other: ``[L, K]``, L a power of two.

    ``knots`` (float64) rise within a column and are padded with the largest number. ``first`` and ``last`` (int16) are the
    ranks, 0 to ``n_ranks - 1``, between which a quantile is repeated. A value on a knot has the middle of its ranks; one
    between two knots lies on the line from the last rank of the lower knot to the first rank of the upper one.
    ``lowest`` and ``highest``, float64 ``[K]``, are the ends of the knots; ``extreme`` tells whether they are the ends of the
    distribution too, however often they occur.
    """

    knots: Array
    first: Array
    last: Array
    lowest: Array
    highest: Array
    n_ranks: int
    extreme: bool

    @classmethod
    def fit(cls, x: Array, n_quantiles: int | None, *, extreme: bool = True) -> Quantiles:
        """Fit on training rows, float64 ``[n, K]``, NaN where missing; no number of quantiles means one for 30 rows."""
        if n_quantiles is None:
            n_quantiles = min(max(len(x) // ROWS_PER_QUANTILE, 10), 1000)
        n_ranks = max(min(n_quantiles, len(x)), 2)
        columns = [_knots(clean(column), n_ranks) for column in x.T]
        longest = max(len(knots) for knots, _ in columns)
        shape = (1 << (longest - 1).bit_length(), len(columns))
        knots = np.full(shape, np.finfo(np.float64).max)
        first, last = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
        for i, (column, counts) in enumerate(columns):
            ends = np.cumsum(counts)
            knots[: len(column), i], first[: len(column), i], last[: len(column), i] = column, ends - counts, ends - 1
        ends = np.array([(column[0], column[-1]) for column, _ in columns])
        return cls(knots, first, last, ends[:, 0], ends[:, 1], n_ranks, extreme)

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        """Normal scores of ``x``, DOUBLE ``[N, K]`` without NaN and within the columns' knots; constant columns give 0."""
        normal = emit_normal_quantile(g, self._emit_shares(g, x))
        constant = self.lowest == self.highest
        return g.op("Where", g.const(constant), g.const(np.float64(0)), normal) if constant.any() else normal

    def _emit_search(self, g: GraphBuilder, x: Value, knots: Value) -> Value:
        """Row of the last knot that is not above ``x``: INT64 ``[N, K]``, by halving."""
        step = len(self.knots) // 2
        above = g.op("LessOrEqual", g.const(self.knots[step]), x)
        row = g.op("Where", above, g.const(np.int64(step)), g.const(np.int64(0)))
        while step := step // 2:
            further = g.op("Add", row, g.const(np.int64(step)))
            above = g.op("LessOrEqual", g.op("GatherElements", knots, further, axis=0), x)
            row = g.op("Where", above, further, row)
        return row

    def _emit_shares(self, g: GraphBuilder, x: Value) -> Value:
        """Share of the training values below ``x``, ties by half: DOUBLE ``[N, K]`` in [0, 1]."""
        top, ranks = g.const(np.float64(self.n_ranks - 1)), self._emit_ranks(g, x)
        if self.extreme:
            is_lowest, is_highest = g.op("Equal", x, g.const(self.lowest)), g.op("Equal", x, g.const(self.highest))
            ranks = g.op("Where", is_highest, top, g.op("Where", is_lowest, g.const(np.float64(0)), ranks))
        return g.op("Div", ranks, top)

    def _emit_ranks(self, g: GraphBuilder, x: Value) -> Value:
        knots, first, last = g.const(self.knots), g.const(self.first), g.const(self.last)
        row = self._emit_search(g, x, knots)
        upper = g.op("Min", g.op("Add", row, g.const(np.int64(1))), g.const(np.int64(len(self.knots) - 1)))
        below, above = (g.op("GatherElements", knots, at, axis=0) for at in (row, upper))
        gap = g.op("Max", g.op("Sub", above, below), g.const(np.float64(SMALLEST)))
        fraction = g.op("Div", g.op("Sub", x, below), gap)
        from_first, from_last, to_first = (
            g.op("Cast", g.op("GatherElements", table, at, axis=0), to=DOUBLE)
            for table, at in ((first, row), (last, row), (first, upper))
        )
        between = g.op("Add", from_last, g.op("Mul", fraction, g.op("Sub", to_first, from_last)))
        tied = g.op("Div", g.op("Add", from_first, from_last), g.const(np.float64(2)))
        return g.op("Where", g.op("Equal", x, below), tied, between)


def _knots(values: Array, n_ranks: int) -> tuple[Array, Array]:
    """The distinct quantiles of a column's values and how many ranks each has."""
    if not len(values) or np.ptp(values) < SMALLEST:
        return values[:1] if len(values) else np.zeros(1), np.array([n_ranks])
    quantiles = np.percentile(values, np.linspace(0, 1, n_ranks) * 100)
    # Interpolation may step back by a rounding error.
    knots, counts = np.unique(np.maximum.accumulate(quantiles), return_counts=True)
    return knots, counts


def emit_normal_quantile(g: GraphBuilder, share: Value) -> Value:
    """The inverse of the normal distribution function, DOUBLE, for shares cut off at 1e-7 and 1 - 1e-7."""
    one, half = g.const(np.float64(1)), g.const(np.float64(0.5))
    share = g.op("Min", g.op("Max", share, g.const(np.float64(EDGE))), g.const(np.float64(1 - EDGE)))
    q = g.op("Sub", share, half)
    r = g.op("Sub", g.const(np.float64(0.180625)), g.op("Mul", q, q))
    center = g.op("Mul", q, _emit_ratio(g, r, CENTER_NUM, CENTER_DEN))
    tail_share = g.op("Min", share, g.op("Sub", one, share))
    t = g.op("Sub", g.op("Sqrt", g.op("Neg", g.op("Log", tail_share))), g.const(np.float64(1.6)))
    tail = g.op("Mul", g.op("Sign", q), _emit_ratio(g, t, TAIL_NUM, TAIL_DEN))
    is_center = g.op("LessOrEqual", g.op("Abs", q), g.const(np.float64(0.425)))
    return g.op("Where", is_center, center, tail)


def _emit_ratio(g: GraphBuilder, x: Value, numerator: Sequence[float], denominator: Sequence[float]) -> Value:
    return g.op("Div", _emit_polynomial(g, x, numerator), _emit_polynomial(g, x, denominator))


def _emit_polynomial(g: GraphBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    """Horner's rule, the highest power first."""
    value = g.const(np.float64(coefficients[0]))
    for coefficient in coefficients[1:]:
        value = g.op("Add", g.op("Mul", value, x), g.const(np.float64(coefficient)))
    return value
