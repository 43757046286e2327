"""Functions of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnxlearn.networks.layer import Layer
from onnxlearn.params import REQUIRED, param


@dataclass(frozen=True)
class Fn(Layer):
    """A function of tensors, in torch; what it makes of their shapes is found by trying it."""

    kind = "fn"
    takes = (1, None)

    function: Callable[..., Any] = param(REQUIRED, "the function, by package.module:name where it has to be told")
