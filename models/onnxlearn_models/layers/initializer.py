"""Initial weights by name: a line here makes one a choice of every learner with an ``initializer``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

INITIALIZERS: dict[str, Callable[[Tensor], Any]] = {
    "glorot_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "he_uniform": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "he_normal": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
}


def start_linear(name: str, *modules: nn.Module) -> None:
    """Set the weights of every linear layer in these modules by this initializer and their biases to zero."""
    for part in itertools.chain(*(module.modules() for module in modules)):
        if isinstance(part, nn.Linear):
            INITIALIZERS[name](part.weight)
            # DIFF: mlr3keras draws biases by its initializer too, glorot_uniform.
            if part.bias is not None:
                nn.init.zeros_(part.bias)
