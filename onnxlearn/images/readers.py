"""Processes that read images, a bounded number of batches ahead; pixels come back through files that lie in memory."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from onnxlearn.errors import DataError, MissingExtraError, ParameterError

Part = TypeVar("Part")
Found = TypeVar("Found")

# Linux keeps it in memory; elsewhere files that live so shortly are seldom written to the disk.
SHARED_MEMORY = Path("/dev/shm")
# Arrays begin at multiples of it, as processors like it.
ALIGNMENT = 64


class Readers:
    """Processes that read for one loop after the other; they start with the first one, and end with :meth:`close`.

    ``n_jobs``: how many processes (1: this one reads). ``n_ahead``: batches for each that are read or wait at a time.

    Raises: ParameterError for numbers below 1.

    >>> with Readers(2) as readers:
    ...     [list(readers.map(len, texts)) for texts in (["a", "bc"], ["def"])]
    [[1, 2], [3]]
    """

    def __init__(self, n_jobs: int = 1, *, n_ahead: int = 2) -> None:
        if n_jobs < 1 or n_ahead < 1:
            raise ParameterError(f"n_jobs and n_ahead are at least 1, not {n_jobs} and {n_ahead}")
        self.n_jobs, self.n_ahead = n_jobs, n_ahead
        self._pool: _Pool | None = None

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the processes once what they have begun is done; another loop would start new ones."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def map(self, work: Callable[[Part], Found], parts: Iterable[Part]) -> Iterator[Found]:
        """What ``work`` makes of each part, in their order; it, the parts and what comes of them can be pickled.

        Parts are taken as they are needed, ``n_jobs * n_ahead`` of them ahead. Whoever leaves the loop gives up what was not
        begun and waits for the rest.

        Raises: what ``work`` raises, when the part's turn comes; DataError where a process was ended; MissingExtraError.
        """
        if self.n_jobs == 1:
            yield from map(work, parts)
            return
        broken = _loky().BrokenProcessPool
        waiting: deque[Any] = deque()
        try:
            for part in parts:
                waiting.append(self._started().submit(work, part))
                if len(waiting) == self.n_jobs * self.n_ahead:
                    yield _unpacked(*waiting.popleft().result())
            while waiting:
                yield _unpacked(*waiting.popleft().result())
        except broken as error:
            self.close()
            raise DataError(
                "a process that decodes images was ended, by lack of memory as a rule: fewer processes (image_workers), "
                "smaller batches (batch_size), or set the rule max_pixels=... of images"
            ) from error
        finally:
            _give_up(waiting)

    def closed_after(self, found: Iterator[Found]) -> Iterator[Found]:
        """The same, and the processes end with the loop."""
        with self:
            yield from found

    def _started(self) -> _Pool:
        self._pool = self._pool or _Pool(self.n_jobs)
        return self._pool


class _Pool:
    """Processes, and the folder for what they read."""

    def __init__(self, n_jobs: int) -> None:
        loky, tracker = _loky(), _tracker()
        # Not the pool that is there already: joblib itself takes that one for its own, which has more than this one needs.
        self._executor = loky.ProcessPoolExecutor(max_workers=n_jobs, initializer=_serve, initargs=(os.getpid(),))
        place = SHARED_MEMORY if os.access(SHARED_MEMORY, os.R_OK | os.W_OK | os.X_OK) else None
        # There is no moment in which the folder is there and nobody is to remove it.
        with _interrupts_held_back():
            self._folder = tempfile.mkdtemp(prefix="onnxlearn-", dir=place)
            # It removes the folder where this process is killed.
            tracker.register(self._folder, "folder")
            self.close = weakref.finalize(self, _end, self._executor, self._folder)

    def submit(self, work: Callable[[Part], Any], part: Part) -> Any:
        # An interrupted one would be waited for, for ever, when the pool ends.
        with _interrupts_held_back():
            return self._executor.submit(_packed, work, part, self._folder)


def _loky() -> Any:
    try:
        from joblib.externals.loky import process_executor
    except ImportError as error:
        raise MissingExtraError.of("joblib", "images", "reading images in several processes") from error
    return process_executor


def _tracker() -> Any:
    from joblib.externals.loky.backend import resource_tracker

    return resource_tracker


def _end(executor: Any, folder: str) -> None:
    # What has begun is let end: a pool that is killed at work may fail in a thread of its own.
    executor.shutdown()
    # Elsewhere than on POSIX a file that is still looked at stays.
    shutil.rmtree(folder, ignore_errors=True)
    _tracker().unregister(folder, "folder")


def _give_up(waiting: Sequence[Any]) -> None:
    """Cancel what was not begun; of the rest wait for the end, and remove what it wrote."""
    for future in [future for future in waiting if not future.cancel()]:
        if future.exception() is None:
            _remove(future.result()[1])


def _serve(main: int) -> None:
    """What a process does first: the main one alone hears Ctrl-C, which goes to all of a terminal, and none outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(main,), daemon=True).start()


def _end_with(main: int) -> None:
    # A pool of killed processes waits for work for ever.
    while os.getppid() == main:
        time.sleep(1)
    os._exit(1)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until the block is over; processes and threads that are started inside never hear it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # Where it is started it lets signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _packed(work: Callable[[Part], Any], part: Part, folder: str) -> tuple[bytes, str | None, list[Any]]:
    """What ``work`` makes of a part: pickled without its arrays, the file that holds these, and their sizes in bytes.

    Where there is no room for the file, the arrays themselves are in the sizes' place.
    """
    buffers: list[memoryview] = []
    pickled = pickle.dumps(work(part), protocol=5, buffer_callback=lambda buffer: buffers.append(buffer.raw()))
    handle, path = tempfile.mkstemp(dir=folder)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123
            for buffer in buffers:
                file.write(buffer)
                file.write(bytes(-buffer.nbytes % ALIGNMENT))
    except OSError:
        _remove(path)
        return pickled, None, [bytearray(buffer) for buffer in buffers]
    return pickled, path, [buffer.nbytes for buffer in buffers]


def _unpacked(pickled: bytes, path: str | None, sizes: list[Any]) -> Any:
    """The arrays are windows on the file, which has no name any more and goes with the last of them."""
    if path is None:
        return pickle.loads(pickled, buffers=sizes)
    whole = _mapped(path) if any(sizes) else memoryview(b"")
    starts = itertools.accumulate((size + -size % ALIGNMENT for size in sizes), initial=0)
    found = pickle.loads(pickled, buffers=[whole[start : start + size] for start, size in zip(starts, sizes, strict=False)])
    _remove(path)
    return found


def _mapped(path: str) -> memoryview:
    with Path(path).open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _remove(path: str | None) -> None:
    if path is not None:
        # Windows keeps what is looked at; it goes with the folder.
        with contextlib.suppress(PermissionError):
            Path(path).unlink(missing_ok=True)
