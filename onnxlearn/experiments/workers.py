"""Calls on several processes, any of which may die.

joblib runs them: in this process, on processes of this machine or where ``joblib.parallel_config`` says. Clusters of Dask and
Ray get them from here (:mod:`onnxlearn.experiments.clusters`).
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import starmap

from onnxlearn.errors import MissingExtraError
from onnxlearn.experiments.clusters import Call, Data, Died, Item, Result, cluster, run_on


def run_many(
    function: Callable[[Item, Data], Result], calls: Iterable[Call[Item, Data]], n_jobs: int | None
) -> Iterator[tuple[Item, Result | Died]]:
    """``function(item, data)`` of each call, as they finish: the item with the result, or with what its process died of.

    ``data`` is what many calls share. Calls are taken as processes are free for them, by whichever thread. Errors that the
    function raises end everything.

    Raises: MissingExtraError without joblib.

    >>> sorted(run_many(pow, [(2, 3), (3, 3)], n_jobs=1))
    [(2, 8), (3, 27)]
    """
    there, taken = cluster(), Taken(calls)
    return _on_processes(function, taken, n_jobs) if there is None else run_on(there, function, taken)


class Taken(Iterator[Item]):
    """What several threads may take, one after the other."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items, self._lock = iter(items), threading.Lock()

    def __next__(self) -> Item:
        """Raises: StopIteration."""
        with self._lock:
            return next(self._items)


def _on_processes(
    function: Callable[[Item, Data], Result], calls: Iterator[Call[Item, Data]], n_jobs: int | None
) -> Iterator[tuple[Item, Result | Died]]:
    try:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError as error:
        raise MissingExtraError.of("joblib", "eval", "a benchmark") from error
    under_way: dict[int, Item] = {}
    numbers, died = itertools.count(), Died("it was never begun")
    while True:
        # One at a time: their lengths differ by orders of magnitude. None ahead: fewer are under way where a process dies.
        parallel = Parallel(n_jobs=n_jobs, return_as=_returned_as(), batch_size=1, pre_dispatch="n_jobs")
        try:
            for number, result in parallel(starmap(delayed(_numbered), _dispatched(function, calls, under_way, numbers))):
                yield under_way.pop(number), result
        except TerminatedWorkerError as error:
            # All processes are gone with the one that died; the next round starts others.
            died = Died(_exit_codes(str(error)))
            yield from [(under_way.pop(number), died) for number in tuple(under_way)]
        else:
            # What a thread took in the moment of such an end.
            yield from [(under_way.pop(number), died) for number in tuple(under_way)]
            return


def _returned_as() -> str:
    """One by one as they finish, from backends that can: of others joblib takes the results all at once."""
    from joblib.parallel import get_active_backend

    return "generator_unordered" if get_active_backend()[0].supports_return_generator else "list"


def _dispatched(
    function: Callable[[Item, Data], Result],
    calls: Iterator[Call[Item, Data]],
    under_way: dict[int, Item],
    numbers: Iterator[int],
) -> Iterator[tuple[int, int, Callable[[Item, Data], Result], Item, Data]]:
    """Arguments of :func:`_numbered`; what was asked for is noted in ``under_way``."""
    for item, data in calls:
        number = next(numbers)
        under_way[number] = item
        yield os.getpid(), number, function, item, data


def _numbered(giver: int, number: int, function: Callable[[Item, Data], Result], item: Item, data: Data) -> tuple[int, Result]:
    _end_with(giver)
    return number, function(item, data)


@functools.cache
def _end_with(giver: int) -> None:
    """Let a process that was started for calls end with the one that gives them, however that ends: nobody waits for it."""
    if os.getppid() == giver:
        threading.Thread(target=_watch, args=(giver,), daemon=True).start()


def _watch(giver: int) -> None:
    while os.getppid() == giver:
        time.sleep(1)
    os._exit(1)


def _exit_codes(text: str) -> str:
    """How processes ended, out of loky's long message, which lacks it on some systems."""
    found = re.search(r"exit codes of the workers are \{(.*?)\}", text)
    return f"exit code {found[1]}" if found else "it ended by itself"
