"""Functions of each number; gates, which halve the last dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from onnxlearn.errors import ParameterError
from onnxlearn.networks.layer import Layer, ShapeError, need_numbers, need_size, row_dim
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import param


class Pointwise(Layer):
    """A layer that changes no shape."""

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        need_numbers(inputs[0])
        return inputs[0]


class Gate(Layer):
    """A layer that multiplies one half of the last dimension by a function of the other."""

    def shape(self, *inputs: Tensor) -> Tensor:
        """The last dimension is halved."""
        (x,) = inputs
        need_numbers(x)
        if (n := need_size(x, -1, "features")) % 2:
            raise ShapeError(f"it halves the last dimension, and {n} is odd")
        return Tensor((*x.shape[:-1], n // 2))


@dataclass(frozen=True)
class Relu(Pointwise):
    """``max(x, 0)``."""

    kind = "relu"


@dataclass(frozen=True)
class Relu6(Pointwise):
    """``min(max(x, 0), 6)``."""

    kind = "relu6"


@dataclass(frozen=True)
class LeakyRelu(Pointwise):
    """``x``, below 0 times a slope."""

    kind = "leaky_relu"

    slope: float = param(0.01, "slope below 0")


def _require_bounds(layer: Any) -> None:
    if layer.low > layer.high:
        raise ParameterError(f"{layer.kind}: low={layer.low} has to be at most high={layer.high}")


@dataclass(frozen=True)
class Rrelu(Pointwise):
    """Leaky ReLU whose slope is drawn in training, and in between in predicting."""

    kind = "rrelu"

    low: float = param(1 / 8, "least slope")
    high: float = param(1 / 3, "largest slope")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_bounds(self)


@dataclass(frozen=True)
class Prelu(Pointwise):
    """Leaky ReLU with a learned slope."""

    kind = "prelu"

    init: float = param(0.25, "slope to begin with")


@dataclass(frozen=True)
class Elu(Pointwise):
    """``x``, below 0 ``alpha (e^x - 1)``."""

    kind = "elu"

    alpha: float = param(1.0, "what it tends to below 0, negated", low=0, low_open=True)


@dataclass(frozen=True)
class Celu(Pointwise):
    """``x``, below 0 ``alpha (e^(x / alpha) - 1)``."""

    kind = "celu"

    alpha: float = param(1.0, "what it tends to below 0, negated", low=0, low_open=True)


@dataclass(frozen=True)
class Selu(Pointwise):
    """ELU with the two numbers that keep mean and variance (Klambauer et al. 2017)."""

    kind = "selu"


@dataclass(frozen=True)
class Gelu(Pointwise):
    """``x`` times the normal distribution function (Hendrycks and Gimpel 2016)."""

    kind = "gelu"

    approximate: Literal["none", "tanh"] = param("none", "exact, or by tanh")


@dataclass(frozen=True)
class Silu(Pointwise):
    """``x sigmoid(x)``."""

    kind = "silu"


@dataclass(frozen=True)
class Mish(Pointwise):
    """``x tanh(softplus(x))``."""

    kind = "mish"


@dataclass(frozen=True)
class Sigmoid(Pointwise):
    """``1 / (1 + e^-x)``."""

    kind = "sigmoid"


@dataclass(frozen=True)
class Hardsigmoid(Pointwise):
    """``x / 6 + 1/2`` between 0 and 1."""

    kind = "hardsigmoid"


@dataclass(frozen=True)
class Hardswish(Pointwise):
    """``x hardsigmoid(x)``."""

    kind = "hardswish"


@dataclass(frozen=True)
class LogSigmoid(Pointwise):
    """The logarithm of the sigmoid."""

    kind = "log_sigmoid"


@dataclass(frozen=True)
class Tanh(Pointwise):
    """The hyperbolic tangent."""

    kind = "tanh"


@dataclass(frozen=True)
class Hardtanh(Pointwise):
    """``x`` between two bounds."""

    kind = "hardtanh"

    low: float = param(-1.0, "lower bound")
    high: float = param(1.0, "upper bound")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_bounds(self)


@dataclass(frozen=True)
class Tanhshrink(Pointwise):
    """``x - tanh(x)``."""

    kind = "tanhshrink"


@dataclass(frozen=True)
class Softplus(Pointwise):
    """``log(1 + e^(beta x)) / beta``."""

    kind = "softplus"

    beta: float = param(1.0, "sharpness of the bend", low=0, low_open=True)
    threshold: float = param(20.0, "from this beta x on it is x")


@dataclass(frozen=True)
class Softsign(Pointwise):
    """``x / (1 + |x|)``."""

    kind = "softsign"


@dataclass(frozen=True)
class Softshrink(Pointwise):
    """``x`` moved towards 0, and 0 in between."""

    kind = "softshrink"

    lambd: float = param(0.5, "how far", low=0)


@dataclass(frozen=True)
class Hardshrink(Pointwise):
    """``x``, and 0 close to 0."""

    kind = "hardshrink"

    lambd: float = param(0.5, "how close", low=0)


@dataclass(frozen=True)
class Threshold(Pointwise):
    """``x`` above a threshold, another number below."""

    kind = "threshold"

    threshold: float = param(0.0, "the threshold")
    value: float = param(0.0, "the number below")


@dataclass(frozen=True)
class Glu(Gate):
    """``a sigmoid(b)`` of the two halves (Dauphin et al. 2017)."""

    kind = "glu"


@dataclass(frozen=True)
class Reglu(Gate):
    """``a relu(b)`` of the two halves (Shazeer 2020)."""

    kind = "reglu"


@dataclass(frozen=True)
class Geglu(Gate):
    """``a gelu(b)`` of the two halves (Shazeer 2020)."""

    kind = "geglu"


@dataclass(frozen=True)
class Swiglu(Gate):
    """``a silu(b)`` of the two halves (Shazeer 2020)."""

    kind = "swiglu"


@dataclass(frozen=True)
class Softmax(Pointwise):
    """Shares along a dimension, which add up to 1."""

    kind = "softmax"

    dim: int = param(-1, "the dimension")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        row_dim(inputs[0], self.dim)
        return super().shape(*inputs)


@dataclass(frozen=True)
class LogSoftmax(Softmax):
    """The logarithm of the softmax."""

    kind = "log_softmax"
