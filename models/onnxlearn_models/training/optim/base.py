"""Optimizers over one flat tensor of parameters.

All parameters and all gradients of a network are views of one tensor each, so that a step is one call for each group
whatever the number of layers. The fused kernels are called directly: constructing any ``torch.optim`` optimizer first
imports ``torch._dynamo`` and sympy, over a second.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.registry import Entry, Registry

Closure: TypeAlias = Callable[[], Tensor]
"""Computes the loss of the step anew, and adds its gradients to those that there are."""


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
        self.parameters = parameters = [parameter for group in groups for parameter in group.parameters]
        kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
        if len(kinds) > 1:
            found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise ParameterError(f"the parameters of a network have to share one type and device, not {found}")
        flat = [parameter.detach().reshape(-1) for parameter in parameters]
        self.values = torch.cat(flat) if flat else torch.empty(0)
        self.grads = torch.zeros_like(self.values)
        self._adopt()
        self.sizes = [sum(parameter.numel() for parameter in group.parameters) for group in groups]
        self.slices = list(zip(self.split(self.values), self.split(self.grads), strict=True))

    def split(self, flat: Tensor) -> list[Tensor]:
        """The part of each group, of a tensor as long as the values."""
        return list(torch.split(flat, self.sizes))

    def move(self, values: Tensor, grads: Tensor) -> None:
        """Take other memory, contiguous and as long, for values and gradients; every tensor that shows them stays the same."""
        for mine, new, which in ((self.values, values, 0), (self.grads, grads, 1)):
            new.copy_(mine)
            for pair, part in zip(self.slices, self.split(new), strict=True):
                pair[which].set_(part)  # type: ignore[call-overload]
            mine.set_(new)  # type: ignore[call-overload]
        self._adopt()

    def _adopt(self) -> None:
        """Make every parameter and its gradient a view."""
        start = 0
        for parameter in self.parameters:
            end = start + parameter.numel()
            parameter.data = self.values[start:end].view_as(parameter)
            parameter.grad = self.grads[start:end].view_as(parameter)
            start = end


class Optimizer(ABC):
    """Moves flat parameters along their gradients.

    ``needs_closure``: a step computes the loss several times, by the function that it is given. ``takes_l1``: there is a
    proximal step for it. ``stackable``: its steps are right where several networks are trained as one.
    ``averages``: it has averaged weights to show. ``momentum``: what the one-cycle schedule sets before each step; ``None``
    where there is none to set.
    """

    needs_closure: bool = False
    takes_l1: bool = True
    averages: bool = False
    stackable: ClassVar[bool] = True
    momentum: float | None = None

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = list(groups)
        self.flat = FlatParameters(groups)

    @abstractmethod
    def step(self, lr: float, decay: float = 1.0, closure: Closure | None = None) -> None:
        """Update the parameters with this learning rate; ``decay``: factor on weight decays. Gradients may be overwritten."""

    def step_with(self, others: Sequence[Self], lr: float, decay: float = 1.0) -> None:
        """The step of this optimizer and of others with the same groups and settings, which have made as many steps."""
        for optimizer in (self, *others):
            optimizer.step(lr, decay)

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What it remembers of former steps, by name."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state` of an optimizer of the same groups and settings."""

    @abstractmethod
    def regroup(self, groups: Sequence[Group]) -> None:
        """Train other parameters from now on; those that stay keep their state, new ones begin with none."""

    def show(self) -> None:  # noqa: B027  most have nothing to show
        """Put the weights to be judged in place of those that training goes on from, where they are not the same."""

    def resume(self) -> None:  # noqa: B027
        """Put those back that training goes on from."""


class Elementwise(Optimizer):
    """Optimizers whose state are flat tensors as long as the values, by name; ``buffers``: names and first values."""

    def __init__(self, groups: Sequence[Group], buffers: Mapping[str, float]) -> None:
        super().__init__(groups)
        self._first = dict(buffers)
        self._buffers = {name: torch.full_like(self.flat.values, first) for name, first in buffers.items()}
        # Steps that each group has made: those of parameters that join later begin with the first.
        self._counts = [0] * len(self.groups)
        self._arrange()

    def _arrange(self) -> None:
        """Find the parts of each group anew."""
        parts = {name: self.flat.split(buffer) for name, buffer in self._buffers.items()}
        self._parts = [{name: part[i] for name, part in parts.items()} for i in range(len(self.groups))]
        self._rows = list(zip(self.groups, self.flat.slices, self._parts, strict=True))

    def step(self, lr: float, decay: float = 1.0, closure: Closure | None = None) -> None:
        """Update all groups."""
        del closure
        for i, (group, (values, grads), parts) in enumerate(self._rows):
            self._counts[i] += 1
            if group.l2:
                grads.add_(values, alpha=2 * group.l2)
            self._update(i, values, grads, lr * group.lr_factor, decay * group.weight_decay)
            if group.l1:
                # A proximal step: unlike a gradient it ends at exactly 0, and stays there.
                size = (values.abs() - lr * group.lr_factor * group.l1 * self._rate(self._counts[i], parts)).clamp_(min=0)
                torch.mul(values.sign(), size, out=values)

    def step_with(self, others: Sequence[Self], lr: float, decay: float = 1.0) -> None:
        """One call for each group, where nothing stands against it."""
        if any(group.l1 or group.l2 for group in self.groups):
            super().step_with(others, lr, decay)
            return
        together = (self, *others)
        for optimizer in together:
            optimizer._counts = [count + 1 for count in optimizer._counts]
        for i, group in enumerate(self.groups):
            self._update_all(i, together, lr * group.lr_factor, decay * group.weight_decay)

    def _update_all(self, index: int, optimizers: Sequence[Self], lr: float, weight_decay: float) -> None:
        """Move the values of this group of several optimizers, which this one is the first of."""
        for optimizer in optimizers:
            optimizer._update(index, *optimizer.flat.slices[index], lr, weight_decay)

    @abstractmethod
    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        """Move the values of a group."""

    @abstractmethod
    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor | float:
        """By how much, over time, a gradient of 1 in every step moves the values of a group with a learning rate of 1."""

    def state(self) -> dict[str, Tensor]:
        """The buffers and the numbers of steps."""
        return {**self._buffers, "n_steps": torch.tensor(self._counts)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy them."""
        for name, buffer in self._buffers.items():
            buffer.copy_(state[name])
        self._counts = [int(count) for count in state["n_steps"]]
        self._arrange()

    def regroup(self, groups: Sequence[Group]) -> None:
        """Carry the state of each parameter over."""
        counts = {id(p): count for group, count in zip(self.groups, self._counts, strict=True) for p in group.parameters}
        before = [p for group in self.groups for p in group.parameters]
        pieces = {name: _pieces(before, buffer) for name, buffer in self._buffers.items()}
        # Of a group some parameters may be younger than others.
        aged = [
            _of_age(group, counts, age) for group in groups for age in sorted({counts.get(id(p), 0) for p in group.parameters})
        ]
        super().__init__(aged)
        forget(before, aged)
        self._counts = [counts.get(id(group.parameters[0]), 0) for group in aged]
        after = [p for group in aged for p in group.parameters]
        for name, first in self._first.items():
            old, flat = pieces[name], torch.full_like(self.flat.values, first)
            for p, piece in zip(after, _pieces(after, flat).values(), strict=True):
                if id(p) in old:
                    piece.copy_(old[id(p)])
            self._buffers[name] = flat
        self._arrange()


def _of_age(group: Group, counts: Mapping[int, int], age: int) -> Group:
    """The parameters of a group that have made so many steps."""
    return dataclasses.replace(group, parameters=tuple(p for p in group.parameters if counts.get(id(p), 0) == age))


def _pieces(parameters: Sequence[nn.Parameter], flat: Tensor) -> dict[int, Tensor]:
    """What each parameter has of a flat tensor, by identity."""
    parts = torch.split(flat, [p.numel() for p in parameters])
    return {id(p): part for p, part in zip(parameters, parts, strict=True)}


def forget(before: Sequence[nn.Parameter], groups: Sequence[Group]) -> None:
    """Take the gradients off parameters that are not trained any more."""
    trained = {id(p) for group in groups for p in group.parameters}
    for parameter in before:
        if id(parameter) not in trained:
            parameter.grad = None


@dataclass(frozen=True, kw_only=True)
class OptimizerInfo(Entry):
    """An optimizer: an :class:`Optimizer`, a class as those of ``torch.optim``, or a function (params, settings) for one.

    ``lr``: the learning rate that is usual whatever the table; ``None``: that of AdamW. ``full_batch``: steps use all rows
    unless a ``batch_size`` is given.
    """

    lr: float | None = None
    full_batch: bool = False


# What torch's own optimizers are told by the groups, and how they compute, which changes nothing.
FILLED = ("lr", "weight_decay", "maximize", "foreach", "fused", "capturable", "differentiable")

optimizers: Registry[OptimizerInfo] = Registry(OptimizerInfo, parameter="optimizer", prefix="opt_", n_first=1, filled=FILLED)
"""The choices of ``optimizer``. What is registered is a class of :class:`Optimizer`, or one as those of ``torch.optim``."""
