"""Parameters as frozen, keyword-only dataclasses with checked values.

A learner's flat keyword arguments are split over several such dataclasses (network, preprocessing, training). The
annotation of a field is its type, :func:`param` adds range and meaning.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from onnxlearn.effects import Beside, Data, describe, holds, idle
from onnxlearn.errors import ParameterError, did_you_mean, listing


def param(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
    choices: Mapping[str, Any] | None = None,
    refused: Mapping[str, str] | None = None,
    when: Beside = (),
    on: Data | None = None,
    inert: str = "",
    items: bool = False,
) -> Any:
    """A dataclass field: default, what it means, and the range of a number (``low_open``: ``low`` itself is excluded).

    ``items``: the range is also that of the numbers in a list.

    ``choices``: a registry, of which a text has to be a key; an entry that is added later is a choice from then on.
    ``refused``: why texts that people may well try are no values.

    Every parameter changes the result of a fit, if nothing else, then where it says: ``when`` names settings of the same
    learner, beside others of which it is refused, and ``on`` what the task has to have, without which it waits for another
    task. ``inert``: why it changes no result at all; a model's metadata then leaves it out.
    :func:`onnxlearn.testing.check_effects` holds a learner to it.
    """
    metadata = {
        "meaning": meaning, "low": low, "high": high, "low_open": low_open, "high_open": high_open, "choices": choices,
        "refused": refused or {}, "when": when, "on": on, "inert": inert, "items": items,
    }  # fmt: skip
    if type(default).__hash__ is None:
        # A dataclass refuses lists as defaults, which are those of the user's own functions at times.
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Required:
    """Stands as the default of a parameter that has none."""

    def __repr__(self) -> str:
        return "<required>"


REQUIRED = Required()


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of a learner, for people to read; ``when``, ``on`` and ``inert`` as in :func:`param`.

    ``brings``: further parameters that come with some of its values.
    """

    name: str
    type: str
    default: Any
    range: str
    meaning: str
    when: Beside = ()
    on: Data | None = None
    inert: str = ""
    brings: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def context(self) -> str:
        """Where it counts, or why it changes no result; empty where it always counts.

        >>> Param(name="n", type="int", default=1, range="", meaning="number", when={"norm": "batch"}, on="dates").context
        'with norm=batch; for dates'
        """
        parts = [f"with {text}"] if (text := describe(self.when)) else []
        parts += [f"for {self.on}"] if self.on else []
        return "; ".join([*parts, *([f"changes no result: {self.inert}"] if self.inert else [])])


def list_params(configs: Iterable[type], defaults: Mapping[str, Any] | None = None) -> tuple[Param, ...]:
    """All parameters of these dataclasses, in order, inherited ones behind a class's own.

    ``defaults`` stand in for those of the dataclasses.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     lr: float = param(1e-3, "learning rate", low=0)
    >>> [(found.name, found.type, found.default, found.range) for found in list_params([Config])]
    [('lr', 'float', 0.001, '>= 0')]
    """
    return tuple(
        Param(
            name=field.name,
            type=_type_name(_hints(config)[field.name], field.metadata["choices"]),
            default=(defaults or {}).get(field.name, _default(field)),
            range=_range_text(field.metadata),
            **{key: field.metadata[key] for key in ("meaning", "when", "on", "inert")},
        )
        for config in configs
        for field in sorted(dataclasses.fields(config), key=lambda field: field.name not in config.__annotations__)
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def build_configs(
    configs: Sequence[type], values: Mapping[str, Any], *, owner: str, defaults: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """Distribute flat values over the dataclasses; unknown names, wrong types, ranges and idle values are errors.

    ``defaults`` stand in for those of the dataclasses. A value that is the default may be given where it does not count.

    Raises: ParameterError naming the parameter, the value and what is allowed.
    """
    home = {field.name: config for config in configs for field in dataclasses.fields(config)}
    usual = defaults or {}
    require_names([*usual, *values], home, owner=owner)
    checked = {name: _checked(home[name], name, value, owner) for name, value in {**usual, **values}.items()}
    built = tuple(config(**{name: checked[name] for name in checked if home[name] is config}) for config in configs)
    settings = {field.name: getattr(config, field.name) for config in built for field in dataclasses.fields(config)}
    for field in (field for config in configs for field in dataclasses.fields(config) if field.name in values):
        value = checked[field.name]
        if (
            _is_nothing(field, value)
            or holds(field.metadata["when"], settings)
            or value == usual.get(field.name, _default(field))
        ):
            continue
        raise ParameterError(f"{owner}: {idle(field.name, value, field.metadata['when'], settings)}")
    return built


def _is_nothing(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a value asks for nothing: none, or the 0 that a share or a number begins with."""
    return value is None or (
        isinstance(value, int | float) and value == 0 == field.metadata["low"] and not field.metadata["low_open"]
    )


def require_names(names: Iterable[str], known: Iterable[str], *, owner: str) -> None:
    """Raise ``ParameterError`` for a name that is none of the known parameters, with the nearest one."""
    known = list(known)
    for name in names:
        if name not in known:
            # Parameters share words: another one's name that is half the same is no hint.
            hint = did_you_mean(name, known, likeness=0.75)
            raise ParameterError(f"{owner} has no parameter {name!r}.{hint or ' It has ' + listing(sorted(known), 40) + '.'}")


def check_values(config: Any, *, owner: str) -> None:
    """Check and convert the values of a frozen dataclass of its own, from its ``__post_init__``.

    Raises: ParameterError naming the parameter, the value and what is allowed.
    """
    for field in dataclasses.fields(config):
        value = _checked(type(config), field.name, getattr(config, field.name), owner)
        object.__setattr__(config, field.name, value)


def other_values(configs: Sequence[type], name: str, value: Any) -> list[Any]:
    """Some values that a parameter may have beside this one, by its type, range and choices; the nearest first.

    None for types that tell none, such as functions and tables.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     share: float | None = param(0.4, "a share", low=0, high=0.8)
    ...     widths: tuple[int, ...] = param((4, 8), "widths")
    >>> other_values([Config], "share", 0.4), other_values([Config], "widths", (4, 8))
    ([0.8, 0.2, 0.5, 0.1, 0.01, 0.0, None], [(4,), (4, 8, 8)])
    """
    config = next(config for config in configs if name in _hints(config))
    metadata = next(field.metadata for field in dataclasses.fields(config) if field.name == name)
    found: list[Any] = []
    for option in _alternatives(_hints(config)[name]):
        for other in _values_of(option, value, metadata):
            fits, converted = _convert(option, other)
            # True is 1, but not the same value.
            alike = [repr(converted) == repr(each) for each in (value, *found)]
            if fits and _in_range(metadata, converted) and not any(alike):
                found.append(converted)
    return found


def _values_of(option: Any, value: Any, metadata: Mapping[str, Any]) -> list[Any]:
    """Candidates of one type, some of which may be out of range, or the value itself."""
    if option in (int, float):
        low = metadata["low"] or 0
        usual = [low, low + 1, low + 2] if option is int else [0.5, 0.1, 0.01, low, low + 1]
        if not isinstance(value, int | float) or isinstance(value, bool):
            return usual
        return [value * 2, value // 2, value + 1, *usual] if option is int else [value * 2, value / 2, *usual]
    if option is str and metadata["choices"] is not None:
        return list(metadata["choices"])
    if typing.get_origin(option) is typing.Literal:
        return list(typing.get_args(option))
    if typing.get_origin(option) in (tuple, list) and isinstance(value, tuple | list):
        return [value[:-1], [*value, *value[-1:]]]
    return [True, False] if option is bool else [None] if option is type(None) else []


def parse_text(configs: Sequence[type], name: str, text: str) -> Any:
    """Read a command line's ``KEY=VALUE`` text as the type that the parameter has.

    A mapping is written as in Python or JSON, a function as ``package.module:name``. Text that is no value of the type is
    returned as it is, for :func:`build_configs` to refuse with the rule.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     lr: float = param(1e-3, "learning rate", low=0)
    ...     widths: tuple[int, ...] = param((), "widths")
    >>> parse_text([Config], "lr", "0.1"), parse_text([Config], "widths", "64,32"), parse_text([Config], "lr", "x")
    (0.1, (64, 32), 'x')
    """
    for config in configs:
        if name in _hints(config):
            with contextlib.suppress(ValueError):
                return _read(_readers(_hints(config)[name]), text)
    return text


@functools.singledispatch
def to_json(value: Any) -> Any:
    """A parameter's value as plain JSON, which names code and never holds it.

    A callable is its ``module:qualname``, a data frame its row count and SHA-256. Whoever has values of another type
    registers what becomes of them. A list leaves out what is not to be recorded (:func:`is_recorded`).

    Raises: ParameterError for a value of a type that nobody registered.
    """
    if value is None or value is REQUIRED:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value if is_recorded(item)]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return _object_to_json(value)


def is_recorded(value: Any) -> bool:
    """Whether a value says more than what is watched: ``recorded = False`` stands on what changes no result."""
    return getattr(value, "recorded", True) is not False


def _object_to_json(value: Any) -> Any:
    if hasattr(value, "to_feather"):
        return _table_digest(value)
    if hasattr(value, "config_types"):  # a learner
        return value.to_dict()
    if hasattr(value, "__qualname__"):
        # Functions of compiled modules may call themselves by a class that nobody finds.
        is_there = getattr(sys.modules.get(str(value.__module__)), value.__name__, None) is value
        return f"{value.__module__}:{value.__name__ if is_there else value.__qualname__}"
    if dataclasses.is_dataclass(value):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": to_json(type(value)), **fields}
    raise ParameterError(
        "a parameter has to be a value that a model's metadata can name, such as numbers, text, lists, functions and classes; "
        f"a {type(value).__qualname__} is none of these"
    )


def _table_digest(frame: Any) -> dict[str, Any]:
    """What tells one table from another without holding its rows."""
    import pandas as pd

    rows = pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()
    names = "\n".join(f"{name}:{dtype}" for name, dtype in frame.dtypes.items())
    return {"n_rows": len(frame), "sha256": hashlib.sha256(names.encode() + rows).hexdigest()}


@functools.cache
def _hints(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _checked(config: type, name: str, value: Any, owner: str) -> Any:
    with owned(owner):
        return check_value(config, name, value)


@contextlib.contextmanager
def owned(owner: str) -> Iterator[None]:
    """Errors inside say whose parameter it is."""
    try:
        yield
    except ParameterError as error:
        raise ParameterError(f"{owner}: {error}") from None


def check_value(config: type, name: str, value: Any) -> Any:
    """A parameter's value in the type that its dataclass gives it (an int is a float, a list a tuple).

    Raises: ParameterError naming the parameter, the value and what is allowed.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     lr: float = param(1e-3, "learning rate", low=0)
    >>> check_value(Config, "lr", 1)
    1.0
    """
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    hint = _hints(config)[name]
    for option in _alternatives(hint):
        fits, converted = _convert(option, value)
        if fits and _in_range(field.metadata, converted):
            return converted
    allowed = " ".join(part for part in (_type_name(hint, field.metadata["choices"]), _range_text(field.metadata)) if part)
    if isinstance(value, str) and (reason := field.metadata["refused"].get(value)):
        raise ParameterError(f"{name}={value!r} cannot be: {reason}; it has to be {allowed}")
    near = did_you_mean(value, field.metadata["choices"] or ()) if isinstance(value, str) else ""
    about = f"({field.metadata['meaning']}){near and '.' + near}"
    raise ParameterError(f"{name} has to be {allowed}, not {_one_line(value)} {about}")


Reader: TypeAlias = Callable[[Any], Any]
R = TypeVar("R", bound=Reader)
_READERS: dict[Any, Reader] = {}


def read_by(kind: type) -> Callable[[R], R]:
    """The function reads values of a type from files, by their paths, or from what such a file holds."""

    def enter(read: R) -> R:
        _READERS[kind] = read
        return read

    return enter


def read_from_files(configs: Iterable[type], name: str) -> bool:
    """Whether the values of a parameter are read from files that their paths name."""
    hints = (hint for config in configs if (hint := _hints(config).get(name)) is not None)
    return any(option in _READERS for hint in hints for option in _alternatives(hint))


def _one_line(value: Any) -> str:
    """A value's representation for a message; of a table or a task its first line."""
    lines = repr(value).splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} ..."


def _convert(option: Any, value: Any) -> tuple[bool, Any]:
    """Whether the value is one of the type, and the value in that type (an int is a float, a list a tuple)."""
    origin = typing.get_origin(option)
    if option is Any:
        return True, value
    if option in _READERS and isinstance(value, str | os.PathLike | Mapping):
        # A file that it is read from, or what one holds.
        return True, _READERS[option](value)
    if option is type(None):
        return value is None, value
    if origin is typing.Literal:
        # True is 1, and no choice between 1 and 2.
        return any(type(value) is type(choice) and value == choice for choice in typing.get_args(option)), value
    if origin in (tuple, list) and isinstance(value, list | tuple):
        items = _alternatives(typing.get_args(option)[0])
        parts = [next((pair for pair in (_convert(one, item) for one in items) if pair[0]), (False, item)) for item in value]
        return all(fits for fits, _ in parts), origin(item for _, item in parts)
    if origin is not None:
        return _convert_generic(option, value)
    if option is float and isinstance(value, int | float) and not isinstance(value, bool):
        return True, float(value)
    if option is int and hasattr(value, "__index__") and not isinstance(value, bool):
        return True, int(value)
    # True is no number, and what only looks like text is none; of other classes a subclass is one.
    return type(value) is option if option in (bool, int, float, str) else isinstance(value, option), value


def _convert_generic(option: Any, value: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(option)
    if origin is Callable or origin is types.FunctionType:
        return callable(value), value
    return isinstance(value, origin), value


def _in_range(metadata: Mapping[str, Any], value: Any) -> bool:
    if isinstance(value, str) and metadata["choices"] is not None:
        return value in metadata["choices"]
    if metadata["items"] and isinstance(value, tuple | list):
        return all(_in_range(metadata, item) for item in value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return True
    if not math.isfinite(value):
        return False
    low, high = metadata["low"], metadata["high"]
    above = low is None or (value > low if metadata["low_open"] else value >= low)
    return above and (high is None or (value < high if metadata["high_open"] else value <= high))


def _range_text(metadata: Mapping[str, Any]) -> str:
    low, high = metadata["low"], metadata["high"]
    lower = "" if low is None else f"{'>' if metadata['low_open'] else '>='} {low:g}"
    upper = "" if high is None else f"{'<' if metadata['high_open'] else '<='} {high:g}"
    return ", ".join(part for part in (lower, upper) if part)


def _type_name(hint: Any, choices: Mapping[str, Any] | None = None) -> str:
    parts = []
    for option in _alternatives(hint):
        origin = typing.get_origin(option)
        if option is str and choices is not None:
            parts += list(choices)
        elif origin is typing.Literal:
            parts += [str(choice) for choice in typing.get_args(option)]
        elif origin in (tuple, list):
            parts.append(f"list of {_type_name(typing.get_args(option)[0])}")
        else:
            parts.append("None" if option is type(None) else getattr(option, "__name__", str(option)))
    return " | ".join(parts)


def _readers(hint: Any) -> list[Callable[[str], Any]]:
    """Ways to read text as the type, the strictest first: every text is a str."""
    options = sorted(_alternatives(hint), key=lambda option: option is str)
    return [reader for option in options for reader in _readers_of(option)]


def _readers_of(option: Any) -> list[Callable[[str], Any]]:
    origin = typing.get_origin(option)
    if option is Any:
        return [_read_none, _read_bool, int, float, str]
    if origin in (tuple, list):
        return [functools.partial(_read_list, _readers(typing.get_args(option)[0]))]
    if origin is typing.Literal:
        return [functools.partial(_read_choice, option)]
    return _PLAIN_READERS.get(origin or option, [])


def _read(readers: Iterable[Callable[[str], Any]], text: str) -> Any:
    """What the first reader that can reads; ``ValueError`` where none can."""
    for read in readers:
        with contextlib.suppress(ValueError):
            return read(text)
    raise ValueError(text)


def _read_list(readers: Sequence[Callable[[str], Any]], text: str) -> tuple[Any, ...]:
    return tuple(_read(readers, part.strip()) for part in split_text(text) if part.strip())


def split_text(text: str) -> list[str]:
    """The parts of a list in text: between commas, but for those inside brackets or quotes.

    >>> split_text("swa, unfreeze('head.*', epoch={2: '*'})")
    ['swa', " unfreeze('head.*', epoch={2: '*'})"]
    """
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and depth:
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _read_choice(option: Any, text: str) -> Any:
    for choice in typing.get_args(option):
        if str(choice) == text:
            return choice
    raise ValueError(text)


def _read_code(text: str) -> Any:
    from onnxlearn.named import named_object

    if ":" not in text:
        raise ValueError(text)
    return named_object(text)


def _read_mapping(text: str) -> Mapping[Any, Any]:
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError):
            found = read(text)
            if isinstance(found, Mapping):
                return found
    raise ValueError(text)


def _read_none(text: str) -> None:
    if text.casefold() != "none":
        raise ValueError(text)


def _read_bool(text: str) -> bool:
    if text.casefold() not in ("true", "false"):
        raise ValueError(text)
    return text.casefold() == "true"


_PLAIN_READERS: dict[Any, list[Callable[[str], Any]]] = {
    type(None): [_read_none], bool: [_read_bool], int: [int], float: [float], str: [str], Callable: [_read_code],
    Mapping: [_read_mapping],
}  # fmt: skip
