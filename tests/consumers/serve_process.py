"""``onnxlearn serve`` as a process, and what its tests ask of it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_models import TARGETS, schema_of, small_model

from onnxlearn import Model
from onnxlearn.schema import MISSING_INT64
from onnxlearn.wire.tensors import array_tensor

NAMES = ("species", "code", "won", "price", "prices")

GOOD_ROW = {"x": 1.5, "small": 2, "city": "Bonn", "zone": 1, "flag": True, "day": "2024-02-29"}


class Server:
    """``onnxlearn serve`` in a process of its own."""

    def __init__(self, *arguments, cwd):
        command = [sys.executable, "-m", "onnxlearn_cli", "serve", *map(str, arguments), "--port", "0", "--grpc-port", "0"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self.log = Path(cwd) / "serve.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=cwd, stderr=log, stdout=log, env=environment, start_new_session=True)
        self.port, self.grpc_port = self._ports()
        self.until_ready()

    def _ports(self):
        for _ in range(600):
            found = re.search(r"http://127\.0\.0\.1:(\d+) and grpc://127\.0\.0\.1:(\d+)", self.log.read_text())
            if found:
                return int(found[1]), int(found[2])
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        pytest.fail(f"the server did not start: {self.log.read_text()}")

    def until_ready(self):
        for _ in range(600):
            try:
                if self.get("/v2/health/ready")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"the server does not get ready: {self.log.read_text()}")

    def request(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, document):
        status, body, _ = self.request("POST", path, document if isinstance(document, bytes) else json.dumps(document).encode())
        return status, json.loads(body)

    def workers(self):
        """Process ids of those that serve."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def write_models(folder):
    for name, target in zip(NAMES, TARGETS, strict=True):
        (folder / f"{name}.onnx").write_bytes(small_model(schema_of(target)))
    return {name: Model(small_model(schema_of(target))) for name, target in zip(NAMES, TARGETS, strict=True)}


def json_value(column, value):
    """A feed's value as a row of JSON writes it."""
    if column.onnx_type == "STRING":
        return value or None
    if column.kind == "datetime":
        return None if value == MISSING_INT64 else str(np.datetime64(int(value), "us"))
    if column.kind == "boolean":
        return None if value != value else bool(value)
    if column.onnx_type == "INT64":
        return None if value == MISSING_INT64 else int(value)
    return None if value != value else float(value)


def writable(feeds):
    """Those rows of the feeds that JSON rows can say: dates between the years 1 and 9999."""
    days = feeds["day"][:, 0]
    fine = (days == MISSING_INT64) | ((days > -62_135_596_800_000_000) & (days < 253_402_300_800_000_000))
    return {name: array[fine] for name, array in feeds.items()}


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    if expected.dtype.kind in "OUb":
        return found.tolist() == expected.tolist()
    return np.allclose(
        found.reshape(expected.shape).astype(float), expected.astype(float), rtol=1e-5, atol=1e-5, equal_nan=True
    )


def tensors_of(feeds):
    tensors = [array_tensor(name, array) for name, array in feeds.items()]
    return [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(one.shape),
            "data": [None if v != v else v for v in one.values],
        }
        for one in tensors
    ]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def everywhere(server, path, status):
    """Whether all processes answer so: many connections reach each of them."""
    return all(server.get(path)[0] == status for _ in range(20))
