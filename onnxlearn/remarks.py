"""What is told of cells that are read otherwise than they are, or miss: how many, and the first of them."""

from __future__ import annotations

import contextlib
import contextvars
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
    """Remarks since somebody began to listen; threads that work for one add to the same."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.places: dict[str, dict[str, str]] = {}

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

    def tell(self, stacklevel: int) -> None:
        for what, places in self.taken().items():
            count = len(places) if len(places) < MOST_COUNTED else f"{MOST_COUNTED} or more"
            text = f"{what}: {count}, the first in {min(places.values(), key=_order)}"
            warnings.warn(text, RowsWarning, stacklevel=stacklevel + 1)


# Who listens here: threads of one's own hear by contextvars.copy_context().
_HEARD: contextvars.ContextVar[_Heard | None] = contextvars.ContextVar("heard", default=None)


def note(remarks: Iterable[Remark]) -> None:
    """Take note of what was seen; it is told at once where nobody tells it together (:func:`told_together`)."""
    if (heard := _HEARD.get()) is not None:
        heard.add(remarks)
        return
    alone = _Heard()
    alone.add(remarks)
    alone.tell(stacklevel=3)


@contextlib.contextmanager
def told_together() -> Iterator[None]:
    """What is noted inside is told at the end of the outermost of these blocks, a cell that is read twice once.

    >>> with warnings.catch_warnings(record=True, action="always") as said, told_together():
    ...     note([Remark("black images", "column 'x', row 3"), Remark("black images", "column 'x', row 20")])
    ...     note([Remark("black images", "column 'x', row 3")])
    >>> str(said[0].message)
    "black images: 2, the first in column 'x', row 3"
    """
    if _HEARD.get() is not None:
        yield
        return
    with _listening() as heard:
        try:
            yield
        finally:
            heard.tell(stacklevel=4)


@contextlib.contextmanager
def kept() -> Iterator[list[Remark]]:
    """Inside nothing is told; the list has all of it afterwards: a process gives it to the one that asked it to work.

    >>> with kept() as remarks:
    ...     note([Remark("black images", "column 'x', row 3")])
    >>> remarks
    [Remark(what='black images', where="column 'x', row 3", cell="column 'x', row 3")]
    """
    remarks: list[Remark] = []
    with _listening() as heard:
        yield remarks
        remarks += [Remark(what, where, cell) for what, places in heard.taken().items() for cell, where in places.items()]


@contextlib.contextmanager
def _listening() -> Iterator[_Heard]:
    heard = _Heard()
    token = _HEARD.set(heard)
    try:
        yield heard
    finally:
        # A generator may be closed elsewhere than where it began.
        with contextlib.suppress(ValueError):
            _HEARD.reset(token)


def _order(where: str) -> list[Any]:
    """Row 3 comes before row 20."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else part) for part in re.split(r"(\d+)", where)]
