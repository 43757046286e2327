"""What the output of a network means: logits, numbers, quantiles, or mean and spread.

Each head says how many columns the network gives and turns them into named outputs, once in numpy (float64) and once as
ONNX. A network of k members gives ``[N, k, D]``; their mean is taken here. Outputs by name:

===============  ===============  ==================================================
name             shape, type      what it is
===============  ===============  ==================================================
probabilities    [N, C] FLOAT     of the classes
prediction       [N, T] DOUBLE    in the targets' own units
quantiles        [N, T, Q] DOUBLE in the targets' own units, ascending
std              [N, T] DOUBLE    standard deviation of a normal distribution
===============  ===============  ==================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import DOUBLE, FLOAT, GraphBuilder, Value
from onnxlearn.postprocess.config import MEDIAN, OutputConfig
from onnxlearn.postprocess.mixture import emit_mean, emit_mixture, mixture, weighted_mean
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Target

Array = np.ndarray[Any, np.dtype[Any]]

# The least standard deviation, in scaled units: that of Lakshminarayanan, Pritzel and Blundell (2017), "Simple and scalable
# predictive uncertainty estimation using deep ensembles", section 2.2.1 (a variance of 1e-6).
SMALLEST_STD = 1e-3

# What a logarithm is cut off at: half a billion times the scale of the target is no prediction, but still finite.
LARGEST_LOG = 20.0

MEMBERS = 1
"""The axis of the members of a network."""


@dataclass(frozen=True)
class Head(ABC):
    """What one network's output means; :meth:`of` chooses by task and settings."""

    target: Target

    @staticmethod
    def of(target: Target, config: OutputConfig) -> Head:
        """The head for this target.

        Raises: ParameterError where a setting does not suit what is predicted.
        """
        config.require(target)
        if target.type == "classification":
            return ClassesHead(target)
        if config.head == "quantile":
            return QuantileHead(target, config.quantiles)
        return NormalHead(target) if config.head == "normal" else PointHead(target)

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of columns of the network's output."""

    @abstractmethod
    def apply(self, raw: Array, scaling: TargetScaling | None) -> dict[str, Array]:
        """Outputs by name, float64, of a network's output ``[N, D]`` or ``[N, k, D]``; ``scaling`` is the target's."""

    @abstractmethod
    def emit(
        self, g: GraphBuilder, raw: Value, scaling: TargetScaling | None, *, double: bool = False, n_members: int | None = None
    ) -> dict[str, Value]:
        """The same in the graph. ``double``: ``raw`` is DOUBLE, not FLOAT; ``n_members``: k where it is ``[N, k, D]``."""


class ClassesHead(Head):
    """Logits ``[N, C]``; members are averaged as probabilities."""

    @property
    def width(self) -> int:
        """One logit a class."""
        return len(self.target.classes)

    def apply(self, raw: Array, scaling: TargetScaling | None = None) -> dict[str, Array]:
        """``probabilities``."""
        del scaling
        return {"probabilities": _member_mean(softmax(raw))}

    def emit(
        self,
        g: GraphBuilder,
        raw: Value,
        scaling: TargetScaling | None = None,
        *,
        double: bool = False,
        n_members: int | None = None,
    ) -> dict[str, Value]:
        """``probabilities``."""
        del scaling
        with g.scope("post"):
            probabilities = _emit_member_mean(g, g.op("Softmax", raw, axis=-1), n_members)
            return {"probabilities": g.op("Cast", probabilities, to=FLOAT) if double else probabilities}


class PointHead(Head):
    """Scaled predictions ``[N, T]``."""

    @property
    def width(self) -> int:
        """One number a target."""
        return len(self.target.names)

    def apply(self, raw: Array, scaling: TargetScaling | None) -> dict[str, Array]:
        """``prediction``."""
        return {"prediction": _scaling(scaling).inverse(_member_mean(raw))}

    def emit(
        self, g: GraphBuilder, raw: Value, scaling: TargetScaling | None, *, double: bool = False, n_members: int | None = None
    ) -> dict[str, Value]:
        """``prediction``."""
        del double
        with g.scope("post"):
            return {"prediction": _scaling(scaling).emit_inverse(g, _emit_mean_number(g, raw, n_members))}


class LogHead(PointHead):
    """Logarithms of scaled predictions ``[N, T]``, which are positive; members are averaged as predictions."""

    def apply(self, raw: Array, scaling: TargetScaling | None) -> dict[str, Array]:
        """``prediction``."""
        return super().apply(np.exp(np.minimum(np.asarray(raw, np.float64), LARGEST_LOG)), scaling)

    def emit(
        self, g: GraphBuilder, raw: Value, scaling: TargetScaling | None, *, double: bool = False, n_members: int | None = None
    ) -> dict[str, Value]:
        """``prediction``."""
        with g.scope("post"):
            raw = raw if double else g.op("Cast", raw, to=DOUBLE)
            raw = g.op("Exp", g.op("Min", raw, g.const(np.float64(LARGEST_LOG))))
        return super().emit(g, raw, scaling, double=True, n_members=n_members)


@dataclass(frozen=True)
class QuantileHead(Head):
    """Scaled quantiles ``[N, T * Q]``, those of the first target first; they never cross, and the median is the prediction."""

    quantiles: tuple[float, ...]

    @property
    def width(self) -> int:
        """One number a target and quantile."""
        return len(self.target.names) * len(self.quantiles)

    @property
    def _median(self) -> int:
        return self.quantiles.index(MEDIAN)

    def apply(self, raw: Array, scaling: TargetScaling | None) -> dict[str, Array]:
        """``prediction`` and ``quantiles``."""
        z = _member_mean(raw).reshape(len(raw), len(self.target.names), len(self.quantiles))
        quantiles = np.sort(_per_quantile(scaling).inverse(z), axis=-1)
        return {"prediction": quantiles[..., self._median], "quantiles": quantiles}

    def emit(
        self, g: GraphBuilder, raw: Value, scaling: TargetScaling | None, *, double: bool = False, n_members: int | None = None
    ) -> dict[str, Value]:
        """``prediction`` and ``quantiles``."""
        del double
        n_quantiles = len(self.quantiles)
        with g.scope("post"):
            z = _emit_mean_number(g, raw, n_members)
            # 0 keeps the number of rows, also that of no rows.
            z = g.op("Reshape", z, g.const(np.array([0, len(self.target.names), n_quantiles])))
            quantiles = _per_quantile(scaling).emit_inverse(g, z)
            quantiles, _ = g.ops("TopK", quantiles, g.const(np.array([n_quantiles])), n_outputs=2, largest=0, axis=-1)
            prediction = g.op("Gather", quantiles, g.const(np.int64(self._median)), axis=-1)
            return {"prediction": prediction, "quantiles": quantiles}


class NormalHead(Head):
    """Scaled means, then raw spreads, ``[N, 2 * T]``; members are a mixture of normal distributions.

    The standard deviation is ``softplus(spread)`` and a little, in scaled units.
    """

    @property
    def width(self) -> int:
        """Two numbers a target."""
        return 2 * len(self.target.names)

    def apply(self, raw: Array, scaling: TargetScaling | None) -> dict[str, Array]:
        """``prediction`` and ``std``."""
        scaling = _scaling(scaling)
        mean, spread = np.split(np.asarray(raw, np.float64), 2, axis=-1)
        std = np.logaddexp(0.0, spread) + SMALLEST_STD
        if raw.ndim == 3:
            mean, std = mixture(mean, std, axis=MEMBERS)
        return {"prediction": scaling.inverse(mean), "std": std * scaling.scale}

    def emit(
        self, g: GraphBuilder, raw: Value, scaling: TargetScaling | None, *, double: bool = False, n_members: int | None = None
    ) -> dict[str, Value]:
        """``prediction`` and ``std``."""
        scaling = _scaling(scaling)
        with g.scope("post"):
            sizes = g.const(np.full(2, len(self.target.names)))
            mean, spread = g.ops("Split", raw if double else g.op("Cast", raw, to=DOUBLE), sizes, n_outputs=2, axis=-1)
            std = g.op("Add", _emit_softplus(g, spread), g.const(np.float64(SMALLEST_STD)))
            if n_members is not None:
                mean, std = emit_mixture(g, mean, std, axis=MEMBERS)
            return {"prediction": scaling.emit_inverse(g, mean), "std": g.op("Mul", std, g.const(scaling.scale))}


def average(outputs: Sequence[Mapping[str, Array]], weights: Array | None = None) -> dict[str, Array]:
    """The mean of several networks' outputs (:meth:`Head.apply`); standard deviations are those of the mixture.

    ``weights``: what each counts, with sum 1; ``None``: all the same.

    >>> average([{"prediction": np.array([[1.0]])}, {"prediction": np.array([[2.0]])}])
    {'prediction': array([[1.5]])}
    """
    stacked = {name: np.stack([each[name] for each in outputs], axis=MEMBERS) for name in outputs[0]}
    averaged = {
        name: np.squeeze(weighted_mean(array, MEMBERS, weights), MEMBERS) for name, array in stacked.items() if name != "std"
    }
    if "std" in stacked:
        averaged["std"] = mixture(stacked["prediction"], stacked["std"], axis=MEMBERS, weights=weights)[1]
    return averaged


def emit_average(g: GraphBuilder, outputs: Sequence[Mapping[str, Value]], weights: Array | None = None) -> dict[str, Value]:
    """:func:`average` in the graph."""
    if len(outputs) == 1:
        return dict(outputs[0])
    with g.scope("post"):
        stacked = {name: _emit_stack(g, [each[name] for each in outputs]) for name in outputs[0]}
        averaged = {
            name: emit_mean(g, value, axis=MEMBERS, keepdims=0, weights=None if weights is None else _weights_of(name, weights))
            for name, value in stacked.items()
            if name != "std"
        }
        if "std" in stacked:
            averaged["std"] = emit_mixture(g, stacked["prediction"], stacked["std"], axis=MEMBERS, weights=weights)[1]
        return averaged


def _weights_of(name: str, weights: Array) -> Array:
    """As they are multiplied with an output: probabilities are FLOAT, all else is DOUBLE; quantiles have an axis more."""
    shape = (-1, 1, 1) if name == "quantiles" else (-1, 1)
    return weights.reshape(shape).astype(np.float32 if name == "probabilities" else np.float64)


def softmax(logits: Array) -> Array:
    """Probabilities of logits along the last axis, float64.

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    logits = np.asarray(logits, np.float64)
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def _scaling(scaling: TargetScaling | None) -> TargetScaling:
    assert scaling is not None, "a regression has a target scaling"
    return scaling


def _per_quantile(scaling: TargetScaling | None) -> TargetScaling:
    """The scaling of ``[N, T, Q]``."""
    return TargetScaling(**{name: array[:, None] for name, array in vars(_scaling(scaling)).items() if array is not None})


def _member_mean(output: Array) -> Array:
    """``[N, D]`` in float64 from ``[N, k, D]``, or what came."""
    output = np.asarray(output, np.float64)
    return np.asarray(output.mean(axis=MEMBERS)) if output.ndim == 3 else output


def _emit_member_mean(g: GraphBuilder, output: Value, n_members: int | None) -> Value:
    if n_members is None:
        return output
    return emit_mean(g, output, axis=MEMBERS, keepdims=0)


def _emit_mean_number(g: GraphBuilder, output: Value, n_members: int | None) -> Value:
    """The mean in DOUBLE: large numbers of FLOAT would overflow in a sum."""
    return output if n_members is None else _emit_member_mean(g, g.op("Cast", output, to=DOUBLE), n_members)


def _emit_stack(g: GraphBuilder, values: Sequence[Value]) -> Value:
    axes = g.const(np.array([MEMBERS]))
    return g.op("Concat", *(g.op("Unsqueeze", value, axes) for value in values), axis=MEMBERS)


def _emit_softplus(g: GraphBuilder, x: Value) -> Value:
    """``log(1 + exp(x))`` without overflow: ONNX Runtime has no Softplus of DOUBLE."""
    rest = g.op("Exp", g.op("Neg", g.op("Abs", x)))
    return g.op("Add", g.op("Relu", x), g.op("Log", g.op("Add", rest, g.const(np.float64(1)))))
