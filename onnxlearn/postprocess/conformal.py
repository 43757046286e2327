"""Split-conformal prediction: intervals and sets that hold the truth with a given probability, whatever the network is.

Vovk, Gammerman and Shafer (2005), "Algorithmic learning in a random world". Calibration rows, which nothing was fitted on, get
a score of how strange the truth is; what is less strange than their quantile is in the interval or set. That holds a new
row's truth with at least the asked probability, if that row and the calibration rows come in any order alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.postprocess.band import band_levels
from onnxlearn.preprocess.scaling import LARGEST, locate

Array = np.ndarray[Any, np.dtype[Any]]
Base: TypeAlias = Literal["prediction", "quantiles", "std"]

# What one machine's rounding may differ from another's by, in probabilities and standard deviations of the target: rows that
# are equally strange have to fall on the same side everywhere.
ROUNDING = 1e-5


def require_rows(coverage: float, n_effective: float, n_rows: int, n_groups: int | None = None) -> None:
    """Raise ``ParameterError`` where so few calibration rows allow no finite interval of this coverage.

    ``n_effective``: the sum of what they count (:func:`onnxlearn.postprocess.rows.counts`); ``n_groups`` that they are of.
    """
    needed = 1 / (1 - coverage) - 1
    if n_effective >= needed * (1 - 1e-9):
        return
    what, n = ("rows", n_rows) if n_groups is None else ("groups", n_groups)
    there = f"there are {n}" if n_groups is None else f"there are {n} (of {n_rows} rows)"
    # Where all weigh the same, rounding does not make them fewer.
    weigh = "" if n_effective >= n * (1 - 1e-9) else f", which weigh like {n_effective:.1f}"
    allowed = math.floor(1000 * n_effective / (n_effective + 1) + 1e-9) / 1000
    raise ParameterError(
        f"coverage={coverage:g} needs at least {math.ceil(needed - 1e-9)} calibration {what}, {there}{weigh}: give more "
        f"{what}, a larger share (calibration=), or a coverage up to {allowed:g}"
    )


def conformal_quantile(scores: Array, counts: Array, coverage: float) -> Array:
    """The least number that at least ``coverage (n + 1)`` of n rows' scores do not exceed, for each column of ``[n, T]``.

    With ``counts`` other than 1 as in Tibshirani, Foygel Barber, Candès and Ramdas (2019), "Conformal prediction under
    covariate shift", section 2, for a new row that counts 1.

    Raises: ParameterError for too few rows.

    >>> conformal_quantile(np.arange(1.0, 10.0)[:, None], np.ones(9), 0.8)
    array([8.])
    """
    require_rows(coverage, float(counts.sum()), len(counts))
    # A hair less, so that 0.9 of 10 rows are 9 and not 10.
    wanted = coverage * (counts.sum() + 1) * (1 - 1e-12)
    order = np.argsort(scores, axis=0, kind="stable")
    reached = np.cumsum(counts[order], axis=0) >= min(wanted, counts.sum() * (1 - 1e-12))
    rows = np.take_along_axis(order, reached.argmax(axis=0)[None], axis=0)
    return np.asarray(np.take_along_axis(scores, rows, axis=0)[0])


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals around predictions, one a target: each holds its target's truth with the asked probability.

    ``base`` prediction: ``prediction ± margin``, absolute residuals (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018).
    ``std``: ``prediction ± margin * std``, residuals in standard deviations. ``quantiles``: the band of the quantiles at
    ``band``, ``margin`` wider on either side (Romano, Patterson and Candès 2019, "Conformalized quantile regression"); it
    may be negative, but the interval always holds the prediction. ``margin`` and ``slack``, for rounding, are float64
    ``[T]``.
    """

    base: Base
    margin: Array
    slack: Array
    band: tuple[int, int] = (0, 0)

    @classmethod
    def fit(
        cls, outputs: Mapping[str, Array], truth: Array, counts: Array, coverage: float, levels: tuple[float, ...]
    ) -> Intervals:
        """Fit on calibration rows: outputs of the head, ``truth`` float64 ``[n, T]``; ``levels`` of its quantiles.

        Raises: ParameterError for too few rows.
        """
        base: Base = "quantiles" if "quantiles" in outputs else "std" if "std" in outputs else "prediction"
        low, high = band_levels(coverage, levels) if levels else (0.0, 0.0)
        band = (levels.index(low), levels.index(high)) if levels else (0, 0)
        start = cls(base, np.zeros(truth.shape[1]), np.zeros(truth.shape[1]), band)
        lower, upper, spread = start._band(outputs)
        with np.errstate(over="ignore"):
            away = np.where(truth < outputs["prediction"], lower - truth, truth - upper) / spread
        margin = conformal_quantile(np.minimum(away, LARGEST), counts, coverage)
        slack = np.array([ROUNDING * locate(column, "standard").scale for column in truth.T])
        return cls(base, margin, slack, start.band)

    def apply(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """``lower`` and ``upper``, float64 ``[N, T]``."""
        low, high, spread = self._band(outputs)
        with np.errstate(over="ignore"):
            width = np.minimum(self.margin * spread + self.slack, LARGEST)
        prediction = outputs["prediction"]
        return {"lower": np.minimum(low - width, prediction), "upper": np.maximum(high + width, prediction)}

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> dict[str, Value]:
        """:meth:`apply` in the graph."""
        prediction = outputs["prediction"]
        if self.base == "quantiles":
            low, high = (g.op("Gather", outputs["quantiles"], g.const(np.int64(i)), axis=-1) for i in self.band)
            width = g.const(np.minimum(self.margin + self.slack, LARGEST))
            # The correction may turn the band inside out.
            lower = g.op("Min", g.op("Sub", low, width), prediction)
            return {"lower": lower, "upper": g.op("Max", g.op("Add", high, width), prediction)}
        width = self._emit_width(g, outputs)
        return {"lower": g.op("Sub", prediction, width), "upper": g.op("Add", prediction, width)}

    def to_dict(self) -> dict[str, Any]:
        """What the metadata says of them."""
        return {"margin": [float(value) for value in self.margin]}

    def _band(self, outputs: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """Lower and upper end before calibration, and the unit of the margin: ``[N, T]`` each."""
        prediction = outputs["prediction"]
        if self.base == "quantiles":
            low, high = (outputs["quantiles"][..., i] for i in self.band)
            return low, high, np.ones_like(prediction)
        std = outputs.get("std", np.ones_like(prediction))
        # A target that was constant in training has no spread.
        return prediction, prediction, np.where(std > 0, std, 1.0)

    def _emit_width(self, g: GraphBuilder, outputs: Mapping[str, Value]) -> Value:
        if self.base == "prediction":
            return g.const(np.minimum(self.margin + self.slack, LARGEST))
        std, zero, one = outputs["std"], g.const(np.float64(0)), g.const(np.float64(1))
        spread = g.op("Where", g.op("Greater", std, zero), std, one)
        width = g.op("Add", g.op("Mul", spread, g.const(self.margin)), g.const(self.slack))
        return g.op("Min", width, g.const(np.float64(LARGEST)))


@dataclass(frozen=True)
class Sets:
    """The classes that are at least so probable: the smallest sets on average of the asked coverage; and the predicted class.

    Sadinle, Lei and Wasserman (2019), "Least ambiguous set-valued classifiers with bounded error levels".
    """

    # DIFF: the predicted class is always in the set. By probability alone a set is empty where no class is as probable as the
    # truth usually is, which tells nobody anything; more classes can only cover more.

    probability: float

    @classmethod
    def fit(cls, probabilities: Array, truth: Array, counts: Array, coverage: float) -> Sets:
        """Fit on calibration rows: probabilities ``[n, C]``, ``truth`` int64 ``[n]``.

        Raises: ParameterError for too few rows.
        """
        strangeness = -probabilities[np.arange(len(truth)), truth]
        return cls(float(-conformal_quantile(strangeness[:, None], counts, coverage)[0]) - ROUNDING)

    def by_probability(self, probabilities: Array) -> Array:
        """The classes that are probable enough, bool ``[N, C]``."""
        return np.asarray(probabilities.astype(np.float32) >= np.float32(self.probability))

    def apply(self, probabilities: Array, label: Array) -> Array:
        """``set``, bool ``[N, C]``; ``label`` int64 ``[N]``, the predicted class of each row."""
        return np.asarray(self.by_probability(probabilities) | (label[:, None] == np.arange(probabilities.shape[1])))

    def certain(self, probabilities: Array, label_is_certain: Array, tolerance: float) -> Array:
        """Where no difference of a probability up to ``tolerance`` changes :meth:`apply`, bool ``[N, C]``."""
        above = probabilities - self.probability
        return np.asarray((above > tolerance) | ((above < -tolerance) & label_is_certain[:, None]))

    def emit(self, g: GraphBuilder, probabilities: Value, label: Value, n_classes: int) -> Value:
        """:meth:`apply` in the graph; ``label`` INT64 ``[N]``."""
        probable = g.op("GreaterOrEqual", probabilities, g.const(np.float32(self.probability)))
        column = g.op("Unsqueeze", label, g.const(np.array([1])))
        return g.op("Or", probable, g.op("Equal", column, g.const(np.arange(n_classes)[None])))

    def to_dict(self) -> dict[str, Any]:
        """What the metadata says of them."""
        return {"probability": self.probability}
