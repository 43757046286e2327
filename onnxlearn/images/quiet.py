"""Reading without the warnings of Pillow, by any number of threads."""

from __future__ import annotations

import contextlib
import threading
import warnings


class _Quiet:
    """Inside no warning is shown.

    The filters of warnings are those of the whole process: where each thread restored what it had found, the last one would
    restore the silence of another. So the first one in changes them, and the last one out restores them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_inside = 0
        self.before = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if not self.n_inside:
                self.before.enter_context(warnings.catch_warnings(action="ignore"))
            self.n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.n_inside -= 1
            if not self.n_inside:
                self.before.close()


QUIET = _Quiet()
