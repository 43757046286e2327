"""Optimizers of ``torch.optim``'s kind, which get the parameters themselves: they may look at their shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from onnxlearn.errors import ParameterError
from onnxlearn.named import reason
from onnxlearn_models.arguments import EMPTY, signature, title
from onnxlearn_models.training.optim.base import Closure, Group, Optimizer, OptimizerInfo, optimizers
from onnxlearn_models.training.optim.states import flattened, restored


def is_foreign(make: Callable[..., Any]) -> bool:
    """Whether this makes an optimizer of torch's kind, of parameter groups."""
    return not (isinstance(make, type) and issubclass(make, Optimizer))


def wrapped(entry: OptimizerInfo, config: Any, groups: Sequence[Group]) -> Optimizer:
    """The optimizer of torch's kind that a training config chooses.

    Raises: ParameterError where it refuses its settings, or has no weight decay and some is asked for.
    """
    arguments = signature(entry.make).parameters
    if "weight_decay" not in arguments and any(group.weight_decay for group in groups):
        raise ParameterError(f"{title(entry.make)} has no argument weight_decay: set weight_decay=0")
    rate = {"lr": config.lr or 1.0} if "lr" in arguments else {}

    def make(torch_groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        try:
            made: torch.optim.Optimizer = optimizers.bound(entry, config)(torch_groups, **rate)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ParameterError(f"{title(entry.make)} cannot be made: {reason(error)}") from error
        return made

    return Wrapped(groups, make, config.lr or 1.0)


class Wrapped(Optimizer):
    """An optimizer of torch's kind; parameters and gradients are slices of flat tensors all the same."""

    takes_l1 = False
    stackable = False

    def __init__(
        self, groups: Sequence[Group], make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], lr: float
    ) -> None:
        super().__init__(groups)
        self._make, self._lr = make, lr
        self._torch = self._made()
        self.needs_closure = needs_closure(type(self._torch))
        self.momentum = _momentum(self._torch.param_groups[0])
        # Schedule-free optimizers have two modes, as networks have.
        self.averages = hasattr(self._torch, "eval") and hasattr(self._torch, "train")
        self.resume()

    def _made(self) -> torch.optim.Optimizer:
        return self._make(
            [
                {"params": list(group.parameters), "lr": self._lr * group.lr_factor, "weight_decay": group.weight_decay}
                for group in self.groups
            ]
        )

    def step(self, lr: float, decay: float = 1.0, closure: Closure | None = None) -> None:
        """Update all groups."""
        for group, (values, grads), torch_group in zip(self.groups, self.flat.slices, self._torch.param_groups, strict=True):
            torch_group["lr"] = lr * group.lr_factor
            torch_group["weight_decay"] = decay * group.weight_decay
            if self.momentum is not None:
                _set_momentum(torch_group, self.momentum)
            if group.l2 and not self.needs_closure:
                grads.add_(values, alpha=2 * group.l2)
        again = self._again(closure) if self.needs_closure and closure is not None else None
        try:
            self._torch.step(again)  # type: ignore[arg-type]
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, torch.OutOfMemoryError) or closure is not None:
                raise
            raise ParameterError(f"{title(type(self._torch))} cannot make a step: {reason(error)}") from error

    def _again(self, closure: Closure) -> Callable[[], Tensor]:
        def evaluate() -> Tensor:
            self.flat.grads.zero_()
            return closure()

        return evaluate

    def show(self) -> None:
        """Put the averaged weights in place."""
        if self.averages:
            self._torch.eval()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Put those back that training goes on from."""
        if self.averages:
            self._torch.train()  # type: ignore[attr-defined]

    def state(self) -> dict[str, Tensor]:
        """That of each parameter by number, and numbers that the optimizer keeps in its groups."""
        parameters = [p for group in self.groups for p in group.parameters]
        found: dict[str, Tensor] = {}
        for i, parameter in enumerate(parameters):
            found |= flattened(self._torch.state.get(parameter, {}), f"{i}.")
        for i, torch_group in enumerate(self._torch.param_groups):
            found |= flattened({k: v for k, v in torch_group.items() if k != "params"}, f"group{i}.")
        return found

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put them back."""
        parameters = [p for group in self.groups for p in group.parameters]
        for i, parameter in enumerate(parameters):
            if own := restored(state, f"{i}."):
                self._torch.state[parameter] = own
        for i, torch_group in enumerate(self._torch.param_groups):
            torch_group.update(restored(state, f"group{i}."))


def needs_closure(kind: type) -> bool:
    """Whether a step of such an optimizer computes the loss itself, as that of LBFGS does."""
    # torch wraps the methods of instances, not those of classes.
    arguments = list(inspect.signature(kind.step).parameters.values())  # type: ignore[attr-defined]
    return any(argument.name == "closure" and argument.default is EMPTY for argument in arguments)


def _momentum(torch_group: Mapping[str, Any]) -> float | None:
    if "betas" in torch_group:
        return float(torch_group["betas"][0])
    return float(torch_group.get("momentum", 0.0)) or None


def _set_momentum(torch_group: dict[str, Any], momentum: float) -> None:
    if "betas" in torch_group:
        torch_group["betas"] = (momentum, *torch_group["betas"][1:])
    else:
        torch_group["momentum"] = momentum
