"""The server itself: its processes, protocols and limits, from outside.

It pins other versions of much, so it has an environment of its own::

    python3.11 -m venv serving && serving/bin/pip install '.[serve,export]' pytest hypothesis schemathesis 'tritonclient[grpc]'
    serving/bin/python -m pytest -m "consumers and not slow" tests/consumers/test_serve.py
"""

import copy
import http.client
import importlib.util
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
from small_models import BOOLEAN, CODES, PRICE, SPECIES, TARGETS, schema_of, small_model

from onnxlearn import Model
from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
from onnxlearn.schema import MISSING_INT64
from onnxlearn.wire.tensors import array_tensor

pytestmark = pytest.mark.consumers

NAMES = ("species", "code", "won", "price", "prices")


class Server:
    """``onnxlearn serve`` in a process of its own."""

    def __init__(self, *arguments, cwd):
        command = [sys.executable, "-m", "onnxlearn_cli", "serve", *map(str, arguments), "--port", "0", "--grpc-port", "0"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self.log = Path(cwd) / "serve.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=cwd, stderr=log, stdout=log, env=environment)
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


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return folder, write_models(folder)


@pytest.fixture(scope="module")
def server(models):
    if importlib.util.find_spec("mlserver") is None:
        pytest.fail("the extra serve is not installed: see the top of tests/consumers/test_serve.py")
    running = Server(models[0], "--workers", 2, "--control", "--max-bytes", 200_000, cwd=models[0])
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


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


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_answered_as_by_the_model_itself(server, models, name):
    model = models[1][name]
    feeds = writable(hostile_feeds(model.schema, 2 * EVERY_KIND))
    columns = {column.name: column for column in model.schema.features}
    n = len(feeds["x"])
    rows = [{key: json_value(columns[key], array[i, 0]) for key, array in feeds.items()} for i in range(n)]
    status, answer = server.post(f"/models/{name}/predict", {"rows": rows})
    assert status == 200, answer
    outputs = model.predict_feeds(feeds)
    assert len(answer["predictions"]) == n
    if "probabilities" in outputs:
        labels = [bool(label) if name == "won" else label for label in outputs["label"].tolist()]
        assert [row["label"] for row in answer["predictions"]] == labels
        found = [
            [value if value is not None else np.nan for value in row["probabilities"].values()] for row in answer["predictions"]
        ]
        assert same(found, outputs["probabilities"])
    elif name == "price":
        assert same([[row["prediction"]] for row in answer["predictions"]], outputs["prediction"])


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1, 2 * EVERY_KIND])
def test_tensors_over_http(server, models, name, n):
    model = models[1][name]
    feeds = {key: array[:n] for key, array in hostile_feeds(model.schema, 2 * EVERY_KIND).items()}
    status, answer = server.post(f"/v2/models/{name}/infer", {"id": "7", "inputs": tensors_of(feeds)})
    assert status == 200, answer
    assert answer["id"] == "7"
    outputs = model.predict_feeds(feeds)
    for tensor in answer["outputs"]:
        expected = outputs[tensor["name"]]
        assert tensor["shape"] == list(expected.shape)
        assert same([np.nan if value is None else value for value in tensor["data"]], expected.ravel())


@pytest.mark.parametrize("name", NAMES)
def test_tensors_over_grpc_with_tritons_own_client(server, models, name):
    from tritonclient import grpc as client
    from tritonclient.utils import InferenceServerException

    model = models[1][name]
    feeds = hostile_feeds(model.schema, 2 * EVERY_KIND)
    inputs = []
    for key, array in feeds.items():
        tensor = client.InferInput(key, list(array.shape), array_tensor(key, array).datatype)
        encoded = np.array([[value.encode()] for value in array[:, 0]], object) if array.dtype == object else array
        tensor.set_data_from_numpy(encoded)
        inputs.append(tensor)
    with client.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as connection:
        assert connection.is_server_ready()
        assert connection.is_model_ready(name)
        answer = connection.infer(name, inputs)
        for key, expected in model.predict_feeds(feeds).items():
            found = answer.as_numpy(key)
            if found.dtype == object:
                found = np.array([value.decode() for value in found.ravel()], object).reshape(found.shape)
            assert same(found, expected), key
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            connection.infer("nobody", inputs)
        with pytest.raises(InferenceServerException, match=r"INVALID_ARGUMENT.*needs column"):
            connection.infer(name, inputs[1:])


def test_malformed_tensors_over_grpc_are_the_clients_mistake(server):
    import grpc
    from tritonclient.grpc import service_pb2 as messages
    from tritonclient.grpc import service_pb2_grpc as service

    def request(change):
        tensor = messages.ModelInferRequest.InferInputTensor
        made = messages.ModelInferRequest(model_name="price")
        for name, datatype in zip(GOOD_ROW, ("FP64", "FP32", "BYTES", "INT64", "FP64", "INT64"), strict=True):
            made.inputs.append(tensor(name=name, datatype=datatype, shape=[1, 1]))
            made.raw_input_contents.append(
                b"\x00\x00\x00\x00" if datatype == "BYTES" else bytes(4 if datatype == "FP32" else 8)
            )
        change(made)
        return made

    def raw(i, content):
        return lambda made: made.raw_input_contents.__setitem__(i, content)

    def first(**fields):
        return lambda made: [setattr(made.inputs[0], key, value) for key, value in fields.items()]

    def shape(*sizes):
        return lambda made: made.inputs[0].shape.__setitem__(slice(None), sizes)

    changes = [
        raw(0, b""), raw(0, bytes(7)), raw(2, b"\xff\xff\xff\xff"), raw(2, b"\x01\x00\x00\x00\xff"), raw(2, b"\x01"),
        raw(0, np.array(np.inf).tobytes()), first(datatype="FP128"), first(datatype=""), first(name="z"),
        first(datatype="BYTES"), shape(), shape(2, 1), shape(-1, 1), shape(2**62, 1), shape(1, 1, 1), shape(2**31, 2**31),
        lambda made: made.raw_input_contents.pop(), lambda made: made.inputs.pop(), lambda made: made.ClearField("inputs"),
        lambda made: made.outputs.add(name="nothing"), lambda made: made.inputs[0].contents.fp64_contents.append(1.0),
    ]  # fmt: skip
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(request(bool)).outputs[0].name == "prediction"
        for i, change in enumerate(changes):
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(request(change), timeout=30)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (i, caught.value)


def test_many_at_once_get_their_own_answers(server, models):
    model = models[1]["price"]
    row = {"x": 0, "small": 1, "city": "Bonn", "zone": 1, "flag": True, "day": "2024-02-29"}
    expected = {x: model.predict_one(row | {"x": x})["prediction"] for x in range(200)}

    def ask(x):
        status, answer = server.post("/models/price/predict", {"rows": [row | {"x": x}] * (x % 3 + 1)})
        return status == 200 and all(abs(p["prediction"] - expected[x]) < 1e-6 for p in answer["predictions"])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, list(range(200)) * 3))


GOOD_ROW = {"x": 1.5, "small": 2, "city": "Bonn", "zone": 1, "flag": True, "day": "2024-02-29"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/models/price/predict", b"", 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b'{"rows": [NaN]}', 400, "a missing value is null"),
        ("POST", "/models/price/predict", b"[" * 100_000, 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b'{"rows": [{"x": "\\ud800"}]}', 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b"\xff\xfe", 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b'{"rows": [{}]}', 422, "row 0, field 'x': every row needs this field"),
        ("POST", "/models/nobody/predict", b"{}", 404, "Model nobody not found"),
        ("POST", "/models/price/versions/7/predict", b"{}", 404, "Model price with version 7 not found"),
        ("GET", "/models/price/predict", None, 405, "use POST"),
        ("DELETE", "/v2", None, 405, "use GET"),
        ("GET", "/nothing", None, 404, "there is nothing at '/nothing'"),
        ("GET", "/v2/models/price/../../etc/passwd", None, 404, "there is nothing at"),
        ("GET", "/docs/..%2f..%2fetc%2fpasswd", None, 404, "there is nothing at"),
        ("POST", "/v2/models/price/infer", b"{}", 400, "inputs: Field required"),
        ("POST", "/v2/models/price/infer", b'{"inputs": [{"name": "x"}]}', 400, "inputs[0].shape: Field required"),
        ("POST", "/v2/models/price/infer", b'{"inputs": []}', 400, "the model needs columns 'x'"),
        ("POST", "/v2/models/price/infer", b'{"inputs": ' + b"[" * 100_000, 400, "the body"),
        ("POST", "/v2/models/price/generate", b"{}", 404, "there is nothing at"),
        ("POST", "/v2/repository/models/nobody/load", b"", 404, "there is no model 'nobody'"),
    ],
)
def test_what_is_wrong_is_told(server, method, path, body, status, text):
    found, answer, _ = server.request(method, path, body)
    assert found == status, answer
    assert text in json.loads(answer)["error"]
    assert b"Traceback" not in answer


def test_mistakes_name_field_row_value_and_rule(server):
    status, answer = server.post("/models/price/predict", {"rows": [GOOD_ROW, GOOD_ROW | {"x": "much", "flag": 2}]})
    assert status == 422
    assert answer["mistakes"][0] == {
        "field": "x", "row": 1, "value": "much",
        "rule": "expected a number as in training, got the text 'much'; write a finite number, or null for missing",
    }  # fmt: skip
    assert answer["mistakes"][1]["field"] == "flag"


def test_sizes_and_encodings_have_limits(server):
    status, answer, _ = server.request("POST", "/models/price/predict", b" " * 200_001)
    assert status == 413
    assert b"larger than 200000 bytes" in answer
    # In pieces, without saying how much there will be.
    status, answer, _ = server.request("POST", "/models/price/predict", iter([b" " * 50_000] * 5))
    assert status == 413
    status, answer, _ = server.request("POST", "/models/price/predict", b"x", {"content-encoding": "gzip"})
    assert status == 415
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET /v2 HTTP/1.1\r\nhost: a\r\n" + b"x: " + b"a" * 70_000 + b"\r\n\r\n")
        assert b"400" in raw.recv(1000)


def test_a_head_that_does_not_come_ends_the_connection(server):
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"POST /models/pri")
        raw.settimeout(15)
        assert raw.recv(100) == b""


def test_pages_documents_and_metrics(server):
    status, page, _ = server.get("/docs")
    assert status == 200
    assert b"http://" not in page
    assert b"https://" not in page
    for name in re.findall(rb"/docs/[a-z.-]+", page):
        assert server.get(name.decode())[0] == 200
    document = json.loads(server.get("/openapi.json")[1])
    for path, methods in document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        if content:
            assert server.post(path, content["application/json"]["example"])[0] == 200, path
    text = server.get("/metrics")[1].decode()
    for name in ("onnxlearn_requests_total", "onnxlearn_request_seconds_bucket", "onnxlearn_batch_rows_sum"):
        assert name in text
    assert server.request("HEAD", "/v2/health/live")[:2] == (200, b"")


def test_models_and_server_describe_themselves(server):
    document = json.loads(server.get("/v2/models/species")[1])
    assert document["inputs"][0] == {"name": "x", "datatype": "FP64", "shape": [-1, 1]}
    assert [tensor["name"] for tensor in document["outputs"]] == ["label", "probabilities"]
    assert json.loads(server.get("/v2")[1])["name"] == "onnxlearn"
    status, index = server.post("/v2/repository/index", {})
    assert status == 200
    assert {item["name"]: item["state"] for item in index} == dict.fromkeys(NAMES, "READY")


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def everywhere(server, path, status):
    """Whether all processes answer so: many connections reach each of them."""
    return all(server.get(path)[0] == status for _ in range(20))


def test_models_are_unloaded_and_loaded_in_every_process(server):
    assert server.post("/v2/repository/models/code/unload", {})[0] == 200
    until(lambda: everywhere(server, "/v2/models/code", 404))
    assert server.post("/v2/repository/models/code/load", {})[0] == 200
    until(lambda: everywhere(server, "/v2/models/code", 200))


def test_changed_files_are_loaded_and_broken_ones_are_not(models, tmp_path):
    file = tmp_path / "m.onnx"
    file.write_bytes(small_model(schema_of(PRICE)))
    running = Server(file, "--workers", 2, "--check-seconds", 0.2, cwd=tmp_path)
    try:
        until(lambda: everywhere(running, "/v2/models/m", 200))
        assert "prediction" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0]
        file.write_bytes(small_model(schema_of(SPECIES))[:-500])
        time.sleep(1)
        assert everywhere(running, "/v2/models/m", 200)
        # A process that begins now has the model all the same.
        old = running.workers()
        os.kill(old[0], signal.SIGKILL)
        until(lambda: len(running.workers()) == 2 and old[0] not in running.workers())
        time.sleep(5)
        assert everywhere(running, "/v2/models/m", 200)
        file.write_bytes(small_model(schema_of(SPECIES)))
        until(
            lambda: all(
                "label" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0] for _ in range(20)
            )
        )
        assert running.post("/v2/repository/models/m/unload", {})[0] == 403
    finally:
        assert running.stop() == 0


def test_versions_have_addresses_and_new_ones_appear(tmp_path):
    for version, target in (("2", CODES), ("10", BOOLEAN)):
        folder = tmp_path / "bird" / version
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(small_model(schema_of(target)))
    running = Server(tmp_path / "bird", "--workers", 1, "--check-seconds", 0.2, cwd=tmp_path)
    try:

        def label(path):
            return running.post(path, {"rows": [GOOD_ROW]})[1]["predictions"][0]["label"]

        assert label("/models/bird/predict") is label("/models/bird/versions/10/predict")
        assert label("/models/bird/versions/2/predict") in (10, 20)
        (tmp_path / "bird" / "11").mkdir()
        (tmp_path / "bird" / "11" / "model.onnx").write_bytes(small_model(schema_of(SPECIES)))
        until(lambda: label("/models/bird/predict") in ("a", "b", "ç"))
        (tmp_path / "bird" / "11" / "model.onnx").unlink()
        until(lambda: isinstance(label("/models/bird/predict"), bool))
    finally:
        assert running.stop() == 0


def test_killed_workers_lose_only_what_they_were_doing(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 2, cwd=tmp_path)
    body = json.dumps({"rows": [GOOD_ROW]}).encode()
    done, failed, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            try:
                done.append(running.request("POST", "/models/m/predict", body, timeout=60)[0])
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        kills = 5
        for _ in range(kills):
            until(lambda: len(running.workers()) == 2)
            time.sleep(1)
            os.kill(random.choice(running.workers()), signal.SIGKILL)
            time.sleep(1)
        until(lambda: len(running.workers()) == 2)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(done) == {200}
        # At most what all clients had in flight at each kill.
        assert len(failed) <= kills * len(threads), failed
        assert len(done) > 100
    finally:
        stop.set()
        assert running.stop() == 0


def test_what_has_begun_is_answered_when_the_server_is_stopped(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 1, cwd=tmp_path)
    body = json.dumps({"rows": [GOOD_ROW] * 1000}).encode()
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(f"POST /models/m/predict HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[:1000])
        time.sleep(0.5)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        raw.sendall(body[1000:])
        raw.settimeout(20)
        assert raw.recv(20).startswith(b"HTTP/1.1 200")
    assert running.stop() == 0


def test_hundreds_of_malformed_requests_and_no_fault_of_the_server(server):
    failures = fuzz(server, 2000, seed=1)
    assert failures == []


def fuzz(server, n, seed):
    """Answers of 5xx, and other surprises, to requests that were good once."""
    draw = random.Random(seed)
    good_rows = json.dumps({"rows": [GOOD_ROW, GOOD_ROW]})
    feeds = {key: array[:2] for key, array in hostile_feeds(schema_of(PRICE)).items()}
    good_tensors = json.dumps({"inputs": tensors_of(feeds)})
    surprises = []
    for _ in range(n):
        path, text = draw.choice([("/models/price/predict", good_rows), ("/v2/models/price/infer", good_tensors)])
        body = mutated(draw, text)
        try:
            status, answer, _ = server.request("POST", path, body)
        except (OSError, http.client.HTTPException) as error:
            surprises.append((path, body, repr(error)))
            continue
        if not 200 <= status < 500 or (status >= 400 and "error" not in json.loads(answer)):
            surprises.append((path, body, status, answer))
    return surprises


ODD = (
    None, True, False, 0, -1, 1.5, 2**53 + 1, 2**63, 2**64, 10**400, -(2**63), 1e308, "", "a", "NaN", "\x00", "é" * 1000,
    "\ud800", [], {}, [[]], [None], {"a": {}}, [1, [2, [3]]], "9999-99-99", "2024-02-29T25:00", float("nan"), float("inf"),
)  # fmt: skip


def mutated(draw, text):
    kind = draw.randrange(4)
    if kind == 0:
        data = bytearray(text.encode())
        for _ in range(draw.randint(1, 5)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data)
    if kind == 1:
        return text.encode()[: draw.randrange(len(text))]
    document = json.loads(text)
    for _ in range(draw.randint(1, 3)):
        replace_one(draw, document)
    return json.dumps(document).encode()


def replace_one(draw, document):
    """Put something odd at a place of the document, or take it out."""
    at = document
    while isinstance(at, dict | list) and at:
        key = draw.choice(list(at)) if isinstance(at, dict) else draw.randrange(len(at))
        if not isinstance(at[key], dict | list) or not at[key] or draw.random() < 0.2:
            if draw.random() < 0.2:
                del at[key]
            else:
                at[key] = copy.deepcopy(draw.choice(ODD))
            return
        at = at[key]


@pytest.mark.slow
def test_ten_thousand_malformed_requests(server):
    assert fuzz(server, 10_000, seed=2) == []


def test_schemathesis_finds_nothing(server, tmp_path):
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{server.port}/openapi.json",
        "--exclude-path-regex", "repository", "--max-examples", "30", "--phases", "examples,coverage,fuzzing",
        "--exclude-checks", "positive_data_acceptance,negative_data_rejection", "--no-color", "--seed", "1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_what_cannot_be_served_is_told_before_anything_starts(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, text in (
            (["nothing.onnx"], "there is no model file or folder"),
            (["broken.onnx"], "is not an ONNX model"),
            (["m.onnx", "--port", str(port)], f"cannot listen on 127.0.0.1:{port}"),
            (["m.onnx", "--grpc-port", str(port)], f"cannot listen on 127.0.0.1:{port}"),
        ):
            command = [sys.executable, "-m", "onnxlearn_cli", "serve", *arguments]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2, done.stderr
            assert text in done.stderr
