"""``onnxlearn serve`` under thousands of requests that are wrong: none is a fault of the server."""

import copy
import http.client
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from serve_process import GOOD_ROW, tensors_of
from small_models import PRICE, schema_of

from onnxlearn.graph.hostile import hostile_feeds

pytestmark = pytest.mark.consumers


def test_hundreds_of_malformed_requests_and_no_fault_of_the_server(server):
    failures = fuzz(server, 2000, seed=1)
    assert failures == []


@pytest.mark.slow
def test_ten_thousand_malformed_requests(server):
    assert fuzz(server, 10_000, seed=2) == []


@pytest.mark.parametrize(
    "chosen",
    [
        # No schema can say that a number beyond 2^53 is taken unless it is an integer.
        ["--include-path-regex", "^/models/", "--max-examples", "30", "--exclude-checks", "negative_data_rejection"],
        # No schema can say that tensors are those of the model and have equally many rows; MLServer's types take 1 for true.
        [
            "--exclude-path-regex", "^/models/|/repository/models/", "--max-examples", "30",
            "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
        ],
    ],
    ids=["rows", "the rest"],
)  # fmt: skip
def test_schemathesis_finds_nothing(server, tmp_path, chosen):
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{server.port}/openapi.json", *chosen,
        "--phases", "examples,coverage,fuzzing", "--no-color", "--seed", "1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


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


def test_malformed_messages_over_grpc(server):
    import grpc
    from tritonclient.grpc import service_pb2 as messages

    draw = random.Random(3)
    good = messages.ModelInferRequest(model_name="price")
    for tensor in tensors_of({key: array[:2] for key, array in hostile_feeds(schema_of(PRICE)).items()}):
        made = good.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        field = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
        values = [float("nan") if value is None else value for value in tensor["data"]]
        told = [value.encode() for value in values] if tensor["datatype"] == "BYTES" else values
        getattr(made.contents, field[tensor["datatype"]]).extend(told)
    found = []
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert ask(good.SerializeToString(), timeout=30)
        for _ in range(2000):
            message = bytearray(good.SerializeToString())
            for _ in range(draw.randint(1, 5)):
                message[draw.randrange(len(message))] = draw.randrange(256)
            try:
                ask(bytes(message), timeout=30)
            except grpc.RpcError as error:
                # Bytes that are no message at all are refused by gRPC itself, which calls that its own fault.
                if "DecodeError" not in error.details():
                    found.append((error.code(), error.details(), bytes(message)))
    fine = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert [one for one in found if one[0] not in fine] == []
    assert found
