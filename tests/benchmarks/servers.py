"""Servers as processes, and wrk against them: what ``serving.py`` and ``serving_choice.py`` have in common."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

N_CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server, and what it is asked: ``kind`` of body at ``url``."""

    name: str
    process: subprocess.Popen[bytes]
    url: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Load:
    """What wrk told: requests a second, milliseconds, requests that were not answered with 200."""

    requests: float
    p50: float
    p99: float
    failed: int

    def __str__(self) -> str:
        failed = f" **{self.failed} failed**" if self.failed else ""
        return f"{self.requests:,.0f} ({self.p50:.3g}, {self.p99:.3g}){failed}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def run(command: Sequence[object], **environment: str) -> subprocess.Popen[bytes]:
    """A process with processes of its own; its log goes to the file that the variable ``LOG`` names."""
    log = subprocess.DEVNULL if "LOG" not in os.environ else Path(os.environ["LOG"]).open("ab")  # noqa: SIM115 - the process's
    told = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=told, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def wait_for(server: Server, body: bytes) -> None:
    """Until it answers this request; raise SystemExit where it does not in a minute."""
    request = urllib.request.Request(server.url, body, {"content-type": "application/json"})
    told = "nobody is there"
    for _ in range(60):
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
            return
        except urllib.error.HTTPError as error:
            told = error.read().decode()
        except OSError as error:
            told = str(error)
        time.sleep(1)
    raise SystemExit(f"{server.name} at {server.url}: {told}")


def wrk(folder: Path, server: Server, body: bytes, clients: int, seconds: float) -> Load:
    """Requests of one body from so many connections, each of which waits for its answer."""
    script = folder / "request.lua"
    head = "wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\n"
    script.write_text(f"{head}wrk.body = [=[{body.decode()}]=]\n")
    # Wrk takes whole seconds.
    whole = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{whole}s", "--timeout", "10s", "--latency", "-s", str(script), server.url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    return Load(
        requests=float(_found(r"Requests/sec:\s+([\d.]+)", told)),
        p50=_milliseconds(_found(r"^ +50% +(\S+)", told)),
        p99=_milliseconds(_found(r"^ +99% +(\S+)", told)),
        failed=(int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0),
    )


def tensors(n: int, path: Path) -> bytes:
    """A request of the Open Inference Protocol: rows of the penguins, for a file fitted on them."""
    import onnxlearn as ol
    from onnxlearn.wire.examples import request_of
    from onnxlearn.wire.feeds import frame_feeds

    return json.dumps(request_of(frame_feeds(penguins(n), ol.load(path, provider="cpu").schema))).encode()


def penguins(n: int):  # type: ignore[no-untyped-def]
    """``n`` rows without missing values, which not every server could be told."""
    import onnxlearn as ol

    task = ol.example_task("penguins")
    return task.frame[list(task.schema.feature_names)].dropna().sample(n, replace=True, random_state=0)


def write_penguins(path: Path) -> None:
    """The default ``mlp`` for the penguins, or the file that the variable ``MODEL`` names."""
    import onnxlearn as ol

    if "MODEL" in os.environ:
        path.write_bytes(Path(os.environ["MODEL"]).read_bytes())
    else:
        ol.learner("mlp", max_epochs=20, seed=0).fit(ol.example_task("penguins"), progress=False).save(path)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise SystemExit(f"wrk told nothing like {pattern!r}: {text}")
    return match[1]


def _milliseconds(text: str) -> float:
    number, unit = text[: len(text.rstrip("mus"))], text.lstrip("0123456789.")
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
