"""How models are served."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.errors import ParameterError
from onnxlearn.providers import ProviderName
from onnxlearn.session import available_cores

MOST_WORKERS = 4
_PORTS = range(65_536)


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of a server.

    ``sources``: files and folders of models, as :func:`onnxlearn.serving.sources.find_sources` reads them. ``host``: the
    address to listen on, by default for this machine alone. ``port``, ``grpc_port``: 0 takes a free one. ``workers``:
    processes, by default one a core and at most 4; one that dies is replaced. ``max_bytes``: the largest body of a request.
    ``body_seconds``: how long a body may take to come in. ``max_rows_waiting``: rows of requests that wait for a model in a
    process; more are turned away with 503. ``batch_rows``: the most rows of several requests that are run together.
    ``batch_wait``: seconds that a request waits for others; 0 puts together what came while the model was busy.
    ``check_seconds``: how often the files are looked at; a changed one is loaded, 0 never looks. ``control``: whether
    requests may load and unload models. ``grace_seconds``: how long requests may take to end when the server is stopped.
    """

    sources: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 8081
    workers: int | None = None
    provider: ProviderName = "auto"
    max_bytes: int = 10 * 2**20
    body_seconds: float = 20.0
    max_rows_waiting: int = 100_000
    batch_rows: int = 1000
    batch_wait: float = 0.0
    check_seconds: float = 1.0
    control: bool = False
    grace_seconds: float = 20.0

    def __post_init__(self) -> None:
        if not self.sources:
            raise ParameterError("a server needs at least one model: give the path of a file or of a folder")
        for name, least in (("max_bytes", 1), ("max_rows_waiting", 1), ("batch_rows", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ParameterError(f"{name} has to be >= {least}, not {value!r}")
        for name in ("body_seconds", "batch_wait", "check_seconds", "grace_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ParameterError(f"{name} has to be a number of seconds >= 0, not {getattr(self, name)!r}")
        for name in ("port", "grpc_port"):
            if getattr(self, name) not in _PORTS:
                raise ParameterError(f"{name} has to be between 0 and 65535, not {getattr(self, name)!r}")
        if self.port and self.port == self.grpc_port:
            raise ParameterError(f"port and grpc_port have to differ, both are {self.port}")

    @property
    def n_workers(self) -> int:
        """Number of processes."""
        return self.workers or min(available_cores(), MOST_WORKERS)

    @property
    def n_threads(self) -> int:
        """Threads that share the rows of a big request in one process."""
        return max(1, available_cores() // self.n_workers)
