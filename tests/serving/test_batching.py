"""Requests that come together share a run, and get their own rows back."""

import asyncio
import threading

import numpy as np
import pytest

from onnxlearn.serving.batching import Batcher, Overloaded


class Doubling:
    """A model that doubles; it can be held back, and remembers the rows and the thread of each run."""

    def __init__(self, error=None):
        self.runs = []
        self.threads = set()
        self.free = threading.Event()
        self.free.set()
        self.error = error

    def __call__(self, feeds):
        self.free.wait(10)
        self.runs.append(len(feeds["x"]))
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error
        return {"y": feeds["x"] * 2}


def feeds(start, n):
    return {"x": np.arange(start, start + n, dtype=float).reshape(-1, 1)}


def batcher(run, **changes):
    return Batcher(run, **{"max_rows": 100, "max_waiting": 1000, **changes})


async def ask(batch, start, n):
    outputs = await batch.predict(feeds(start, n))
    np.testing.assert_array_equal(outputs["y"], feeds(start, n)["x"] * 2)


def test_requests_that_come_together_are_one_run():
    async def main():
        run = Doubling()
        batch = batcher(run)
        await asyncio.gather(*(ask(batch, 10 * i, i % 3) for i in range(30)))
        assert run.runs == [30]

    asyncio.run(main())


def test_no_run_has_more_rows_than_it_may_and_none_is_lost():
    async def main():
        seen = []
        run = Doubling()
        batch = batcher(run, on_run=seen.append)
        await asyncio.gather(*(ask(batch, i, 40) for i in range(7)))
        assert run.runs == seen == [80, 80, 80, 40]

    asyncio.run(main())


def test_what_comes_while_a_run_goes_on_waits_for_the_next():
    async def main():
        run = Doubling()
        batch = batcher(run)
        batch._seconds = {1: 1.0}  # Slow: in a thread, so that others can come.
        run.free.clear()
        first = asyncio.create_task(ask(batch, 0, 1))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(ask(batch, i, 1)) for i in range(20)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in (first, *others))
        run.free.set()
        await asyncio.gather(first, *others)
        assert run.runs == [1, 20]
        assert threading.get_ident() in run.threads  # The quick ones stay in the loop.
        assert len(run.threads) == 2

    asyncio.run(main())


def test_a_large_request_runs_beside_the_others():
    async def main():
        run = Doubling()
        batch = batcher(run)
        run.free.clear()
        large = asyncio.create_task(ask(batch, 0, 500))
        await asyncio.sleep(0.05)
        run.free.set()
        await asyncio.gather(large, ask(batch, 0, 1))
        assert sorted(run.runs) == [1, 500]

    asyncio.run(main())


def test_a_large_request_turns_no_others_away():
    async def main():
        run = Doubling()
        batch = batcher(run, max_waiting=500)
        run.free.clear()
        large = asyncio.create_task(ask(batch, 0, 500))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await batch.predict(feeds(0, 100))
        small = asyncio.create_task(ask(batch, 0, 1))
        await asyncio.sleep(0)
        run.free.set()
        await asyncio.gather(large, small)

    asyncio.run(main())


def test_waiting_gives_others_time_to_come():
    async def main():
        run = Doubling()
        batch = batcher(run, wait=0.2)
        first = asyncio.create_task(ask(batch, 0, 1))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, ask(batch, 5, 1))
        assert run.runs == [2]

    asyncio.run(main())


def test_too_many_rows_are_turned_away_and_later_ones_taken():
    async def main():
        run = Doubling()
        batch = batcher(run, max_waiting=50)
        batch._seconds = {6: 1.0}
        run.free.clear()
        # One is always taken, however many rows it has.
        first = asyncio.create_task(ask(batch, 0, 60))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded, match="60 rows are waiting already, and 50 may"):
            await batch.predict(feeds(0, 1))
        run.free.set()
        await first
        await ask(batch, 0, 1)

    asyncio.run(main())


def test_an_error_reaches_all_of_the_run_and_nobody_else():
    async def main():
        run = Doubling(RuntimeError("no memory"))
        batch = batcher(run)
        results = await asyncio.gather(*(ask(batch, i, 1) for i in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == ["no memory"] * 3
        run.error = None
        await ask(batch, 0, 1)

    asyncio.run(main())


def test_whoever_goes_away_takes_nobody_along():
    async def main():
        run = Doubling()
        batch = batcher(run)
        tasks = [asyncio.create_task(ask(batch, i, 1)) for i in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
        assert not any(batch._rows_waiting.values())

    asyncio.run(main())
