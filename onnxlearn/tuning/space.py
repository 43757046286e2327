"""A search space: of one learner, or of several between which is chosen, what their parameters may be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onnxlearn.effects import Data, requirements
from onnxlearn.errors import ParameterError, SpaceError, did_you_mean, listing
from onnxlearn.learner import Learner
from onnxlearn.params import Param, check_value, parse_text
from onnxlearn.schema import Schema
from onnxlearn.tuning.ranges import Choice, Domain, Range, Size, domain_from_dict, label

Suggest: TypeAlias = Callable[[str, "Entry"], Any]
"""Draws a value for a name."""

Condition: TypeAlias = Mapping[str, Callable[[Any], bool]]
"""For each of some parameters what tells whether its value will do."""

LEARNER = "learner"
"""The name of the choice between several learners."""


@dataclass(frozen=True)
class Entry:
    """A parameter in a search.

    ``whole``: its numbers are whole ones. ``conditions``: sets of settings, one of which is needed. ``on``: what a task has to
    have for it to count.
    """

    domain: Domain
    whole: bool = False
    conditions: tuple[Condition, ...] = ()
    on: Data | None = None

    def counts(self, values: Mapping[str, Any]) -> bool:
        """Whether it changes anything beside these values."""
        return any(all(fits(values[name]) for name, fits in one.items() if name in values) for one in self.conditions)


MOST_POINTS = 100_000


class _OpenError(Exception):
    """A value is not fixed yet."""


def _grid_of(entry: Entry, n_values: int) -> list[Any]:
    domain = entry.domain
    if isinstance(domain, Choice):
        return list(domain.values)
    if domain.step is not None:
        found = [domain.low + i * domain.step for i in range(int((domain.high - domain.low) / domain.step + 1e-9) + 1)]
    else:
        shares = [i / (n_values - 1) for i in range(n_values)]
        ratio, span = domain.high / domain.low if domain.log else 1.0, domain.high - domain.low
        found = [domain.low * ratio**share if domain.log else domain.low + span * share for share in shares]
    return list(dict.fromkeys(round(value) for value in found)) if entry.whole else [float(value) for value in found]


@dataclass(frozen=True)
class Candidate:
    """One point of a space: the name of the learner, what was drawn for it, and the learner with these values."""

    name: str
    params: Mapping[str, Any]
    learner: Learner


@dataclass(frozen=True)
class Space:
    """Made by :meth:`of`. ``entries``: for each learner its parameters, each behind those that it depends on."""

    learners: Mapping[str, Learner]
    entries: Mapping[str, Mapping[str, Entry]]

    @classmethod
    def of(cls, learner: Learner | Mapping[str, Learner], space: Any = None) -> Space:
        """A space for a learner, or several by name; of several ``space`` has a space for each by these names.

        ``space``: what each parameter may be; ``small``, ``medium`` or ``large``: the ready one; ``None``: the ready one of
        medium size.

        Raises: SpaceError with all mistakes: unknown parameters, values that they cannot have, those that change nothing
        whatever is drawn.
        """
        learners = _named(learner)
        given = _by_learner(learners, space, several=isinstance(learner, Mapping))
        mistakes: list[str] = []
        entries = {}
        for name, own in learners.items():
            before = f"{name}: " if len(learners) > 1 else ""
            entries[name], wrong = _entries(own, given[name])
            mistakes += [f"{before}{text}" for text in wrong]
        if not mistakes and len(learners) == 1 and not any(entries.values()):
            mistakes.append(f"learner {next(iter(learners.values())).name!r} has nothing to search")
        if mistakes:
            raise SpaceError(*mistakes)
        return cls(learners, entries)

    def for_task(self, schema: Schema, *, strict: bool) -> Space:
        """The space without parameters that count for nothing on such a task.

        Raises: SpaceError where there are some, and they were asked for: ``strict``.
        """
        mistakes = [
            f"{name} counts for {entry.on}, and the task has none: leave it out"
            for own in self.entries.values()
            for name, entry in own.items()
            if not has(schema, entry.on)
        ]
        if strict and mistakes:
            raise SpaceError(*mistakes)
        kept = {
            name: {param: entry for param, entry in own.items() if has(schema, entry.on)} for name, own in self.entries.items()
        }
        return dataclasses.replace(self, entries=kept)

    def draw(self, suggest: Suggest) -> Candidate:
        """A point: ``suggest`` is asked for the parameters that count, one after the other.

        Raises: ParameterError where what was drawn does not go together.
        """
        names = tuple(self.learners)
        several = len(names) > 1
        name = suggest(LEARNER, Entry(Choice(*names))) if several else names[0]
        learner, drawn = self.learners[name], dict[str, Any]()
        for param, entry in self.entries[name].items():
            if entry.counts({**learner.values, **drawn}):
                drawn[param] = suggest(f"{name}.{param}" if several else param, entry)
        return Candidate(name, drawn, learner.replace(**drawn))

    def grid(self, n_values: int = 5) -> list[dict[str, Any]]:
        """All points of a grid, by the names that are suggested: of a range ``n_values``, or those of its steps.

        Raises: ParameterError where these are more than can be tried.
        """
        found: dict[str, dict[str, Any]] = {}

        def walk(fixed: dict[str, Any]) -> None:
            missing: list[tuple[str, Entry]] = []

            def suggest(name: str, entry: Entry) -> Any:
                if name in fixed:
                    return fixed[name]
                missing.append((name, entry))
                raise _OpenError

            try:
                self.draw(suggest)
            except _OpenError:
                name, entry = missing[0]
                for value in _grid_of(entry, n_values):
                    walk({**fixed, name: value})
                return
            except ParameterError:
                # It is tried, and fails with this error.
                pass
            told = {
                name: value if not isinstance(self._entry(name).domain, Choice) else label(value)
                for name, value in fixed.items()
            }
            found.setdefault(repr(told), told)
            if len(found) > MOST_POINTS:
                raise ParameterError(f"a grid of this space has more than {MOST_POINTS} points: give ranges steps, or tpe")

        walk({})
        return list(found.values())

    def _entry(self, name: str) -> Entry:
        """That of a name as it is suggested."""
        if len(self.learners) == 1:
            return next(iter(self.entries.values()))[name]
        if name == LEARNER:
            return Entry(Choice(*self.learners))
        learner, _, param = name.partition(".")
        return self.entries[learner][param]

    def to_list(self) -> list[dict[str, Any]]:
        """What it is, as plain JSON in the order of the space."""
        return [
            {
                "name": name,
                "learner": learner.to_dict(),
                "params": [{"name": param, **entry.domain.to_dict()} for param, entry in self.entries[name].items()],
            }
            for name, learner in self.learners.items()
        ]

    @classmethod
    def from_list(cls, document: Sequence[Mapping[str, Any]], learners: Mapping[str, Learner]) -> Space:
        """The space of :meth:`to_list`, to read and not to draw from: of conditions it has those that were given.

        ``learners``: those of them that there are.
        """
        domains = {own["name"]: {each["name"]: domain_from_dict(each) for each in own["params"]} for own in document}
        return cls(learners, {name: {param: Entry(each) for param, each in own.items()} for name, own in domains.items()})


def has(schema: Schema, what: Data | None) -> bool:
    """Whether a task has what a parameter counts for."""
    target, kinds = schema.target, {column.kind for column in schema.features}
    match what:
        case None:
            return True
        case "classification" | "regression":
            return target.type == what
        case "two classes":
            return len(target.classes) == 2
        case "missing numbers":
            return any(column.has_missing for column in schema.of_kind("numeric", "boolean", "datetime", "ordered"))
        case "numbers":
            return bool(kinds & {"numeric", "boolean", "datetime", "ordered"})
        case "categories":
            return bool(kinds & {"categorical", "ordered"})
        case _:
            return {"ordered categories": "ordered", "dates": "datetime", "images": "image", "texts": "text"}[what] in kinds


def ready_space(learner: Learner | str, size: Size = "medium") -> dict[str, Domain]:
    """The search space that comes with a learner, to use or to change: what each parameter may be.

    ``size``: ``small`` has what matters most, ``medium`` what papers search, ``large`` also preprocessing and the optimizer's
    settings.

    >>> import onnxlearn as ol
    >>> ol.space("mlp", "small")["lr"]
    Range(0.0001, 0.03, log=True)

    Raises: ParameterError for a learner of which nothing is known, and for another size.
    """
    from onnxlearn.registry import learner as make

    return (make(learner) if isinstance(learner, str) else learner).space(size)


def _named(learner: Any) -> dict[str, Learner]:
    learners = dict(learner) if isinstance(learner, Mapping) else {"": learner}
    if not learners or not all(isinstance(own, Learner) for own in learners.values()):
        raise ParameterError('what is tuned is a learner, or several by name: {"small": ol.learner("mlp"), ...}')
    return learners


def _by_learner(learners: Mapping[str, Learner], space: Any, *, several: bool) -> dict[str, Mapping[str, Any]]:
    of_each = space if several and isinstance(space, Mapping) else dict.fromkeys(learners, space)
    if unknown := [name for name in of_each if name not in learners]:
        raise ParameterError(
            f"the space has {unknown[0]!r}, and there are the learners {listing(learners)}.{did_you_mean(unknown[0], learners)}"
        )
    return {name: _given_or_ready(own, of_each.get(name)) for name, own in learners.items()}


def _given_or_ready(learner: Learner, space: Any) -> Mapping[str, Any]:
    if space is None:
        return learner.space()
    if isinstance(space, str):
        return learner.space(space)  # type: ignore[arg-type]  # which is checked there
    if not isinstance(space, Mapping):
        example = "{'lr': ol.Range(1e-4, 1e-1, log=True)}"
        raise ParameterError(f"a space is a dict of parameters, such as {example}, not {space!r}")
    return space


def _entries(learner: Learner, given: Mapping[str, Any]) -> tuple[dict[str, Entry], list[str]]:
    """The parameters, each behind those that it depends on, and what is wrong with them."""
    mistakes: list[str] = []
    domains: dict[str, Domain] = {}
    for name, value in given.items():
        try:
            domains[name] = _domain(value)
        except ParameterError as error:
            mistakes.append(f"{name}: {error}")
    homes = {name: _home(learner, name, domains) for name in domains}
    entries = {}
    for name, domain in domains.items():
        home = homes[name]
        if home is None:
            mistakes.append(_unknown(learner, name))
            continue
        if isinstance(domain, Choice) and "none" in domain.values:
            domain = Choice(*(read_none(home.learner, name, value) for value in domain.values), when=domain.when)
        if home.param.inert:
            mistakes.append(f"{name} changes no result: {home.param.inert}; give it to the learner itself")
        mistakes += _wrong_values(home.learner, home.param, domain)
        mistakes += [
            f"{name}: when names {other!r}, which is no parameter of the learner.{did_you_mean(other, learner.values)}"
            for other in domain.when
            if other not in learner.values and other not in domains
        ]
        entries[name] = Entry(domain, _is_whole(home.param, domain), home.conditions(domain), home.param.on)
    if not mistakes:
        mistakes += [text for name, entry in entries.items() if (text := _never_counts(name, entry, entries, learner))]
    return _in_order(entries, mistakes), mistakes


def read_none(learner: Learner, name: str, value: Any) -> Any:
    """``None`` for the text ``none``, which files have for it, unless that is a text that the parameter may have."""
    return parse_text(list(learner.config_types), name, value) if value == "none" else value


@dataclass(frozen=True)
class _Home:
    """A parameter, the learner that has it, and beside which choices that is."""

    param: Param
    learner: Learner
    brought_by: Mapping[str, tuple[Any, ...]]

    def conditions(self, domain: Domain) -> tuple[Condition, ...]:
        """Its own, those that were given, and that the learner has it."""
        given = requirements(domain.when)[0] if domain.when else {}
        brought = requirements({name: list(values) for name, values in self.brought_by.items()})[0] if self.brought_by else {}
        return tuple(_both(_both(one, given), brought) for one in requirements(self.param.when))


def _both(first: Condition, second: Condition) -> Condition:
    def fits(name: str) -> Callable[[Any], bool]:
        asked = [one[name] for one in (first, second) if name in one]
        return lambda value: all(ask(value) for ask in asked)

    return {name: fits(name) for name in (*first, *second)}


def _domain(value: Any) -> Domain:
    if isinstance(value, Range | Choice):
        return value
    if isinstance(value, list):
        return Choice(*value)
    raise ParameterError(
        f"what is searched is a Range, a Choice or a list of values, not {value!r}; one value is given to the learner itself"
    )


def _home(learner: Learner, name: str, domains: Mapping[str, Domain]) -> _Home | None:
    """Which learner has a parameter: this one, or this one with a value of one of the choices."""
    if found := _param(learner, name):
        return _Home(found, learner, {})
    if not learner.may_bring(name):
        return None
    for other, domain in domains.items():
        if isinstance(domain, Choice) and other in learner.values:
            makers = {value: made for value in domain.values if (made := _made(learner, other, value)) and _param(made, name)}
            for made in makers.values():
                param = _param(made, name)
                assert param is not None, "that is what was asked for"
                return _Home(param, made, {other: tuple(makers)})
    return None


def _made(learner: Learner, name: str, value: Any) -> Learner | None:
    try:
        return learner.replace(**{name: value})
    except ParameterError:
        return None


def _param(learner: Learner, name: str) -> Param | None:
    return next((param for param in learner.params if param.name == name), None)


def _unknown(learner: Learner, name: str) -> str:
    if reason := learner.without.get(name):
        return f"learner {learner.name!r} has no parameter {name!r}: {reason}"
    return f"learner {learner.name!r} has no parameter {name!r}.{did_you_mean(name, learner.values, likeness=0.75)}"


def _wrong_values(learner: Learner, param: Param, domain: Domain) -> Iterator[str]:
    """What a parameter cannot be."""
    config = next(each for each in learner.config_types if param.name in {field.name for field in dataclasses.fields(each)})
    if isinstance(domain, Range):
        kinds = param.type.split(" | ")
        if not {"int", "float"} & set(kinds):
            yield f"{param.name} is {param.type}, not a number: say which by a Choice"
            return
        numbers = [domain.low, domain.high, *([] if domain.step is None else [domain.step])]
        if "float" not in kinds and any(number != int(number) for number in numbers):
            yield f"{param.name}: {domain!r} has ends that are no whole numbers, and {param.name} is {param.type}"
            return
        values: Sequence[Any] = [int(end) if _is_whole(param, domain) else float(end) for end in (domain.low, domain.high)]
    else:
        values = domain.values
    for value in values:
        try:
            check_value(config, param.name, value)
        except ParameterError as error:
            yield str(error)


def _is_whole(param: Param, domain: Domain) -> bool:
    """Whether numbers are whole: those of a parameter that takes no others; of one that takes both, where both ends are."""
    if isinstance(domain, Choice):
        return False
    kinds = param.type.split(" | ")
    return "int" in kinds and ("float" not in kinds or all(isinstance(end, int) for end in (domain.low, domain.high)))


def _never_counts(name: str, entry: Entry, entries: Mapping[str, Entry], learner: Learner) -> str:
    """Why a parameter changes nothing whatever is drawn; an empty text where it does."""

    def may_fit(other: str, fits: Callable[[Any], bool]) -> bool:
        if other not in entries:
            return other not in learner.values or fits(learner.values[other])
        domain = entries[other].domain
        return any(map(fits, domain.values if isinstance(domain, Choice) else (domain.low, domain.high)))

    if any(all(may_fit(other, fits) for other, fits in one.items()) for one in entry.conditions):
        return ""
    lacking = {other: fits for other, fits in entry.conditions[0].items() if not may_fit(other, fits)}
    values = " and ".join(
        f"{other}={learner.values[other]!r}" if other not in entries else f"{other} from {entries[other].domain!r}"
        for other in lacking
    )
    return f"{name} changes nothing with {values}: search that too, set it, or leave {name} out"


def _in_order(entries: Mapping[str, Entry], mistakes: list[str]) -> dict[str, Entry]:
    """Each behind those that it depends on."""
    found: dict[str, Entry] = {}
    under_way: list[str] = []

    def put(name: str) -> None:
        if name in found:
            return
        if name in under_way:
            mistakes.append(
                f"{listing(under_way[under_way.index(name) :])} count beside each other alone: leave a condition out"
            )
            return
        under_way.append(name)
        for other in {other: None for one in entries[name].conditions for other in one if other in entries}:
            put(other)
        under_way.pop()
        found[name] = entries[name]

    for name in entries:
        put(name)
    return found
