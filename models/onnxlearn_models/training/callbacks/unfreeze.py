"""Training some of the weights from later on."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.callback import Callback, State
from onnxlearn_models.training.callbacks.averaged import FIRST
from onnxlearn_models.training.callbacks.named import register
from onnxlearn_models.training.freezing import matching, parameter_names

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


@register("unfreeze")
class Unfreeze(Callback):
    """Trains parameters from an epoch or a batch on, by patterns of their names as in a shell.

    ``epoch`` and ``batch`` map the number of an epoch, or of a batch of the whole training, to the patterns of what is trained
    from then on; both count from 1. ``start``: patterns of what is trained from the beginning, as everything is that no
    pattern matches. Of several moments the first one counts. The parameter ``freeze`` has what is never trained.

    Parameters that join begin as an optimizer begins. With them the running statistics of their norms follow the batches, as
    ``norm_statistics`` says.

    >>> Unfreeze("head.*", epoch={3: "blocks.1.*", 5: "*"}).epoch
    {3: ('blocks.1.*',), 5: ('*',)}

    Raises: ParameterError for a number below 1; before the first batch for a pattern that no name matches, and where nothing
    is trained from the beginning, for a moment that does not come, and where all is trained from the beginning anyway.
    """

    order: ClassVar[int] = FIRST

    def __init__(
        self,
        start: str | Sequence[str] = (),
        *,
        epoch: Mapping[int, str | Sequence[str]] | None = None,
        batch: Mapping[int, str | Sequence[str]] | None = None,
    ) -> None:
        self.start, self.epoch, self.batch = _patterns(start), _moments("epoch", epoch), _moments("batch", batch)
        if not self.epoch and not self.batch:
            raise ParameterError("unfreeze needs to know when: epoch={3: 'blocks.*'}, or batch={200: 'blocks.*'}")
        self._n_batches = 0
        self._waiting: list[_Waiting] = []
        self._called = repr(self)

    @classmethod
    def by_pattern(cls, moments: Mapping[str, Any]) -> Unfreeze:
        """From patterns to the epochs from which on they are trained: the parameter ``unfreeze``.

        >>> Unfreeze.by_pattern({"head.*": 1, "blocks.*": 3})
        Unfreeze(epoch={1: ['head.*'], 3: ['blocks.*']})

        Raises: ParameterError where these are no epochs.
        """
        epochs: dict[Any, list[str]] = {}
        for pattern, epoch in moments.items():
            epochs.setdefault(epoch if isinstance(epoch, Hashable) else repr(epoch), []).append(pattern)
        made = cls(epoch=epochs)
        made._called = f"unfreeze={dict(moments)!r}"
        return made

    def begin(self, ctx: Training) -> None:
        """Take out what joins later."""
        parameters = {name: p for name, p in parameter_names(ctx.module).items() if p.requires_grad}
        names = list(parameters)
        self._require_in_time(ctx)
        epochs, batches = _firsts(self.epoch, names), _firsts(self.batch, names)
        started = matching(self.start, names, "unfreeze")
        self._waiting = [
            _Waiting(parameters[name], epochs.get(name, math.inf), batches.get(name, math.inf))
            for name in names
            if name not in started and (name in epochs or name in batches)
        ]
        if not self._waiting:
            raise ParameterError(f"{self._called} lets nothing wait: what its patterns match is trained from the beginning")
        for each in self._waiting:
            each.parameter.requires_grad = False
        # A training that goes on has some of them behind it.
        self._train_due(max(ctx.epoch, 1), max(self._n_batches, 1))
        if not any(parameter.requires_grad for parameter in parameters.values()):
            raise ParameterError(
                f"{self._called} leaves no parameter to train from the beginning: give patterns of some as start, or epoch 1"
            )
        ctx.regroup()

    def epoch_begin(self, ctx: Training) -> None:
        """Let those join whose epoch it is."""
        if self._train_due(ctx.epoch, self._n_batches):
            ctx.regroup()

    def batch_begin(self, ctx: Training) -> None:
        """Let those join whose batch it is."""
        self._n_batches += 1
        if self._waiting and self._train_due(ctx.epoch, self._n_batches):
            ctx.regroup()

    def exit(self, ctx: Training) -> None:
        """Leave the network as it was."""
        del ctx
        self._train_due(math.inf, math.inf)

    def state(self) -> State:
        """The number of batches so far."""
        return {"n_batches": self._n_batches}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._n_batches = state["n_batches"]

    def _require_in_time(self, ctx: Training) -> None:
        for what, moments, last in (
            ("epoch", self.epoch, ctx.max_epochs),
            ("batch", self.batch, ctx.max_epochs * ctx.n_batches),
        ):
            if late := [number for number in moments if number > last]:
                raise ParameterError(
                    f"{self._called}: there is no {what} {late[0]}, the last one is {last}: name an earlier one"
                )

    def _train_due(self, epoch: float, batch: float) -> bool:
        """Let those join whose time has come; whether there were any."""
        due = [each for each in self._waiting if each.epoch <= epoch or each.batch <= batch]
        for each in due:
            each.parameter.requires_grad = True
        self._waiting = [each for each in self._waiting if each not in due]
        return bool(due)


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A parameter, and what it waits for."""

    parameter: nn.Parameter
    epoch: float
    batch: float


def _patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _moments(what: str, given: Mapping[int, str | Sequence[str]] | None) -> dict[int, tuple[str, ...]]:
    """By their numbers, in order."""
    for number in given or {}:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ParameterError(f"unfreeze: {what} counts from 1, and {number!r} is no such number")
    return {number: _patterns(patterns) for number, patterns in sorted((given or {}).items())}


def _firsts(moments: Mapping[int, tuple[str, ...]], names: Sequence[str]) -> dict[str, int]:
    """The first moment of each name that has one."""
    found: dict[str, int] = {}
    for number, patterns in moments.items():
        for name in matching(patterns, names, "unfreeze"):
            found.setdefault(name, number)
    return found
