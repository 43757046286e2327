"""Servers of others, started for a test and asked over HTTP and gRPC."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from rows import as_json

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def python_of(server, install):
    """The Python of an environment that a server is installed in: ``.<server>`` beside these tests, or the variable's."""
    python = Path(os.environ.get(f"{server.upper()}_PYTHON", HERE / f".{server}" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"{server} is not installed: {install}")
    return python


def free_port(n=3):
    """The first of n neighbouring free ports, below those that systems give to outgoing connections: servers take them late."""
    while True:
        first = 20_000 + secrets.randbelow(12_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + n):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@contextlib.contextmanager
def serving(command, ready, log, *, seconds=120, **options):
    """A server that runs until the block ends: begun when the address ``ready`` answers."""
    with Path(log).open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, **options)
        try:
            _wait_for(ready, server, log, seconds)
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _wait_for(ready, server, log, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            urllib.request.urlopen(ready, timeout=5).close()
            return
        time.sleep(0.2)
    pytest.fail(f"the server did not begin:\n{Path(log).read_text('utf-8', 'replace')[-4000:]}")


def post(url, body):
    """Status and answer of a request; ``body`` as JSON, bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else {"error": text.decode("utf-8", "replace")}


DATATYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "bool": "BOOL", "object": "BYTES"}


def as_tensors(feeds, missing):
    """Feeds as inputs of the Open Inference Protocol; ``missing`` stands for NaN, of which servers have words of their own."""
    return [
        {
            "name": name,
            "datatype": DATATYPES[str(array.dtype)],
            "shape": list(array.shape),
            "data": [missing if value != value else value for value in array.ravel().tolist()],
        }
        for name, array in feeds.items()
    ]


def infer(url, feeds, missing=None):
    """The outputs that a server computes over HTTP, as arrays of the shapes that it tells."""
    status, answer = post(url, {"inputs": as_tensors(feeds, missing)})
    assert status == 200, answer
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}


def infer_by_grpc(python, address, name, feeds, folder, *form):
    """The same over gRPC, by Triton's client, which sends raw tensors; in the form ``contents`` by the protocol's messages."""
    rows = folder / "columns.json"
    rows.write_text(json.dumps({column: as_json(array) for column, array in feeds.items()}), "utf-8")
    command = [python, HERE / "ask_grpc.py", address, name, rows, *form]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return {name: np.array(one["values"]).reshape(one["shape"]) for name, one in json.loads(done.stdout).items()}


def assert_same(theirs, ours):
    """Outputs of a server are those of the model."""
    assert set(theirs) == set(ours)
    for name, array in ours.items():
        got = theirs[name].reshape(array.shape)
        if array.dtype.kind == "f":
            np.testing.assert_allclose(got.astype(float), array, rtol=1e-12 if array.dtype == np.float64 else 0, atol=1e-5)
        else:
            assert got.tolist() == array.tolist()
