"""Scaling of a regression target, and its inverse in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.preprocess.config import TargetScaler
from onnxlearn.preprocess.scaling import LARGEST_UNSCALED, Location, locate, standard_deviation

Array = np.ndarray[Any, np.dtype[Any]]

# A float32 of such deviations still is a finite float64.
LARGEST_TARGET = 1e250


@dataclass(frozen=True, eq=False)
class TargetScaling:
    """``z = (y - center) / scale`` for each of T targets; ``center`` and ``scale`` are float64 ``[T]``.

    A constant target has scale 0: whatever the network says, it is predicted exactly. ``low`` and ``high``, float64 ``[T]``:
    bounds of the predictions, ``None`` where there are none.

    >>> scaling = TargetScaling.fit(np.array([[1.0], [3.0]]), "standard")
    >>> scaling.transform(np.array([[3.0]])), scaling.inverse(np.array([[1.0]]))
    (array([[1.]], dtype=float32), array([[3.]]))
    """

    center: Array
    scale: Array
    low: Array | None = None
    high: Array | None = None

    @classmethod
    def fit(cls, y: Array, kind: TargetScaler, weights: Array | None = None, *, clip: bool = False) -> TargetScaling:
        """Fit on the targets of the training rows, float64 ``[n, T]``; ``clip``: predictions keep within their range.

        ``weights``: float64 ``[n]``, >= 0; rows of weight 0 do not count, the others weigh in the mean and the standard
        deviation (not in quantiles or extremes).

        Raises: DataError for targets beyond ±1e250.
        """
        if np.abs(y).max(initial=0.0) > LARGEST_TARGET:
            raise DataError(
                f"a target has to lie within ±{LARGEST_TARGET:g}, not {y.flat[np.abs(y).argmax()]:g}: divide it by a constant"
            )
        counted = slice(None) if weights is None else weights > 0
        kept = None if weights is None else weights[counted]
        pairs = [_locate_target(column, kind, kept) for column in y[counted].T]
        bounds = (y[counted].min(axis=0), y[counted].max(axis=0)) if clip and len(y[counted]) else (None, None)
        return cls(np.array([pair.center for pair in pairs]), np.array([pair.scale for pair in pairs]), *bounds)

    @property
    def unit(self) -> Array:
        """What a difference of predictions is measured in, float64 ``[T]``: the scale, or 1 for a constant target."""
        return np.where(self.scale > 0, self.scale, 1.0)

    def transform(self, y: Array) -> Array:
        """Targets for training: float32 ``[n, T]``, within ±1e18 so that squared errors fit float32."""
        z = np.clip((y - self.center) / self.unit, -LARGEST_UNSCALED, LARGEST_UNSCALED)
        return np.asarray(z, np.float32)

    def inverse(self, z: Array) -> Array:
        """Predictions in the target's unit: float64 ``[n, T]``."""
        y = np.asarray(z, np.float64) * self.scale + self.center
        return y if self.low is None or self.high is None else np.clip(y, self.low, self.high)

    def emit_inverse(self, g: GraphBuilder, z: Value) -> Value:
        """Predictions in the target's unit: DOUBLE ``[N, T]``, so that a mean of 1.7e9 keeps a deviation of 1."""
        scaled = g.op("Mul", g.op("Cast", z, to=DOUBLE), g.const(self.scale))
        y = g.op("Add", scaled, g.const(self.center))
        if self.low is None or self.high is None:
            return y
        return g.op("Min", g.op("Max", y, g.const(self.low)), g.const(self.high))


def _locate_target(values: Array, kind: TargetScaler, weights: Array | None) -> Location:
    if kind == "none" or not len(values):
        return Location(0.0, 1.0)
    center, scale = locate(values, kind)
    if kind == "standard" and scale and weights is not None:
        center, scale = float(np.average(values, weights=weights)), standard_deviation(values, weights)
    return Location(center, scale)
