"""Calls on several processes, any of which may die.

joblib runs them: in this process, on processes of this machine or where ``joblib.parallel_config`` says. On a Dask cluster they
go straight to its scheduler: joblib would wait forever for a call whose workers died, and would lose the data that it had put
on one of them.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    function: Callable[[Item, Data], Result], calls: Sequence[Call[Item, Data]], n_jobs: int | None
) -> Iterator[tuple[Item, Result | Died]]:
    """``function(item, data)`` of each call, as they finish: the item with the result, or with what its process died of.

    ``data`` is what many calls share. Errors that the function raises end everything.

    Raises: MissingExtraError without joblib.

    >>> sorted(run_many(pow, [(2, 3), (3, 3)], n_jobs=1))
    [(2, 8), (3, 27)]
    """
    client = _dask_client()
    return _on_processes(function, calls, n_jobs) if client is None else _on_dask(client, function, calls)


def _on_processes(
    function: Callable[[Item, Data], Result], calls: Sequence[Call[Item, Data]], n_jobs: int | None
) -> Iterator[tuple[Item, Result | Died]]:
    try:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError as error:
        raise MissingExtraError.of("joblib", "eval", "a benchmark") from error
    left = dict(enumerate(calls))
    while left:
        begun: list[int] = []
        # One at a time: their lengths differ by orders of magnitude. None ahead: fewer are under way where a process dies.
        parallel = Parallel(n_jobs=n_jobs, return_as=_returned_as(), batch_size=1, pre_dispatch="n_jobs")
        try:
            for number, result in parallel(starmap(delayed(_numbered), _dispatched(function, left, begun))):
                yield left.pop(number)[0], result
        except TerminatedWorkerError as error:
            # All processes are gone with the one that died; the next round starts others.
            died = Died(_exit_codes(str(error)))
            yield from [(left.pop(number)[0], died) for number in tuple(begun) if number in left]


def _returned_as() -> str:
    """One by one as they finish, from backends that can: of Ray's, joblib takes the results all at once."""
    from joblib.parallel import get_active_backend

    return "generator_unordered" if get_active_backend()[0].supports_return_generator else "list"


def _dispatched(
    function: Callable[[Item, Data], Result], left: Mapping[int, Call[Item, Data]], begun: list[int]
) -> Iterator[tuple[int, Callable[[Item, Data], Result], Item, Data]]:
    """Arguments of :func:`_numbered`; those that were asked for are noted in ``begun``."""
    for number, (item, data) in tuple(left.items()):
        begun.append(number)
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
    client: Any, function: Callable[[Item, Data], Result], calls: Sequence[Call[Item, Data]]
) -> Iterator[tuple[Item, Result | Died]]:
    import cloudpickle
    from distributed import KilledWorker, wait

    left, under_way = deque(calls), dict[Any, Item]()
    # Data are a task of the cluster's own: they go there once, and are made again where a worker dies with them.
    shared = {id(data): data for _, data in calls}
    with _large_ones_allowed():
        held = {key: client.submit(_unpacked, cloudpickle.dumps(data), pure=False) for key, data in shared.items()}
    try:
        while left or under_way:
            # The number of workers may change.
            while left and len(under_way) < 2 * max(1, sum(client.ncores().values())):
                item, data = left.popleft()
                # What a worker cannot unpack would end it, were it not packed as data: so it is an error of the call.
                packed = cloudpickle.dumps((function, item))
                with _large_ones_allowed():
                    under_way[client.submit(_called, packed, held[id(data)], pure=False)] = item
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
        client.cancel([*under_way, *held.values()])


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
