"""Results that are kept because they are asked for again soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """The last few results of something slow, by all that determines them; for all threads of a process.

    The iterations of a resampling ask for the same things one after the other: a few suffice.

    >>> lengths = Memo[int](size=2)
    >>> lengths.get("abc", lambda: len("abc")), lengths.get("abc", lambda: 0)
    (3, 3)
    """

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._kept: dict[Hashable, T] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under the key, or what ``make`` gives, which is kept in place of what was not asked for longest.

        An error of ``make`` is passed on, and nothing is kept.
        """
        with self._lock:
            if key in self._kept:
                self._kept[key] = self._kept.pop(key)
                return self._kept[key]
        # Without the lock: it may take seconds, and ask for something else here.
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._size:
                del self._kept[next(iter(self._kept))]
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
