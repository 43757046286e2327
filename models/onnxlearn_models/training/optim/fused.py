"""Optimizers by torch's fused kernels: one call for each group of parameters, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from onnxlearn.errors import ParameterError
from onnxlearn_models.arguments import About
from onnxlearn_models.training.optim.base import Closure, Elementwise, Group, optimizers

Decay = Annotated[float, About("decay of the gradient's mean", low=0, high=0.9999)]
SquareDecay = Annotated[float, About("decay of the gradient's square", low=0, high=0.99999)]
Eps = Annotated[float, About("added to what gradients are divided by", low=0)]


@optimizers.register("adam")
class Adam(Elementwise):
    """Adam (Kingma and Ba 2015), as ``torch.optim.Adam(fused=True)`` computes it; weight decay is added to the gradient."""

    kernel: ClassVar[Callable[..., Any]] = staticmethod(torch._fused_adam_)

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        beta1: Decay = 0.9,
        beta2: SquareDecay = 0.999,
        eps: Eps = 1e-8,
        amsgrad: Annotated[bool, About("divide by the largest square so far (Reddi et al. 2018)")] = False,
    ) -> None:
        self.momentum: float = beta1
        self._beta2, self._eps, self._amsgrad = beta2, eps, amsgrad
        names = ("mean", "square", "largest") if amsgrad else ("mean", "square")
        super().__init__(groups, dict.fromkeys(names, 0.0))

    def _arrange(self) -> None:
        super()._arrange()
        # The kernel reads the number of the step from a tensor.
        self._n_steps = torch.tensor(self._counts, dtype=torch.float32, device=self.flat.values.device)
        lists = [[[part] for part in parts.values()] for parts in self._parts]
        self._lists = [([*each, []] if len(each) == 2 else each, [n]) for each, n in zip(lists, self._n_steps, strict=True)]

    def step(self, lr: float, decay: float = 1.0, closure: Closure | None = None) -> None:
        """Update all groups."""
        self._n_steps.add_(1)
        super().step(lr, decay, closure)

    def step_with(self, others: Sequence[Self], lr: float, decay: float = 1.0) -> None:
        """One call for each group, where nothing stands against it."""
        if not any(group.l1 or group.l2 for group in self.groups):
            torch._foreach_add_([optimizer._n_steps for optimizer in (self, *others)], 1)
        super().step_with(others, lr, decay)

    def _update_all(self, index: int, optimizers: Sequence[Self], lr: float, weight_decay: float) -> None:
        values, grads = zip(*(optimizer._rows[index][1:3] for optimizer in optimizers), strict=True)
        lists = [optimizer._lists[index] for optimizer in optimizers]
        state = [[tensor for held, _ in lists for tensor in held[i]] for i in range(3)]
        self.kernel(
            values, grads, *state, [count for _, counts in lists for count in counts], lr=lr, beta1=self.momentum,
            beta2=self._beta2, weight_decay=weight_decay, eps=self._eps, amsgrad=self._amsgrad, maximize=False,
        )  # fmt: skip

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        state, n_steps = self._lists[index]
        self.kernel(
            [values], [grads], *state, n_steps, lr=lr, beta1=self.momentum, beta2=self._beta2, weight_decay=weight_decay,
            eps=self._eps, amsgrad=self._amsgrad, maximize=False,
        )  # fmt: skip

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor:
        square = parts["largest" if self._amsgrad else "square"]
        return 1 / ((square / (1 - self._beta2**count)).sqrt() + self._eps)


@optimizers.register("adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as ``torch.optim.AdamW(fused=True)`` computes it."""

    kernel = staticmethod(torch._fused_adamw_)


@optimizers.register("sgd", lr=1e-2)
class SGD(Elementwise):
    """Stochastic gradient descent, as ``torch.optim.SGD(fused=True)`` computes it.

    Raises: ParameterError for what momentum alone has a use for, without any.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        momentum: Annotated[float, About("decay of the mean direction; 0: the gradient's own", low=0, high=0.9999)] = 0.9,
        dampening: Annotated[float, About("share by which a gradient counts less in the mean direction", low=0, high=1)] = 0.0,
        nesterov: Annotated[
            bool | None, About("look ahead by Nesterov's momentum (None: where there is momentum without dampening)")
        ] = None,
    ) -> None:
        if dampening and not momentum:
            raise ParameterError(f"opt_dampening={dampening:g} changes nothing with opt_momentum=0: leave it out")
        if nesterov and (dampening or not momentum):
            raise ParameterError("opt_nesterov=True needs opt_momentum above 0 and opt_dampening=0: leave it out")
        self.momentum: float | None = momentum or None
        self._dampening = dampening
        self._nesterov = bool(momentum) and not dampening if nesterov is None else nesterov
        super().__init__(groups, {"mean": 0.0} if momentum else {})

    def _arrange(self) -> None:
        super()._arrange()
        # The kernel takes one tensor for each of values, or none at all.
        self._means = [list(parts.values()) for parts in self._parts]

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        self._move([values], [grads], self._means[index], index, lr, weight_decay)

    def _update_all(self, index: int, optimizers: Sequence[Self], lr: float, weight_decay: float) -> None:
        values, grads = map(list, zip(*(optimizer._rows[index][1:3] for optimizer in optimizers), strict=True))
        means = [mean for optimizer in optimizers for mean in optimizer._means[index]]
        self._move(values, grads, means, index, lr, weight_decay)

    def _move(
        self, values: list[Tensor], grads: list[Tensor], means: list[Tensor], index: int, lr: float, weight_decay: float
    ) -> None:
        torch._fused_sgd_(
            values, grads, means, weight_decay=weight_decay, momentum=self.momentum or 0.0, lr=lr,
            dampening=self._dampening, nesterov=self._nesterov, maximize=False, is_first_step=self._counts[index] == 1,
        )  # fmt: skip

    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> float:
        del count, parts
        return (1 - self._dampening) / (1 - (self.momentum or 0.0))
