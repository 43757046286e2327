"""The way back through parts of a network that autograd is not told of.

In small networks a step costs what its operations cost to start. Autograd notes each of them, calls its derivative, makes a
tensor of each gradient and adds it up. What knows its own derivative can go without.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

run_backward: Any = torch.autograd.Variable._execution_engine.run_backward

WayBack: TypeAlias = Callable[[Tensor], Tensor]
"""From the gradient of an output, which stays as it is, to that of the input; adds those of parameters to their ``.grad``."""


class _Active(threading.local):
    tape: Tape | None = None


_active = _Active()


def active_tape() -> Tape | None:
    """The one that notes what this thread runs."""
    return _active.tape


class Tape:
    """Notes the way back of parts of a network while it is run inside ``with``; :meth:`backward` goes it.

    ``notes=False``: it leaves everything to autograd, as whoever compiles, casts or wraps the network needs it.

    Parameters of such parts, which need a ``.grad``, are unknown to autograd: neither ``torch.autograd.grad`` nor their own
    hooks see them. Outside, such parts are as autograd likes them.

    >>> import torch
    >>> weight = torch.ones(2, requires_grad=True)
    >>> weight.grad = torch.zeros(2)
    >>> with Tape() as tape, torch.no_grad():
    ...     output = tape.note(weight * 3, torch.zeros(2), lambda grad: weight.grad.add_(3 * grad))
    >>> tape.backward(output, torch.ones(2))
    >>> weight.grad
    tensor([3., 3.])
    """

    def __init__(self, *, notes: bool = True) -> None:
        self.notes = notes
        self._notes: list[tuple[Tensor, WayBack]] = []

    def __enter__(self) -> Tape:
        self._notes = []
        _active.tape = self if self.notes else None
        return self

    def __exit__(self, *error: object) -> None:
        _active.tape = None

    def note(self, output: Tensor, x: Tensor, way_back: WayBack) -> Tensor:
        """The output that a part makes of ``x``, computed without gradients, as something that has one.

        ``way_back`` may give anything where ``x`` wants no gradient.
        """
        if x.requires_grad:
            # Autograd has to go on from here.
            noted: Tensor = _Noted.apply(x, output, way_back)  # type: ignore[no-untyped-call]
            return noted
        self._notes.append((output.requires_grad_(), way_back))
        return output

    def backward(self, output: Tensor, grad: Tensor) -> None:
        """Add the gradients of all parameters, where ``grad`` is that of ``output``."""
        if not self.notes:
            torch.autograd.backward(output, grad)
            return
        notes, self._notes = self._notes, []
        if not notes or notes[-1][0] is not output:
            # What Tensor.backward calls; what that prepares for compiled code takes a tenth of a small step.
            run_backward((output,), (grad,), False, False, (), allow_unreachable=True, accumulate_grad=True)  # noqa: FBT003
        with torch.no_grad():
            for noted, way_back in notes:
                own = grad if noted is output else noted.grad
                if own is not None:
                    way_back(own)


class _Noted(Function):
    """An output whose way back autograd calls."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: Tensor, way_back: WayBack) -> Tensor:
        del x
        ctx.way_back = way_back
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        return ctx.way_back(grad), None, None
