"""Ray Serve: ``PORT=... MODEL=... python by_ray.py``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import ray
from by_onnxruntime import Runtime
from ray import serve


@serve.deployment(num_replicas=1, max_ongoing_requests=100)  # type: ignore[misc]
class Penguins:
    """One model; the body is the other servers'."""

    def __init__(self) -> None:
        self.runtime = Runtime()

    async def __call__(self, request: Any) -> Any:
        """Answer one request."""
        body = await request.json()
        return {"outputs": self.runtime({one["name"]: one["data"] for one in body["inputs"]})}


if __name__ == "__main__":
    told = {"MODEL": os.environ["MODEL"], "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}  # noqa: PTH100, PTH120
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": told})
    serve.start(http_options={"port": int(os.environ["PORT"])})
    serve.run(Penguins.bind())
    # At its end Ray takes its own processes along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
