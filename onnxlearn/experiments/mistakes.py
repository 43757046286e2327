"""A TOML document whose mistakes are gathered, each with its line, so that all of them are told at once."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxlearn.errors import DataError, DesignError, MissingExtraError, OnnxlearnError, ParameterError, did_you_mean, listing
from onnxlearn.files.toml import Path as Place
from onnxlearn.files.toml import TomlSyntaxError, parse_toml
from onnxlearn.params import check_value

_PLAIN = re.compile(r"[\w-]+")


class Document:
    """A document with its mistakes so far. Made by :meth:`read`."""

    def __init__(self, path: Path, values: Mapping[str, Any], lines: Mapping[Place, int]) -> None:
        self.path, self.values, self.lines = path, values, dict(lines)
        self._mistakes: set[tuple[int, str]] = set()
        self.n_mistakes = 0

    @classmethod
    def read(cls, path: Path) -> Document:
        """Raises: DataError where there is no such file, DesignError with the line where it is no TOML."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the design {str(path)!r}: {error.strerror}; check the path") from error
        try:
            # Some editors put a mark before the first line.
            values, lines = parse_toml(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DesignError(f"{path}:{line}: a design is UTF-8 text, and this is none: save it as UTF-8") from error
        except TomlSyntaxError as error:
            raise DesignError(f"{path}:{error.line}: no valid TOML: {error}") from error
        return cls(path, values, lines)

    def require_right(self) -> None:
        """Raise ``DesignError`` with all mistakes, if there are any."""
        if self._mistakes:
            raise DesignError(*(f"{self.path}:{line}: {text}" for line, text in sorted(self._mistakes)))

    def wrong(self, place: Place, text: str) -> None:
        """Note a mistake; it is told once, however often it is met."""
        # What is missing is told of where it should be.
        place = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in self.lines)
        self._mistakes.add((self.lines[place], f"{dotted(place)}: {text}" if place else text))
        self.n_mistakes += 1

    @contextlib.contextmanager
    def mistakes_at(self, place: Place, after: str = "", *, about: str = "") -> Iterator[None]:
        """Note what is raised in the block, where it is not that a package is missing."""
        try:
            yield
        except MissingExtraError:
            raise
        except OnnxlearnError as error:
            self.wrong(place, f"{about}{error}{after}")

    def table(self, place: Place, value: object, example: str) -> Mapping[str, Any]:
        """The value, if it is a table; else an empty one, and a mistake."""
        if isinstance(value, Mapping):
            return value
        self.wrong(place, f"has to be a table, not {value!r}: {example}")
        return {}

    def checked(
        self, place: Place, values: Mapping[str, Any], *configs: type, what: str, places: Mapping[str, Place] | None = None
    ) -> dict[str, Any]:
        """Those of the values that are right for these dataclasses, in the types that they say; the others are mistakes.

        ``what`` is said of a name that is none of theirs. ``places``: those of values that are not in the table at ``place``.
        """
        place_of = {name: (*place, name) for name in values} | dict(places or {})
        config_of = {field.name: config for config in configs for field in dataclasses.fields(config)}
        right = {}
        for name, value in values.items():
            if name not in config_of:
                self.unknown(place_of[name], what, config_of)
                continue
            try:
                right[name] = check_value(config_of[name], name, value)
            except ParameterError as error:
                self.wrong(place_of[name], str(error).removeprefix(f"{name} "))
        return right

    def unknown(self, place: Place, what: str, known: Iterable[str]) -> None:
        """Note that there is no such key, with the nearest one or some that there are."""
        # Of a list of values to try it is the list's name that is wrong.
        place = place[:-1] if isinstance(place[-1], int) else place
        known = list(known)
        hint = did_you_mean(str(place[-1]), known) or f" There are {listing(sorted(known))}."
        self.wrong(place, f"{what}.{hint}")


def key_names(keys: type) -> tuple[str, ...]:
    """The keys that a dataclass of them has."""
    return tuple(field.name for field in dataclasses.fields(keys))


def dotted(place: Place) -> str:
    """A place as one would write it in TOML; items of lists are counted from 1.

    >>> dotted(("learners", "my net", "lr", 0))
    'learners."my net".lr[1]'
    """
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{_quoted(part)}" for part in place]
    return "".join(parts).removeprefix(".")


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else f'"{name}"'
