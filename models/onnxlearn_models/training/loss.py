"""Losses by name, and what training makes of them: a line in ``LOSSES`` makes one a choice of every learner with a ``loss``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.learner import TaskType
from onnxlearn.postprocess.heads import SMALLEST_STD

RowLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(network output [N, D], target int64 [N] or float32 [N, T]) -> the loss of each row [N]."""


@dataclass(frozen=True)
class LossInfo:
    """A loss and the type of task that it is for."""

    task: TaskType
    each: RowLoss


def _cross_entropy(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    return functional.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)


def _focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Rows that are predicted well already count less (Lin et al. 2017, "Focal Loss for Dense Object Detection")."""
    entropy = functional.cross_entropy(logits, target, reduction="none")
    return (-torch.expm1(-entropy)) ** gamma * entropy


def _log_cosh(output: Tensor, target: Tensor) -> Tensor:
    error = output - target
    # log cosh x = |x| + log(1 + exp(-2 |x|)) - log 2, which does not overflow.
    return (error.abs() + functional.softplus(-2 * error.abs()) - math.log(2)).mean(dim=1)


LOSSES: dict[str, LossInfo] = {
    "cross_entropy": LossInfo("classification", _cross_entropy),
    "focal": LossInfo("classification", _focal),
    "mse": LossInfo("regression", lambda output, target: functional.mse_loss(output, target, reduction='none').mean(dim=1)),
    "mae": LossInfo("regression", lambda output, target: (output - target).abs().mean(dim=1)),
    "huber": LossInfo("regression", lambda o, t: functional.huber_loss(o, t, reduction="none").mean(dim=1)),
    "log_cosh": LossInfo("regression", _log_cosh),
}

_USUAL: dict[TaskType, str] = {"classification": "cross_entropy", "regression": "mse"}


def row_loss(name: str | None, task: TaskType, label_smoothing: float = 0.0) -> RowLoss:
    """The loss of that name, or the usual one of the task. Targets of regression are in scaled units.

    Raises: ParameterError for a loss of another type of task, and for label smoothing without cross entropy.
    """
    chosen = name or _USUAL[task]
    info = LOSSES[chosen]
    if info.task != task:
        fitting = ", ".join(name for name, other in LOSSES.items() if other.task == task)
        raise ParameterError(f"loss={chosen!r} is for {info.task}, this task is a {task}: choose one of {fitting}")
    if task == "classification" and label_smoothing:
        if chosen != "cross_entropy":
            raise ParameterError(f"label_smoothing goes with loss='cross_entropy', not with {chosen!r}: leave one of them out")
        return partial(_cross_entropy, label_smoothing=label_smoothing)
    return info.each


def pinball(output: Tensor, target: Tensor, *, quantiles: Tensor) -> Tensor:
    """Pinball loss of Q quantiles of each target, output ``[N, T * Q]`` (Koenker and Bassett 1978, "Regression Quantiles")."""
    error = target.unsqueeze(-1) - output.reshape(*target.shape, len(quantiles))
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean(dim=(1, 2))


def gaussian(output: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of a normal distribution, output ``[N, 2 * T]``: means, then raw spreads.

    The standard deviation is that of the head (:class:`onnxlearn.postprocess.heads.NormalHead`).
    """
    mean, spread = output.chunk(2, dim=1)
    std = functional.softplus(spread) + SMALLEST_STD
    return (torch.log(std) + 0.5 * ((target - mean) / std).square()).mean(dim=1)
