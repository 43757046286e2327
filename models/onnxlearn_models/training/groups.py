"""Parameters in groups that share a weight decay and a factor on the learning rate."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.freezing import matching, parameter_names
from onnxlearn_models.training.optimizer import Group


def parameter_groups(module: nn.Module, config: TrainConfig) -> list[Group]:
    """Matrices decay and have penalties; biases, norms and whatever stands in modules of ``undecayed = True`` do not.

    Embeddings of codes may have rates of their own.
    """
    embedding = _inside(module, lambda part: isinstance(part, CodeEmbedding))
    spared = _inside(module, lambda part: getattr(part, "undecayed", False))
    trainable = [p for p in module.parameters() if p.requires_grad]
    others = [p for p in trainable if id(p) not in embedding]
    matrices = tuple(p for p in others if p.ndim >= 2 and id(p) not in spared)
    vectors = tuple(p for p in others if p.ndim < 2 or id(p) in spared)
    embeddings = tuple(p for p in trainable if id(p) in embedding)
    decay = config.weight_decay if config.embedding_weight_decay is None else config.embedding_weight_decay
    penalties = {"l1": config.l1, "l2": config.l2 or 0.0}
    groups = [
        Group(parameters=matrices, weight_decay=config.weight_decay, **penalties),
        Group(parameters=vectors),
        Group(parameters=embeddings, weight_decay=decay, lr_factor=config.embedding_lr, **penalties),
    ]
    return [group for group in groups if group.parameters]


def _inside(module: nn.Module, chosen: Callable[[nn.Module], bool]) -> set[int]:
    """Which parameters stand in the chosen modules."""
    return {id(p) for part in module.modules() if chosen(part) for p in part.parameters()}


RATES = ("lr", "weight_decay")


def regrouped(groups: Sequence[Group], module: nn.Module, rates: Mapping[str, Any] | Callable[..., Any] | None) -> list[Group]:
    """The groups with rates of their own for some parameters: a factor on the learning rate, a weight decay, or both.

    ``rates``: by patterns of names, as in a shell, of which a later one has the last word; or a function of the name and the
    parameter that gives such rates, or ``None``.

    >>> net = nn.Linear(2, 1)
    >>> groups = regrouped([Group(parameters=tuple(net.parameters()))], net, {"bias": {"lr": 0.1}})
    >>> [(group.lr_factor, len(group.parameters)) for group in groups]
    [(1.0, 1), (0.1, 1)]

    Raises: ParameterError for a pattern that no name matches, and for anything but rates.
    """
    if rates is None:
        return list(groups)
    names = {id(parameter): name for name, parameter in parameter_names(module).items()}
    if isinstance(rates, Mapping):
        matching(list(rates), [names[id(p)] for group in groups for p in group.parameters], "param_groups")
    found: dict[tuple[int, float, float], list[nn.Parameter]] = {}
    for i, group in enumerate(groups):
        for parameter in group.parameters:
            own = _rates_of(names[id(parameter)], parameter, rates)
            key = (i, group.lr_factor * own.get("lr", 1.0), own.get("weight_decay", group.weight_decay))
            found.setdefault(key, []).append(parameter)
    return [
        dataclasses.replace(groups[i], parameters=tuple(parameters), lr_factor=lr, weight_decay=decay)
        for (i, lr, decay), parameters in found.items()
    ]


def _rates_of(name: str, parameter: nn.Parameter, rates: Mapping[str, Any] | Callable[..., Any]) -> dict[str, float]:
    """The rates that a parameter is meant by."""
    if not isinstance(rates, Mapping):
        return _checked_rates(rates(name, parameter) or {}, name)
    found: dict[str, float] = {}
    for pattern, own in rates.items():
        if fnmatch.fnmatchcase(name, pattern):
            found |= _checked_rates(own, pattern)
    return found


def _checked_rates(rates: Any, of: str) -> dict[str, float]:
    if not isinstance(rates, Mapping) or not set(rates) <= set(RATES):
        raise ParameterError(
            f"param_groups of {of!r} has to be a mapping with 'lr', a factor, 'weight_decay' or both, not {rates!r}"
        )
    for name, value in rates.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ParameterError(f"param_groups of {of!r}: {name} has to be a number >= 0, not {value!r}")
    return {name: float(value) for name, value in rates.items()}
