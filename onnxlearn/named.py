"""Python objects by the text ``package.module:name``, and errors of the user's own code on one line."""

from __future__ import annotations

import importlib
import linecache
import pkgutil
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from onnxlearn.errors import OnnxlearnError, ParameterError, UnknownNameError, did_you_mean, listing

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

# Whose frames an error of the user's own code passes through, by the first part of a module's name.
_FOREIGN = frozenset({"onnxlearn", "onnxlearn_models", "onnxlearn_cli", "torch", "importlib", "_frozen_importlib", "inspect"})


def named_object(text: str) -> Any:
    """Import what ``package.module:name`` says; the name may have parts, as in ``module:Outer.Inner``.

    >>> named_object("fractions:Fraction.limit_denominator").__name__
    'limit_denominator'

    Raises: ParameterError for text of another form, UnknownNameError where there is no such module or name, OnnxlearnError
    where the module fails.
    """
    place, _, name = text.partition(":")
    if not (_NAME.fullmatch(place) and _NAME.fullmatch(name)) or place.endswith(".py"):
        # A path is what one types first.
        module = ".".join(Path(place.removesuffix(".py")).parts)
        hint = f", here perhaps {module}:{name}" if _NAME.fullmatch(module) and _NAME.fullmatch(name) else ""
        raise ParameterError(f"what is imported is called package.module:name, not {text!r}{hint}")
    module_found = _module(place)
    found: Any = module_found
    for part in name.split("."):
        if not hasattr(found, part):
            there = _own_names(module_found)
            raise UnknownNameError(f"module {place!r} has no {name!r}; it has {listing(there)}.{did_you_mean(name, there)}")
        found = getattr(found, part)
    return found


def _module(place: str) -> ModuleType:
    # The file may be younger than what the import system knows of its folder.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            near = did_you_mean(error.name, _modules_beside(error.name))
            raise UnknownNameError(
                f"there is no module {error.name!r}: it has to be installed, or in the folder that Python is called in.{near}"
            ) from error
        raise _failed(place, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(place, error) from error


def _failed(place: str, error: BaseException) -> OnnxlearnError:
    return OnnxlearnError(f"module {place!r} cannot be imported: {reason(error)}")


def _modules_beside(place: str) -> Iterable[str]:
    """Modules where one of this name would be looked for first: in its package, or in the working directory."""
    package = place.rpartition(".")[0]
    folders = list(getattr(sys.modules.get(package), "__path__", [])) if package else [str(Path.cwd())]
    return [f"{package}.{found.name}" if package else found.name for found in pkgutil.iter_modules(folders)]


def _own_names(module: ModuleType) -> list[str]:
    """What the module itself defines and one can call."""
    return sorted(
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__
    )


def reason(error: BaseException) -> str:
    """An error of somebody else's code on one line: its type, its first line, and the last line of that code.

    >>> try:
    ...     {}["width"]
    ... except KeyError as error:
    ...     reason(error).partition(" (")[0]
    "KeyError: 'width'"
    """
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return told if isinstance(error, SyntaxError) else told + _place(error)


def own_code(error: BaseException) -> str:
    """An error that code of the user's raised, or what it called, as of :func:`reason`; empty for any other.

    Of the user's is what neither we, nor Python, nor an installed package brought.
    """
    brought = tuple(str(Path(place).resolve()) for name, place in sysconfig.get_paths().items() if "lib" in name)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        ours = frame.f_globals.get("__name__", "").partition(".")[0] in _FOREIGN
        if not ours and Path(file).is_file() and not str(Path(file).resolve()).startswith(brought):
            return reason(error)
    return ""


def _place(error: BaseException) -> str:
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _FOREIGN
    ]
    if not frames:
        return ""
    file, number = frames[-1]
    source = linecache.getline(file, number).strip()
    shown = f": {source[:77]}..." if len(source) > 80 else f": {source}" if source else ""
    return f" ({Path(file).name}, line {number}{shown})"
