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

import onnxlearn as ol
from onnxlearn.graph.hostile import hostile_feeds

HERE = Path(__file__).parent
INSTALL = "ONNXRUNTIME_NODE_INSTALL=skip npm install --prefix tests/consumers --no-package-lock"
# The types of feeds as predict.mjs calls them.
TYPES = {np.dtype(object): "string", np.dtype(np.bool_): "bool"}

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def node():
    program = shutil.which("node")
    if program is None:
        pytest.fail("there is no node: install Node.js 20 or newer")
    if not (HERE / "node_modules" / "onnxruntime-node").is_dir():
        pytest.fail(f"onnxruntime-node is not installed: {INSTALL}")
    return program


def as_json(column):
    """A column as predict.mjs reads it: 64-bit integers and what JSON has no number for as text."""
    kind = TYPES.get(column.dtype, column.dtype.name)
    values = column.ravel().tolist()
    if kind in ("int64", "float64", "float32"):
        values = [str(value) if kind == "int64" else repr(value).replace("nan", "NaN") for value in values]
    return {"type": kind, "values": values}


def run_in_node(node, model, feeds, folder):
    """The outputs of a model as onnxruntime-node computes them."""
    model.save(folder / "model.onnx")
    (folder / "columns.json").write_text(json.dumps({name: as_json(column) for name, column in feeds.items()}), "utf-8")
    command = [node, HERE / "predict.mjs", folder / "model.onnx", folder / "columns.json"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)
    return {name: np.array(output["values"]).reshape(output["dims"]) for name, output in outputs.items()}


def rows_of(model, task):
    hostile = hostile_feeds(model.schema)
    return {name: np.concatenate([column, hostile[name]]) for name, column in task.feeds().items()}


def batches(rows):
    """The first row, none, and all."""
    return [{name: column[:size] for name, column in rows.items()} for size in (1, 0, len(next(iter(rows.values()))))]


def quick(**options):
    return ol.learner("mlp", max_epochs=10, device="cpu", **options)


def test_classes(node, tmp_path):
    task = ol.Task.from_file("example:penguins", target="species")
    model = quick().fit(task, progress=False)
    for rows in batches(rows_of(model, task)):
        ours, theirs = model.predict_feeds(rows), run_in_node(node, model, rows, tmp_path)
        assert set(theirs) == {"label", "probabilities"}
        assert theirs["label"].tolist() == ours["label"].tolist()
        np.testing.assert_allclose(theirs["probabilities"], ours["probabilities"], rtol=0, atol=1e-6)


def every_type(n=200):
    rng = np.random.default_rng(0)
    flight, paid = rng.choice([-7, 15, 2**53 + 1], n), rng.random(n) < 0.5
    day = pd.Timestamp("1968-11-30 23:00") + pd.to_timedelta(rng.integers(0, 5000, n), unit="h")
    frame = pd.DataFrame(
        {
            "flight": pd.Categorical(flight),
            "paid": pd.Series(paid, dtype="boolean").mask(rng.random(n) < 0.1),
            "checked": rng.random(n) < 0.5,
            "departure day": pd.Series(day).mask(rng.random(n) < 0.1),
            "größe": rng.normal(size=n).astype(np.float32),
            "distance": pd.Series(rng.exponential(1e5, n)).mask(rng.random(n) < 0.1),
            "city": rng.choice(["Köln", "東京", "🦜", ""], n),
        }
    )
    frame["arrival"] = 1.7e9 + rng.normal(size=n) + paid + (flight > 0)
    return frame


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
