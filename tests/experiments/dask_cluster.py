"""A cluster of Dask's on this machine, whose workers are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator

import joblib


@contextlib.contextmanager
def dask_cluster() -> Iterator[object]:
    """Two processes that are started again when they are killed."""
    import dask
    import distributed
    from distributed import Client, LocalCluster

    # By default a local cluster gives up a worker that is just being restarted when it looks.
    settings = {"distributed.deploy.lost-worker-timeout": "1h", "distributed.comm.timeouts.connect": "60s"}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL") as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        assert distributed.default_client()
        yield cluster


def kill_workers(cluster: object, rng: random.Random, pauses: list[float], killed: list[int]) -> None:
    for pause in pauses:
        time.sleep(pause)
        nanny = rng.choice(list(cluster.workers.values()))
        # One that is just being started has no process yet.
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(nanny.pid, signal.SIGKILL)
            killed.append(nanny.pid)
