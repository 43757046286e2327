"""Triton serves the repository that ``export --to triton`` writes.

The server of the wheel nvidia-pytriton has the Python backend alone, and its stub wants the Python of the system. It is
installed once, in an environment of its own::

    /usr/bin/python3 -m venv tests/consumers/.triton
    tests/consumers/.triton/bin/pip install nvidia-pytriton onnxruntime 'tritonclient[grpc]'

The backend onnxruntime is in Triton's images alone; its rules for a config (``ValidateInputs`` and ``ValidateOutputs`` of its
source, https://github.com/triton-inference-server/onnxruntime_backend) are held against the model here.
"""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from rows import every_type, quantiles, quick, rows_of, sets
from servers import as_tensors, assert_same, free_port, infer, infer_by_grpc, post, python_of, serving

import onnxlearn as ol

INSTALL = (
    "/usr/bin/python3 -m venv tests/consumers/.triton && "
    "tests/consumers/.triton/bin/pip install nvidia-pytriton onnxruntime 'tritonclient[grpc]'"
)
# Names that config files have to quote.
STRANGE = {"größe": 'a "quoted" name', "distance": "back\\slash", "city": "new\nline", "paid": "東京 🦜", "flight": "a/b:c.d"}

NAMES = ["penguins", "every_type", "strange", "quantiles", "sets"]

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def models():
    """Models by name, and the rows to ask them for."""
    penguins = ol.Task.from_file("example:penguins", target="species")
    types = ol.Task.from_frame(every_type(), "arrival", strict_bool=["checked"], name="every type")
    strange = ol.Task.from_frame(every_type().rename(columns=STRANGE), "checked", type="classification", name="strange")
    fitted = {"penguins": penguins, "every_type": types, "strange": strange}
    made = {name: (quick().fit(task, progress=False), task) for name, task in fitted.items()}
    made |= {"quantiles": quantiles(), "sets": sets()}
    return {name: (model, rows_of(model, task)) for name, (model, task) in made.items()}


@pytest.fixture(scope="module")
def python():
    return python_of("triton", INSTALL)


@pytest.fixture(scope="module")
def server(models, python, tmp_path_factory):
    """Address of HTTP and address of gRPC."""
    folder = tmp_path_factory.mktemp("models")
    for name, (model, _) in models.items():
        model.export("triton", folder, backend="python", name=name, max_delay=500)
        model.export("triton", folder, backend="python", name=f"{name}_parts", ensemble=True, max_batch=300)
    models["penguins"][0].export("triton", folder, backend="python", name="penguins", version=2, serve_versions=2)
    models["penguins"][0].export("triton", folder, backend="python", name="penguins_parts", ensemble=True, version=2)
    with tritonserver(python, folder) as addresses:
        yield addresses


@contextlib.contextmanager
def tritonserver(python, folder, *options):
    """The server of pytriton's wheel on a model repository; addresses of HTTP and gRPC."""
    code = "import pytriton, sys; print(*sys.version_info[:2], sep='.'); print(pytriton.__file__)"
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    version, file = told.splitlines()
    site = Path(file).parent
    # The wheel keeps its stub for each Python apart.
    backends = folder.parent / "backends"
    shutil.copytree(site / "tritonserver" / "backends", backends, dirs_exist_ok=True)
    shutil.copy(site / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    http = free_port()
    command = [
        site / "tritonserver" / "bin" / "tritonserver",
        f"--model-repository={folder}",
        f"--backend-directory={backends}",
        *(f"--{kind}-port={http + i}" for i, kind in enumerate(("http", "grpc", "metrics"))),
        *options,
    ]
    environment = os.environ | {
        "PYTHONPATH": str(site.parent),
        # The stub takes the standard library of the first Python there: one of another patch breaks it.
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        # It looks for its libraries from where it lay.
        "LD_LIBRARY_PATH": str(site.parent / "nvidia_pytriton.libs"),
    }
    ready = f"http://127.0.0.1:{http}/v2/health/ready"
    with serving(command, ready, folder.parent / "triton.log", env=environment):
        yield f"http://127.0.0.1:{http}/v2/models", f"127.0.0.1:{http + 1}"


def some_of(rows, n):
    return {name: column[:n] for name, column in rows.items()}


@pytest.mark.parametrize("name", NAMES)
def test_http_and_grpc_give_the_models_outputs(models, server, python, name, tmp_path):
    http, grpc = server
    model, rows = models[name]
    for some in (some_of(rows, 1), rows):
        assert_same(infer(f"{http}/{name}/infer", some, missing=float("nan")), model.predict_feeds(some))
    assert_same(infer_by_grpc(python, grpc, name, rows, tmp_path), model.predict_feeds(rows))


@pytest.mark.parametrize("name", NAMES)
def test_an_ensemble_gives_the_models_outputs(models, server, python, name, tmp_path):
    http, grpc = server
    model, rows = models[name]
    rows = {column: values[-300:] for column, values in rows.items()}
    assert_same(infer(f"{http}/{name}_parts/infer", rows, missing=float("nan")), model.predict_feeds(rows))
    assert_same(infer_by_grpc(python, grpc, f"{name}_parts", rows, tmp_path), model.predict_feeds(rows))


def test_a_newer_version_of_an_ensemble_takes_over_at_once(models, python, tmp_path):
    """While a server loads it, no answer comes from parts of two versions, and every request gets one."""
    old, rows = models["penguins"]
    rows = some_of(rows, 50)
    frame = ol.example_task("penguins").frame
    task = ol.Task.from_frame(frame.assign(bill_length_mm=100 * frame["bill_length_mm"]), "species", name="penguins")
    new = quick(seed=1).fit(task, progress=False)
    expected = {model: model.predict_feeds(rows)["probabilities"] for model in (old, new)}

    def answering(_):
        got = infer(f"{http}/penguins/infer", rows, missing=float("nan"))["probabilities"]
        return next((model for model in (old, new) if np.abs(got - expected[model]).max() < 1e-5), "neither")

    options = {"backend": "python", "ensemble": True}
    old.export("triton", tmp_path / "folder", **options)
    live = ("--model-control-mode=poll", "--repository-poll-secs=1")
    with tritonserver(python, tmp_path / "folder", *live) as (http, _), ThreadPoolExecutor(4) as pool:
        for version, model in enumerate((new, old, new), 2):
            model.export("triton", tmp_path / "folder", **options, version=version)
            end = time.monotonic() + 60
            while (answers := set(pool.map(answering, range(64)))) != {model}:
                assert answers <= {old, new}
                assert time.monotonic() < end


def test_a_packed_file_is_served_too(models, python, tmp_path):
    model, rows = models["every_type"]
    model.export("onnx", tmp_path / "packed.onnx", layout="packed")
    packed = ol.load(tmp_path / "packed.onnx")
    packed.export("triton", tmp_path / "folder", backend="python", name="packed")
    feeds = packed._form.arrange(rows, model.schema)
    with tritonserver(python, tmp_path / "folder") as (http, _):
        assert_same(infer(f"{http}/packed/infer", feeds, missing=float("nan")), packed.predict_feeds(rows))
        assert post(f"{http}/packed/infer", (tmp_path / "folder" / "packed" / "request.json").read_bytes())[0] == 200


def test_requests_at_once_are_batched_and_each_gets_its_own(models, server):
    model, rows = models["penguins"]
    n = 64
    alone = [{name: column[i : i + 1 + i % 3] for name, column in rows.items()} for i in range(n)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda one: infer(f"{server[0]}/penguins/infer", one, missing=float("nan")), alone))
    for one, answer in zip(alone, answers, strict=True):
        assert_same(answer, model.predict_feeds(one))
    with urllib.request.urlopen(f"{server[0]}/penguins/versions/2/stats") as answer:
        (stats,) = json.loads(answer.read())["model_stats"]
    assert stats["execution_count"] < stats["inference_stats"]["success"]["count"]


def test_versions_and_labels(models, server):
    with urllib.request.urlopen(f"{server[0]}/penguins") as answer:
        assert json.loads(answer.read())["versions"] == ["1", "2"]
    model, rows = models["penguins"]
    rows = some_of(rows, 3)
    body = {"inputs": as_tensors(rows, float("nan"))}
    body["outputs"] = [{"name": "probabilities", "parameters": {"classification": 1}}]
    _, answer = post(f"{server[0]}/penguins/versions/1/infer", body)
    assert [one.split(":")[-1] for one in answer["outputs"][0]["data"]] == model.predict_feeds(rows)["label"].tolist()


def test_the_request_beside_the_model_is_answered(models, server, tmp_path):
    for name, (model, _) in models.items():
        model.export("triton", tmp_path / name, name=name)
        status, answer = post(f"{server[0]}/{name}/infer", (tmp_path / name / name / "request.json").read_bytes())
        assert status == 200, answer


def test_bytes_that_are_no_text_are_refused_alone(models, server):
    """In one batch with others: these get their answers."""
    model, rows = models["penguins"]
    good = some_of(rows, 1)
    bad = {"inputs": as_tensors(good, float("nan"))}
    size = struct.pack("<I", 1)
    text = [one for one in bad["inputs"] if one["datatype"] == "BYTES"]
    for one in text:
        del one["data"]
        one["parameters"] = {"binary_data_size": 5}
    header = json.dumps(bad).encode()
    binary = header + (size + b"\xff") * len(text)

    def ask(i):
        if i % 4:
            return infer(f"{server[0]}/penguins/infer", good, missing=float("nan"))
        request = urllib.request.Request(
            f"{server[0]}/penguins/infer", binary, {"Inference-Header-Content-Length": str(len(header))}
        )
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        return error.value.code, error.value.read().decode()

    with ThreadPoolExecutor(8) as pool:
        for i, answer in enumerate(pool.map(ask, range(32))):
            if i % 4:
                assert_same(answer, model.predict_feeds(good))
            else:
                assert answer[0] == 400, answer
                assert "are no UTF-8" in answer[1]


def test_more_rows_than_a_batch_are_refused(models, server):
    model, rows = models["penguins"]
    many = {name: np.repeat(column[:1], model.chunk_rows + 1, axis=0) for name, column in rows.items()}
    status, answer = post(f"{server[0]}/penguins/infer", {"inputs": as_tensors(many, float("nan"))})
    assert status == 400
    assert "batch-size must be <=" in answer["error"]


@pytest.mark.parametrize("name", NAMES)
def test_the_backend_onnxruntime_takes_the_config(models, python, name, tmp_path):
    model, _ = models[name]
    model.export("triton", tmp_path / "folder", name=name, device="gpu", instances=2)
    told = read_config(python, tmp_path / "folder" / name / "config.pbtxt")
    assert (told["name"], told["backend"], told["instance_group"][0]["kind"]) == (name, "onnxruntime", "KIND_GPU")
    assert_backend_takes(told, model.to_bytes())


def test_parts_of_an_ensemble_run_where_they_should(models, python, tmp_path):
    models["penguins"][0].export("triton", tmp_path / "folder", ensemble=True, device="gpu", instances=3)
    kinds = {}
    for role in ("prep", "net", "names"):
        told = read_config(python, tmp_path / "folder" / f"penguins_{role}_1" / "config.pbtxt")
        kinds[role] = (told["instance_group"][0]["kind"], told["instance_group"][0]["count"])
        assert_backend_takes(told, (tmp_path / "folder" / f"penguins_{role}_1" / "1" / "model.onnx").read_bytes())
        assert role != "net" or {one["data_type"] for one in told["input"]} <= {"TYPE_FP32", "TYPE_INT64"}
    assert kinds == {"prep": ("KIND_CPU", 1), "net": ("KIND_GPU", 3), "names": ("KIND_CPU", 1)}


def read_config(python, path):
    """A config as Triton's own protobuf classes read it."""
    script = (
        "import sys; from google.protobuf import json_format, text_format;"
        "from tritonclient.grpc import model_config_pb2 as pb;"
        "print(json_format.MessageToJson(text_format.Parse(open(sys.argv[1], encoding='utf-8').read(), pb.ModelConfig()),"
        "preserving_proto_field_name=True, always_print_fields_with_no_presence=True))"
    )
    done = subprocess.run([python, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_backend_takes(told, data):
    """The rules of the backend onnxruntime: its names and types, and a shape that is the model's behind the rows."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    types = {"double": "FP64", "float": "FP32", "int64": "INT64", "bool": "BOOL", "string": "STRING"}
    for entries, values in ((told["input"], session.get_inputs()), (told["output"], session.get_outputs())):
        assert [entry["name"] for entry in entries] == [value.name for value in values]
        for entry, value in zip(entries, values, strict=True):
            dims = entry["reshape"]["shape"] if "reshape" in entry else entry["dims"]
            assert entry["data_type"] == f"TYPE_{types[value.type.removeprefix('tensor(').rstrip(')')]}"
            assert ["N", *map(int, dims)] == value.shape
