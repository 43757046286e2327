"""The callbacks that the settings of a training ask for."""

from __future__ import annotations

from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks.averaged import MovingAverage
from onnxlearn_models.training.callbacks.clipping import GradientClipping
from onnxlearn_models.training.callbacks.early_stopping import EarlyStopping
from onnxlearn_models.training.callbacks.fading import FadingDropout
from onnxlearn_models.training.callbacks.stochastic_average import StochasticAverage
from onnxlearn_models.training.callbacks.time_budget import TimeBudget
from onnxlearn_models.training.callbacks.unfreeze import Unfreeze
from onnxlearn_models.training.config import TrainConfig


def usual_callbacks(config: TrainConfig) -> list[Callback]:
    """Those of the settings, which leave nothing open; one of them is an :class:`EarlyStopping`, which keeps the weights."""
    assert config.patience != "auto"
    callbacks: list[Callback] = [
        EarlyStopping(config.patience, monitor=config.monitor, min_delta=config.min_delta, keep=config.keep)
    ]
    if config.swa is not None:
        callbacks.append(StochasticAverage(config.swa))
    elif config.ema:
        callbacks.append(MovingAverage(config.ema))
    if config.unfreeze:
        callbacks.append(Unfreeze.by_pattern(config.unfreeze))
    if config.dropout_schedule == "fade":
        callbacks.append(FadingDropout())
    if config.grad_clip is not None:
        callbacks.append(GradientClipping(config.grad_clip))
    if config.time_budget is not None:
        callbacks.append(TimeBudget(config.time_budget))
    return callbacks
