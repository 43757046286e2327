"""Calls on several processes, any of which may die.

joblib runs them: in this process, on processes of this machine or where ``joblib.parallel_config`` says. On a Dask cluster they
go straight to its scheduler: joblib would wait forever for a call whose workers died, and would lose the data that it had put
on one of them.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import starmap
from typing import Any, TypeAlias, TypeVar

from onnxlearn.errors import MissingExtraError, OnnxlearnError

# Seconds without anything finished after which a cluster is asked whether it has workers at all.
PATIENCE = 60.0

Item = TypeVar("Item")
Data = TypeVar("Data")
Result = TypeVar("Result")
Call: TypeAlias = "tuple[Item, Data]"


@dataclass(frozen=True)
class Died:
    """What comes of a call that was under way when processes died. One such call was the reason, or something outside."""

    reason: str


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
    client, taken = _dask_client(), Taken(calls)
    return _on_processes(function, taken, n_jobs) if client is None else _on_dask(client, function, taken)


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
    """One by one as they finish, from backends that can: of Ray's, joblib takes the results all at once."""
    from joblib.parallel import get_active_backend

    return "generator_unordered" if get_active_backend()[0].supports_return_generator else "list"


def _dispatched(
    function: Callable[[Item, Data], Result],
    calls: Iterator[Call[Item, Data]],
    under_way: dict[int, Item],
    numbers: Iterator[int],
) -> Iterator[tuple[int, Callable[[Item, Data], Result], Item, Data]]:
    """Arguments of :func:`_numbered`; what was asked for is noted in ``under_way``."""
    for item, data in calls:
        number = next(numbers)
        under_way[number] = item
        yield number, function, item, data


def _numbered(number: int, function: Callable[[Item, Data], Result], item: Item, data: Data) -> tuple[int, Result]:
    return number, function(item, data)


def _exit_codes(text: str) -> str:
    """How processes ended, out of loky's long message, which lacks it on some systems."""
    found = re.search(r"exit codes of the workers are \{(.*?)\}", text)
    return f"exit code {found[1]}" if found else "it ended by itself"


def _dask_client() -> Any:
    """The client of the Dask cluster that joblib is told to use; ``None`` where it is told something else."""
    if "distributed" not in sys.modules:
        return None
    from joblib.parallel import get_active_backend

    backend, n_jobs = get_active_backend()
    if type(backend).__name__ != "DaskDistributedBackend":
        return None
    backend.effective_n_jobs(n_jobs)  # waits a little for workers; an error says how to wait longer
    return backend.client


def _on_dask(
    client: Any, function: Callable[[Item, Data], Result], calls: Iterator[Call[Item, Data]]
) -> Iterator[tuple[Item, Result | Died]]:
    import cloudpickle
    from distributed import KilledWorker, wait

    under_way, is_over = dict[Any, Item](), False
    # Data are a task of the cluster's own: they go there once, and are made again where a worker dies with them.
    held: dict[int, tuple[Data, Any]] = {}
    try:
        while not is_over or under_way:
            # The number of workers may change.
            while not is_over and len(under_way) < 2 * max(1, sum(client.ncores().values())):
                call = next(calls, None)
                if call is None:
                    is_over = True
                    break
                item, data = call
                if id(data) not in held:
                    with _large_ones_allowed():
                        held[id(data)] = data, client.submit(_unpacked, cloudpickle.dumps(data), pure=False)
                # What a worker cannot unpack would end it, were it not packed as data: so it is an error of the call.
                packed = cloudpickle.dumps((function, item))
                with _large_ones_allowed():
                    under_way[client.submit(_called, packed, held[id(data)][1], pure=False)] = item
            if not under_way:
                break
            try:
                finished = wait(list(under_way), timeout=PATIENCE, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                _require_workers(client)
                continue
            for future in finished:
                item = under_way.pop(future)
                try:
                    yield item, future.result()
                except KilledWorker:
                    yield item, Died("the workers of the cluster that ran it were lost")
    finally:
        client.cancel([*under_way, *(future for _, future in held.values())])


def _require_workers(client: Any) -> None:
    """Raise ``OnnxlearnError`` where there is nobody to wait for."""
    if not client.ncores():
        raise OnnxlearnError(
            f"the Dask cluster has had no workers for {PATIENCE:g} seconds: start some and make the same call again; what is "
            "in the folder of store= is not run again"
        )


@contextlib.contextmanager
def _large_ones_allowed() -> Iterator[None]:
    """Dask would warn of what is sent to it; that which is large is sent once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield


def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)


def _called(packed: bytes, data: Data) -> Any:
    function, item = pickle.loads(packed)
    return function(item, data)
