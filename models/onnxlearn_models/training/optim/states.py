"""The state of torch's optimizers as tensors by name, which is what a folder of a training holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

KINDS = {bool: torch.bool, int: torch.int64, float: torch.float64}


def flattened(values: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """Numbers, tensors, and lists of them, by name; what is nothing of this kind is left out, as texts and ``None`` are.

    >>> flattened({"n": 3, "old": [torch.ones(1)]}, "0.")
    {'0.n:int': tensor(3), '0.old:list:0': tensor([1.])}
    """
    return dict(pair for name, value in values.items() for pair in _flat(f"{prefix}{name}", value))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value.detach().clone()
    elif type(value) in KINDS:
        yield f"{name}:{type(value).__name__}", torch.tensor(value, dtype=KINDS[type(value)])
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _flat(f"{name}:{type(value).__name__}:{i}", item)


def restored(state: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    """What :func:`flattened` was given.

    >>> restored(flattened({"n": 3, "old": [torch.ones(1)]}, "0."), "0.")
    {'n': 3, 'old': [tensor([1.])]}
    """
    found: dict[str, Any] = {}
    sequences: dict[str, type] = {}
    for key, tensor in state.items():
        if not key.startswith(prefix):
            continue
        name, *how = key.removeprefix(prefix).split(":")
        if how[:1] in (["list"], ["tuple"]):
            sequences[name] = tuple if how[0] == "tuple" else list
            found.setdefault(name, []).append(_value(tensor, how[2:]))
        else:
            found[name] = _value(tensor, how)
    return {name: sequences[name](value) if name in sequences else value for name, value in found.items()}


def _value(tensor: Tensor, how: list[str]) -> Any:
    return tensor.item() if how else tensor.clone()
