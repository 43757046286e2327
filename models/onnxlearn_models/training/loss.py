"""Losses by name, and what training makes of them: each is a choice of every learner with a ``loss``.

A loss of classes reads logits ``[N, C]`` and int64 ``[N]``, one of numbers predictions and truths ``[N, T]`` in scaled units;
the settings of both are their further arguments.
"""

from __future__ import annotations

import copy
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.learner import TaskType
from onnxlearn.named import reason
from onnxlearn.postprocess.heads import SMALLEST_STD
from onnxlearn_models.arguments import About, signature
from onnxlearn_models.training.registry import Entry, Registry, said

RowLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(network output [N, D], target int64 [N] or float32 [N, T]) -> the loss of each row [N]."""


@dataclass(frozen=True, kw_only=True)
class LossInfo(Entry):
    """A loss: a function of output and target that gives the loss of each row.

    ``task``: the type of task that it is for, ``None`` for both; ``n_classes``: how many classes it is for, where that
    matters. ``positive``: of numbers that are not negative; the network's output is the logarithm of the prediction
    (:class:`onnxlearn.postprocess.heads.LogHead`). A function with the argument ``unit`` gets what 1 of a scaled target is,
    float32 ``[T]``.
    """

    task: TaskType | None = None
    n_classes: int | None = None
    positive: bool = False
    above_zero: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in (None, *typing.get_args(TaskType)):
            raise ParameterError(f"task={self.task!r} of a loss is none: it is 'classification', 'regression' or None for both")


losses: Registry[LossInfo] = Registry(LossInfo, parameter="loss", prefix="loss_", n_first=2, filled=("unit",))
"""The choices of ``loss``."""


# Its smoothing is a parameter of every learner, since it is the usual loss.
@losses.register("cross_entropy", task="classification")
def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the logarithm of the probability of the true class."""
    return functional.cross_entropy(logits, target, reduction="none")


@losses.register("bce", task="classification", n_classes=2)
def bce(
    logits: Tensor,
    target: Tensor,
    *,
    positive_weight: Annotated[
        float, About("how much rows of the second class count, those of the first 1", low=0, low_open=True)
    ] = 1.0,
) -> Tensor:
    """Binary cross entropy of the difference of the two logits, which is the logit of the second class."""
    weight = torch.tensor(positive_weight, device=logits.device)
    difference = logits[:, 1] - logits[:, 0]
    return functional.binary_cross_entropy_with_logits(difference, target.to(logits.dtype), reduction="none", pos_weight=weight)


@losses.register("focal", task="classification")
def focal(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: Annotated[float, About("how much less rows count that are predicted well; 0: cross entropy", low=0)] = 2.0,
) -> Tensor:
    """Rows that are predicted well already count less (Lin et al. 2017, "Focal Loss for Dense Object Detection")."""
    entropy = cross_entropy(logits, target)
    return (-torch.expm1(-entropy)) ** gamma * entropy


@losses.register("poly", task="classification")
def poly(
    logits: Tensor,
    target: Tensor,
    *,
    epsilon: Annotated[float, About("factor on 1 minus the probability of the true class; 0: cross entropy", low=-1)] = 1.0,
) -> Tensor:
    """Cross entropy with a changed first term of its series (Leng et al. 2022, "PolyLoss", section 4.2)."""
    entropy = cross_entropy(logits, target)
    return entropy - epsilon * torch.expm1(-entropy)


@losses.register("mse", task="regression")
def mse(output: Tensor, target: Tensor) -> Tensor:
    """Squared error."""
    return (output - target).square().mean(dim=1)


@losses.register("l1", task="regression")
@losses.register("mae", task="regression")
def mae(output: Tensor, target: Tensor) -> Tensor:
    """Absolute error."""
    return (output - target).abs().mean(dim=1)


@losses.register("huber", task="regression")
def huber(
    output: Tensor,
    target: Tensor,
    *,
    delta: Annotated[float, About("scaled error up to which it is squared", low=0, low_open=True)] = 1.0,
) -> Tensor:
    """Squared error near 0, ``delta`` times the absolute one beyond (Huber 1964)."""
    return functional.huber_loss(output, target, reduction="none", delta=delta).mean(dim=1)


@losses.register("smooth_l1", task="regression")
def smooth_l1(
    output: Tensor,
    target: Tensor,
    *,
    beta: Annotated[float, About("scaled error up to which it is squared", low=0)] = 1.0,
) -> Tensor:
    """Huber's loss over its ``delta``: the slope of large errors is 1 (Girshick 2015, "Fast R-CNN")."""
    return functional.smooth_l1_loss(output, target, reduction="none", beta=beta).mean(dim=1)


@losses.register("log_cosh", task="regression")
def log_cosh(output: Tensor, target: Tensor) -> Tensor:
    """Squared error near 0, absolute error beyond, smooth throughout."""
    error = output - target
    # log cosh x = |x| + log(1 + exp(-2 |x|)) - log 2, which does not overflow.
    return (error.abs() + functional.softplus(-2 * error.abs()) - math.log(2)).mean(dim=1)


@losses.register("pinball", task="regression")
def pinball_point(
    output: Tensor,
    target: Tensor,
    *,
    quantile: Annotated[float, About("the quantile that is predicted", low=0, low_open=True, high=1, high_open=True)] = 0.5,
) -> Tensor:
    """What a quantile minimises (Koenker and Bassett 1978, "Regression Quantiles"); for several at once head="quantile"."""
    error = target - output
    return torch.maximum(quantile * error, (quantile - 1) * error).mean(dim=1)


@losses.register("poisson", task="regression", positive=True)
def poisson(output: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of counts, but for what does not depend on the output, which is the logarithm of their mean."""
    return (torch.exp(output) - target * output).mean(dim=1)


@losses.register("gamma", task="regression", positive=True, above_zero=True)
def gamma_nll(output: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of a gamma distribution of any shape, but for constants; the output is the log of its mean."""
    return (output + target * torch.exp(-output)).mean(dim=1)


@losses.register("msle", task="regression", positive=True)
def msle(output: Tensor, target: Tensor, *, unit: Tensor) -> Tensor:
    """Squared error of ``log(1 + y)``, y in the target's own unit; the output is the logarithm of the scaled prediction."""
    # log(1 + unit * exp(output)), which does not overflow.
    return (functional.softplus(output + unit.log()) - torch.log1p(target * unit)).square().mean(dim=1)


ELSEWHERE = {
    "gaussian_nll": "it is what head='normal' minimises, which predicts mean and standard deviation: leave loss out",
    "quantile": "it is what head='quantile' minimises, for several quantiles: leave loss out; of one it is called pinball",
}
"""Why losses that people may well look for are no choices."""

_USUAL: dict[TaskType, str] = {"classification": "cross_entropy", "regression": "mse"}


def loss_info(choice: str | Callable[..., Any] | None, task: TaskType) -> LossInfo:
    """What the choice stands for, or the usual loss of the task. Raises: ParameterError for one of another type of task."""
    chosen = _USUAL[task] if choice is None else choice
    info = losses.entry(chosen)
    assert info is not None
    if info.task not in (None, task):
        fitting = ", ".join(name for name, other in losses.items() if other.task in (None, task))
        raise ParameterError(f"loss={said(chosen)} is for {info.task}, this task is a {task}: choose one of {fitting}")
    return info


def row_loss(
    choice: str | Callable[..., Any] | None,
    task: TaskType,
    label_smoothing: float = 0.0,
    *,
    config: Any = None,
    unit: Tensor | None = None,
) -> RowLoss:
    """The loss of that name, or the usual one of the task. ``config``: a training config with the loss's settings.

    Raises: ParameterError for a loss of another type of task, and for label smoothing without cross entropy.
    """
    info = loss_info(choice, task)
    if label_smoothing:
        if info is not losses["cross_entropy"]:
            raise ParameterError(
                f"label_smoothing goes with loss='cross_entropy', not with {said(choice)}: leave one of them out"
            )
        return partial(functional.cross_entropy, reduction="none", label_smoothing=label_smoothing)
    # Nothing may learn from one training to the next.
    each = copy.deepcopy(info.make) if isinstance(info.make, nn.Module) else losses.bound(info, config)
    return partial(each, unit=unit) if "unit" in signature(info.make).parameters else each


def checked(each: RowLoss, choice: str | Callable[..., Any], output: Tensor, target: Tensor) -> RowLoss:
    """A loss of the user's, tried on two rows; what it gives beyond one number a row is averaged.

    Raises: ParameterError where it fails or does not tell the rows apart.
    """
    name = said(choice)
    output = output.detach().requires_grad_()
    try:
        with torch.enable_grad():
            found = each(output, target)
    except Exception as error:
        raise ParameterError(
            f"loss={name} fails for output {list(output.shape)} and target {list(target.shape)}: {reason(error)}"
        ) from error
    if not isinstance(found, Tensor) or not found.ndim or found.shape[0] != len(output):
        shape = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ParameterError(
            f"loss={name} has to give the loss of each row, a tensor [N], since rows have weights; of {len(output)} rows it "
            f"gives {shape}: leave the mean out (reduction='none' in torch)"
        )
    if not found.requires_grad:
        raise ParameterError(
            f"loss={name} has no derivative by the output: compute it by torch's operations, without detach(), item() or numpy"
        )
    return each if found.ndim == 1 else lambda output, target: each(output, target).flatten(1).mean(dim=1)


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
