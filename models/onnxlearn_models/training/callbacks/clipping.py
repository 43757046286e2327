"""Limits of the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from onnxlearn_models.training.callback import Callback

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


class GradientClipping(Callback):
    """Scales the gradient of all parameters down to a Euclidean norm of at most ``max_norm``.

    Pascanu, Mikolov and Bengio (2013), "On the Difficulty of Training Recurrent Neural Networks", section 3.2.
    """

    stackable: ClassVar[bool] = True

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def after_backward(self, ctx: Training) -> None:
        """Scale in place."""
        grads = ctx.optimizer.flat.grads
        grads.mul_((self.max_norm / (torch.linalg.vector_norm(grads) + 1e-6)).clamp(max=1.0))
