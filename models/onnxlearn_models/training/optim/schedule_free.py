"""AdamW without a schedule, by the package ``schedulefree`` of its authors."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from onnxlearn.effects import above
from onnxlearn.errors import MissingExtraError
from onnxlearn_models.arguments import About
from onnxlearn_models.training.optim.base import optimizers
from onnxlearn_models.training.optim.fused import Decay, Eps, SquareDecay


@optimizers.register("schedule_free", lr=2.5e-3)
def schedule_free(
    params: Any,
    *,
    lr: float,
    weight_decay: float = 0.0,
    beta1: Annotated[
        Decay, About("share of the averaged weights in those where gradients are computed", low=0, high=0.9999)
    ] = 0.9,
    beta2: SquareDecay = 0.999,
    eps: Eps = 1e-8,
    r: Annotated[float, About("later steps count more in the average, by this power of their number", low=0)] = 0.0,
    weight_lr_power: Annotated[
        float, About("steps of a higher lr count more, by this power", low=0, when={"warmup": above(0)})
    ] = 2.0,
) -> torch.optim.Optimizer:
    """Schedule-free AdamW (Defazio et al. 2024, "The Road Less Scheduled").

    Raises: MissingExtraError without the package.
    """
    try:
        from schedulefree import AdamWScheduleFree
    except ImportError as error:
        raise MissingExtraError.of("schedulefree", "optim", "optimizer='schedule_free'") from error
    return AdamWScheduleFree(  # type: ignore[no-any-return]
        params, lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), eps=eps, r=r, weight_lr_power=weight_lr_power
    )
