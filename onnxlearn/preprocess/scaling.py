"""Impute, clip and scale: one affine map a column, in DOUBLE, that gives a finite number for every input."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.preprocess.config import PreprocessConfig, Scaler

if TYPE_CHECKING:
    from onnxlearn.preprocess.power import Power

Array = np.ndarray[Any, np.dtype[Any]]

# Numbers beyond are taken as this one, so that sums and differences of a column's values stay finite.
LARGEST = 1e300
# A column that spreads less is constant: processors differ in what they make of numbers below 2.2e-308.
SMALLEST = 1e-300
# Unscaled numbers end here, so that their squares fit float32.
LARGEST_UNSCALED = 1e18


class Location(NamedTuple):
    """Where a column lies and how far it spreads; ``scale`` 0 means that it is constant."""

    center: float
    scale: float


def locate(values: Array, scaler: Scaler) -> Location:
    """Centre and scale of finite numbers within ±``LARGEST``, float64 ``[n]``.

    standard (and none, quantile, powers): mean and standard deviation. minmax: minimum and range. robust: median and the
    distance of the quartiles, or half the range where they are equal (Holzmüller et al. 2024, "Better by default", section 3).
    """
    low, high = (values.min(), values.max()) if len(values) else (0.0, 0.0)
    if high - low < SMALLEST:
        return Location(float(low), 0.0)
    if scaler == "minmax":
        return Location(float(low), float(high - low))
    if scaler == "robust":
        first, median, third = np.percentile(values, [25, 50, 75])
        return Location(float(median), float(third - first if third - first >= SMALLEST else (high - low) / 2))
    return Location(float(values.mean()), standard_deviation(values))


def standard_deviation(values: Array, weights: Array | None = None) -> float:
    """Population standard deviation of values that are not all equal; no square overflows or vanishes."""
    deviations = values - np.average(values, weights=weights)
    largest = float(np.abs(deviations).max())
    return max(largest * float(np.sqrt(np.average((deviations / largest) ** 2, weights=weights))), SMALLEST)


@dataclass(frozen=True, eq=False)
class Affine:
    """Per column of ``x``, float64 ``[K]``: ``(clip(x or fill, low, high) - center) / scale``.

    Where numbers are taken to a power, that is done between clipping and centring. A constant column has
    ``low == high == center``: it gives exactly 0 whatever comes. ``bend`` is 1/3 where the smooth clip
    ``y / sqrt(1 + (bend y)^2)`` follows, else 0.
    """

    fill: Array
    low: Array
    high: Array
    center: Array
    scale: Array
    bend: Array

    @classmethod
    def fit(
        cls, x: Array, n_scaled: int, n_cyclic: int, n_imputed: int, config: PreprocessConfig, power: Power | None = None
    ) -> Affine:
        """Fit on training rows, float64 ``[n, K]``: first ``n_scaled`` columns, then ``n_cyclic`` ones, then booleans.

        ``n_imputed``: how many columns, from the first, take ``impute_value`` where imputation is by a constant. ``power``:
        what is made of the scaled columns before they are centred.
        """
        rows = []
        for i in range(x.shape[1]):
            values = clean(x[:, i])
            if i < n_scaled and power:
                rows.append(_fit_power(values, power.column(i), config, constant=i < n_imputed))
            elif i < n_scaled:
                rows.append(_fit_scaled(values, config, constant=i < n_imputed))
            else:
                rows.append(_fit_fixed(values, 0.0 if i < n_scaled + n_cyclic else 0.5))
        return cls(*np.array(rows, np.float64).reshape(-1, len(fields(cls))).T)

    @property
    def constant(self) -> Array:
        """Which columns give 0 for every input, bool ``[K]``."""
        return np.asarray(self.low == self.high)

    def emit_clipped(self, g: GraphBuilder, x: Value) -> Value:
        """Imputed and within bounds, still in the columns' own units."""
        known = g.op("Where", g.op("IsNaN", x), g.const(self.fill), x)
        return g.op("Min", g.op("Max", known, g.const(self.low)), g.const(self.high))

    def emit_scaled(self, g: GraphBuilder, clipped: Value) -> Value:
        """Centred, scaled and, where asked for, bent."""
        y = g.op("Div", g.op("Sub", clipped, g.const(self.center)), g.const(self.scale))
        if not self.bend.any():
            return y
        bent = g.op("Mul", y, g.const(self.bend))
        root = g.op("Sqrt", g.op("Add", g.op("Mul", bent, bent), g.const(np.float64(1))))
        return g.op("Div", y, root)

    def slice(self, start: int, stop: int) -> Affine:
        """The same for some of the columns."""
        return Affine(*(getattr(self, field.name)[start:stop] for field in fields(self)))


def clean(column: Array) -> Array:
    """The values that are not missing, within ±``LARGEST``."""
    return np.clip(column[~np.isnan(column)], -LARGEST, LARGEST)


def _fit_scaled(values: Array, config: PreprocessConfig, *, constant: bool) -> tuple[float, ...]:
    location = locate(values, config.num_scaler)
    if location.scale == 0:
        center = 0.0 if config.num_scaler == "none" else location.center
        return (center, center, center, center, 1.0, 0.0)
    fill = _fill(values, config, constant=constant)
    reach = config.clip * location.scale
    low, high = location.center - reach, location.center + reach
    if config.num_scaler == "none":
        return (fill, max(low, -LARGEST_UNSCALED), min(high, LARGEST_UNSCALED), 0.0, 1.0, 0.0)
    if config.num_scaler == "quantile":
        low, high = float(values.min()), float(values.max())
    bend = 1 / 3 if config.smooth_clip and config.num_scaler in ("standard", "robust") else 0.0
    return (fill, low, high, location.center, location.scale, bend)


def _fit_power(values: Array, power: Power, config: PreprocessConfig, *, constant: bool) -> tuple[float, ...]:
    """The bounds are in the column's own unit, center and scale are those of its powers."""
    center, scale = locate(power.transform(values), config.num_scaler)
    if scale == 0:
        return (0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    low, high = power.inverse(center + config.clip * scale * np.array([-1.0, 1.0]))
    return (_fill(values, config, constant=constant), low, high, center, scale, 1 / 3 if config.smooth_clip else 0.0)


def _fit_fixed(values: Array, center: float) -> tuple[float, ...]:
    """Numbers of a known range: cyclic parts in [-1, 1]; booleans, 0 and 1 to -1 and 1; missing is the middle."""
    if not len(values) or values.min() == values.max():
        value = float(values[0]) if len(values) else center
        return (value, value, value, value, 1.0, 0.0)
    scale = 1.0 - center
    return (center, center - scale, center + scale, center, scale, 0.0)


def _fill(values: Array, config: PreprocessConfig, *, constant: bool) -> float:
    if constant and config.num_impute == "constant":
        return config.impute_value
    return float(values.mean() if config.num_impute == "mean" else np.median(values))
