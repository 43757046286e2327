"""What a fit is part of: an iteration of a resampling, a fold of bagging, a member of an ensemble."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_PARTS: ContextVar[tuple[str, ...]] = ContextVar("parts", default=())


@contextlib.contextmanager
def part_of(title: str) -> Iterator[None]:
    """What is fitted inside is this part of something larger.

    >>> with part_of("cv 2"), part_of("fold 1 of 5"):
    ...     parts()
    ('cv 2', 'fold 1 of 5')
    """
    token = _PARTS.set((*_PARTS.get(), title))
    try:
        yield
    finally:
        _PARTS.reset(token)


def parts() -> tuple[str, ...]:
    """The parts that we are in, the largest first; empty for a fit by itself."""
    return _PARTS.get()
