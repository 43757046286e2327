"""What is told of cells that are read otherwise than they are, or miss: how many, and the first of them."""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# Of more it is told that they are at least so many.
MOST_COUNTED = 10_000


class RowsWarning(UserWarning):
    """Images were converted, or images or texts are missing."""


@dataclass(frozen=True)
class Remark:
    """Of one cell: ``what`` it is and its like are, and ``where`` it is, which may say more of it alone.

    ``cell``: what tells it from others, where that is more or less than ``where`` says.
    """

    what: str
    where: str
    cell: str = ""


class _Heard:
    """Remarks since somebody began to listen."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.listeners = 0
        self.places: dict[str, dict[str, str]] = {}

    def count(self, more: int) -> None:
        with self.lock:
            self.listeners += more

    def add(self, remarks: Iterable[Remark]) -> None:
        with self.lock:
            for remark in remarks:
                places = self.places.setdefault(remark.what, {})
                if len(places) < MOST_COUNTED:
                    places.setdefault(remark.cell or remark.where, remark.where)

    def taken(self) -> dict[str, dict[str, str]]:
        with self.lock:
            found, self.places = self.places, {}
        return found


_HEARD = _Heard()


def note(remarks: Iterable[Remark]) -> None:
    """Take note of what was seen; it is told at once where nobody tells it together (:func:`told_together`)."""
    _HEARD.add(remarks)
    if not _HEARD.listeners:
        _tell(stacklevel=3)


@contextlib.contextmanager
def told_together() -> Iterator[None]:
    """What is noted inside is told at the end of the outermost of these blocks, a cell that is read twice once.

    >>> with warnings.catch_warnings(record=True, action="always") as said, told_together():
    ...     note([Remark("black images", "column 'x', row 3"), Remark("black images", "column 'x', row 20")])
    ...     note([Remark("black images", "column 'x', row 3")])
    >>> str(said[0].message)
    "black images: 2, the first in column 'x', row 3"
    """
    _HEARD.count(1)
    try:
        yield
    finally:
        _HEARD.count(-1)
        if not _HEARD.listeners:
            _tell(stacklevel=4)


def collected() -> list[Remark]:
    """What was noted and not told yet, which is forgotten: a process gives it to the one that asked it to read."""
    return [Remark(what, where, cell) for what, places in _HEARD.taken().items() for cell, where in places.items()]


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Inside nothing is told: it waits for :func:`collected`."""
    _HEARD.count(1)
    try:
        yield
    finally:
        _HEARD.count(-1)


@contextlib.contextmanager
def untold() -> Iterator[None]:
    """What is noted inside is forgotten: of cells that are none of the user's."""
    before = _HEARD.taken()
    with kept():
        try:
            yield
        finally:
            _HEARD.places = before


def _tell(*, stacklevel: int) -> None:
    for what, places in _HEARD.taken().items():
        count = len(places) if len(places) < MOST_COUNTED else f"{MOST_COUNTED} or more"
        warnings.warn(f"{what}: {count}, the first in {min(places.values(), key=_order)}", RowsWarning, stacklevel=stacklevel)


def _order(where: str) -> list[Any]:
    """Row 3 comes before row 20."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else part) for part in re.split(r"(\d+)", where)]
