"""Fingerprints of code: functions, classes and networks that a design or a measure holds."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

# Code that is installed is known by its name: another version of it is another environment.
_INSTALLED = frozenset({"builtins", "numpy", "onnxlearn", "onnxlearn_models", "onnxlearn_cli", "pandas", "torch"})
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def code_digest(what: object) -> str:
    """SHA-256 of all that can be seen of a callable: its source and the values that it holds.

    Of a function the source, what it closes over and its defaults; of a class the sources of it and of the classes that it
    stands on; of an object its class and its attributes. What a function finds elsewhere in its module is not looked at.

    >>> def power(exponent):
    ...     return lambda x: x**exponent
    >>> code_digest(power(2)) == code_digest(power(2)), code_digest(power(2)) == code_digest(power(3))
    (True, False)
    """
    digest = hashlib.sha256()
    for part in _parts(what, set()):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()


def _parts(what: object, seen: set[int]) -> Iterator[bytes]:
    """What tells a value from others, as bytes."""
    if id(what) in seen:
        return
    if isinstance(what, bool | int | float | complex | str | bytes | None):
        yield repr(what).encode()
        return
    seen.add(id(what))
    yield _name(what).encode()
    if isinstance(what, np.ndarray):
        yield f"{what.dtype}{what.shape}".encode() + np.ascontiguousarray(what).tobytes()
    elif isinstance(what, Mapping | list | tuple | set | frozenset):
        yield from _of_container(what, seen)
    elif isinstance(what, MethodType | FunctionType):
        yield from _of_function(what, seen)
    elif isinstance(what, functools.partial):
        yield from _all((what.func, what.args, what.keywords), seen)
    elif isinstance(what, type):
        yield from _of_class(what)
    elif is_installed(what):
        yield _ADDRESS.sub("", repr(what)).encode()
    else:
        yield from _all((type(what), getattr(what, "__dict__", None)), seen)


def _of_container(what: Any, seen: set[int]) -> Iterator[bytes]:
    if isinstance(what, Mapping):
        yield from _all((item for pair in what.items() for item in pair), seen)
    elif isinstance(what, set | frozenset):
        yield from sorted(part for item in what for part in _parts(item, seen))
    else:
        yield from _all(what, seen)


def _all(items: Iterable[object], seen: set[int]) -> Iterator[bytes]:
    for item in items:
        yield from _parts(item, seen)


def _of_function(function: FunctionType | MethodType, seen: set[int]) -> Iterator[bytes]:
    if isinstance(function, MethodType):
        yield from _all((function.__func__, function.__self__), seen)
        return
    if not is_installed(function):
        yield from _of_code(function, function.__code__)
    cells = (cell.cell_contents for cell in function.__closure__ or () if _is_set(cell))
    yield from _all((*cells, function.__defaults__, function.__kwdefaults__), seen)


def _of_class(cls: type) -> Iterator[bytes]:
    for each in cls.__mro__:
        if is_installed(each):
            yield _name(each).encode()
            continue
        try:
            yield inspect.getsource(each).encode()
        except (OSError, TypeError):
            for name, value in sorted(vars(each).items()):
                yield name.encode()
                if isinstance(value, FunctionType):
                    yield from _of_code(value, value.__code__)


def _of_code(function: Callable[..., Any], code: CodeType) -> Iterator[bytes]:
    with contextlib.suppress(OSError, TypeError):
        yield inspect.getsource(function).encode()
        # Of a lambda this is the line, which may hold several.
        if code.co_name != "<lambda>":
            return
    # Or it was typed into an interpreter that keeps no text.
    yield code.co_code
    for constant in code.co_consts:
        yield constant.co_code if isinstance(constant, CodeType) else repr(constant).encode()
    yield repr(code.co_names).encode()


def is_installed(what: object) -> bool:
    """Whether something, or its class, is of a package that is known by its name."""
    return str(getattr(what, "__module__", "")).partition(".")[0] in _INSTALLED


def _is_set(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _name(what: object) -> str:
    owner = what if isinstance(what, type | FunctionType) else type(what)
    return f"{owner.__module__}.{owner.__qualname__}"
