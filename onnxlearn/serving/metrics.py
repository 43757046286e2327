"""What the server counts, beside what MLServer does: by kind of request and by model, both bounded in number.

Of several processes each writes its own numbers into a folder, named by ``PROMETHEUS_MULTIPROC_DIR`` before the first import of
prometheus_client; whichever process is asked adds them up.
"""

from __future__ import annotations

import functools

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)

REQUESTS = Counter("onnxlearn_requests_total", "Requests answered, by HTTP status or gRPC code.", ["route", "status"])
SECONDS = Histogram("onnxlearn_request_seconds", "Seconds from a request's head to its answer.", ["route"], buckets=_SECONDS)
BATCH_ROWS = Histogram("onnxlearn_batch_rows", "Rows that were run together.", ["model", "version"], buckets=_ROWS)
LOADS = Counter("onnxlearn_loads_total", "Models loaded, by outcome.", ["model", "outcome"])


def exposition() -> bytes:
    """The numbers of all processes in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    text: bytes = generate_latest(registry)
    return text


def count(route: str, status: object, seconds: float) -> None:
    """One request more."""
    requests, duration = _of_route(route, str(status))
    requests.inc()
    duration.observe(seconds)


# Looking a metric up by its labels takes as long as writing it.
@functools.cache
def _of_route(route: str, status: str) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(route, status), SECONDS.labels(route)
