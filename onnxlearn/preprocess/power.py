"""Power transformations, Yeo-Johnson and Box-Cox: one formula for both, in numpy to fit it and in the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.preprocess.scaling import LARGEST, SMALLEST, clean, standard_deviation

Array = np.ndarray[Any, np.dtype[Any]]

# Exponents end here, so that squares of powers stay finite.
LARGEST_EXPONENT = 300.0
# A positive number and its column's anchor are no further apart in logarithms, so that their ratio is a finite number.
LARGEST_LOG = 600.0
GOLDEN = (5**0.5 - 1) / 2
# How far an exponent is sought, as a share of it: more digits the likelihood does not tell.
PRECISION = 1e-9


@dataclass(frozen=True, eq=False)
class Power:
    """The curve of each column; float64, ``[K]``, or ``[2, K]``: for negative numbers, and for the others.

    ``u = log((shift + |x|) / (shift + anchor))``, with the sign of ``x``, becomes ``offset + factor (exp(rate u) - 1) / rate``,
    or ``offset + factor u`` where the rate is 0. ``shift`` is 1 for Yeo-Johnson and 0 for Box-Cox. The anchor lies among the
    sizes of the column's numbers where these are of one sign, else it is 0: it changes the curve by a factor and a constant,
    which standardisation takes out again, and keeps the digits of numbers far from 0. Within ``low`` and ``high`` no power
    overflows. Yeo and Johnson (2000), "A new family of power transformations to improve normality or symmetry"; Box and Cox
    (1964), "An analysis of transformations".
    """

    shift: Array
    anchor: Array
    rate: Array
    factor: Array
    offset: Array
    low: Array
    high: Array

    @classmethod
    def fit(cls, x: Array, *, box_cox: bool) -> Power:
        """Fit on training rows, float64 ``[n, K]``, NaN where missing: the exponents of maximum likelihood.

        ``box_cox``: columns whose numbers are all positive take Box-Cox, the others Yeo-Johnson as all do without it.
        """
        columns = [_fit_column(clean(column), box_cox=box_cox) for column in x.T]
        return cls(*(np.stack([getattr(column, field.name) for column in columns], axis=-1) for field in fields(cls)))

    def column(self, i: int) -> Power:
        """The curve of one column alone."""
        return Power(*(getattr(self, field.name)[..., i] for field in fields(self)))

    def transform(self, x: Array) -> Array:
        """Powers of numbers of a single column, float64 ``[n]``: what the graph gives."""
        x = np.clip(x, self.low, self.high)
        side = (x >= 0).astype(np.intp)
        log = _log_ratio(np.abs(x), self.shift, self.anchor[side])
        return np.asarray(self.offset[side] + self.factor[side] * _curve(self.rate[side], np.where(x < 0, -log, log)))

    def inverse(self, y: Array) -> Array:
        """Numbers of a single column with these powers, float64 ``[n]``; within ``low`` and ``high`` where there are none."""
        side = (y >= self.transform(np.clip(np.zeros(1), self.low, self.high))).astype(np.intp)
        side = np.where(self.low > 0, 1, np.where(self.high < 0, 0, side))
        rate, anchor, sign = self.rate[side], self.anchor[side], np.where(side, 1.0, -1.0)
        u = sign * _inverse_curve(rate, (y - self.offset[side]) / self.factor[side])
        sizes = _size_at(u, self.shift, anchor)
        return np.asarray(np.clip(sign * sizes, self.low, self.high))

    def emit(self, g: GraphBuilder, x: Value) -> Value:
        """Powers of ``x``, DOUBLE ``[N, K]`` without NaN and within ``low`` and ``high``."""
        negative = g.op("Less", x, g.const(np.float64(0)))
        anchor, rate, factor, offset = (
            g.op("Where", negative, g.const(pair[0]), g.const(pair[1]))
            for pair in (self.anchor, self.rate, self.factor, self.offset)
        )
        log = _emit_log_ratio(g, g.op("Abs", x), g.const(self.shift), anchor)
        curve = _emit_curve(g, rate, g.op("Where", negative, g.op("Neg", log), log))
        return g.op("Add", offset, g.op("Mul", factor, curve))


def _log_ratio(size: Array, shift: Array, anchor: Array) -> Array:
    """``log((shift + size) / (shift + anchor))`` with all its digits, near 0 too."""
    base = shift + anchor
    change = (size - anchor) / base
    return np.asarray(np.where(change > -0.5, np.log1p(np.maximum(change, -0.5)), np.log((shift + size) / base)))


def _emit_log_ratio(g: GraphBuilder, size: Value, shift: Value, anchor: Value) -> Value:
    """The same by the logarithm alone, after Kahan: its error is that of a ratio nearby."""
    one, base = g.const(np.float64(1)), g.op("Add", shift, anchor)
    ratio, change = g.op("Div", g.op("Add", shift, size), base), g.op("Div", g.op("Sub", size, anchor), base)
    same = g.op("Equal", ratio, one)
    gap = g.op("Where", same, one, g.op("Sub", ratio, one))
    return g.op("Where", same, change, g.op("Mul", g.op("Div", g.op("Log", ratio), gap), change))


def _curve(rate: Array | float, u: Array) -> Array:
    """``(exp(rate u) - 1) / rate``, or ``u`` where the rate is 0, with all its digits."""
    flat = np.abs(rate) < SMALLEST
    return np.where(flat, u, np.expm1(rate * u) / np.where(flat, 1.0, rate))


def _inverse_curve(rate: Array, y: Array) -> Array:
    flat = np.abs(rate) < SMALLEST
    change = np.clip(rate * y, np.expm1(-LARGEST_EXPONENT) + np.finfo(np.float64).eps, np.expm1(LARGEST_EXPONENT))
    return np.clip(np.where(flat, y, np.log1p(change) / np.where(flat, 1.0, rate)), -LARGEST_LOG, LARGEST_LOG)


def _emit_curve(g: GraphBuilder, rate: Value, u: Value) -> Value:
    one, power = g.const(np.float64(1)), g.op("Exp", g.op("Mul", rate, u))
    same = g.op("Equal", power, one)
    log = g.op("Where", same, one, g.op("Log", power))
    return g.op("Where", same, u, g.op("Mul", g.op("Div", g.op("Sub", power, one), log), u))


def _fit_column(values: Array, *, box_cox: bool) -> Power:
    if not len(values) or np.ptp(values) < SMALLEST:
        return _power(1.0, 1.0, 0.0)
    if values.max() <= 0:
        # The curve of the numbers without their signs, mirrored.
        return _mirrored(_fit_column(-values, box_cox=False))
    shift = 0.0 if box_cox and values.min() > 0 else 1.0
    anchor = _anchor(values, shift) if values.min() >= 0 else 0.0
    return _power(_likeliest(values, shift, anchor), shift, anchor)


def _anchor(values: Array, shift: float) -> float:
    """The geometric mean, of the numbers or of these plus 1."""
    if shift:
        return float(np.expm1(np.log1p(values).mean()))
    return float(np.exp(np.log(np.maximum(values, SMALLEST)).mean()))


def _likeliest(values: Array, shift: float, anchor: float) -> float:
    """The exponent at which the powers are the most like normal ones."""
    negative = values < 0
    mixed = bool(negative.any())
    sizes = np.clip(np.abs(values), *_reachable(shift, anchor, LARGEST_LOG))
    u = np.where(negative, -1, 1) * _log_ratio(sizes, np.asarray(shift), np.asarray(anchor))
    # What the logarithm of the slope adds, over all rows; about an anchor it is 0.
    slope = float(u.sum()) if mixed else 0.0

    def likelihood(exponent: float) -> float:
        rate = np.where(negative, exponent - 2, exponent) if mixed else np.float64(exponent)
        limit = LARGEST_EXPONENT / np.maximum(np.abs(rate), SMALLEST)
        powers = _curve(rate, np.clip(u, -limit, limit))
        return slope * exponent - len(u) * np.log(standard_deviation(powers)) if np.ptp(powers) >= SMALLEST else -np.inf

    middle = 1.0 if mixed else 0.0
    return _maximum(likelihood, middle, LARGEST_EXPONENT / max(float(np.abs(u).max()), SMALLEST))


def _maximum(score: Callable[[float], float], middle: float, reach: float) -> float:
    """Where a function is greatest, not further than ``reach`` from ``middle``: first roughly, then by the golden section."""
    steps = reach * 4.0 ** -np.arange(8)
    grid = [*(middle - steps), middle, *(middle + steps)[::-1]]
    best = int(np.argmax([score(exponent) for exponent in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_inner, at_outer = score(inner), score(outer)
    while high - low > PRECISION * max(abs(low), abs(high), reach / 1000):
        if at_inner > at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - GOLDEN * (high - low)
            at_inner = score(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + GOLDEN * (high - low)
            at_outer = score(outer)
    return float((low + high) / 2)


def _power(exponent: float, shift: float, anchor: float) -> Power:
    """The curve of a column with this exponent, whose anchor is positive or 0."""
    low, high = _reachable(shift, anchor, _limit(exponent))
    factor, offset = 1.0, 0.0
    if low == 0:
        # Numbers below 0 have a rate of their own; the anchor of the others is part of their curve.
        low = -np.expm1(_limit(exponent - 2))
        to_zero = -np.log1p(np.float64(anchor))
        factor, offset = np.exp(exponent * to_zero), float(_curve(exponent, to_zero))
    return Power(
        shift=np.asarray(shift),
        anchor=np.array([0.0, anchor]),
        rate=np.array([exponent - 2, exponent]),
        factor=np.array([factor, 1.0]),
        offset=np.array([offset, 0.0]),
        low=np.asarray(low),
        high=np.asarray(high),
    )


def _limit(rate: float) -> float:
    """How far the logarithm goes on either side of the anchor before a power overflows."""
    return min(LARGEST_EXPONENT / max(abs(rate), SMALLEST), LARGEST_LOG)


def _reachable(shift: float, anchor: float, reach: float) -> tuple[float, float]:
    """The lowest and the highest number, not negative, whose logarithms are no further from the anchor's."""
    low, high = _size_at(np.array([-reach, reach]), np.asarray(shift), np.asarray(anchor)).tolist()
    return max(low, 0.0 if shift else SMALLEST), min(high, LARGEST)


def _size_at(u: Array, shift: Array, anchor: Array) -> Array:
    """The inverse of :func:`_log_ratio`, at most ``LARGEST``."""
    base = shift + anchor
    u = np.minimum(u, np.log(LARGEST) - np.log(base))
    return np.where(u < -1, base * np.exp(u) - shift, anchor + base * np.expm1(u))


def _mirrored(power: Power) -> Power:
    """The curve of the numbers times -1, times -1."""
    return Power(
        shift=power.shift,
        anchor=power.anchor[::-1],
        rate=-power.rate[::-1],
        factor=power.factor[::-1],
        offset=-power.offset[::-1],
        low=-power.high,
        high=-power.low,
    )
