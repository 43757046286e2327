"""What training minimises, and what chooses the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.postprocess.config import MEDIAN, OutputConfig
from onnxlearn.postprocess.heads import LARGEST_LOG, Head, LogHead, NormalHead, PointHead, QuantileHead
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Target
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.loss import RowLoss, checked, gaussian, loss_info, losses, pinball, row_loss
from onnxlearn_models.training.registry import said


def choose_head(target: Target, outputs: OutputConfig, config: TrainConfig) -> Head:
    """What the network's output means: what the outputs ask for, and a logarithm where the loss needs positive numbers.

    Raises: ParameterError where a setting does not suit what is predicted.
    """
    head = Head.of(target, outputs)
    info = losses.entry(config.loss)
    return LogHead(target) if info is not None and info.positive and type(head) is PointHead else head


def make_objective(head: Head, config: TrainConfig, scaling: TargetScaling | None, device: torch.device) -> Objective:
    """The objective of a head. ``scaling``: of the regression target.

    Raises: ParameterError for a loss that does not go with the head.
    """
    if scaling is None:
        return _of_classes(head, config, device)
    if config.label_smoothing:
        raise ParameterError(
            f"label_smoothing={config.label_smoothing:g} is for classification; this task is a regression: leave it out"
        )
    unit = torch.as_tensor(scaling.unit, dtype=torch.float32, device=device)
    score = root_mean_squared_error(unit)
    if isinstance(head, PointHead):
        each = row_loss(config.loss, "regression", config=config, unit=unit)
        ones = torch.ones(2, head.width, device=device)
        each = _tried(each, config.loss, ones, ones)
        if isinstance(head, LogHead):
            return Objective(each, classes=False, score=score, point=_exponential, log=True)
        return Objective(each, classes=False, score=score)
    if config.loss is not None:
        raise ParameterError(f"loss={said(config.loss)} is for head='point', the other heads bring their own: leave it out")
    if isinstance(head, NormalHead):
        return Objective(gaussian, classes=False, score=score, point=lambda output: output.chunk(2, dim=1)[0])
    assert isinstance(head, QuantileHead)
    n, middle = len(head.quantiles), head.quantiles.index(MEDIAN)
    each = partial(pinball, quantiles=torch.tensor(head.quantiles, device=device))
    return Objective(each, classes=False, score=score, point=lambda output: output.reshape(len(output), -1, n)[..., middle])


def _of_classes(head: Head, config: TrainConfig, device: torch.device) -> Objective:
    info = loss_info(config.loss, "classification")
    if info.n_classes not in (None, head.width):
        raise ParameterError(
            f"loss={said(config.loss)} is for {info.n_classes} classes, and there are {head.width}: choose cross_entropy"
        )
    each = row_loss(config.loss, "classification", config.label_smoothing, config=config)
    target = torch.zeros(2, dtype=torch.int64, device=device)
    each = _tried(each, config.loss, torch.zeros(2, head.width, device=device), target)
    return Objective(each, classes=True, score=accuracy())


@torch.no_grad()
def _tried(each: RowLoss, choice: str | Callable[..., Any] | None, output: Tensor, target: Tensor) -> RowLoss:
    """The loss, where it is the user's: in the form that training needs."""
    info = losses.entry(choice)
    if choice is None or info is None or getattr(info.make, "__module__", "") == row_loss.__module__:
        return each
    with torch.random.fork_rng(devices=[]):
        return checked(each, choice, output, target)


def _exponential(output: Tensor) -> Tensor:
    return output.clamp(max=LARGEST_LOG).exp()


@dataclass(frozen=True)
class Objective:
    """What training minimises and what chooses the epoch.

    ``each``: loss of the rows; ``classes``: the output are logits; ``point``: from the network's output ``[N, D]`` to what is
    scored, logits or scaled predictions; ``log``: the output are logarithms of predictions.
    """

    each: RowLoss
    classes: bool
    score: Score
    point: Callable[[Tensor], Tensor] = lambda output: output
    log: bool = False

    def train(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Mean loss over rows and members; output ``[N, D]``, or ``[N, k, D]`` of k members.

        Members with batches of their own have targets (and weights) ``[N, k, ...]``.
        """
        if output.ndim == 3:
            shared = target.ndim == (1 if self.classes else 2)
            output, target, weight = _by_member(output, target, weight, shared=shared)
        return _mean(self.each(output, target), weight)

    def valid(self, output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Loss and score of what the members say together."""
        together = average_members(output, classes=self.classes, log=self.log)
        return _mean(self.each(together, target), weight), _mean(self.score.each(self.point(together), target), weight)


def average_members(output: Tensor, *, classes: bool, log: bool = False) -> Tensor:
    """Outputs ``[N, k, D]`` of k members as one ``[N, D]``: logarithms of mean probabilities, or mean predictions.

    ``log``: both are logarithms of predictions.
    """
    if output.ndim == 2:
        return output
    if not classes and not log:
        return output.mean(dim=1)
    logs = functional.log_softmax(output, dim=-1) if classes else output
    return logs.logsumexp(dim=1) - math.log(output.shape[1])


@dataclass(frozen=True)
class Score:
    """What the history tells of the validation rows beside the loss: ``finish`` of the weighted mean over rows of ``each``."""

    name: str
    each: RowLoss
    finish: Callable[[float], float] = float
    larger_is_better: bool = False


def accuracy() -> Score:
    """Share of the rows whose class has the highest logit."""
    return Score("acc", lambda logits, target: (logits.argmax(dim=1) == target).float(), larger_is_better=True)


def root_mean_squared_error(unit: Tensor) -> Score:
    """In the targets' own units; ``unit``: what 1 of a scaled target is, ``[T]``."""
    return Score("rmse", lambda output, target: ((output - target) * unit).square().mean(dim=1), math.sqrt)


def _mean(losses: Tensor, weight: Tensor | None) -> Tensor:
    return losses.mean() if weight is None else (losses * weight).mean()


def _by_member(output: Tensor, target: Tensor, weight: Tensor | None, *, shared: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Every member's output as rows of their own, with the target and weight of each."""
    n_members = output.shape[1]

    def spread(x: Tensor) -> Tensor:
        return x.repeat_interleave(n_members, dim=0) if shared else x.flatten(0, 1)

    return output.flatten(0, 1), spread(target), None if weight is None else spread(weight)
