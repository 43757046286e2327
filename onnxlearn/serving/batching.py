"""Requests that come at the same time share a run: the runtime takes a hundred rows in little more time than one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.wire.feeds import Feeds, joined

Outputs = dict[str, np.ndarray[Any, Any]]

# A run that takes longer than a few hand-overs to another thread must not keep the process from answering others.
_INLINE_SECONDS = 0.002


class Overloaded(Exception):  # noqa: N818 - told to a client as a state of the server
    """More rows wait than the server takes."""


@dataclass(eq=False)
class _Request:
    feeds: Feeds
    n_rows: int
    answer: asyncio.Future[Outputs]


class Batcher:
    """Runs requests of one model, several together.

    What arrives while the model runs is run next, together; ``wait`` seconds more are given to others before a run begins.
    ``run``: feeds of any number of rows to outputs with as many, from any thread. ``max_rows``: the most rows of several
    requests; a request of more is run by itself, beside the others. ``max_waiting``: rows that may wait. ``on_run``: told of
    each run's rows.
    """

    def __init__(
        self,
        run: Callable[[Feeds], Outputs],
        *,
        max_rows: int,
        max_waiting: int,
        wait: float = 0.0,
        on_run: Callable[[int], object] | None = None,
    ) -> None:
        self._run = run
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._wait = wait
        self._on_run = on_run or bool
        self._waiting: list[_Request] = []
        # Of requests that share runs, and of the large ones, which run beside them: neither turns the others away.
        self._rows_waiting = {False: 0, True: 0}
        self._busy = False
        # How long runs took lately, the quick ones of them, by the size of the batch in powers of two.
        self._seconds: dict[int, float] = {}

    async def predict(self, feeds: Feeds) -> Outputs:
        """The outputs of a request's rows, whoever else's rows were run with them.

        Raises: Overloaded where too many rows wait; whatever the run raises.
        """
        n_rows = len(next(iter(feeds.values())))
        large = n_rows >= self._max_rows
        waiting = self._rows_waiting[large]
        # One request is always taken: it can be as large as requests may be.
        if waiting and waiting + n_rows > self._max_waiting:
            raise Overloaded(f"{waiting} rows are waiting already, and {self._max_waiting} may; come again later")
        loop = asyncio.get_running_loop()
        self._rows_waiting[large] += n_rows
        try:
            if large:
                self._on_run(n_rows)
                return await loop.run_in_executor(None, self._run, feeds)
            request = _Request(feeds, n_rows, loop.create_future())
            self._waiting.append(request)
            self._begin(loop, self._wait)
            return await request.answer
        finally:
            self._rows_waiting[large] -= n_rows

    def _begin(self, loop: asyncio.AbstractEventLoop, wait: float) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        # Not at once: the other requests that have arrived by now are read first.
        if wait:
            loop.call_later(wait, self._next, loop)
        else:
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._take()
        n_rows = sum(request.n_rows for request in batch)
        if self._seconds.get(n_rows.bit_length(), 0.0) < _INLINE_SECONDS:
            self._end(loop, batch, self._attempt(batch, n_rows))
            return
        future = loop.run_in_executor(None, self._attempt, batch, n_rows)
        future.add_done_callback(lambda done: self._end(loop, batch, done.result()))

    def _take(self) -> list[_Request]:
        n_rows = n = 0
        for request in self._waiting:
            n_rows += request.n_rows
            if n and n_rows > self._max_rows:
                break
            n += 1
        batch, self._waiting = self._waiting[:n], self._waiting[n:]
        return batch

    def _attempt(self, batch: list[_Request], n_rows: int) -> Outputs | Exception:
        started = time.perf_counter()
        try:
            return self._run(_joined(batch))
        except Exception as error:  # noqa: BLE001 - raised again where the requests wait
            return error
        finally:
            size, seconds = n_rows.bit_length(), time.perf_counter() - started
            # Where others compete for the processor a run seems long; it takes no longer to hand over for that.
            self._seconds[size] = min(seconds, 1.2 * self._seconds.get(size, seconds))

    def _end(self, loop: asyncio.AbstractEventLoop, batch: list[_Request], result: Outputs | Exception) -> None:
        self._busy = False
        self._on_run(sum(request.n_rows for request in batch))
        start = 0
        for request in batch:
            stop = start + request.n_rows
            # Whoever went away in the meantime does not wait any more.
            if not request.answer.done():
                if isinstance(result, Exception):
                    request.answer.set_exception(result)
                else:
                    request.answer.set_result({name: array[start:stop] for name, array in result.items()})
            start = stop
        self._begin(loop, 0.0)


def _joined(batch: list[_Request]) -> Feeds:
    if len(batch) == 1:
        return batch[0].feeds
    return {name: joined([request.feeds[name] for request in batch]) for name in batch[0].feeds}
