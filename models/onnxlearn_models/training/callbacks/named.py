"""Callbacks by their names, and in text."""

from __future__ import annotations

import ast
import re
from typing import Any

from onnxlearn.errors import ParameterError, UnknownNameError
from onnxlearn.named import named_object
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.registry import Entry, Registry

CALLBACKS: Registry[Entry] = Registry(Entry, parameter="callback", prefix="")
"""The callbacks that a learner's ``callbacks`` may name."""

register = CALLBACKS.register

_TEXT = re.compile(r"([\w.:]+)\s*(?:\((.*)\))?", re.DOTALL)


def callback_of(what: str | Callback) -> Callback:
    """A callback itself, or the one of a text: a name, or ``package.module:Class``, and arguments as in Python.

    >>> callback_of("history('curves/{run}.jsonl')").path
    'curves/{run}.jsonl'

    Raises: ParameterError, UnknownNameError; OnnxlearnError where the module of somebody's own fails.
    """
    if isinstance(what, Callback):
        return what
    name, args, kwargs = _read(what.strip())
    cls = _find(name)
    try:
        return cls(*args, **kwargs)
    except TypeError as error:
        raise ParameterError(f"callback {name!r} cannot be made from these arguments: {error}") from error


def _find(name: str) -> type[Callback]:
    if ":" not in name and name not in CALLBACKS:
        raise UnknownNameError.of("callback", name, CALLBACKS)
    found = CALLBACKS[name].make if ":" not in name else named_object(name)
    if not (isinstance(found, type) and issubclass(found, Callback)):
        raise ParameterError(f"{name} has to be a class of callbacks, a subclass of Callback; it is {found!r}")
    return found


def _read(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Name and arguments; these are constants."""
    match = _TEXT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        call = ast.parse(f"f({match[2] or ''})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        if any(keyword.arg is None for keyword in call.keywords):
            raise ValueError
        args = [ast.literal_eval(each) for each in call.args]
        kwargs = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (ValueError, SyntaxError):
        raise ParameterError(
            f"{text!r} is no callback: write its name, with arguments as in Python and texts in quotes, such as "
            "tensorboard('runs/a')"
        ) from None
    return match[1], args, kwargs
