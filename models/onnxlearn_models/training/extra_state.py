"""What modules keep from one step to the next beside parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from onnxlearn.errors import ParameterError


def extra_states(module: nn.Module) -> dict[str, Any]:
    """What ``get_extra_state`` of all parts gives, by part and name. Raises: ParameterError where that is no dictionary.

    >>> class Counting(nn.Module):
    ...     n = 0
    ...     def get_extra_state(self):
    ...         return {"n": self.n}
    >>> extra_states(nn.Sequential(Counting(), nn.Tanh()))
    {'0:n': 0}
    """
    found: dict[str, Any] = {}
    for name, part in _keepers(module):
        state = part.get_extra_state()
        if not isinstance(state, dict):
            raise ParameterError(
                f"get_extra_state of {type(part).__qualname__} gives a {type(state).__qualname__}; a training folder needs a "
                "dictionary of tensors and plain JSON"
            )
        found |= {f"{name}:{key}": value for key, value in state.items()}
    return found


def load_extra_states(module: nn.Module, states: Mapping[str, Any]) -> None:
    """Give every part its own."""
    for name, part in _keepers(module):
        part.set_extra_state(
            {key.removeprefix(f"{name}:"): value for key, value in states.items() if key.startswith(f"{name}:")}
        )


def _keepers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts that have such a state, by name."""
    for name, part in module.named_modules():
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            yield name, part
