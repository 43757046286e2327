"""Registries: what a name stands for, and the settings that come with choosing it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

from onnxlearn.errors import ParameterError, UnknownNameError
from onnxlearn.params import to_json
from onnxlearn_models.arguments import argument_fields, takes_rows, title


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a name stands for; ``make``: a function or a class. Subclasses add what else has to be known of it.

    Raises: ParameterError for what cannot be called.
    """

    make: Callable[..., Any]

    def __post_init__(self) -> None:
        if not callable(self.make):
            raise ParameterError(f"what is registered is a function or a class, not {self.make!r}")


E = TypeVar("E", bound=Entry)
F = TypeVar("F", bound=Callable[..., Any])


class Registry(dict[str, E], Generic[E]):
    """Entries by name; a decorator adds one, which is a choice of every learner from then on.

    The named arguments of what is registered become parameters of the learners that choose it, with ``prefix`` before their
    names; but for the first ``n_first`` and those called as in ``filled``, which are filled in. ``parameter``: the parameter
    that chooses; it may also be a function or a class that has no name here. ``kind``: the type of the entries.
    """

    def __init__(self, kind: type[E], *, parameter: str, prefix: str, n_first: int = 0, filled: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._kind, self.parameter, self.prefix = kind, parameter, prefix
        self._n_first, self.filled = n_first, filled

    def register(self, name: str, **facts: Any) -> Callable[[F], F]:
        """Add what is decorated; ``facts``: what else its entry holds.

        Raises: ParameterError for a name that stands for something else, and for what is no such function or fact.
        """
        if not isinstance(name, str):
            raise ParameterError(f"the name comes first, as in register('mine'), not {name!r}")
        known = [field.name for field in dataclasses.fields(self._kind) if field.name != "make"]
        for fact in facts:
            if fact not in known:
                raise UnknownNameError.of(f"fact about a choice of {self.parameter}", fact, known)

        def add(make: F) -> F:
            entry = self._kind(make=make, **facts)
            self._require_arguments(entry)
            # What is defined once more, as in a notebook, takes its own place.
            if name in self and to_json(self[name].make) != to_json(make):
                raise ParameterError(f"{self.parameter}={name!r} is {to_json(self[name].make)} already: choose another name")
            self[name] = entry
            return make

        return add

    def is_ours(self, entry: E, config: Any) -> bool:
        """Whether nothing of the user's runs in a choice: neither itself nor a setting."""
        settings = [getattr(config, name, None) for name, _, _ in self.fields(entry)]
        module = getattr(entry.make, "__module__", None) or ""
        return module.partition(".")[0] == __name__.partition(".")[0] and not any(map(callable, settings))

    def _require_arguments(self, entry: E) -> None:
        n_given = sum(1 for _ in argument_fields(entry.make, without=self.filled))
        if n_given < self._n_first and not takes_rows(entry.make):
            raise ParameterError(
                f"{title(entry.make)} takes {n_given} arguments that are not filled in by name, and as a choice of "
                f"{self.parameter} it is given {self._n_first} first"
            )

    def entry(self, choice: str | Callable[..., Any] | None) -> E | None:
        """What a parameter's value stands for; ``None``: nothing in particular, or what is no choice at all."""
        if isinstance(choice, str):
            return self.get(choice)
        return self._kind(make=choice) if callable(choice) else None

    def fields(self, entry: E) -> list[tuple[str, Any, Any]]:
        """Name, type and dataclass field of the settings that come with a choice."""
        return list(_fields(entry.make, self.prefix, self._n_first, self.filled))

    def settings(self) -> dict[str, tuple[str, ...]]:
        """The names of the settings that each choice brings; without choices that bring none."""
        found = {name: tuple(setting for setting, _, _ in self.fields(entry)) for name, entry in self.items()}
        return {name: settings for name, settings in found.items() if settings}

    def choices_with(self, setting: str) -> list[str]:
        """The names of those that have a setting, such as ``opt_momentum``."""
        return [name for name, settings in self.settings().items() if setting in settings]

    def bound(self, entry: E, config: Any) -> Callable[..., Any]:
        """What is registered, with the settings in ``config``; those that it has not are left to their defaults."""
        names = [name for name, _, _ in self.fields(entry) if hasattr(config, name)]
        settings = {name.removeprefix(self.prefix): getattr(config, name) for name in names}
        return functools.partial(entry.make, **settings) if settings else entry.make


@functools.lru_cache(maxsize=256)
def _fields(make: Callable[..., Any], prefix: str, n_first: int, filled: tuple[str, ...]) -> tuple[tuple[str, Any, Any], ...]:
    return tuple(argument_fields(make, without=filled, prefix=prefix)[n_first:])


def said(choice: str | Callable[..., Any] | None) -> str:
    """A choice for messages: its name, or what it is called as code.

    >>> said("sgd"), said(print)
    ("'sgd'", 'builtins:print')
    """
    if isinstance(choice, nn.Module):
        choice = type(choice)
    return repr(choice) if isinstance(choice, str) or choice is None else str(to_json(choice))
