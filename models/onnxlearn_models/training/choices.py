"""Choices of training that cannot work together are refused before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.optim.wrapped import is_foreign
from onnxlearn_models.training.optimizer import Group, make_optimizer, optimizers
from onnxlearn_models.training.registry import said
from onnxlearn_models.training.schedule import require_schedule


def require_choices(config: TrainConfig, groups: Sequence[Group]) -> None:
    """Raise ``ParameterError`` where optimizer, schedule and what else is set for a training do not go together."""
    optimizer = make_optimizer(config, _stand_ins(config, groups))
    name = said(config.optimizer)
    if any(group.l1 for group in groups) and not optimizer.takes_l1:
        raise ParameterError(
            f"optimizer={name} has no step that makes weights exactly 0, as l1 does: leave l1 out, or use adamw"
        )
    if optimizer.needs_closure:
        _require_one_loss(config, name)
    if optimizer.averages and (config.ema or config.swa is not None):
        way_out = "set ema=0" if config.swa is None else "leave swa out and set ema=0"
        raise ParameterError(f"optimizer={name} averages the weights itself: {way_out}")
    if optimizer.averages and config.schedule != "constant":
        raise ParameterError(f"optimizer={name} takes the place of a schedule: set schedule='constant'")
    require_schedule(config, optimizer.momentum)


def _require_one_loss(config: TrainConfig, name: str) -> None:
    """An optimizer that computes losses itself needs them to be those that the gradients are of."""
    for setting, idle, why in (
        ("accumulate", 1, "computes the loss of a step several times: use a larger batch_size"),
        ("grad_clip", None, "searches along gradients, which must not be changed: set grad_clip=None"),
    ):
        if getattr(config, setting) != idle:
            raise ParameterError(f"{setting}={getattr(config, setting)} does not go with optimizer={name}, which {why}")
    if config.precision == "fp16":
        raise ParameterError(f"precision='fp16' does not go with optimizer={name}, which scales no gradients: use 'float32'")


def _stand_ins(config: TrainConfig, groups: Sequence[Group]) -> list[Group]:
    """Groups of other parameters with the same rates, and of the same shapes where an optimizer may look at them."""
    entry = optimizers.entry(config.optimizer)
    assert entry is not None
    foreign = is_foreign(entry.make)

    def parameters(group: Group) -> tuple[nn.Parameter, ...]:
        shapes = [p.shape for p in group.parameters] if foreign else [torch.Size([1])]
        return tuple(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    return [dataclasses.replace(group, parameters=parameters(group)) for group in groups]
