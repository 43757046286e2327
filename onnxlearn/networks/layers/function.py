"""Functions of the user's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import REQUIRED, param


@dataclass(frozen=True)
class Fn(Layer):
    """A function of tensors, in torch; what it makes of their shapes is found by trying it."""

    kind = "fn"
    takes = (1, None)

    function: Callable[..., Any] = param(REQUIRED, "the function, by package.module:name where it has to be told")

    def __post_init__(self) -> None:
        super().__post_init__()
        if hasattr(self.function, "state_dict"):
            # A module of torch: what is trained or changed elsewhere must not change this graph.
            object.__setattr__(self, "function", copy.deepcopy(self.function))

    def shape(self, *inputs: Tensor) -> Tensor:
        """Nothing is known of it before it was tried, which takes torch."""
        del inputs
        raise ShapeError("what its function gives is not known before it is tried: learner.shapes(task) does")
