"""Callbacks: what happens beside the steps of a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from torch import Tensor

from onnxlearn.errors import OnnxlearnError, ParameterError
from onnxlearn.named import reason
from onnxlearn.params import to_json

if TYPE_CHECKING:
    from onnxlearn.model import Model
    from onnxlearn_models.training.loop import Training

STAGES = (
    "begin", "epoch_begin", "batch_begin", "after_backward", "batch_end", "valid_begin", "valid_batch_begin",
    "valid_batch_end", "valid_end", "epoch_end", "end", "exit",
)  # fmt: skip
"""The moments of a training at which callbacks are called, in this order; :class:`Callback` says which is when."""

State: TypeAlias = dict[str, Any]
"""What has to be kept to go on later: tensors and plain JSON by name."""


class Callback:
    """What a training calls at its stages. A subclass has the methods of those that it is interested in.

    Every method takes the :class:`~onnxlearn_models.training.loop.Training`, which shows everything and can be changed: the
    network, the gradients, the rows of the batch, the history. ``ctx.stop(reason)`` ends the training.

    Of several callbacks the one with the lower ``order`` comes first, of equal ones the one that was given first. A learner
    is a recipe: every fit makes its callbacks anew, from the arguments that they were made with (of lists, sets and mappings
    from copies); the fitted Model has those of its training as ``model.callbacks``.

    ``recorded``: whether a model's metadata name it. What only watches sets it to ``False``. ``stackable``: whether it works
    where several networks are trained as one: it looks at no ``ctx.batch`` and ends a training only after an epoch.

    >>> class Largest(Callback):
    ...     def begin(self, ctx):
    ...         self.values = []
    ...     def after_backward(self, ctx):
    ...         self.values.append(float(ctx.optimizer.flat.grads.abs().max()))
    """

    order: ClassVar[int] = 0
    recorded: ClassVar[bool] = True
    stackable: ClassVar[bool] = False
    given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the arguments: what makes it anew."""
        callback = super().__new__(cls)
        callback.given = _values((args, kwargs))
        return callback

    def fresh(self) -> Self:
        """The callback as it was when it was made."""
        args, kwargs = _values(self.given)
        return type(self)(*args, **kwargs)

    def begin(self, ctx: Training) -> None:
        """Before the first epoch, also of a training that goes on."""

    def epoch_begin(self, ctx: Training) -> None:
        """Before the batches of an epoch; ``ctx.epoch`` counts from 1."""

    def batch_begin(self, ctx: Training) -> None:
        """Before a batch, ``ctx.batch``, goes through the network."""

    def after_backward(self, ctx: Training) -> None:
        """When the gradients of a step are there, before the optimizer uses them."""

    def batch_end(self, ctx: Training) -> None:
        """After a step; ``ctx.loss`` is that of the batch before it."""

    def valid_begin(self, ctx: Training) -> None:
        """After the batches of an epoch, before its weights are judged: also where there are no validation rows."""

    def valid_batch_begin(self, ctx: Training) -> None:
        """Before a part of the validation rows, ``ctx.batch``, goes through the network."""

    def valid_batch_end(self, ctx: Training) -> None:
        """After a part of the validation rows, ``ctx.batch``, went through the network."""

    def valid_end(self, ctx: Training) -> None:
        """When ``ctx.history[-1]`` tells how the epoch went; the weights are those that were judged."""

    def epoch_end(self, ctx: Training) -> None:
        """After everything of an epoch; the weights are those that training goes on from."""

    def end(self, ctx: Training) -> None:
        """After the last epoch, where no error and no interruption ended the training."""

    def exit(self, ctx: Training) -> None:
        """At last, whatever ended the training."""

    def shipped(self, model: Model) -> None:
        """When the network is in a file: ``model`` is what the fit gives, with the scores of that file."""

    def state(self) -> State:
        """What a training that goes on later needs: tensors and plain JSON by name."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave; called before ``begin``, and not where it gave nothing."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Callback) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> str:
        # What is not recorded may be made from anything, such as paths.
        return repr(to_json(self) if self.recorded else self)

    def __repr__(self) -> str:
        args, kwargs = self.given
        return f"{type(self).__name__}({', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in kwargs.items())])})"


@to_json.register
def _(callback: Callback) -> dict[str, Any]:
    args, kwargs = callback.given
    document = {"class": to_json(type(callback))}
    return {**document, **({"args": to_json(args)} if args else {}), **to_json(kwargs)}


class Callbacks:
    """The callbacks of one training in their order; a stage calls those alone that have a method for it.

    Raises: ParameterError for a method that is called nearly as a stage.

    >>> class Greeting(Callback):
    ...     def end(self, ctx):
    ...         print("done")
    >>> callbacks = Callbacks([Greeting()])
    >>> callbacks.at("begin"), len(callbacks.at("end"))
    ((), 1)
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            _require_stages(type(callback))
        self.all = sorted(callbacks, key=lambda callback: callback.order)
        self._methods = {stage: self._find(stage) for stage in STAGES}

    def at(self, stage: str) -> tuple[Callable[[Training], None], ...]:
        """The methods to call."""
        return self._methods[stage]

    def state(self) -> State:
        """Of all that have some, by class."""
        return {f"{name}.{key}": value for name, callback in self._named() for key, value in callback.state().items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Give every callback its own; one that was not there, or had none, begins."""
        for name, callback in self._named():
            own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            if own:
                _load(callback, own)

    def _named(self) -> Iterator[tuple[str, Callback]]:
        """By class, and number where there are several: others may come and go between two parts of a training."""
        seen = Counter[str]()
        for callback in self.all:
            name = type(callback).__name__
            seen[name] += 1
            yield name if seen[name] == 1 else f"{name}-{seen[name]}", callback

    def _find(self, stage: str) -> tuple[Callable[[Training], None], ...]:
        base = getattr(Callback, stage)
        return tuple(getattr(c, stage) for c in self.all if getattr(type(c), stage) is not base)


def _require_stages(kind: type[Callback]) -> None:
    """Raise ``ParameterError`` where a method has the name that a stage has in other packages: nobody would call it."""
    if _is_ours(kind):
        return
    near = {stage.replace("_", ""): stage for stage in STAGES}
    for name in dir(kind):
        plain = name.removeprefix("on_").removeprefix("train_").replace("_", "")
        stage = near.get(plain)
        if stage is not None and name != stage and not hasattr(Callback, name):
            raise ParameterError(f"callback {kind.__name__} has {name}, which is never called: the stage is called {stage}")


def _is_ours(kind: type[Callback]) -> bool:
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def _values(given: Any) -> Any:
    """Arguments whose containers are copies: what one training puts into them, the next one must not find."""
    if type(given) is dict:
        return {key: _values(value) for key, value in given.items()}
    return type(given)(map(_values, given)) if type(given) in (list, tuple, set) else given


def _load(callback: Callback, state: State) -> None:
    try:
        callback.load_state(state)
    except (KeyError, RuntimeError, TypeError) as error:
        if isinstance(error, OnnxlearnError) or _is_ours(type(callback)):
            raise
        raise ParameterError(
            f"callback {type(callback).__name__} cannot go on from its state: {reason(error)}: mend its load_state, or go on "
            "without it"
        ) from error


def copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Their values now."""
    return [tensor.detach().clone() for tensor in tensors]
