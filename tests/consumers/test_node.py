"""onnxruntime-node, built and packed by others: a service in JavaScript gets the same answers from the file.

The runtime is installed once, without its download of GPU libraries::

    ONNXRUNTIME_NODE_INSTALL=skip npm install --prefix tests/consumers --no-package-lock
    python -m pytest -m consumers
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rows import as_json, batches, every_type, quick, rows_of

import onnxlearn as ol

HERE = Path(__file__).parent
INSTALL = "ONNXRUNTIME_NODE_INSTALL=skip npm install --prefix tests/consumers --no-package-lock"
pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def node():
    program = shutil.which("node")
    if program is None:
        pytest.fail("there is no node: install Node.js 20 or newer")
    if not (HERE / "node_modules" / "onnxruntime-node").is_dir():
        pytest.fail(f"onnxruntime-node is not installed: {INSTALL}")
    return program


def run_in_node(node, model, feeds, folder):
    """The outputs of a model as onnxruntime-node computes them."""
    model.save(folder / "model.onnx")
    (folder / "columns.json").write_text(json.dumps({name: as_json(column) for name, column in feeds.items()}), "utf-8")
    command = [node, HERE / "predict.mjs", folder / "model.onnx", folder / "columns.json"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)
    return {name: np.array(output["values"]).reshape(output["dims"]) for name, output in outputs.items()}


def test_classes(node, tmp_path):
    task = ol.Task.from_file("example:penguins", target="species")
    model = quick().fit(task, progress=False)
    for rows in batches(rows_of(model, task)):
        ours, theirs = model.predict_feeds(rows), run_in_node(node, model, rows, tmp_path)
        assert set(theirs) == {"label", "probabilities"}
        assert theirs["label"].tolist() == ours["label"].tolist()
        np.testing.assert_allclose(theirs["probabilities"], ours["probabilities"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"num_scaler": "quantile", "cat_encoding": "embedding", "norm": "layer"}])
def test_numbers(node, tmp_path, options):
    task = ol.Task.from_frame(every_type(), "arrival", strict_bool=["checked"])
    model = quick(**options).fit(task, progress=False)
    rows = rows_of(model, task)
    assert {column.dtype.kind for column in rows.values()} == set("ifbO")
    ours, theirs = model.predict_feeds(rows), run_in_node(node, model, rows, tmp_path)
    assert set(theirs) == {"prediction"}
    # The target's standard deviation is about 1.2.
    np.testing.assert_allclose(theirs["prediction"], ours["prediction"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", ["checked", "flight"])
def test_labels_that_are_no_text(node, tmp_path, target):
    task = ol.Task.from_frame(every_type(), target, type="classification")
    model = quick().fit(task, progress=False)
    rows = rows_of(model, task)
    ours, theirs = model.predict_feeds(rows), run_in_node(node, model, rows, tmp_path)
    assert [int(label) for label in theirs["label"]] == ours["label"].tolist()
    np.testing.assert_allclose(theirs["probabilities"], ours["probabilities"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"text_form": "tfidf", "text_pairs": 8}])
def test_texts(node, tmp_path, settings):
    """Words are found by the file itself."""
    rows = [f"{['Good, nice', 'BAD and ugly'][i % 2]} thing: number {i % 7}!" for i in range(40)]
    frame = pd.DataFrame({"review": rows, "x": np.arange(40.0), "y": ["few", "many"] * 20})
    task = ol.Task.from_frame(frame, "y", kinds={"review": "text"})
    learner = ol.learner("multimodal", text_length=8, text_max_words=30, max_epochs=2, device="cpu", **settings)
    model = learner.fit(task, progress=False)
    for rows in batches(rows_of(model, task)):
        ours, theirs = model.predict_feeds(rows), run_in_node(node, model, rows, tmp_path)
        np.testing.assert_allclose(theirs["probabilities"], ours["probabilities"], rtol=0, atol=1e-6)
