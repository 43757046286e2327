"""Sessions: providers, threads, chunks."""

import subprocess
import sys

import numpy as np
import pytest
from small_models import SPECIES, schema_of, small_model

from onnxlearn.errors import MissingExtraError, ModelFileError, ParameterError, ProviderError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.providers import Cuda, TensorRT, cuda_obstacle
from onnxlearn.runtime import open_session
from onnxlearn.session import available_cores, block_rows_of, chunk_rows_of, chunk_size, run_chunked


def two_outputs():
    g = GraphBuilder()
    x, s = g.input("x", "DOUBLE", ["N", 1]), g.input("s", "STRING", ["N", 1])
    g.output(g.op("Mul", x, g.const(np.array([[1.0, 10.0]]))), "y", "DOUBLE", ["N", 2])
    g.output(g.op("Squeeze", s, g.const(np.array([1]))), "t", "STRING", ["N"])
    return g.to_model().SerializeToString()


def feeds_of(n):
    return {
        "x": np.arange(n, dtype=np.float64).reshape(-1, 1),
        "s": np.array([f"ä{i}" for i in range(n)], dtype=object).reshape(-1, 1),
    }


@pytest.mark.parametrize("n", [0, 1, 37, 1000, 1001, 2500])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_chunks_give_what_one_run_gives(n, n_threads):
    session = open_session(two_outputs(), "cpu", n_threads)
    assert session.n_threads == n_threads
    whole = dict(zip(["y", "t"], session.run(["y", "t"], feeds_of(n)), strict=True))
    for chunk_rows in (None, 1, 999):
        joined = run_chunked(session, feeds_of(n), chunk_rows=chunk_rows)
        assert list(joined) == ["y", "t"]
        for name, array in joined.items():
            assert array.dtype == whole[name].dtype
            np.testing.assert_array_equal(array, whole[name])


def test_an_error_in_a_chunk_is_raised():
    feeds = feeds_of(2500)
    feeds["s"] = feeds["s"][:1500]
    for n_threads in (1, 3):
        with pytest.raises(ValueError, match="could not broadcast"):
            run_chunked(open_session(two_outputs(), n_threads=n_threads), feeds)


def test_named_outputs_alone_are_computed():
    session = open_session(two_outputs())
    assert list(run_chunked(session, feeds_of(3), ["t"])) == ["t"]


def test_chunks_shrink_with_width():
    narrow, wide = np.zeros((5, 1)), np.zeros((5, 3000))
    assert chunk_size({"a": narrow}) == 1000
    assert chunk_size({"a": narrow, "b": wide}) == 10**6 // 3001
    assert chunk_size({"a": np.zeros((5, 3 * 10**6))}) == 1
    assert chunk_rows_of(500) == 1000
    assert [chunk_rows_of(width, 400) for width in (1, 3000, 10**7)] == [400, 333, 1]
    assert [block_rows_of(chunk, 2500) for chunk in (1000, 333, 3000)] == [2000, 333 * 7, 3000]


def runs_of(session, monkeypatch):
    """Numbers of rows of the runs to come."""
    sizes, run = [], session.run

    def watched(names, feeds):
        sizes.append(len(next(iter(feeds.values()))))
        return run(names, feeds)

    monkeypatch.setattr(session, "run", watched)
    return sizes


@pytest.mark.parametrize(
    ("chunk_rows", "asked", "sizes"),
    [(1000, None, [1000, 1000, 500]), (900, None, [900, 900, 700]), (2500, None, [2500]), (900, 2000, [2000, 500])],
)
def test_a_session_runs_chunks_of_its_own_size(chunk_rows, asked, sizes, monkeypatch):
    session = open_session(two_outputs(), "cpu", 1, chunk_rows=chunk_rows)
    found = runs_of(session, monkeypatch)
    np.testing.assert_array_equal(run_chunked(session, feeds_of(2500), chunk_rows=asked)["y"][:, 0], np.arange(2500))
    assert found == sizes


def test_a_path_opens_too(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(two_outputs())
    assert [value.name for value in open_session(path).get_outputs()] == ["y", "t"]


def test_damage_inside_the_graph_is_an_error_of_one_line():
    data = bytearray(small_model(schema_of(SPECIES)))
    at = data.index(b"ReduceSum")
    data[at : at + 9] = b"ReduceXXX"
    with pytest.raises(ModelFileError, match=r"ONNX Runtime [\d.]+ cannot load the model: ") as caught:
        open_session(bytes(data))
    assert "\n" not in str(caught.value)


def test_provider_and_threads_are_checked():
    with pytest.raises(ParameterError, match=r"provider has to be 'auto', 'cpu', 'cuda', 'tensorrt', .*, not 'gpu'"):
        open_session(two_outputs(), "gpu")
    with pytest.raises(ParameterError, match="n_threads has to be >= 1 or None, not 0"):
        open_session(two_outputs(), n_threads=0)
    assert available_cores() >= 1


@pytest.mark.skipif(not cuda_obstacle(), reason="CUDA can be used here")
def test_cuda_without_a_gpu_is_an_error_and_auto_falls_back():
    for provider, name in (("cuda", "cuda"), (Cuda(graph_rows=8), "cuda"), ("tensorrt", "tensorrt"), (TensorRT(), "tensorrt")):
        with pytest.raises(ProviderError, match=f"provider '{name}' is not available: .*; use provider 'cpu' or 'auto'"):
            open_session(two_outputs(), provider)
    assert open_session(two_outputs(), "auto").get_providers() == ["CPUExecutionProvider"]


def test_without_the_runtime_the_message_has_the_command():
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from onnxlearn.errors import MissingExtraError\n"
        "from onnxlearn.runtime import open_session\n"
        "try: open_session(b'')\n"
        "except MissingExtraError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(MissingExtraError.of("onnxruntime", "cpu", "running a model"))


def test_a_damaged_runtime_is_named(tmp_path):
    # What is left of the package after one of its two wheels was removed: a folder without its modules.
    (tmp_path / "onnxruntime").mkdir()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom onnxlearn.runtime import open_session\nopen_session(b'')"
    (tmp_path / "onnxruntime" / "__init__.py").write_text("")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: the package onnxruntime is damaged" in result.stderr
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in result.stderr
