"""Calls on clusters that joblib is told to use, straight by their schedulers.

Through joblib, Dask would wait forever for a call whose workers died and lose the data that it had put on one of them, and Ray
would take all calls at the start and give all results at the end.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from onnxlearn.errors import OnnxlearnError

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


LOST = Died("the workers of the cluster that ran it were lost")


class Cluster(Protocol):
    """What takes calls and tells which are finished, by handles of its own."""

    name: str

    def n_cores(self) -> int:
        """How many there are now; that may change."""

    def n_wanted(self) -> int:
        """How many calls it takes at once."""

    def hold(self, data: Any) -> Any:
        """A handle of data that go there once."""

    def begin(self, packed: bytes, data: Any) -> Any:
        """A handle of a call: of a packed function and item, and a handle of data."""

    def finished(self, calls: Collection[Any]) -> Iterable[Any]:
        """Those that are finished, at least one of them; none where that takes too long."""

    def result(self, call: Any) -> Any:
        """What came of it, or that its processes died. Raises: what the function raised."""

    def close(self, calls: Collection[Any], data: Collection[Any]) -> None:
        """Give up what is under way, and let data go."""


def cluster() -> Cluster | None:
    """The one that joblib is told to use; ``None`` where it is told something else."""
    if not {"distributed", "ray"} & set(sys.modules):
        return None
    from joblib.parallel import get_active_backend

    backend, n_jobs = get_active_backend()
    name = type(backend).__name__
    if name not in ("DaskDistributedBackend", "RayBackend"):
        return None
    if name == "RayBackend":
        return Ray()
    backend.effective_n_jobs(n_jobs)  # waits a little for workers; an error says how to wait longer
    return Dask(backend.client)


def run_on(
    there: Cluster, function: Callable[[Item, Data], Result], calls: Iterator[Call[Item, Data]]
) -> Iterator[tuple[Item, Result | Died]]:
    """``function(item, data)`` of each call, as they finish. Raises: OnnxlearnError where nobody is there to wait for."""
    import cloudpickle

    under_way, is_over = dict[Any, Item](), False
    held: dict[int, tuple[Data, Any]] = {}
    try:
        while not is_over or under_way:
            while not is_over and len(under_way) < there.n_wanted():
                call = next(calls, None)
                if call is None:
                    is_over = True
                    break
                item, data = call
                if id(data) not in held:
                    held[id(data)] = data, there.hold(data)
                # What a worker cannot unpack would end it, were it not packed as data: so it is an error of the call.
                under_way[there.begin(cloudpickle.dumps((function, item)), held[id(data)][1])] = item
            if not under_way:
                break
            found = list(there.finished(list(under_way)))
            if not found and not there.n_cores():
                raise OnnxlearnError(
                    f"the {there.name} cluster has had no workers for {PATIENCE:g} seconds: start some and make the same call "
                    "again; what is in the folder of store= is not run again"
                )
            for each in found:
                yield under_way.pop(each), there.result(each)
    finally:
        there.close(list(under_way), [handle for _, handle in held.values()])


class Dask:
    """A cluster of Dask's."""

    name = "Dask"

    def __init__(self, client: Any) -> None:
        self._client = client

    def n_cores(self) -> int:
        """Of all workers."""
        return sum(self._client.ncores().values())

    def n_wanted(self) -> int:
        """So many that none waits for the next one."""
        return 2 * max(1, self.n_cores())

    def hold(self, data: Any) -> Any:
        """A task of the cluster's own: it is made again where a worker dies with it."""
        import cloudpickle

        with _large_ones_allowed():
            return self._client.submit(pickle.loads, cloudpickle.dumps(data), pure=False)

    def begin(self, packed: bytes, data: Any) -> Any:
        """A task."""
        with _large_ones_allowed():
            return self._client.submit(_called, packed, data, pure=False)

    def finished(self, calls: Collection[Any]) -> Iterable[Any]:
        """As the scheduler tells."""
        from distributed import wait

        try:
            return list(wait(list(calls), timeout=PATIENCE, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return []

    def result(self, call: Any) -> Any:
        """It was tried again on other workers, some times."""
        from distributed import KilledWorker

        try:
            return call.result()
        except KilledWorker:
            return LOST

    def close(self, calls: Collection[Any], data: Collection[Any]) -> None:
        """Cancel."""
        self._client.cancel([*calls, *data])


class Ray:
    """The cluster of Ray's that this process has joined; else one of its own."""

    name = "Ray"

    def __init__(self) -> None:
        import ray

        if not ray.is_initialized():
            ray.init()
        self._ray = ray
        self._called = ray.remote(max_retries=0)(_called)

    def n_cores(self) -> int:
        """Of all nodes."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def n_wanted(self) -> int:
        """One for each core."""
        return max(1, self.n_cores())

    def hold(self, data: Any) -> Any:
        """An object of its store."""
        return self._ray.put(data)

    def begin(self, packed: bytes, data: Any) -> Any:
        """A task."""
        return self._called.remote(packed, data)

    def finished(self, calls: Collection[Any]) -> Iterable[Any]:
        """The first one."""
        done: list[Any] = self._ray.wait(list(calls), timeout=PATIENCE)[0]
        return done

    def result(self, call: Any) -> Any:
        """It was tried once."""
        from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError

        try:
            return self._ray.get(call)
        except (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError):
            return LOST
        except RayTaskError as error:
            raise error.cause from error

    def close(self, calls: Collection[Any], data: Collection[Any]) -> None:
        """Cancel; objects go with the last handle."""
        del data
        for each in calls:
            self._ray.cancel(each, force=True)


@contextlib.contextmanager
def _large_ones_allowed() -> Iterator[None]:
    """Dask would warn of what is sent to it; that which is large is sent once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield


def _called(packed: bytes, data: Data) -> Any:
    function, item = pickle.loads(packed)
    return function(item, data)
