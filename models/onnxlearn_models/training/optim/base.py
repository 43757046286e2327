"""Optimizers over one flat tensor of parameters.

All parameters and all gradients of a network are views of one tensor each, so that a step is one call for each group
whatever the number of layers. The fused kernels are called directly: constructing any ``torch.optim`` optimizer first
imports ``torch._dynamo`` and sympy, over a second.
"""

from __future__ import annotations

import itertools
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
    """The parameters of a network and their gradients as slices of two flat tensors.

    ``slices`` holds the values and gradients of each group. Parameters keep their identity and shape: only their storage moves.
    Those with ``requires_grad=False`` have their place too, which no gradient reaches.
    Raises: ParameterError where the parameters differ in type or device.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        kinds = {(parameter.dtype, parameter.device) for parameter in self.parameters}
        if len(kinds) > 1:
            found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise ParameterError(f"the parameters of a network have to share one type and device, not {found}")
        flat = [parameter.detach().reshape(-1) for parameter in self.parameters]
        values = torch.cat(flat) if flat else torch.empty(0)
        self._sizes = [sum(parameter.numel() for parameter in group.parameters) for group in groups]
        self._take(values, torch.zeros_like(values))

    def places(self, module: nn.Module) -> dict[str, int]:
        """Where each parameter of the network that has a place begins in ``values``, by name."""
        starts = itertools.accumulate((parameter.numel() for parameter in self.parameters), initial=0)
        by_id = {id(parameter): start for parameter, start in zip(self.parameters, starts, strict=False)}
        return {name: by_id[id(parameter)] for name, parameter in module.named_parameters() if id(parameter) in by_id}

    def pieces(self, flat: Tensor) -> tuple[Tensor, ...]:
        """What each parameter has of a tensor as long as the values."""
        return torch.split(flat, [parameter.numel() for parameter in self.parameters])

    def move(self, values: Tensor, grads: Tensor) -> None:
        """Take other memory, contiguous and as long, for values and gradients."""
        values.copy_(self.values)
        grads.copy_(self.grads)
        self._take(values, grads)

    def _take(self, values: Tensor, grads: Tensor) -> None:
        """Make every parameter and its gradient a view."""
        self.values, self.grads = values, grads
        for parameter, piece in zip(self.parameters, self.pieces(values), strict=True):
            parameter.data = piece.view_as(parameter)
        self.adopt_grads()
        self.slices = list(zip(torch.split(values, self._sizes), torch.split(grads, self._sizes), strict=True))

    def adopt_grads(self) -> None:
        """Make the gradient of every parameter that is trained a view; the others have none."""
        for parameter, grads in zip(self.parameters, self.pieces(self.grads), strict=True):
            if not parameter.requires_grad:
                grads.zero_()
            parameter.grad = grads.view_as(parameter) if parameter.requires_grad else None


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

    def regroup(self) -> None:
        """Train the parameters of the groups that have ``requires_grad`` now; each keeps what is remembered of it.

        Who changes that calls this. One that joins later begins with no memory, and counts its own steps.
        """
        self.flat.adopt_grads()

    def move(self, values: Tensor, grads: Tensor) -> None:
        """Take other memory for values and gradients: see :meth:`FlatParameters.move`."""
        self.flat.move(values, grads)

    def show(self) -> None:  # noqa: B027  most have nothing to show
        """Put the weights to be judged in place of those that training goes on from, where they are not the same."""

    def resume(self) -> None:  # noqa: B027
        """Put those back that training goes on from."""


class Elementwise(Optimizer):
    """Optimizers whose state are flat tensors as long as the values, by name; ``buffers``: names and first values.

    What is moved at once are neighbours in the flat tensors which share a group and the number of their steps: a whole group,
    unless some of its parameters are not trained or have joined later.
    """

    def __init__(self, groups: Sequence[Group], buffers: Mapping[str, float]) -> None:
        super().__init__(groups)
        self._buffers = {name: torch.full_like(self.flat.values, first) for name, first in buffers.items()}
        # Steps of each parameter, up to when what is moved at once was found last.
        self._ages = [0] * len(self.flat.parameters)
        self._arrange()

    def _arrange(self) -> None:
        """Find anew what is moved at once."""
        self._spans = trained_spans(self.groups, self._ages)
        self._counts = [span.age for span in self._spans]
        self._parts = [{name: buffer[span.places] for name, buffer in self._buffers.items()} for span in self._spans]
        values, grads = self.flat.values, self.flat.grads
        self._rows = [
            (span.group, values[span.places], grads[span.places], parts)
            for span, parts in zip(self._spans, self._parts, strict=True)
        ]

    def _note_ages(self) -> None:
        for span, count in zip(self._spans, self._counts, strict=True):
            self._ages[span.members] = [count] * len(self._ages[span.members])

    def step(self, lr: float, decay: float = 1.0, closure: Closure | None = None) -> None:
        """Update all groups."""
        del closure
        for i, (group, values, grads, parts) in enumerate(self._rows):
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
        for i, span in enumerate(self._spans):
            self._update_all(i, together, lr * span.group.lr_factor, decay * span.group.weight_decay)

    def _update_all(self, index: int, optimizers: Sequence[Self], lr: float, weight_decay: float) -> None:
        """Move values of several optimizers, which this one is the first of; ``index`` as in :meth:`_update`."""
        for optimizer in optimizers:
            _, values, grads, _ = optimizer._rows[index]
            optimizer._update(index, values, grads, lr, weight_decay)

    @abstractmethod
    def _update(self, index: int, values: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
        """Move values; ``index``: their place in ``_counts`` and ``_parts``."""

    @abstractmethod
    def _rate(self, count: int, parts: Mapping[str, Tensor]) -> Tensor | float:
        """By how much, over time, a gradient of 1 in every step moves values with a learning rate of 1."""

    def state(self) -> dict[str, Tensor]:
        """The buffers, and the number of steps of each parameter."""
        self._note_ages()
        return {**self._buffers, "n_steps": torch.tensor(self._ages)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy them."""
        for name, buffer in self._buffers.items():
            buffer.copy_(state[name])
        self._ages = [int(age) for age in state["n_steps"]]
        self._arrange()

    def move(self, values: Tensor, grads: Tensor) -> None:
        """Move what is there now."""
        super().move(values, grads)
        self._note_ages()
        self._arrange()

    def regroup(self) -> None:
        """Move what is trained now."""
        super().regroup()
        self._note_ages()
        self._arrange()


@dataclass(frozen=True)
class Span:
    """Parameters that are moved at once: which ones, and which places of the flat tensors are theirs."""

    group: Group
    age: int
    members: slice
    places: slice


def trained_spans(groups: Sequence[Group], ages: Sequence[int]) -> list[Span]:
    """Neighbours that are trained and share group and age; ``ages``: the number of steps of each parameter."""
    parameters = [(i, parameter) for i, group in enumerate(groups) for parameter in group.parameters]
    ends = [0, *itertools.accumulate(parameter.numel() for _, parameter in parameters)]

    def kind(number: int) -> tuple[int, int, bool]:
        i, parameter = parameters[number]
        return i, ages[number], parameter.requires_grad

    spans = []
    for (i, age, trained), run in itertools.groupby(range(len(parameters)), key=kind):
        numbers = list(run)
        first, end = numbers[0], numbers[-1] + 1
        if trained:
            spans.append(Span(groups[i], age, slice(first, end), slice(ends[first], ends[end])))
    return spans


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
