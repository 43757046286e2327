"""The arguments of the user's own functions and classes as parameters of a learner."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from onnxlearn.effects import Beside
from onnxlearn.errors import ParameterError
from onnxlearn.params import REQUIRED, param, to_json
from onnxlearn.schema import Ingress, Schema

EMPTY = inspect.Parameter.empty
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class About:
    """What an argument means, in which range it lies and where it counts, as of :func:`onnxlearn.params.param`.

    It stands in the argument's annotation. ``when`` has the names of parameters, which settings have a prefix in.

    >>> def winsorized(output, target, *, limit: Annotated[float, About("errors beyond count as this", low=0)] = 3.0): ...
    >>> argument_fields(winsorized, without=("output", "target"))[0][2].metadata["meaning"]
    'errors beyond count as this'
    """

    meaning: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    when: Beside = ()


def _of_ingress(name: str) -> Callable[[Schema], Any]:
    return lambda schema: getattr(schema.ingress, name)


FROM_SCHEMA: dict[str, Callable[[Schema], Any]] = {
    "schema": lambda schema: schema,
    "ingress": lambda schema: schema.ingress,
    "n_outputs": lambda schema: schema.n_outputs,
    **{name: _of_ingress(name) for name in ("n_num", "n_cat", *(field.name for field in dataclasses.fields(Ingress)))},
}
"""Arguments that are filled in, by their names; all others are parameters."""


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The arguments of a function or class. Raises: ParameterError where Python does not know them."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"Python does not know the arguments of {title(function)}: wrap it in a function") from error


def title(what: Any) -> str:
    """What a function, a class or an instance is called in messages."""
    return str(getattr(what, "__qualname__", type(what).__qualname__)).rpartition("<locals>.")[2]


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The named arguments of a function or class that are not filled in."""
    return {name: argument for name, argument in named_arguments(target).items() if name not in FROM_SCHEMA}


def named_arguments(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments of a function or class that have a name of their own."""
    loose = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: argument for name, argument in signature(target).parameters.items() if argument.kind not in loose}


def takes_any(target: Callable[..., Any]) -> bool:
    """Whether there is a ``**params`` that takes every name."""
    return any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in signature(target).parameters.values())


def takes_rows(target: Callable[..., Any]) -> bool:
    """Whether there is a ``*args`` that takes any number of arguments."""
    return any(argument.kind is inspect.Parameter.VAR_POSITIONAL for argument in signature(target).parameters.values())


# Every learner makes one, also every copy of a learner; what is the same need not be made again.
@functools.lru_cache(maxsize=64)
def config_type(base: type, target: Callable[..., Any], further: tuple[str, ...]) -> type:
    """A dataclass of the base's fields and one for each argument; ``further``: names for its ``**params``."""
    fields = argument_fields(target)
    fields += [(name, Any, param(None, _meaning(target))) for name in further]
    return dataclasses.make_dataclass("ArgumentConfig", fields, bases=(base,), frozen=True, kw_only=True)


def argument_fields(
    target: Callable[..., Any], *, without: Collection[str] = FROM_SCHEMA, prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Name, type and field of a dataclass for each named argument but some; ``prefix`` stands before the names."""
    hints, fields = _annotations(target), []
    for name, argument in named_arguments(target).items():
        if name not in without:
            default = REQUIRED if argument.default is EMPTY else argument.default
            hint, about = _parted(hints.get(name, EMPTY), About(_meaning(target)))
            fields.append((prefix + name, _hint(hint, argument.default), param(default, **vars(about))))
    return fields


def _meaning(target: Callable[..., Any]) -> str:
    return f"argument of {title(target)}"


def _parted(annotation: Any, otherwise: About) -> tuple[Any, About]:
    """The type that an annotation holds, and what it tells about the argument."""
    if typing.get_origin(annotation) is not Annotated:
        return annotation, otherwise
    hint, *notes = typing.get_args(annotation)
    # Of nested ones the outer stands last.
    return hint, next((note for note in reversed(notes) if isinstance(note, About)), otherwise)


def call(target: Callable[..., Any], schema: Schema, values: Mapping[str, Any]) -> Any:
    """Call a function or class with what the schema knows and these values of its other arguments."""
    wanted = signature(target)
    bound = wanted.bind_partial()
    known = {name: make(schema) for name, make in FROM_SCHEMA.items() if name in wanted.parameters}
    for name, argument in wanted.parameters.items():
        if argument.kind is inspect.Parameter.VAR_KEYWORD:
            bound.arguments[name] = {key: value for key, value in values.items() if key not in wanted.parameters}
        elif argument.kind is not inspect.Parameter.VAR_POSITIONAL:
            bound.arguments[name] = known[name] if name in known else values[name]
    return target(*bound.args, **bound.kwargs)


def absent(config: Any) -> list[str]:
    """Parameters without a default that were not given."""
    return [field.name for field in dataclasses.fields(config) if getattr(config, field.name) is REQUIRED]


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the arguments; those that cannot be resolved are left out."""
    function: Any = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for name, argument in signature(target).parameters.items():
        if argument.annotation is not EMPTY:
            holder = types.SimpleNamespace(__annotations__={name: argument.annotation})
            # One that stands under TYPE_CHECKING must not cost the others their types.
            try:
                found.update(typing.get_type_hints(holder, names, include_extras=True))
            except Exception:  # noqa: BLE001  an annotation may be any expression
                continue
    return found


def _hint(annotation: Any, default: Any) -> Any:
    """The type of a parameter, in the terms of :mod:`onnxlearn.params`; ``Any`` for what has none there."""
    if annotation is EMPTY or annotation in (list, tuple):
        return _type_of(default)
    hint = _known(annotation)
    if default is None and hint is not Any:
        return hint | None
    return hint


def _known(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_known(part) for part in arguments]
        return Any if Any in parts else functools.reduce(lambda a, b: a | b, parts)
    if origin is typing.Literal:
        return hint if all(isinstance(choice, str | int) for choice in arguments) else Any
    if origin in (tuple, list, collections.abc.Sequence):
        return _listed(list if origin is list else tuple, arguments)
    if origin is collections.abc.Callable:
        return hint
    return hint if isinstance(hint, type) and origin is None and _can_be_asked_for(hint) else Any


def _can_be_asked_for(hint: type) -> bool:
    try:
        isinstance(None, hint)
    except TypeError:
        # A protocol or a TypedDict, which say nothing at runtime.
        return False
    return True


def _listed(origin: Any, arguments: tuple[Any, ...]) -> Any:
    """A list of one type of item; tuples of several types stay unchecked."""
    items = {_known(argument) for argument in arguments if argument is not Ellipsis}
    if len(items) != 1:
        return Any
    item = items.pop()
    return list[item] if origin is list else tuple[item, ...]  # type: ignore[valid-type]


def _type_of(default: Any) -> Any:
    if isinstance(default, list | tuple) and default:
        kinds = {type(item) for item in default}
        kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else None
        return _listed(type(default), (kind,)) if kind in _PLAIN else Any
    return type(default) if type(default) in _PLAIN else Any


@to_json.register
def _(network: nn.Module) -> dict[str, str]:
    return {"class": to_json(type(network)), "sha256": state_digest(network)}


@to_json.register(Tensor)
@to_json.register(np.ndarray)
def _(array: Any) -> Any:
    if array.dtype == object:
        # Its bytes are addresses.
        return to_json(array.tolist())
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": _digest({"": array})}


@to_json.register
def _(scalar: np.generic) -> Any:
    return to_json(scalar.item())


@to_json.register
def _(member: enum.Enum) -> str:
    return f"{to_json(type(member))}.{member.name}"


@to_json.register
def _(function: functools.partial) -> dict[str, Any]:  # type: ignore[type-arg]
    return {"function": to_json(function.func), "args": to_json(function.args), "keywords": to_json(function.keywords)}


def state_digest(module: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers, by name."""
    return _digest(module.state_dict())


def _digest(values: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        digest.update(f"{name}\n".encode())
        # Parameters that wait for their first batch have no values yet, and what else a state holds has no bytes.
        if isinstance(value, Tensor) and not is_lazy(value):
            digest.update(f"{value.dtype}:{tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}:{value.shape}\n".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def refuse_clashes(target: Callable[..., Any], base: type, shared: tuple[type, ...]) -> None:
    """Raise ``ParameterError`` where an argument is called like a parameter that every network learner has."""
    homes = {field.name: config for config in (*shared, base) for field in dataclasses.fields(config)}
    taken = [name for name in parameters(target) if name in homes]
    if taken:
        raise ParameterError(
            f"{title(target)} has the argument {taken[0]!r}, which is a parameter of every network's training, preprocessing "
            "or outputs: call the argument something else (onnxlearn learners module lists what is taken)"
        )
