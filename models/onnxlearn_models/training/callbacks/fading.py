"""Dropout that goes to 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.schedule import fade

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


class FadingDropout(Callback):
    """Lets the share that dropout drops go to 0 over the second half of the planned steps."""

    stackable: ClassVar[bool] = True

    def begin(self, ctx: Training) -> None:
        """Note the shares."""
        self._parts = [(part, part.p) for part in ctx.module.modules() if isinstance(part, nn.Dropout)]

    def batch_begin(self, ctx: Training) -> None:
        """Set the shares of this step."""
        for dropout, share in self._parts:
            dropout.p = share * fade(ctx.progress)
