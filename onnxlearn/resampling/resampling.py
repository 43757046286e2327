"""The base of all resamplings: how they are described, and how they split a task."""

from __future__ import annotations

import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onnxlearn.errors import ParameterError, UnknownNameError
from onnxlearn.params import check_values, param, require_names
from onnxlearn.resampling.fingerprint import Fingerprint
from onnxlearn.resampling.lost import ResamplingWarning, lost_classes
from onnxlearn.resampling.rows import Rows
from onnxlearn.resampling.splits import Iteration, Splits

if TYPE_CHECKING:
    from onnxlearn.task import Task

_BY_NAME: dict[str, type[Resampling]] = {}


class Resampling(ABC):
    """A recipe that splits the rows of a task into training and test rows, once or several times.

    A subclass is a frozen dataclass with a ``name``. It never splits groups and is the same for the same seed, whatever
    else has drawn random numbers.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _BY_NAME[cls.name] = cls

    def __post_init__(self) -> None:
        check_values(self, owner=type(self).__name__)

    def split(self, task: Task) -> Splits:
        """Split the task's rows.

        Warns with ``ResamplingWarning`` where training or test rows lose a class or a stratum. Raises: ParameterError where the
        task has too few rows, groups or points in time; DataError.
        """
        rows = Rows.of(task)
        iterations = self.iterations(rows)
        for text in self.notes(rows, iterations):
            warnings.warn(text, ResamplingWarning, stacklevel=2)
        fingerprint = Fingerprint.of(task, self.columns)
        return Splits(resampling=self.to_dict(), task=fingerprint, rows=rows.index, iterations=tuple(iterations))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that number folds."""
        return ()

    def iterations(self, rows: Rows) -> list[Iteration]:
        """The iterations on these rows, as positions in the task."""
        return [iteration.at(rows.index) for iteration in self.sets(rows)]

    @abstractmethod
    def sets(self, rows: Rows) -> list[Iteration]:
        """The iterations as positions in ``rows``."""

    def notes(self, rows: Rows, iterations: list[Iteration]) -> list[str]:
        """What to warn of."""
        return lost_classes(rows, iterations)

    def to_dict(self) -> dict[str, Any]:
        """Name and parameters as plain JSON; :meth:`from_dict` gives the resampling back."""
        return {"name": self.name, "params": {name: _to_json(value) for name, value in self._values().items()}}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Resampling:
        """Inverse of :meth:`to_dict`; parameters that are not there have their defaults.

        Raises: UnknownNameError, ParameterError.

        >>> Resampling.from_dict({"name": "cv", "params": {"folds": 10}})
        CV(folds=10)
        """
        if not isinstance(data, Mapping) or "name" not in data:
            raise ParameterError(f"a resampling is described by its name and params, got {data!r}: {{'name': 'cv'}}")
        kind, params = resampling_class(data["name"]), dict(data.get("params", {}))
        owner, fields = f"resampling {data['name']!r}", dataclasses.fields(kind)  # type: ignore[arg-type]
        require_names(params, [field.name for field in fields], owner=owner)
        needed = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in params]
        if needed:
            raise ParameterError(f"{owner} needs the parameter {needed[0]!r}: give it")
        return kind(**{name: _from_json(value) for name, value in params.items()})

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        # What it is about always, the rest where it is not as usual.
        shown = [field.name for field in fields if not field.kw_only or getattr(self, field.name) != field.default]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def resampling_class(name: str) -> type[Resampling]:
    """The resampling of that name. Raises: UnknownNameError.

    >>> resampling_class("cv").__name__
    'CV'
    """
    if name not in _BY_NAME:
        raise UnknownNameError.of("resampling", name, _BY_NAME)
    return _BY_NAME[name]


def _to_json(value: Any) -> Any:
    if isinstance(value, Resampling):
        return value.to_dict()
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    return Resampling.from_dict(value) if isinstance(value, Mapping) else value


def seed_param() -> Any:
    """The field ``seed``."""
    return param(0, "what is random is drawn from this seed", low=0)


def repeats_param(default: int) -> Any:
    """The field ``repeats``."""
    return param(default, "how often, each time from a seed of its own", low=1)


def ratio_param(default: float, *, high_open: bool = True) -> Any:
    """The field ``ratio``."""
    return param(default, "share of the rows to train on", low=0, low_open=True, high=1, high_open=high_open)


def stratify_param() -> Any:
    """The field ``stratify``."""
    return param(True, "keep the shares of the classes; those of the stratum columns are kept in any case")


def derived_seed(seed: int, repeat: int) -> int:
    """The seed of one repetition: the same however many there are, and unlike those of other seeds."""
    return int(np.random.SeedSequence(seed, spawn_key=(repeat,)).generate_state(1)[0])
