"""Optimizers over one flat tensor of parameters.

All parameters and all gradients of a network are views of one tensor each, so that a step is one call for each group
whatever the number of layers. The fused kernels are called directly: constructing any ``torch.optim`` optimizer first
imports ``torch._dynamo`` and sympy, over a second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError

if TYPE_CHECKING:
    from onnxlearn_models.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters that share a weight decay, penalties and a factor on the learning rate.

    What is minimised is the loss with ``l1 * sum |w| + l2 * sum w^2`` added to it.
    """

    parameters: tuple[nn.Parameter, ...]
    weight_decay: float = 0.0
    lr_factor: float = 1.0
    l1: float = 0.0
    l2: float = 0.0


class FlatParameters:
    """The trainable parameters of a network and their gradients as slices of two flat tensors.

    ``slices`` holds the values and gradients of each group. Parameters keep their identity and shape: only their storage moves.
    Raises: ParameterError where the parameters differ in type or device.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        parameters = [parameter for group in groups for parameter in group.parameters]
        kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
        if len(kinds) > 1:
            found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise ParameterError(f"the parameters of a network have to share one type and device, not {found}")
        flat = [parameter.detach().reshape(-1) for parameter in parameters]
        self.values = torch.cat(flat) if flat else torch.empty(0)
        self.grads = torch.zeros_like(self.values)
        self._adopt(parameters)
        sizes = [sum(parameter.numel() for parameter in group.parameters) for group in groups]
        self.slices = list(zip(torch.split(self.values, sizes), torch.split(self.grads, sizes), strict=True))

    def places(self, module: nn.Module) -> dict[str, int]:
        """Where each trained parameter of the network begins in ``values``, by name."""
        storage, start = self.values.untyped_storage().data_ptr(), self.values.storage_offset()
        views = {name: p.data for name, p in module.named_parameters() if p.numel()}
        inside = {name: view for name, view in views.items() if view.untyped_storage().data_ptr() == storage}
        return {name: int(view.storage_offset() - start) for name, view in inside.items()}

    def _adopt(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make every parameter and its gradient a view."""
        start = 0
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.data = self.values[start:end].view_as(parameter)
            parameter.grad = self.grads[start:end].view_as(parameter)
            start = end


class Optimizer(ABC):
    """Moves flat parameters along their gradients."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.flat = FlatParameters(groups)
        self._rows = list(zip(groups, self.flat.slices, strict=True))

    def step(self, lr: float, decay: float = 1.0) -> None:
        """Update the parameters with this learning rate; ``decay``: factor on weight decays."""
        for index, (group, (values, grads)) in enumerate(self._rows):
            if group.l2:
                grads.add_(values, alpha=2 * group.l2)
            self._update(index, values, grads, lr * group.lr_factor, decay * group.weight_decay)
            if group.l1:
                # A proximal step: unlike a gradient it ends at exactly 0, and stays there.
                size = (values.abs() - lr * group.lr_factor * group.l1 * self._rate(index)).clamp_(min=0)
                torch.mul(values.sign(), size, out=values)

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What it remembers of former steps, by name: the tensors themselves."""

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    @abstractmethod
    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None: ...

    @abstractmethod
    def _rate(self, index: int) -> Tensor | float:
        """By how much, over time, a gradient of 1 in every step moves the values of a group with a learning rate of 1."""


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as ``torch.optim.AdamW(fused=True)`` computes it."""

    def __init__(self, groups: Sequence[Group], *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        super().__init__(groups)
        self._beta1, self._beta2, self._eps = beta1, beta2, eps
        values = [values for values, _ in self.flat.slices]
        self._state = [(torch.zeros_like(v), torch.zeros_like(v)) for v in values]
        self._n_steps = torch.zeros((), device=self.flat.values.device)

    def step(self, lr: float, decay: float = 1.0) -> None:
        """Update all groups."""
        self._n_steps.add_(1)
        super().step(lr, decay)

    def state(self) -> dict[str, Tensor]:
        """Means of gradients and of their squares, and the number of steps."""
        pairs = {
            f"{name}.{i}": tensor
            for i, each in enumerate(self._state)
            for name, tensor in zip(("mean", "square"), each, strict=True)
        }
        return {**pairs, "n_steps": self._n_steps}

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        mean, square = self._state[index]
        torch._fused_adamw_(
            [values], [grads], [mean], [square], [], [self._n_steps], lr=lr, beta1=self._beta1, beta2=self._beta2,
            weight_decay=weight_decay, eps=self._eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _rate(self, index: int) -> Tensor:
        _, square = self._state[index]
        return 1 / ((square / (1 - self._beta2**self._n_steps)).sqrt() + self._eps)


class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov momentum, as ``torch.optim.SGD(fused=True)`` computes it."""

    def __init__(self, groups: Sequence[Group], *, momentum: float = 0.9) -> None:
        super().__init__(groups)
        self._momentum = momentum
        # The kernel takes one momentum buffer for each tensor, or none at all.
        self._buffers = [[torch.zeros_like(values)] if momentum else [] for values, _ in self.flat.slices]

    def state(self) -> dict[str, Tensor]:
        """The momentum."""
        return {f"momentum.{i}": buffer for i, buffers in enumerate(self._buffers) for buffer in buffers}

    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        torch._fused_sgd_(
            [values], [grads], self._buffers[index], weight_decay=weight_decay, momentum=self._momentum, lr=lr,
            dampening=0.0, nesterov=self._momentum > 0, maximize=False, is_first_step=False,
        )  # fmt: skip

    def _rate(self, index: int) -> float:
        del index
        return 1 / (1 - self._momentum)


def make_optimizer(config: TrainConfig, groups: Sequence[Group]) -> Optimizer:
    """The optimizer that the settings name."""
    if config.optimizer == "sgd":
        return SGD(groups, momentum=config.beta1)
    return AdamW(groups, beta1=config.beta1, beta2=config.beta2)
