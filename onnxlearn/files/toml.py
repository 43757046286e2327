"""TOML documents with the line of each key, which Python's own parser does not tell.

The parser says what the document means and whether it is one; only then a scanner of a few lines looks where its keys stand.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands: names of tables and keys, and numbers of items in lists."""

# Of a document that was parsed before: what cannot be in one need not be told from what can.
_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*) | (?P<space>[ \t]+) | (?P<newline>\n)
    | (?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
    | (?P<mark>[][{}=,.]) | (?P<bare>[^][{}=,.\s\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLACE = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)


class TomlSyntaxError(ValueError):
    """The text is no TOML; ``line`` is where that shows, from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def parse_toml(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    r"""The document, and the line of every table, key and item of a list in it, from 1; ``()`` stands in line 1.

    Raises: TomlSyntaxError.

    >>> document, lines = parse_toml('seed = 1\n[learners.mlp]\nlr = [0.1,\n  0.2]\n')
    >>> document
    {'seed': 1, 'learners': {'mlp': {'lr': [0.1, 0.2]}}}
    >>> lines["learners", "mlp"], lines["learners", "mlp", "lr"], lines["learners", "mlp", "lr", 1]
    (2, 3, 4)
    """
    text = text.replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text) from error
    return document, _Scanner(text).lines


def _syntax_error(message: str, text: str) -> TomlSyntaxError:
    """The parser's message, which has the line in brackets behind it."""
    found = _PLACE.match(message)
    if found is None or found[2] is None:
        return TomlSyntaxError(f"{found[1] if found else message}, at the end", text.rstrip().count("\n") + 1)
    return TomlSyntaxError(f"{found[1]}, at column {found[3]}", int(found[2]))


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


class _Scanner:
    """Walks through a valid document and notes the line in which each key and item begins."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self._tokens = list(_tokens(text))
        self._next = 0
        # How many tables each list of tables has so far.
        self._n_tables: dict[Path, int] = {}
        table: Path = ()
        while (token := self._peek()).kind != "end":
            if token.kind == "newline":
                self._take()
            elif token.text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _took(self, text: str) -> bool:
        if self._peek().text != text:
            return False
        self._take()
        return True

    def _skip_newlines(self) -> None:
        while self._peek().kind == "newline":
            self._take()

    def _header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``: the table that the following keys are in."""
        line = self._take().line
        is_list = self._took("[")
        *parents, last = self._key()
        path: Path = ()
        for name in parents:
            path = self._latest((*path, name), line)
        path = (*path, last)
        self.lines.setdefault(path, line)
        if is_list:
            self._n_tables[path] = self._n_tables.get(path, 0) + 1
            path = self._latest(path, line)
            self._take()
        self._take()
        return path

    def _latest(self, path: Path, line: int) -> Path:
        """The table of that name, of a list of tables its last one."""
        self.lines.setdefault(path, line)
        if path in self._n_tables:
            path = (*path, self._n_tables[path] - 1)
            self.lines.setdefault(path, line)
        return path

    def _key(self) -> list[str]:
        """The parts of a dotted key."""
        parts = [_name(self._take())]
        while self._took("."):
            parts.append(_name(self._take()))
        return parts

    def _pair(self, path: Path) -> None:
        """``a.b = value``."""
        line = self._peek().line
        for name in self._key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._take()
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._took("["):
            self._items(path)
        elif self._took("{"):
            self._pairs(path)
        else:
            # A number or a date may have points in it.
            while self._peek().kind not in ("newline", "end") and self._peek().text not in (",", "]", "}"):
                self._take()

    def _items(self, path: Path) -> None:
        self._skip_newlines()
        n = 0
        while not self._took("]"):
            self.lines[*path, n] = self._peek().line
            self._value((*path, n))
            n += 1
            self._skip_newlines()
            self._took(",")
            self._skip_newlines()

    def _pairs(self, path: Path) -> None:
        self._skip_newlines()
        while not self._took("}"):
            self._pair(path)
            self._skip_newlines()
            self._took(",")
            self._skip_newlines()


def _tokens(text: str) -> Iterator[_Token]:
    """All but spaces and comments."""
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup not in ("space", "comment"):
            yield _Token(str(match.lastgroup), match[0], line)
        line += match[0].count("\n")
    yield _Token("end", "", line)


def _name(token: _Token) -> str:
    """A part of a key, quoted or not."""
    if token.kind == "bare":
        return token.text
    text: str = tomllib.loads(f"name = {token.text}")["name"]
    return text
