"""``onnxlearn serve`` from outside: its protocols, errors, limits and pages.

It pins other versions of much, so it has an environment of its own::

    python3.11 -m venv serving && serving/bin/pip install '.[serve,export]' pytest hypothesis schemathesis 'tritonclient[grpc]'
    serving/bin/python -m pytest -m "consumers and not slow" tests/consumers/test_serve*.py
"""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serve_process import GOOD_ROW, NAMES, Server, json_value, same, tensors_of, writable
from small_models import SPECIES, schema_of, small_model

from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
from onnxlearn.wire.tensors import array_tensor

pytestmark = pytest.mark.consumers


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


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/models/price/predict", b"", 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b'{"rows": [NaN]}', 400, "a missing value is null"),
        ("POST", "/models/price/predict", b"[" * 100_000, 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b'{"rows": [{"x": "\\ud800"}]}', 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b"\xff\xfe", 400, "the body is no JSON"),
        ("POST", "/models/price/predict", b'{"rows": [{}]}', 422, "row 0, field 'x': every row needs this field"),
        ("POST", "/models/nobody/predict", b"{}", 404, "there is no model 'nobody'; there is 'code'"),
        ("POST", "/models/prise/predict", b"{}", 404, "Did you mean 'price'?"),
        ("POST", "/models/price/versions/7/predict", b"{}", 404, "model 'price' has no version '7'; it has '1'"),
        ("GET", "/models/price/predict", None, 405, "use POST"),
        ("DELETE", "/v2", None, 405, "use GET"),
        ("GET", "/nothing", None, 404, "there is nothing at '/nothing'"),
        ("GET", "/v2/models/price/../../etc/passwd", None, 404, "there is nothing at"),
        ("GET", "/docs/..%2f..%2fetc%2fpasswd", None, 404, "there is nothing at"),
        ("POST", "/v2/models/price/infer", b"{}", 400, "inputs: Field required"),
        ("POST", "/v2/models/price/infer", b'{"inputs": [{"name": "x"}]}', 400, "inputs[0].shape: Field required"),
        ("POST", "/v2/models/price/infer", b'{"inputs": []}', 400, "the model needs columns 'x'"),
        ("POST", "/v2/models/price/infer", b'{"inputs": ' + b"[" * 100_000, 400, "the body"),
        (
            "POST",
            "/v2/models/price/infer",
            b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
            400,
            "the body",
        ),
        ("POST", "/v2/models/price/generate", b"{}", 404, "there is nothing at"),
        ("POST", "/v2/repository/index", b"{", 400, "the body: Invalid JSON"),
        ("POST", "/v2/repository/index", b'{"ready": "perhaps"}', 400, "ready: "),
        ("POST", "/v2/repository/models/nobody/load", b"", 404, "there is no model 'nobody'"),
    ],
)
def test_what_is_wrong_is_told(server, method, path, body, status, text):
    found, answer, _ = server.request(method, path, body)
    assert found == status, answer
    assert text in json.loads(answer)["error"]
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    ("spelling", "of_rows", "of_tensors"),
    [
        # JSON's own word for a missing value is null; Python and others write NaN into tensors, which are numbers alone.
        ("null", "missing", "missing"), ("NaN", "the body is no JSON", "missing"),
        ("Infinity", "the body is no JSON", "infinite"), ("-Infinity", "the body is no JSON", "infinite"),
        ('"NaN"', "'x'", "'x'"), ('""', "missing", "missing"), ("1e999", "", "'x'"), ("[]", "'x'", "'x'"), ("{}", "'x'", "'x'"),
        ('"1.5"', "'x'", "'x'"), ("true", "'x'", "'x'"), ("9007199254740993", "'x'", "'x'"), ("1e-400", "zero", "zero"),
    ],
)  # fmt: skip
def test_every_spelling_of_no_number_is_missing_or_told(server, models, spelling, of_rows, of_tensors):
    model = models[1]["price"]
    feeds = {key: array[:1] for key, array in hostile_feeds(model.schema).items()}
    tensors = tensors_of(feeds)
    next(tensor for tensor in tensors if tensor["name"] == "x")["data"] = ["HERE"]
    rows = {"rows": [GOOD_ROW | {"x": "HERE"}]}
    x = {"missing": np.nan, "zero": 0.0}
    for path, document, told in (
        ("/models/price/predict", rows, of_rows),
        ("/v2/models/price/infer", {"inputs": tensors}, of_tensors),
    ):
        status, answer = server.post(path, json.dumps(document).replace('"HERE"', spelling).encode())
        if told not in x:
            assert 400 <= status < 500
            assert told in answer["error"]
        elif "predictions" in answer:
            expected = model.predict_one(GOOD_ROW | {"x": None if told == "missing" else 0.0})["prediction"]
            assert abs(answer["predictions"][0]["prediction"] - expected) < 1e-6
        else:
            expected = model.predict_feeds(feeds | {"x": np.array([[x[told]]])})["prediction"]
            assert same(answer["outputs"][0]["data"], expected)


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
        answer = raw.recv(1000)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "the head of a request has more than 65536 bytes"}
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"EHLO mail\r\n\r\n")
        assert json.loads(raw.recv(1000).partition(b"\r\n\r\n")[2]) == {"error": "this is no HTTP/1.1"}


def test_a_client_that_reads_nothing_is_left(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(SPECIES)))
    running = Server(tmp_path / "m.onnx", "--workers", 1, "--max-bytes", 20_000_000, cwd=tmp_path)
    body = json.dumps({"rows": [GOOD_ROW] * 100_000}).encode()
    head = f"POST /models/m/predict HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    try:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            deaf.connect(("127.0.0.1", running.port))
            deaf.sendall(head + body)
            # A request as large as that is read and answered beside the others.
            begun = time.monotonic()
            for _ in range(20):
                assert running.post("/models/m/predict", {"rows": [GOOD_ROW]})[0] == 200
            waited = time.monotonic() - begun
            deaf.settimeout(60)
            start = deaf.recv(1000)
            time.sleep(25)
            size, n_read = int(re.search(rb"content-length: (\d+)", start)[1]), len(start)
            while part := deaf.recv(1_000_000):
                n_read += len(part)
            assert n_read < size
            assert waited < 10
    finally:
        assert running.stop() == 0


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
    # As curl sends it without being told what it is.
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert server.request("POST", "/v2/repository/index", b'{"ready": true}', form)[0] == 200
    assert {item["name"]: item["state"] for item in index} == dict.fromkeys(NAMES, "READY")
