"""Which parameters are trained."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from torch import nn

from onnxlearn.errors import ParameterError, listing


def parameter_names(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters by the names that users call them."""
    return {name.removeprefix(getattr(module, "own_prefix", "")): p for name, p in module.named_parameters()}


def matching(patterns: Sequence[str], names: Sequence[str], what: str) -> list[str]:
    """The names that match one of the patterns, which are those of a shell; ``what`` has them, in messages.

    >>> matching(["head.*"], ["body.weight", "head.weight", "head.bias"], "freeze")
    ['head.weight', 'head.bias']

    Raises: ParameterError for a pattern that no name matches.
    """
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            there = listing(beginnings(names))
            raise ParameterError(f"{what} has {pattern!r}, which is the name of no parameter; there are {there}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def freeze(module: nn.Module, patterns: Sequence[str], joining: Iterable[str] = ()) -> None:
    """Take parameters out of the training; ``joining``: patterns of those that are trained from some epoch on all the same.

    Raises: ParameterError for a pattern that no name matches, and where nothing is left to train.
    """
    parameters = parameter_names(module)
    later = matching(list(joining), list(parameters), "unfreeze")
    for name in matching(patterns, list(parameters), "freeze"):
        parameters[name].requires_grad = name in later
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ParameterError(f"freeze={list(patterns)} leaves no parameter to train")


def beginnings(names: Sequence[str], most: int = 12) -> list[str]:
    """The names, or where they are more than ``most`` the longest beginnings of which there are no more.

    >>> beginnings(["net.0.weight", "net.0.bias", "net.1.weight", "head.weight"], 3)
    ['net.0.*', 'net.1.weight', 'head.weight']
    """
    depth = max(name.count(".") for name in names) + 1
    while len(found := _cut(names, depth)) > most and depth > 1:
        depth -= 1
    return found


def _cut(names: Sequence[str], depth: int) -> list[str]:
    """Each once; what is alone with its beginning has its whole name."""
    starts = [".".join(name.split(".")[:depth]) for name in names]
    alone = (starts.count(start) == 1 for start in starts)
    return list(dict.fromkeys(name if one else f"{start}.*" for name, start, one in zip(names, starts, alone, strict=True)))
