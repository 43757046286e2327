"""What training minimises, and what chooses the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.postprocess.config import MEDIAN
from onnxlearn.postprocess.heads import Head, NormalHead, PointHead, QuantileHead
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.loss import RowLoss, gaussian, pinball, row_loss


def make_objective(head: Head, config: TrainConfig, scaling: TargetScaling | None, device: torch.device) -> Objective:
    """The objective of a head. ``scaling``: of the regression target.

    Raises: ParameterError for a loss that does not go with the head.
    """
    if scaling is None:
        return Objective(row_loss(config.loss, "classification", config.label_smoothing), classes=True, score=accuracy())
    if config.label_smoothing:
        raise ParameterError(
            f"label_smoothing={config.label_smoothing:g} is for classification; this task is a regression: leave it out"
        )
    score = root_mean_squared_error(torch.as_tensor(scaling.unit, dtype=torch.float32, device=device))
    if isinstance(head, PointHead):
        return Objective(row_loss(config.loss, "regression"), classes=False, score=score)
    if config.loss is not None:
        raise ParameterError(f"loss={config.loss!r} is for head='point', the other heads bring their own: leave it out")
    if isinstance(head, NormalHead):
        return Objective(gaussian, classes=False, score=score, point=lambda output: output.chunk(2, dim=1)[0])
    assert isinstance(head, QuantileHead)
    n, middle = len(head.quantiles), head.quantiles.index(MEDIAN)
    each = partial(pinball, quantiles=torch.tensor(head.quantiles, device=device))
    return Objective(each, classes=False, score=score, point=lambda output: output.reshape(len(output), -1, n)[..., middle])


@dataclass(frozen=True)
class Objective:
    """What training minimises and what chooses the epoch.

    ``each``: loss of the rows; ``classes``: the output are logits; ``point``: from the network's output ``[N, D]`` to what is
    scored, logits or scaled predictions.
    """

    each: RowLoss
    classes: bool
    score: Score
    point: Callable[[Tensor], Tensor] = lambda output: output

    @property
    def slope(self):
        return SLOPES.get(self.each)

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
        together = average_members(output, classes=self.classes)
        return _mean(self.each(together, target), weight), _mean(self.score.each(self.point(together), target), weight)


def average_members(output: Tensor, *, classes: bool) -> Tensor:
    """Outputs ``[N, k, D]`` of k members as one ``[N, D]``: logarithms of mean probabilities, or mean predictions."""
    if output.ndim == 2:
        return output
    if not classes:
        return output.mean(dim=1)
    return functional.log_softmax(output, dim=-1).logsumexp(dim=1) - math.log(output.shape[1])


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


def mse_slope(output, target, weight):
    error = output - target
    slope = error * (2 / error.numel())
    if weight is not None: slope *= weight.unsqueeze(1)
    return torch.dot(error.view(-1), slope.view(-1)) / 2, slope


def ce_slope(output, target, weight):
    logs = functional.log_softmax(output, dim=1)
    if weight is None:
        loss = functional.nll_loss(logs, target)
        slope = logs.exp_().scatter_(1, target.unsqueeze(1), -1.0, reduce="add").mul_(1/len(target))
    return loss, slope

from onnxlearn_models.training.loss import LOSSES
SLOPES = {LOSSES["mse"].each: mse_slope, LOSSES["cross_entropy"].each: ce_slope}
