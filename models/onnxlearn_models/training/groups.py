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


def layered(groups: Sequence[Group], module: nn.Module, decay: float) -> list[Group]:
    """The groups with lower learning rates for layers further from the output: ``decay`` times that of the next layer.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 1))
    >>> groups = layered([Group(parameters=tuple(net.parameters()))], net, 0.5)
    >>> [(group.lr_factor, len(group.parameters)) for group in groups]
    [(0.5, 4), (1.0, 2)]

    Raises: ParameterError where there is one layer alone.
    """
    if decay == 1:
        return list(groups)
    heights = layer_heights(module)
    if not any(heights.values()):
        raise ParameterError(f"lr_layer_decay={decay:g} changes nothing in a network of one layer: leave it out")
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found: dict[tuple[int, int], list[nn.Parameter]] = {}
    for i, group in enumerate(groups):
        for parameter in group.parameters:
            found.setdefault((i, heights[names[id(parameter)]]), []).append(parameter)
    return [
        dataclasses.replace(groups[i], parameters=tuple(parameters), lr_factor=groups[i].lr_factor * decay**height)
        for (i, height), parameters in found.items()
    ]


def layer_heights(module: nn.Module) -> dict[str, int]:
    """How many layers lie between each parameter and the output, by the order in which the network has them.

    Parameters whose names are equal up to the first number are one layer (``blocks.3``, ``layer1.0``), as are those of one
    module otherwise. A layer begins with a matrix: what norms and biases follow belongs to it. A network whose parts work side
    by side has ``branches``, the names of these parts, whose layers are counted for each by itself.

    >>> layer_heights(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 1)))
    {'0.weight': 1, '0.bias': 1, '1.weight': 1, '1.bias': 1, '3.weight': 0, '3.bias': 0}
    """
    branches: tuple[str, ...] = getattr(module, "branches", ())
    layers: dict[str, list[list[str]]] = {}
    begun: dict[str, str] = {}
    for name, parameter in module.named_parameters():
        branch = next((branch for branch in branches if name.startswith(f"{branch}.")), "")
        path = name.removeprefix(f"{branch}.") if branch else name
        layer = _layer_of(path)
        if branch not in begun or (parameter.ndim >= 2 and begun[branch] != layer):
            begun[branch] = layer
            layers.setdefault(branch, []).append([])
        layers[branch][-1].append(name)
    behind = len(layers.get("", []))
    heights = {
        name: len(of) - 1 - i + (behind if branch else 0)
        for branch, of in layers.items()
        for i, names in enumerate(of)
        for name in names
    }
    return {name: heights[name] for name, _ in module.named_parameters()}


def _layer_of(name: str) -> str:
    """What a parameter's name shares with those of its layer."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts) - 2)
    return ".".join(parts[: number + 1])


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
