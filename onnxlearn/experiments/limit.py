"""A time limit on a call."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import signal
import threading
from collections.abc import Iterator

# How long a block may take to end after it was interrupted, in seconds, before its process is killed.
GRACE = 5.0
# What tells such an end from others.
ALARM = "SIGALRM"


class TimeLimitExceeded(BaseException):
    """Raised inside a block that took too long. No ``Exception``: what a learner catches must not swallow it."""


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt the block with :class:`TimeLimitExceeded` after so many seconds, ``None`` for never.

    Works in every thread and on every system, as Ctrl-C does: between two instructions of Python. A single call into compiled
    code is not interrupted before it returns; a step of training is milliseconds long. One that does not return takes its
    process along, where that is one of joblib's and the system knows alarms.
    """
    if seconds is None:
        yield
        return
    with _killed_after(seconds + GRACE), _interrupted_after(seconds):
        yield


@contextlib.contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
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


@contextlib.contextmanager
def _killed_after(seconds: float) -> Iterator[None]:
    """Let the system end this process if the block is not over by then: it needs no instruction of Python for that."""
    is_spare = multiprocessing.current_process().name.startswith("Loky")
    if not is_spare or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Let a thread raise this error at its next instruction."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
