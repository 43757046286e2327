"""A time limit on a call."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator


class TimeLimitExceeded(BaseException):
    """Raised inside a block that took too long. No ``Exception``: what a learner catches must not swallow it."""


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt the block with :class:`TimeLimitExceeded` after so many seconds, ``None`` for never.

    Works in every thread and on every system, as Ctrl-C does: between two instructions of Python. A single call into compiled
    code is not interrupted before it returns; a step of training is milliseconds long.
    """
    if seconds is None:
        yield
        return
    caller, lock, is_over = threading.get_ident(), threading.Lock(), False

    def interrupt() -> None:
        # Under the lock: the block cannot end between the question and the interruption.
        with lock:
            if not is_over:
                _raise_in(caller, TimeLimitExceeded)

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over = True
        timer.cancel()


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Let a thread raise this error at its next instruction."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
