"""Which norms follow the batches while a network is trained."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn

NormStatistics: TypeAlias = Literal["trained", "all", "none"]


def running_norms(module: nn.Module) -> dict[str, nn.Module]:
    """The norms with running statistics, by name.

    >>> list(running_norms(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.LayerNorm(3))))
    ['1']
    """
    norms = ((name, part) for name, part in module.named_modules() if isinstance(part, nn.modules.batchnorm._NormBase))
    return {name: norm for name, norm in norms if norm.running_mean is not None}


def kept_norms(module: nn.Module, statistics: NormStatistics) -> list[nn.Module]:
    """The norms that compute as in evaluation, by the statistics that they have, which stay as they are.

    With ``trained`` those whose parameters are not trained now; one without parameters goes with what stands around it.
    """
    if statistics == "all":
        return []
    return [norm for name, norm in running_norms(module).items() if statistics == "none" or not _is_trained(module, name)]


def begin_training(module: nn.Module, statistics: NormStatistics) -> None:
    """Put the network in training mode, but for the norms that are kept, and for parts with ``rests`` that are resting."""
    module.train()
    for norm in kept_norms(module, statistics):
        norm.eval()
    for part in module.modules():
        if getattr(part, "rests", False) and is_resting(part, statistics):
            part.eval()


def is_resting(part: nn.Module, statistics: NormStatistics) -> bool:
    """Whether nothing of a part changes in training: neither its parameters nor running statistics.

    >>> part = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).requires_grad_(False)
    >>> is_resting(part, "trained"), is_resting(part, "all")
    (True, False)
    """
    is_trained = any(parameter.requires_grad for parameter in part.parameters())
    return not is_trained and (statistics != "all" or not running_norms(part))


def _is_trained(module: nn.Module, name: str) -> bool:
    """Whether a part is trained: something of it, or of the nearest part around it that has parameters."""
    while name and not list(module.get_submodule(name).parameters()):
        name = name.rpartition(".")[0]
    return any(parameter.requires_grad for parameter in module.get_submodule(name).parameters())
