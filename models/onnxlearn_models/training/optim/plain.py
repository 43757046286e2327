"""Optimizers for which torch has no fused kernel on every device: a few operations on the flat tensors of a group.

Each computes what the class of the same name in ``torch.optim`` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from onnxlearn.effects import above
from onnxlearn_models.arguments import About
from onnxlearn_models.training.optim.base import Elementwise, Group, optimizers
from onnxlearn_models.training.optim.fused import Decay, Eps, SquareDecay

Decoupled = Annotated[
    bool,
    About(
        "weight decay shrinks the weights themselves instead of being added to the gradient", when={"weight_decay": above(0)}
    ),
]


@optimizers.register("rmsprop", lr=1e-3)
class RMSprop(Elementwise):
    """Gradients divided by their root mean square (Tieleman and Hinton 2012; ``centered``: Graves 2013)."""

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        alpha: Annotated[float, About("decay of the gradient's square", low=0, high=0.99999)] = 0.99,
        eps: Eps = 1e-8,
        momentum: Annotated[float, About("decay of the mean direction; 0: none", low=0, high=0.9999)] = 0.0,
        centered: Annotated[bool, About("divide by the standard deviation of the gradient")] = False,
    ) -> None:
        self.momentum: float | None = momentum or None
        self._alpha, self._eps, self._centered = alpha, eps, centered
        wanted = {"square": True, "mean": centered, "direction": momentum > 0}
        super().__init__(groups, {name: 0.0 for name, needed in wanted.items() if needed})

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        parts = self._parts[index]
        if weight_decay:
            grads.add_(values, alpha=weight_decay)
        parts["square"].mul_(self._alpha).addcmul_(grads, grads, value=1 - self._alpha)
        if self._centered:
            parts["mean"].lerp_(grads, 1 - self._alpha)
        if self.momentum is None:
            values.addcdiv_(grads, self._size(parts), value=-lr)
        else:
            values.add_(parts["direction"].mul_(self.momentum).addcdiv_(grads, self._size(parts)), alpha=-lr)

    def _size(self, parts: Mapping[str, Tensor]) -> Tensor:
        square = parts["square"]
        if self._centered:
            square = square.addcmul(parts["mean"], parts["mean"], value=-1)
        return square.sqrt().add_(self._eps)

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor:
        del count
        return 1 / (self._size(parts) * (1 - (self.momentum or 0.0)))


@optimizers.register("adagrad", lr=1e-2)
class Adagrad(Elementwise):
    """Gradients divided by the root of the sum of their squares (Duchi, Hazan and Singer 2011)."""

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        lr_decay: Annotated[float, About("lr is divided by 1 + lr_decay for each step before", low=0)] = 0.0,
        initial_accumulator_value: Annotated[float, About("where the sum of squares begins", low=0)] = 0.0,
        eps: Eps = 1e-10,
    ) -> None:
        self._lr_decay, self._eps = lr_decay, eps
        super().__init__(groups, {"sum": initial_accumulator_value})

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        total = self._parts[index]["sum"]
        if weight_decay:
            grads.add_(values, alpha=weight_decay)
        total.addcmul_(grads, grads)
        values.addcdiv_(grads, total.sqrt().add_(self._eps), value=-lr * self._slowed(self._counts[index]))

    def _slowed(self, count: int) -> float:
        return 1 / (1 + (count - 1) * self._lr_decay)

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor:
        return self._slowed(count) / (parts["sum"].sqrt() + self._eps)


@optimizers.register("nadam")
class NAdam(Elementwise):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        beta1: Decay = 0.9,
        beta2: SquareDecay = 0.999,
        eps: Eps = 1e-8,
        momentum_decay: Annotated[float, About("how fast the momentum rises to beta1", low=0)] = 4e-3,
        decoupled: Decoupled = False,
    ) -> None:
        self.momentum: float = beta1
        self._beta2, self._eps, self._momentum_decay, self._decoupled = beta2, eps, momentum_decay, decoupled
        # The product of all momenta is the same number in all places of a group: so it stays with its parameters.
        super().__init__(groups, {"mean": 0.0, "square": 0.0, "product": 1.0})

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        parts, count = self._parts[index], self._counts[index]
        decay_weights(values, grads, lr, weight_decay, decoupled=self._decoupled)
        now, later = (self.momentum * (1 - 0.5 * 0.96 ** (n * self._momentum_decay)) for n in (count, count + 1))
        product = parts["product"].mul_(now)[:1]
        parts["mean"].lerp_(grads, 1 - self.momentum)
        parts["square"].mul_(self._beta2).addcmul_(grads, grads, value=1 - self._beta2)
        size = (parts["square"] / (1 - self._beta2**count)).sqrt_().add_(self._eps)
        direction = (1 - now) / (1 - product) * grads + later / (1 - product * later) * parts["mean"]
        values.addcdiv_(direction, size, value=-lr)

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor:
        return 1 / ((parts["square"] / (1 - self._beta2**count)).sqrt() + self._eps)


@optimizers.register("radam")
class RAdam(Elementwise):
    """Adam whose first steps are rectified, since few gradients tell little of their square (Liu et al. 2020)."""

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        beta1: Decay = 0.9,
        beta2: SquareDecay = 0.999,
        eps: Eps = 1e-8,
        decoupled: Decoupled = False,
    ) -> None:
        self.momentum: float = beta1
        self._beta2, self._eps, self._decoupled = beta2, eps, decoupled
        super().__init__(groups, {"mean": 0.0, "square": 0.0})

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        parts, count = self._parts[index], self._counts[index]
        decay_weights(values, grads, lr, weight_decay, decoupled=self._decoupled)
        parts["mean"].lerp_(grads, 1 - self.momentum)
        parts["square"].mul_(self._beta2).addcmul_(grads, grads, value=1 - self._beta2)
        values.sub_(parts["mean"] * self._rate(count, parts), alpha=lr / (1 - self.momentum**count))

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor | float:
        correction = 1 - self._beta2**count
        limit = 2 / (1 - self._beta2) - 1
        length = limit - 2 * count * self._beta2**count / correction
        if length <= 5:
            return 1.0
        ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
        return math.sqrt(ratio * correction) / (parts["square"].sqrt() + self._eps)


@optimizers.register("adadelta", lr=1.0)
class Adadelta(Elementwise):
    """Steps as large as those before, whatever the scale of the gradient (Zeiler 2012)."""

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        rho: Annotated[float, About("decay of the squares of gradients and steps", low=0, high=0.9999)] = 0.9,
        eps: Annotated[float, About("added to these squares", low=0, low_open=True)] = 1e-6,
    ) -> None:
        self._rho, self._eps = rho, eps
        super().__init__(groups, {"square": 0.0, "step": 0.0})

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        square, step = self._parts[index].values()
        if weight_decay:
            grads.add_(values, alpha=weight_decay)
        square.mul_(self._rho).addcmul_(grads, grads, value=1 - self._rho)
        moved = torch.sqrt((step + self._eps) / (square + self._eps)).mul_(grads)
        step.mul_(self._rho).addcmul_(moved, moved, value=1 - self._rho)
        values.sub_(moved, alpha=lr)

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor:
        del count
        return torch.sqrt((parts["step"] + self._eps) / (parts["square"] + self._eps))


def decay_weights(values: Tensor, grads: Tensor, lr: float, weight_decay: float, *, decoupled: bool) -> None:
    """Shrink the weights themselves, or add the weight decay to the gradient."""
    if weight_decay and decoupled:
        values.mul_(1 - lr * weight_decay)
    elif weight_decay:
        grads.add_(values, alpha=weight_decay)
