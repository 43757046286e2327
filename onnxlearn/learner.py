"""The learner: a recipe that makes a Model from a Task."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from onnxlearn.effects import known_sets
from onnxlearn.errors import DataError, ParameterError, listing
from onnxlearn.params import Param, build_configs, is_recorded, list_params, to_json
from onnxlearn.parts import part_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from onnxlearn.model import Model
    from onnxlearn.task import Task
    from onnxlearn.tuning.ranges import Domain, Size
    from onnxlearn.wire.feeds import Feeds

OnLoss: TypeAlias = "Callable[[int, float], object]"
"""Called with an epoch's number and the loss of the validation rows."""

Reference: TypeAlias = "Callable[[Feeds], dict[str, NDArray[Any]]]"
TaskType: TypeAlias = Literal["classification", "regression"]


@dataclass(frozen=True)
class Bare:
    """Networks outside of any file, to compare speed with.

    ``precision``: what they compute in, e.g. ``float32``. ``opened``, of rows and a number of threads: a context with a
    function that runs the networks on these rows, made ready before.
    """

    precision: str
    opened: Callable[[Feeds, int], AbstractContextManager[Callable[[], object]]]


class Learner(ABC):
    """A recipe: preprocessing, architecture and training settings. It is never fitted itself.

    A subclass names itself and the dataclasses that hold its parameters; parameter names are unique across them.
    ``tasks``: the types of task that it does, as in its record. ``defaults``: its own defaults of parameters that it shares
    with other learners. ``without``: parameters of these dataclasses that it does not take, since they would change nothing,
    and why.
    """

    name: ClassVar[str]
    config_types: tuple[type, ...]
    tasks: ClassVar[tuple[TaskType, ...]] = ("classification", "regression")
    defaults: Mapping[str, Any] = {}
    without: Mapping[str, str] = {}

    def __init__(self, **params: Any) -> None:
        self._given = dict(params)
        owner = f"learner {self.name!r}"
        known = {field.name for config in self.config_types for field in dataclasses.fields(config)} - set(self.without)
        for name in params:
            if name not in known and (reason := self.without.get(name) or self.stranger(name)):
                raise ParameterError(f"{owner} has no parameter {name!r}: {reason}")
        self.configs = build_configs(self.config_types, params, owner=owner, defaults=self.defaults)

    def stranger(self, name: str) -> str:
        """What a name is that is none of the parameters, where that is known: for messages; else an empty text."""
        del name
        return ""

    def may_bring(self, name: str) -> bool:
        """Whether a name that is none of the parameters may become one by another value of one of them."""
        del name
        return False

    @property
    def params(self) -> tuple[Param, ...]:
        """Every parameter with its type, default, range and meaning."""
        found = [param for param in list_params(self.config_types, self.defaults) if param.name not in self.without]
        names = {param.name for param in found}
        return tuple(dataclasses.replace(param, when=known_sets(param.when, names)) for param in found)

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter's value in this learner."""
        return {field.name: getattr(config, field.name) for config, field in self._fields()}

    @property
    def given(self) -> dict[str, Any]:
        """The values of the parameters that were given to this learner; the others are defaults."""
        return {name: self.values[name] for name in self._given}

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """What is worth searching: for each parameter what it may be, of few parameters (``small``) or of many (``large``).

        Raises: ParameterError where nothing is known.
        """
        from onnxlearn.tuning.ranges import require_size

        require_size(size)
        raise ParameterError(
            f"learner {self.name!r} has no ready search space: say what its parameters may be, such as "
            "{'lr': ol.Range(1e-4, 1e-1, log=True)}"
        )

    def watched(self, on_epoch: OnLoss) -> Self | None:
        """A copy that calls ``on_epoch`` with the number of each epoch, from 1, and the loss of the validation rows after it.

        What ``on_epoch`` raises ends the fit. ``None``: it does not train one network by epochs.
        """
        del on_epoch
        return None

    def for_epochs(self, n_epochs: int) -> Self:
        """A copy that trains on all rows for so many epochs, without validation; itself where there are no epochs."""
        del n_epochs
        return self

    @property
    def uses_test(self) -> bool:
        """Whether a fit needs the test rows of a resampling, since they choose the epoch: ``validation="test"``."""
        validation = self.values.get("validation")
        return isinstance(validation, str) and validation == "test"

    def replace(self, **params: Any) -> Self:
        """A copy with some parameters changed; unknown names raise ``ParameterError``."""
        return type(self)(**{**self._given, **params})

    def to_dict(self) -> dict[str, Any]:
        """Name and all parameters as plain JSON, for a model's metadata; without those that change no result."""
        fields = ((config, field.name) for config, field in self._fields() if not field.metadata["inert"])
        return {"name": self.name, "params": {name: to_json(getattr(config, name)) for config, name in fields}}

    def reference(self, task: Task) -> Reference | None:
        """What a fit on this task trains, to compare its file with: gives outputs of the file by name, of rows.

        ``None``: there is nothing beside the file. :func:`onnxlearn.testing.check_learner` asks for it.
        """
        del task
        return None

    def bare(self, task: Task) -> Bare | None:
        """The networks of this learner's file for such a task, untrained; ``None`` where there is no network.

        :func:`onnxlearn.bench` asks for it.
        """
        del task
        return None

    def losses_at(self, task: Task, lrs: Sequence[float]) -> Sequence[float] | None:
        """Train a network for a step at each of these learning rates, one after the other: the loss of the batch after each.

        Fewer where it was no longer finite; ``None`` where the learner does not train one network. :func:`onnxlearn.lr_find`
        asks for it.
        """
        del task, lrs
        return None

    def require_tasks(self, task: Task, test: Task | None = None) -> None:
        """Raise ``DataError`` unless this learner can fit ``task`` and score on ``test``; ``fit`` begins with it."""
        from onnxlearn.task import require_tasks

        require_tasks(task, test)
        target = task.schema.target
        if target.type not in self.tasks:
            does = " and ".join(self.tasks)
            raise DataError(
                f"learner {self.name!r} does {does}, not {target.type}, which the target {listing(target.names)} asks for; "
                "choose another learner (onnxlearn learners)"
            )

    @abstractmethod
    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Train on the task and return the exported model.

        ``test``: rows set aside before anything was fitted; the exported file is scored on them and the scores are kept.
        ``folder``: where the training is kept: a new folder, or one of the same call before, from whose end it goes on.
        ``keep_on_interrupt``: after Ctrl-C export the best weights so far instead of raising ``KeyboardInterrupt``.
        ``progress``: show a bar on stderr; ``None`` shows it when stderr is a terminal.
        """

    def n_together(self, task: Task) -> int:
        """How many fits on such a task are quicker at once than one after the other; 1: they are not.

        It must not depend on the machine. Resampling gives so many iterations to :meth:`fit_together`.
        """
        del task
        return 1

    def fit_together(
        self, tasks: Sequence[Task], tests: Sequence[Task | None], titles: Sequence[str]
    ) -> list[Callable[[], Model]]:
        """Fit a model on each of several tasks of one schema; calling a function gives the model.

        ``tests``: for each task what :meth:`fit` takes as ``test``; ``titles``: what each is called as a part of the whole.
        """
        return [partial(self._fit_part, *each) for each in zip(tasks, tests, titles, strict=True)]

    def _fit_part(self, task: Task, test: Task | None, title: str) -> Model:
        with part_of(title):
            return self.fit(task, test=test, progress=False)

    def _fields(self) -> Iterator[tuple[Any, dataclasses.Field[Any]]]:
        """Every parameter, and the dataclass that holds its value."""
        every = ((config, field) for config in self.configs for field in dataclasses.fields(config))
        return ((config, field) for config, field in every if field.name not in self.without)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"learner({', '.join(part for part in (repr(self.name), given) if part)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Dataclasses of parameters may be made by the values; they are made anew where the learner is opened.
        return _rebuilt, (type(self), self._given)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Learner) or self.to_dict() != other.to_dict():
            return False
        return all(_is_same(value, other.values[name]) for name, value in self.values.items())

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))


def as_learner(what: Any) -> Any:
    """The learner around what one can be made of, such as a graph; anything else as it is."""
    return what.as_learner() if hasattr(what, "as_learner") else what


def _rebuilt(cls: type[Learner], given: dict[str, Any]) -> Learner:
    return cls(**given)


def _is_same(value: Any, other: Any) -> bool:
    """Whether two values whose JSON is equal are: code is named there, and two functions or networks may share a name."""
    if isinstance(value, tuple | list):
        return all(_is_same(a, b) for a, b in zip(filter(is_recorded, value), filter(is_recorded, other), strict=True))
    if isinstance(value, Learner) and isinstance(other, Learner):
        return value == other
    # Of networks, which are copied, the text shows what they are made of.
    return not callable(value) or value is other or (not isinstance(value, type) and repr(value) == repr(other))
