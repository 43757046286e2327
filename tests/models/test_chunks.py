"""Files of networks with wide tensors are run on few rows at a time, wherever they are run."""

import pickle
import subprocess
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.graph.hostile import EVERY_KIND
from onnxlearn.runtime import open_session
from onnxlearn.session import run_chunked
from onnxlearn_models.parity import BATCH_SIZES, DEAR_ROWS

N_COLUMNS, N_ROWS = 200, 60
TINY = {"n_blocks": 2, "d_block": 8, "max_epochs": 1, "batch_size": 32, "device": "cpu"}


def wide_task(n_rows=N_ROWS, n_columns=N_COLUMNS):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n_rows, n_columns)), columns=[f"x{i}" for i in range(n_columns)])
    return ol.Task.from_frame(frame.assign(y=np.where(rng.random(n_rows) < 0.5, "a", "b")), "y")


@pytest.fixture
def runs(monkeypatch):
    """Numbers of rows of every run of a file that classifies."""
    sizes, run = [], onnxruntime.InferenceSession.run

    def watched(session, names, feeds, *args):
        if "probabilities" in {output.name for output in session.get_outputs()}:
            sizes.append(len(next(iter(feeds.values()))))
        return run(session, names, feeds, *args)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", watched)
    return sizes


def test_few_rows_prove_as_much():
    assert DEAR_ROWS[1] >= EVERY_KIND
    assert sum(DEAR_ROWS) > max(BATCH_SIZES)


@pytest.mark.parametrize("name", ["ft_transformer", "bagging"])
def test_rows_of_a_wide_transformer_are_run_few_at_a_time(name, runs, tmp_path):
    task = wide_task()
    options = {"base": "ft_transformer", "n_folds": 2} if name == "bagging" else {}
    model = ol.learner(name, **TINY, calibration=0.4, temperature=True, **options).fit(task, test=task, progress=False)
    # 8 heads, and 201 tokens that all look at all: 0.3 million values a row.
    chunk_rows = model.metadata["chunk_rows"]
    assert chunk_rows == 3
    proof = [size for size in runs if size > chunk_rows]
    assert set(proof) <= {37, sum(DEAR_ROWS)}
    # Calibration and scores, or the folds' own files, ran too.
    assert runs.count(chunk_rows) > 5
    runs.clear()
    path = tmp_path / "rows.csv"
    task.frame.to_csv(path, index=False)
    model.score(task.frame, "acc")
    model.predict(path)
    assert max(runs) == chunk_rows


def test_outputs_do_not_depend_on_the_chunks():
    task = wide_task(60, 100)
    model = ol.learner("ft_transformer", **TINY).fit(task, progress=False)
    assert model.metadata["chunk_rows"] == 2**20 // (8 * 101**2)
    session, expected = open_session(model.to_bytes(), "cpu"), model.predict_feeds(task.feeds())
    for chunk_rows in (1, 7, 60):
        found = run_chunked(session, task.feeds(), chunk_rows=chunk_rows)
        np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])


def test_narrow_networks_say_nothing():
    task = wide_task(60, 3)
    for learner in (ol.learner("mlp", max_epochs=1), ol.learner("featureless"), ol.learner("ft_transformer", **TINY)):
        assert "chunk_rows" not in learner.fit(task, progress=False).metadata


def test_a_fitted_model_is_the_one_in_its_file(tmp_path):
    task = wide_task(60, 40)
    model = ol.learner("mlp", max_epochs=1).fit(task, progress=False)
    model.save(tmp_path / "m.onnx")
    for other in (ol.load(tmp_path / "m.onnx"), pickle.loads(pickle.dumps(model)), ol.model.Model(model.to_bytes())):
        assert (other, other.outputs, other.providers) == (model, model.outputs, model.providers)
        assert (other._session.chunk_rows, other._session.n_threads) == (model._session.chunk_rows, model._session.n_threads)
        for name, values in other.predict_feeds(task.feeds()).items():
            np.testing.assert_array_equal(values, model.predict_feeds(task.feeds())[name])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak where Linux tells it")
def test_memory_for_predicting_does_not_follow_the_attention(tmp_path):
    """201 x 201 weights of 8 heads are 1.3 MB a row: 300 rows at once would take more than 400 MB."""
    model = ol.learner("ft_transformer", **TINY).fit(wide_task(32, 200), progress=False)
    assert model.metadata["chunk_rows"] == 3
    model.save(tmp_path / "m.onnx")
    wide_task(300, 200).frame.to_csv(tmp_path / "rows.csv", index=False)
    code = (
        "import pathlib, sys, onnxlearn as ol\n"
        "status = pathlib.Path('/proc/self/status')\n"
        "peak = lambda: int(status.read_text().split('VmHWM:')[1].split()[0]) // 1024\n"
        "model = ol.load(sys.argv[1], provider='cpu', n_threads=1)\n"
        "before = peak()\n"
        "model.predict(sys.argv[2])\n"
        "print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "m.onnx", tmp_path / "rows.csv"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200
