"""Why a loss is not finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training

# Gradients and weights of networks that learn are far below.
_LARGE_GRADIENT, _LARGE_WEIGHT = 100.0, 1e4


class DivergedError(Exception):
    """The loss of a batch, or of the validation rows, is not finite; the message says where and why."""


def describe_divergence(ctx: Training, batch: int | None) -> str:
    """Epoch, batch (from 1; ``None``: the validation rows), largest gradient and the likely cause.

    The gradients have to be those of the last step whose loss was finite, or of the batch itself where it is the first one.
    """
    rows = "on the validation rows" if batch is None else f"in batch {batch} of {ctx.n_batches}"
    size, name = _largest_gradient(ctx)
    before = f"the largest gradient before it was {size:.3g}, of {name}" if name else "no gradient was computed before it"
    return f"the loss is not finite in epoch {ctx.epoch}, {rows}, with lr={ctx.lr:.3g}; {before}; {_cause(ctx, size)}"


def _largest_gradient(ctx: Training) -> tuple[float, str]:
    found = (0.0, "")
    for name, parameter in ctx.module.named_parameters():
        if parameter.grad is not None and parameter.grad.numel():
            size = float(parameter.grad.abs().max())
            if not math.isfinite(size) or size > found[0]:
                found = (size, name)
            if not math.isfinite(size):
                break
    return found


def _cause(ctx: Training, largest: float) -> str:
    weight = ctx.optimizer.flat.values.abs().amax().item() if len(ctx.optimizer.flat.values) else 0.0
    if ctx.n_steps == 0:
        return "the weights are those that training began with: the loss or the network gives no number for these rows"
    # Written this way round NaN counts as large.
    if not (weight < _LARGE_WEIGHT and largest < _LARGE_GRADIENT):
        return "the steps are too large: choose a lower lr, or limit gradients by grad_clip=1"
    return "the network or the loss gives no number for these rows: a lower lr may help, or another loss"
