"""The optimizer that a training's settings choose; the classes are in :mod:`onnxlearn_models.training.optim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxlearn_models.training.optim.base import FlatParameters, Group, Optimizer, optimizers
from onnxlearn_models.training.optim.fused import SGD, Adam, AdamW
from onnxlearn_models.training.optim.wrapped import is_foreign, wrapped

if TYPE_CHECKING:
    from onnxlearn_models.training.config import TrainConfig

__all__ = ["SGD", "Adam", "AdamW", "FlatParameters", "Group", "Optimizer", "make_optimizer", "optimizers"]


def make_optimizer(config: TrainConfig, groups: Sequence[Group]) -> Optimizer:
    """The optimizer that the settings choose, for these groups of parameters.

    Raises: ParameterError where it cannot train them like this.
    """
    entry = optimizers.entry(config.optimizer)
    assert entry is not None
    if is_foreign(entry.make):
        return wrapped(entry, config, groups)
    made: Optimizer = optimizers.bound(entry, config)(groups)
    return made
