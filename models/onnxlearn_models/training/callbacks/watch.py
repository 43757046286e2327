"""A function that hears of every epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from onnxlearn_models.training.callback import Callback

if TYPE_CHECKING:
    from onnxlearn.learner import OnLoss
    from onnxlearn_models.training.loop import Training


class Watch(Callback):
    """Calls ``on_epoch`` with the number of each epoch, from 1, and its loss on the validation rows, or on the training rows.

    What it raises ends the training.
    """

    recorded: ClassVar[bool] = False

    def __init__(self, on_epoch: OnLoss) -> None:
        self.on_epoch = on_epoch

    def epoch_end(self, ctx: Training) -> None:
        """Tell of it."""
        epoch = ctx.result.epochs[-1]
        loss = epoch.train_loss if epoch.valid_loss is None else epoch.valid_loss
        self.on_epoch(ctx.epoch, math.inf if loss is None or math.isnan(loss) else loss)
