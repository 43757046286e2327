"""LBFGS, by torch's own class, on the flat tensor of all parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.arguments import About
from onnxlearn_models.training.devices import random_states, set_random_states
from onnxlearn_models.training.optim.base import Closure, Group, Optimizer, optimizers, trained_spans
from onnxlearn_models.training.optim.states import flattened, restored


@optimizers.register("lbfgs", lr=1.0, full_batch=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS with a line search (Liu and Nocedal 1989); it is for few parameters and all rows at once.

    Weight decay and l2 are part of the loss that it minimises. Dropout drops the same units in all evaluations of a step.

    Raises: ParameterError where parameters have rates of their own: it has one direction for all of them.
    """

    needs_closure = True
    takes_l1 = False
    stackable = False

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        max_iter: Annotated[int, About("iterations of a step", low=1)] = 20,
        max_eval: Annotated[int | None, About("losses computed in a step at most (None: 1.25 max_iter)", low=1)] = None,
        tolerance_grad: Annotated[float, About("a step ends where no gradient is larger", low=0)] = 1e-7,
        tolerance_change: Annotated[float, About("a step ends where loss and parameters change less", low=0)] = 1e-9,
        history_size: Annotated[int, About("gradients that the curvature is estimated from", low=1)] = 100,
        line_search: Annotated[bool, About("look for the length of each move by the strong Wolfe conditions")] = True,
    ) -> None:
        self._settings = {
            "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": "strong_wolfe" if line_search else None,
        }  # fmt: skip
        if any(group.lr_factor != 1 for group in groups):
            raise ParameterError(
                "optimizer='lbfgs' has one learning rate for all parameters, and some have a factor of their own: leave "
                "embedding_lr, lr_layer_decay and the lr of param_groups out, or choose another learner or optimizer"
            )
        super().__init__(groups)
        self._trained: list[bool] = []
        self.regroup()

    def regroup(self) -> None:
        """Begin anew where other parameters are trained now: the curvature of former ones says nothing of them."""
        super().regroup()
        values, grads = self.flat.values, self.flat.grads
        spans = trained_spans(self.groups, [0] * len(self.flat.parameters))
        self._rows = [(span.group, values[span.places], grads[span.places]) for span in spans]
        trained = [parameter.requires_grad for parameter in self.flat.parameters]
        if trained != self._trained:
            self._trained, self._whole = trained, nn.Parameter(values)
            self._whole.grad = grads
            self._torch = torch.optim.LBFGS([self._whole], **self._settings)  # type: ignore[arg-type]

    def step(self, lr: float, decay: float = 1.0, closure: Closure | None = None) -> None:
        """Several moves towards the minimum of the closure's loss."""
        assert closure is not None
        self._torch.param_groups[0]["lr"] = lr
        self._torch.step(self._penalized(closure, decay))  # type: ignore[no-untyped-call]

    def _penalized(self, closure: Closure, decay: float) -> Callable[[], Tensor]:
        random = _RandomNumbers(self.flat.values.device)

        def evaluate() -> Tensor:
            random.again()
            self.flat.grads.zero_()
            loss = closure().detach()
            for group, values, grads in self._rows:
                penalty = group.l2 + 0.5 * decay * group.weight_decay
                if penalty:
                    grads.add_(values, alpha=2 * penalty)
                    loss = loss + penalty * values.square().sum()
            return loss

        return evaluate

    def state(self) -> dict[str, Tensor]:
        """The gradients and moves that it remembers."""
        # What al holds is of no use after a step.
        memory = {name: value for name, value in self._torch.state[self._whole].items() if name != "al"}
        return {**flattened(memory, "memory."), "trained": torch.tensor(self._trained)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Remember them again."""
        self._trained = state["trained"].tolist()
        memory = restored(state, "memory.")
        # Lists are none while they are empty.
        self._torch.state[self._whole] = {"old_dirs": [], "old_stps": [], "ro": [], **memory} if memory else {}


class _RandomNumbers:
    """Torch's random numbers from here on, again and again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._states: list[Tensor] = []

    def again(self) -> None:
        if self._states:
            set_random_states(self._device, self._states)
        else:
            self._states = random_states(self._device)
