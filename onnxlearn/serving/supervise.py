"""The process that starts the others: it holds the addresses, and replaces what dies."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from onnxlearn.errors import MissingExtraError, OnnxlearnError, ParameterError
from onnxlearn.serving.settings import ServeSettings
from onnxlearn.serving.sources import Source, find_sources
from onnxlearn.serving.worker import KEPT, PLACES, UNLOADED, Worker

# Long enough for a process to import everything and load its models. One that hangs for as long is replaced, and so late may
# one be that dies at the very moment when it is asked.
_HEALTH_SECONDS = 15
_LOOP = "onnxlearn.serving.process.loop:FairLoop"
_BACKLOG = 2048
_PROTOCOL = "onnxlearn.serving.process.http:PatientProtocol"


def serve(settings: ServeSettings, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests that have begun are answered. SIGHUP starts all processes anew, one by one.

    ``say``: told which models are served, and where.

    Raises: ModelFileError, ParameterError where an address is taken, MissingExtraError; OnnxlearnError where a process cannot
    start.
    """
    require_serve()
    from uvicorn import Config
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    sources = find_sources(settings.sources)
    for source in sources:
        _try_to_load(source, settings)
    with _shared_folder() as folder, _addresses(settings) as (listening, settings):
        # Read when prometheus_client is imported, by each process.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "metrics")
        # Uvloop's thread for io_uring takes much of a core by asking over and over for operations of which there are none here.
        os.environ.setdefault("UV_USE_IO_URING", "0")
        config = Config(
            Worker(settings, folder),
            workers=settings.n_workers,
            http=_PROTOCOL,
            loop=_LOOP,
            lifespan="on",
            ws="none",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
            timeout_worker_healthcheck=_HEALTH_SECONDS,
        )
        _announce(sources, settings, say)
        supervisor = Multiprocess(config, sockets=listening)
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise OnnxlearnError("a process of the server could not start; what it wrote says why")


def require_serve() -> None:
    """Raise MissingExtraError unless what the extra ``serve`` brings is there."""
    import importlib.util

    for package in ("mlserver", "uvicorn", "uvloop", "httptools", "fastapi_offline"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError.of(package, "serve", "onnxlearn serve")


def _try_to_load(source: Source, settings: ServeSettings) -> None:
    from onnxlearn.model import load

    load(source.path, provider=settings.provider, n_threads=settings.n_threads)


def _announce(sources: list[Source], settings: ServeSettings, say: Callable[[str], None]) -> None:
    for source in sources:
        say(f"model {source.name}, version {source.version}: {source.path}")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    http = f"http://{host}:{settings.port}"
    many = "" if settings.n_workers == 1 else f" by {settings.n_workers} processes"
    say(f"serving on {http} and grpc://{host}:{settings.grpc_port}{many}; Ctrl-C ends it")
    say(f"documentation with examples: {http}/docs")


@contextlib.contextmanager
def _shared_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onnxlearn-serve-") as name:
        folder = Path(name)
        for part in (UNLOADED, KEPT, PLACES, "metrics"):
            (folder / part).mkdir()
        yield folder


@contextlib.contextmanager
def _addresses(settings: ServeSettings) -> Iterator[tuple[list[socket.socket], ServeSettings]]:
    """The sockets that the processes listen on, and the settings with the ports that were taken.

    While this process has them connections wait: for the first process to be there, and for the next one where all have died.
    gRPC's port is only held.
    """
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(_bound(settings.host, settings.port, alone=True))
        port = first.getsockname()[1]
        others = [stack.enter_context(_bound(settings.host, port)) for _ in range(settings.n_workers - 1)]
        for listening in (first, *others):
            listening.set_inheritable(True)
            listening.listen(_BACKLOG)
        held = stack.enter_context(_bound(settings.host, settings.grpc_port, alone=True))
        yield [first, *others], dataclasses.replace(settings, port=port, grpc_port=held.getsockname()[1])


def _bound(host: str, port: int, *, alone: bool = False) -> socket.socket:
    """A socket of those that share an address by SO_REUSEPORT; ``alone``: of which there is none yet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if alone and port:
            # Without the option first: another server that has it would share its port with us.
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ParameterError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --host or port") from error
    return bound
