"""Tables of a page: every number with its full value beside the digits that are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from onnxlearn.card import number

DIGITS_OF_COUNT = 9


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in a cell: text, or numbers of which the first sorts the column.

    ``numbers``: pairs of the text that is shown and the full value, empty where there is none. ``best``: whether no other of
    its kind is better. ``details``: names and values to unfold.
    """

    text: str = ""
    numbers: tuple[tuple[str, str], ...] = ()
    best: bool = False
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's heading, and what it means where that has to be said."""

    name: str
    meaning: str = ""
    numeric: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table under its caption, which says what it holds."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]] = field(default_factory=list)


def text(value: object) -> Cell:
    """A cell of text."""
    return Cell(text=str(value))


def full(value: float | None) -> str:
    """The number with all digits that it has; empty where it is undefined.

    >>> full(0.1 + 0.2), full(5), full(float("nan")), full(None)
    ('0.30000000000000004', '5', '', '')
    """
    return "" if value is None or math.isnan(value) else repr(value if isinstance(value, int) else float(value))


def numbers(*values: float | None, best: bool = False) -> Cell:
    """A cell of numbers, to four digits; counts as they are.

    >>> numbers(0.123456, 7).numbers
    (('0.1235', '0.123456'), ('7', '7'))
    """
    return Cell(numbers=tuple((_shown(value), full(value)) for value in values), best=best)


def _shown(value: float | None) -> str:
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**DIGITS_OF_COUNT else str(value)
    return number(value)


def numeric(name: str, meaning: str = "") -> Column:
    """The heading of a column of numbers."""
    return Column(name=name, meaning=meaning, numeric=True)
