"""A file on a GPU: where there is none, the CPU takes its place in the same code."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from client_models import client_model

import onnxlearn as ol
from onnxlearn import device, doctor
from onnxlearn.errors import ExportError, ParameterError
from onnxlearn.graph.apart import apart
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.model import Model
from onnxlearn.providers import CPU_PROVIDER, Cuda, TensorRT, cuda_obstacle, gpu_of, provider_obstacle
from onnxlearn.runtime import open_session

CASES = ("numbers", "several", "spread", "classes", "codes", "flags", "indices", "unseen", "masks")
gpu = pytest.mark.skipif(bool(cuda_obstacle()), reason="CUDA cannot be used here")


def on_cpu(data, graph_rows=None, chunk_rows=1000):
    return device.open_apart(
        data, [CPU_PROVIDER], ("cpu", 0), 2, chunk_rows=chunk_rows, graph_rows=graph_rows
    )  # fmt: skip


def check_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        if array.dtype.kind == "f":
            # How many rows there are decides what is computed in vectors, and so the last bit.
            np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("graph_rows", [None, 1, 16])
def test_two_sessions_are_one(case, graph_rows):
    whole = client_model(case)
    session = on_cpu(whole.to_bytes(), graph_rows)
    model = Model(whole.to_bytes(), session=session)
    assert session.chunk_rows == (graph_rows or 32_000)
    assert [value.name for value in session.get_inputs()] == list(whole.schema.feature_names)
    for n in (0, 1, 15, 16, 17, 40):
        feeds = {name: array[:n] for name, array in hostile_feeds(whole.schema, 40).items()}
        check_same(model.predict_feeds(feeds), whole.predict_feeds(feeds))
    name = next(iter(whole.outputs))
    check_same(model.predict_feeds(feeds, [name]), whole.predict_feeds(feeds, [name]))
    assert model.verify().ok


def test_outputs_of_a_run_stay_as_they_are():
    whole = client_model("classes")
    session, feeds = on_cpu(whole.to_bytes(), 8), hostile_feeds(whole.schema, 16)
    parts = [{name: array[at : at + 8] for name, array in feeds.items()} for at in (0, 8)]
    first = session.run(["probabilities"], parts[0])[0]
    kept = first.copy()
    assert not np.array_equal(session.run(["probabilities"], parts[1])[0], kept)
    np.testing.assert_array_equal(first, kept)


def test_threads_share_the_fixed_tensors():
    whole = client_model("classes")
    model, feeds = Model(whole.to_bytes(), session=on_cpu(whole.to_bytes(), 8)), hostile_feeds(whole.schema, 60)
    tables = [{name: array[i : i + 7] for name, array in feeds.items()} for i in range(50)] * 4
    with ThreadPoolExecutor(8) as pool:
        for table, found in zip(tables, pool.map(model.predict_feeds, tables), strict=True):
            check_same(found, whole.predict_feeds(table))


@pytest.mark.parametrize("case", CASES)
def test_the_network_has_no_text_and_at_most_two_inputs(case):
    model = client_model(case)
    parts = apart(model.to_bytes())
    session = open_session(parts.net, "cpu")
    values = [*session.get_inputs(), *session.get_outputs()]
    assert "tensor(string)" not in {value.type for value in values}
    assert len(session.get_inputs()) <= 2
    assert (None if parts.names is None else parts.names.tolist()) == (
        list(model.schema.target.classes) if case == "classes" else None
    )


def test_what_cannot_be_taken_apart_is_an_error():
    g = GraphBuilder()
    x = g.input("x", "DOUBLE", ["N", 1])
    with g.scope("net"):
        g.output(g.op("Mul", x, x), "prediction", "DOUBLE", ["N", 1])
    with pytest.raises(ExportError, match="only matrices of FLOAT and INT64"):
        on_cpu(g.to_model().SerializeToString())


def test_a_provider_without_its_libraries_is_an_obstacle(monkeypatch):
    assert provider_obstacle([CPU_PROVIDER]) == ""
    # Where CUDA's libraries cannot be loaded ONNX Runtime gives a session on the CPU, and raises nothing.
    open_it = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, providers, **rest: open_it(*args, providers[1:], **rest))
    found = device.open_on_gpu(b"", Cuda(), 1, 1000)
    assert found == "ONNX Runtime cannot load the libraries of CUDAExecutionProvider (onnxlearn doctor tells what works)"


def test_settings_are_checked_and_told_to_the_runtime():
    assert gpu_of("cpu") is None
    assert gpu_of("auto") == gpu_of("cuda") == Cuda()
    assert gpu_of("tensorrt") == TensorRT()
    assert Cuda().options() == [("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"}), CPU_PROVIDER]
    (_, told), _ = Cuda(device=1, tf32=True, graph_rows=8).options()
    assert told == {"device_id": "1", "use_tf32": "1", "enable_cuda_graph": "1"}
    (first, told), *rest = TensorRT(engine_cache="engines").options()
    assert first == "TensorrtExecutionProvider"
    assert told["trt_engine_cache_path"] == "engines"
    assert rest == Cuda().options()
    for wrong in ({"graph_rows": 0}, {"graph_rows": True}, {"device": -1}, {"device": 1.0}):
        (name,) = wrong
        with pytest.raises(ParameterError, match=f"{name} has to be an integer >= "):
            Cuda(**wrong)


def test_the_doctor_names_gpus_and_one_that_nothing_runs_on(monkeypatch):
    monkeypatch.setattr(doctor, "gpu_names", lambda: ["Big One"])
    report = doctor.diagnose()
    assert "1 NVIDIA GPUs (Big One)" in doctor.report_lines(report)[0]
    if cuda_obstacle():
        assert any("GPU: pip uninstall -y onnxruntime && pip install 'onnxlearn[gpu]'" in text for text in report["problems"])


def test_without_onnx_the_gpu_is_refused_with_the_command(monkeypatch):
    def missing(*args, **kwargs):
        raise ol.errors.MissingExtraError.of("onnx", "export", "making an ONNX file")

    monkeypatch.setattr(device, "open_apart", missing)
    monkeypatch.setattr(device, "provider_obstacle", lambda providers: "")
    found = device.open_on_gpu(client_model("classes").to_bytes(), Cuda(), 1, 1000)
    assert found == "making an ONNX file needs the package onnx: pip install 'onnxlearn[export]'"


@gpu
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("provider", ["cuda", Cuda(graph_rows=16)], ids=str)
def test_a_gpu_gives_what_the_cpu_gives(case, provider):
    whole = Model(client_model(case).to_bytes(), provider="cpu")
    model = Model(whole.to_bytes(), provider=provider)
    assert model.providers[0] == "CUDAExecutionProvider"
    for n in (0, 1, 100):
        feeds = {name: array[:n] for name, array in hostile_feeds(whole.schema, 100).items()}
        found, expected = model.predict_feeds(feeds), whole.predict_feeds(feeds)
        for name, array in expected.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
            else:
                np.testing.assert_array_equal(found[name], array)
