"""The inference benchmark: what it measures, on what, beside what; its table, JSON and plot."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlearn as ol
from onnxlearn.errors import ColumnNotFoundError, ModelFileError, ParameterError, ProviderError
from onnxlearn.inference import bench as room
from onnxlearn.inference.child import peak_megabytes
from onnxlearn.inference.drawn import drawn_frame
from onnxlearn.inference.start import start_all
from onnxlearn.inference.timing import ROUNDS, percentile, time_all
from onnxlearn.metadata import read_precision
from onnxlearn.providers import cuda_obstacle
from onnxlearn.schema import Column
from onnxlearn.wire.feeds import frame_feeds
from tests.core.small_models import FEATURES, TARGETS, schema_of, small_model

QUICK = {"seconds": 0.01, "starts": False}


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.example_task("penguins")


@pytest.fixture(scope="module")
def model(penguins) -> ol.Model:
    return ol.learner("linear", max_epochs=2).fit(penguins, progress=False)


# What is measured


def test_every_setting_is_measured_once(model, penguins) -> None:
    found = ol.bench(model, penguins, batch_sizes=[1, 500, 2500], n_threads=[1, 2, 8], torch=False, **QUICK)
    # A chunk is a thousand rows: the first two batches keep one thread busy, the third three.
    settings = [(timing.batch_size, timing.n_threads) for timing in found.timings]
    assert settings == [(1, 1), (500, 1), (2500, 1), (2500, 2), (2500, 3)]
    assert {(timing.engine, timing.provider, timing.precision) for timing in found.timings} == {
        ("onnxruntime", "CPU", "float32")
    }
    for timing in found.timings:
        assert timing.n_calls >= 1
        assert 0 < timing.p50_ms <= (timing.p90_ms or np.inf) <= (timing.p99_ms or np.inf)
        assert timing.rows_per_s > 0


def test_the_rows_are_those_of_the_table_again_and_again(model, penguins, monkeypatch) -> None:
    seen = []
    run = ol.Model.predict_feeds

    def watched(self, feeds, names=None):
        seen.append(feeds)
        return run(self, feeds, names)

    monkeypatch.setattr(ol.Model, "predict_feeds", watched)
    ol.bench(model, penguins.frame.head(3), batch_sizes=[7], n_threads=[1], torch=False, **QUICK)
    rows = penguins.feeds()["bill_length_mm"][[0, 1, 2, 0, 1, 2, 0]]
    assert all(np.array_equal(feeds["bill_length_mm"], rows, equal_nan=True) for feeds in seen)


def test_the_times_are_those_of_the_calls() -> None:
    """A work of known length, beside one that does nothing."""
    order: list[str] = []

    def working(name: str, length: float):
        def call() -> None:
            order.append(name)
            time.sleep(length)

        return lambda: contextlib.nullcontext(call)

    steps: list[int] = []
    slow, quick = time_all([working("slow", 0.004), working("quick", 0)], seconds=0.02, on_step=lambda: steps.append(1))
    assert len(slow) == len(quick) == ROUNDS
    assert all(duration >= 0.004 for durations in slow for duration in durations)
    assert np.median(np.concatenate(quick)) < 0.004
    assert len(steps) == 2 * (ROUNDS + 1)
    # In turn, round by round.
    turns = [name for name, after in pairwise([*order, ""]) if name != after]
    assert turns == ["slow", "quick"] * (ROUNDS + 1)


def test_long_calls_are_not_repeated_for_minutes() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(1)
        time.sleep(0.05)

    (times,) = time_all([lambda: contextlib.nullcontext(call)], seconds=0.01, on_step=lambda: None)
    assert len(times) == 1
    # One to warm up, one that counts.
    assert len(calls) == 2


def test_a_percentile_needs_calls_beyond_it() -> None:
    hundred = list(np.arange(100.0))
    assert percentile(hundred, 99) == pytest.approx(98.01)
    assert percentile(hundred[:99], 99) is None
    assert percentile(hundred[:10], 90) == pytest.approx(8.1)
    assert percentile(hundred[:9], 90) is None


def test_several_files_side_by_side(model, penguins, tmp_path) -> None:
    other = tmp_path / "other.onnx"
    ol.learner("featureless").fit(penguins).save(other)
    found = ol.bench([model, other], batch_sizes=[1], n_threads=[1], **QUICK)
    assert [file["file"] for file in found.files] == ["model 1", "other"]
    assert [(timing.file, timing.engine) for timing in found.timings] == [
        ("model 1", "onnxruntime"), ("other", "onnxruntime"), ("model 1", "torch"),
    ]  # fmt: skip
    assert "no torch beside other: learner 'featureless' has no network" in found.notes
    found.plot()


def test_files_of_one_name_are_told_apart(model, tmp_path) -> None:
    paths = [tmp_path / folder / "m.onnx" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        model.save(path)
    found = ol.bench(paths, batch_sizes=[1], n_threads=[1], torch=False, **QUICK)
    assert [file["file"] for file in found.files] == [str(path) for path in paths]


# Fresh processes


def test_fresh_processes_load_and_predict(model) -> None:
    found = ol.bench(model, batch_sizes=[1], n_threads=[1], seconds=0.01, torch=False)
    (start,) = found.starts
    assert start.what == "model 1"
    assert 0 < start.load_s < 30
    assert 0 < start.import_s < 30
    assert 0 < start.first_ms < 30_000
    # Python and ONNX Runtime take more than 20 MB, and this process, which has torch, more than a fresh one.
    assert 20 < start.peak_mb < peak_megabytes()
    assert found.starts_frame()["what"].tolist() == ["model 1"]


def test_a_process_that_fails_says_why(model, tmp_path) -> None:
    path = tmp_path / "gone.onnx"
    with pytest.raises(ProviderError, match=r"could not load and run the model: .*there is no model file"):
        start_all({"gone": (path, {})}, [], "cpu")


def test_the_peak_is_that_of_the_process() -> None:
    code = "import numpy; from onnxlearn.inference.child import peak_megabytes as p; a = p(); numpy.ones(10**7); print(p() - a)"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert 60 < float(done.stdout) < 100


# Rows that fit a schema


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_drawn_rows_fit_the_model(target) -> None:
    schema = schema_of(target)
    frame = drawn_frame(schema, 50)
    prediction = ol.Model(small_model(schema)).predict(frame)
    assert prediction.truth is not None
    assert len(prediction) == 50
    assert set(frame["city"]) == {"Bonn", "Köln"}
    pd.testing.assert_frame_equal(frame, drawn_frame(schema, 50))
    if target.classes:
        assert set(frame[target.name]) == set(target.classes)


def test_drawn_rows_of_every_type() -> None:
    columns = [
        Column(name="when", kind="datetime", dtype="utc"), Column(name="took", kind="numeric", dtype="duration"),
        Column(name="paid", kind="numeric", dtype="decimal"), Column(name="n", kind="numeric", dtype="int64"),
        Column(name="bit", kind="boolean", dtype="int64"), Column(name="on", kind="boolean", dtype="bool", strict_bool=True),
        Column(name="none", kind="categorical", dtype="str", has_missing=True),
        Column(name="size", kind="ordered", dtype="int64", levels=(3, 1)),
    ]  # fmt: skip
    schema = schema_of(TARGETS[0], (*FEATURES, *columns))
    feeds = frame_feeds(drawn_frame(schema, 20), schema)
    assert set(feeds["size"].ravel()) == {1, 3}
    assert feeds["on"].dtype == np.bool_
    assert feeds["none"].ravel().tolist() == [""] * 20


# What the file says


def weights(dtype: int, n: int) -> onnx.TensorProto:
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    return numpy_helper.from_array(np.zeros((n, 2), numpy_type), f"w{dtype}")


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([(TensorProto.FLOAT, 4)], "float32"),
        ([(TensorProto.FLOAT, 4), (TensorProto.FLOAT16, 5)], "float16"),
        ([(TensorProto.INT8, 9), (TensorProto.FLOAT, 4)], "int8"),
        ([(TensorProto.DOUBLE, 3), (TensorProto.INT64, 90)], "float64"),
        ([(TensorProto.INT64, 90)], "none"),
        ([], "none"),
    ],
)
def test_precision_is_the_type_of_most_weights(tensors, expected) -> None:
    graph = helper.make_graph([], "g", [], [], initializer=[weights(dtype, n) for dtype, n in tensors])
    assert read_precision(helper.make_model(graph).SerializeToString()) == expected


# What comes out


def test_all_of_it_is_plain_json(model) -> None:
    found = ol.bench(model, batch_sizes=[1, 10], n_threads=[1], seconds=0.01, starts=False)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(document) == {"about", "files", "timings", "starts", "notes"}
    assert document["timings"][0]["p50_ms"] == found.timings[0].p50_ms
    assert {"python", "onnxruntime", "onnxlearn", "torch"} <= set(document["about"]["versions"])
    assert repr(found).splitlines()[0] == found.headline()
    assert "rows: drawn to fit the schema" in found.notes


def test_the_plot_has_a_line_for_each_engine(model) -> None:
    found = ol.bench(model, batch_sizes=[1, 10], n_threads=[1], **QUICK)
    ax = found.plot()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["onnxruntime, CPU, float32, 1 thread", "torch, network alone, CPU, float32, 1 thread"]
    line = ax.get_legend_handles_labels()[0][0].lines[0]
    assert line.get_xdata().tolist() == [1, 10]
    assert line.get_ydata().tolist() == [t.p50_ms for t in found.timings if t.engine == "onnxruntime"]


def test_a_busy_machine_is_told(monkeypatch) -> None:
    monkeypatch.setattr(room.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(room.os, "getloadavg", lambda: (3.0, 0, 0), raising=False)
    assert room._disturbances() == ["the machine was busy before: a load of 3.0 on 4 cores"]
    monkeypatch.setattr(room.os, "getloadavg", lambda: (1.0, 0, 0), raising=False)
    assert room._disturbances() == []


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_sizes": [0]}, ParameterError, r"batch_sizes has to be a list of integers >= 1, not \[0\]"),
        ({"batch_sizes": []}, ParameterError, "batch_sizes has to be a list"),
        ({"batch_sizes": 3}, ParameterError, "batch_sizes has to be a list of integers >= 1, not 3"),
        ({"n_threads": [1.5]}, ParameterError, "n_threads has to be a list of integers"),
        ({"seconds": 0}, ParameterError, "seconds has to be a number > 0, not 0"),
        ({"seconds": float("inf")}, ParameterError, "seconds has to be a number > 0"),
        ({"providers": ["tpu"]}, ParameterError, "provider has to be"),
        ({"data": {"x": [1]}}, ColumnNotFoundError, "the model needs columns"),
    ],
)
def test_bad_options(model, options, error, message) -> None:
    with pytest.raises(error, match=message):
        ol.bench(model, **options)


def test_no_model_and_a_file_that_is_none(tmp_path) -> None:
    with pytest.raises(ParameterError, match="bench needs a model"):
        ol.bench([])
    with pytest.raises(ModelFileError, match="there is no model file"):
        ol.bench(tmp_path / "m.onnx")


@pytest.mark.skipif(not cuda_obstacle(), reason="there is a GPU that ONNX Runtime can use")
def test_a_provider_that_does_not_work_is_an_error(model) -> None:
    with pytest.raises(ProviderError, match="provider 'cuda' is not available"):
        ol.bench(model, providers=["cuda"], **QUICK)


def test_threads_without_work_are_told(model):
    found = ol.bench(model, batch_sizes=[1], n_threads=[1, 7], seconds=0.01, starts=False, torch=False)
    assert [timing.n_threads for timing in found.timings] == [1]
    assert "more than 1 thread had nothing to do: these batches are too small to share out" in found.notes
    found = ol.bench(model, batch_sizes=[1], n_threads=[1], seconds=0.01, starts=False, torch=False)
    assert not any("nothing to do" in note for note in found.notes)


def test_files_of_the_working_folder_stand_in_for_no_module(model, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise ImportError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    assert len(ol.bench(model, batch_sizes=[1], n_threads=[1], seconds=0.01, torch=False).starts) == 1
