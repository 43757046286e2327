"""Schedules of the learning rate: the factor on it in each step."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxlearn.errors import ParameterError
from onnxlearn.named import reason
from onnxlearn_models.arguments import signature, title
from onnxlearn_models.training.registry import Entry, Registry, said


@dataclass(frozen=True)
class Plan:
    """How long a training is to be: epochs, and steps of each."""

    n_epochs: int
    n_epoch_steps: int

    @property
    def n_steps(self) -> int:
        """All steps."""
        return self.n_epochs * self.n_epoch_steps


class Schedule:
    """The course of the learning rate over the steps of a training, which are counted from 1.

    A class of one's own takes the :class:`Plan` first, then settings by their names. ``needs_validation``: it looks at the
    monitored value of each epoch. ``cycles_momentum``: it sets the optimizer's momentum.
    """

    needs_validation: bool = False
    cycles_momentum: bool = False

    def factor(self, step: int) -> float:
        """Factor on the learning rate in this step."""
        raise NotImplementedError

    def momentum(self, step: int) -> float | None:
        """The optimizer's momentum in this step; ``None``: its own."""
        del step
        return None

    def after_epoch(self, value: float | None) -> None:
        """Take note of an epoch's monitored value, of which less is better."""

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain JSON."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


class Course(Schedule):
    """A schedule that a function computes from what it asks for by the names of its arguments.

    ``progress``: share of all planned steps that is done, this one included; ``time``: the same in epochs; ``epoch``: the
    number of epochs before this one; ``n_epochs``: planned ones.
    """

    def __init__(self, function: Callable[..., float], plan: Plan) -> None:
        asked = [name for name in ASKED if name in signature(function).parameters]
        self._function, self._n_epoch_steps = function, plan.n_epoch_steps
        # Most ask for the progress alone: every step does.
        self._n_steps = plan.n_steps if asked == ["progress"] else 0
        self._fixed = {"n_epochs": plan.n_epochs} if "n_epochs" in asked else {}
        # What is divided by the number of steps: all of them, or those of an epoch.
        sizes = {"progress": plan.n_steps, "time": plan.n_epoch_steps}
        self._shares = [(name, sizes[name]) for name in asked if name in sizes]
        self._epoch, self._value = -1, 1.0
        self._takes_epoch = "epoch" in asked

    def factor(self, step: int) -> float:
        """What the function says."""
        if self._n_steps:
            return self._function(progress=step / self._n_steps)
        epoch = max(0, step - 1) // self._n_epoch_steps
        # What depends on the epoch alone is asked for once an epoch.
        if self._shares or epoch != self._epoch:
            shares = {name: step / size for name, size in self._shares}
            if self._takes_epoch:
                shares["epoch"] = epoch
            self._epoch, self._value = epoch, self._function(**shares, **self._fixed)
        return self._value


class Around(Schedule):
    """Another schedule; subclasses change its factor."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.needs_validation, self.cycles_momentum = schedule.needs_validation, schedule.cycles_momentum

    def factor(self, step: int) -> float:
        """That of the other."""
        return self._schedule.factor(step)

    def momentum(self, step: int) -> float | None:
        """That of the other."""
        return self._schedule.momentum(step)

    def after_epoch(self, value: float | None) -> None:
        """Tell the other."""
        self._schedule.after_epoch(value)

    def state(self) -> dict[str, Any]:
        """That of the other."""
        return self._schedule.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Let the other go on."""
        self._schedule.load_state(state)


class WarmUp(Around):
    """Another schedule, times a factor that rises linearly from 0 to 1 over the first ``share`` of all steps."""

    def __init__(self, schedule: Schedule, plan: Plan, share: float) -> None:
        super().__init__(schedule)
        self._n_rising = share * plan.n_steps

    def factor(self, step: int) -> float:
        """Both factors."""
        factor = super().factor(step)
        return factor if step >= self._n_rising else factor * step / self._n_rising


class Checked(Around):
    """A schedule of the user's, called ``name`` in messages: each of its factors is a finite number of at least 0."""

    def __init__(self, schedule: Schedule, name: str) -> None:
        super().__init__(schedule)
        self._name = name

    def factor(self, step: int) -> float:
        """That of the other. Raises: ParameterError where it is none."""
        try:
            found = super().factor(step)
        except Exception as error:
            raise ParameterError(f"schedule={self._name} fails in step {step}: {reason(error)}") from error
        if not isinstance(found, numbers.Real) or not 0 <= found < math.inf:
            raise ParameterError(
                f"schedule={self._name} gives {found!r} in step {step}: it has to give the factor on the learning rate, a "
                "number of at least 0"
            )
        return float(found)


@dataclass(frozen=True, kw_only=True)
class ScheduleInfo(Entry):
    """A schedule: a class of :class:`Schedule`, or a function as :class:`Course` computes it by, with settings.

    Raises: ParameterError for another class.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.make, type) and not issubclass(self.make, Schedule):
            raise ParameterError(
                f"{title(self.make)} is no schedule: write a function of progress, time, epoch or n_epochs that gives the "
                "factor on the learning rate, or a subclass of onnxlearn_models.training.schedule.Schedule"
            )

    @property
    def is_class(self) -> bool:
        """Whether it is a class."""
        return isinstance(self.make, type)

    @property
    def needs_validation(self) -> bool:
        """Whether it looks at validation losses."""
        return bool(getattr(self.make, "needs_validation", False))


ASKED = ("progress", "time", "epoch", "n_epochs")

schedules: Registry[ScheduleInfo] = Registry(ScheduleInfo, parameter="schedule", prefix="schedule_", filled=("plan", *ASKED))
"""The choices of ``schedule``."""


def make_schedule(config: Any, n_epochs: int, n_epoch_steps: int) -> Schedule:
    """The schedule that a :class:`~onnxlearn_models.training.config.TrainConfig` chooses, warm-up included.

    Raises: ParameterError for settings that do not go together, and for a schedule of the user's that gives no factors.
    """
    entry, plan = schedules.entry(config.schedule), Plan(n_epochs, n_epoch_steps)
    assert entry is not None
    bound = schedules.bound(entry, config)
    if entry.is_class:
        schedule: Schedule = bound(plan)
    else:
        schedule = Course(bound, plan)
    if not schedules.is_ours(entry, config):
        schedule = Checked(schedule, said(config.schedule))
        schedule.factor(1)
        schedule.factor(plan.n_steps)
    return WarmUp(schedule, plan, config.warmup) if config.warmup else schedule


def require_schedule(config: Any, momentum: float | None) -> None:
    """Raise ``ParameterError`` where the schedule cannot work beside the other settings.

    ``momentum``: the optimizer's, ``None`` where it has none that could be set.
    """
    entry = schedules.entry(config.schedule)
    assert entry is not None
    name = said(config.schedule)
    if entry.needs_validation and config.validation is None:
        raise ParameterError(
            f"schedule={name} looks at the validation loss, and validation=None leaves no rows for one: give some, or choose "
            "another schedule"
        )
    if not make_schedule(config, 1, 1).cycles_momentum:
        return
    if momentum is None:
        raise ParameterError(
            f"schedule={name} cycles the momentum, and the optimizer has none: set schedule_cycle_momentum=False"
        )
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in ("opt_momentum", "opt_beta1") and value != field.default:
            raise ParameterError(
                f"{field.name}={value:g} changes nothing with schedule={name}, which cycles the momentum: leave it out, or set "
                "schedule_cycle_momentum=False"
            )


def fade(progress: float) -> float:
    """1 over the first half, then down to 0 along a cosine.

    >>> [round(fade(p), 3) for p in (0, 0.5, 0.75, 1)]
    [1.0, 1.0, 0.5, 0.0]
    """
    return (1 + math.cos(math.pi * min(max(0.0, 2 * progress - 1), 1.0))) / 2
