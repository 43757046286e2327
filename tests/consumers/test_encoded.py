"""The network without its preprocessing in runtimes that know no strings: OpenVINO and tract.

They need no room in the environment of the tests; the variable names the Python that has them::

    python -m venv /tmp/runtimes && /tmp/runtimes/bin/pip install openvino tract numpy
    ONNXLEARN_RUNTIMES=/tmp/runtimes/bin/python python -m pytest -m consumers tests/consumers/test_encoded.py
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_tables import COLUMNS, make_task
from quick_learners import TABLE_LEARNERS, quick

from onnxlearn.export.chain import run_chain
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.model import load
from onnxlearn.runtime import open_session

RUNTIMES = os.environ.get("ONNXLEARN_RUNTIMES", sys.executable)
INSTALL = "pip install openvino tract numpy, and name that Python in ONNXLEARN_RUNTIMES"
LEARNERS = TABLE_LEARNERS
N_ROWS = 100
# Networks in DOUBLE: OpenVINO computes them in FLOAT, tract lacks their operators.
IN_DOUBLE = {"tabnet"}

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module", params=["openvino", "tract"])
def runtime(request):
    found = subprocess.run([RUNTIMES, "-c", f"import {request.param}"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.fail(f"{request.param} is not installed: {INSTALL}")
    return request.param


@pytest.fixture(scope="module")
def tasks():
    return {target: make_task(tuple(COLUMNS), target, seed=0, n=120) for target in ("several texts", "booleans", "far number")}


def run_elsewhere(runtime, net, tensors, folder):
    """The outputs of a network by its runtime, in order."""
    np.savez(folder / "in.npz", **tensors)
    script = Path(__file__).with_name("run_encoded.py")
    command = [RUNTIMES, script, runtime, net, folder / "in.npz", folder / "out.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as file:
        return [file[name] for name in file.files]


def check(runtime, model, folder, *, near=1e-5, **options):
    """Hostile rows through prep.onnx here, the network there, and post.onnx here give the outputs of the model."""
    model.export("encoded", folder / "out", **options)
    names = ["prep.onnx", "net.onnx", "post.onnx"]
    prep, net, *post = [
        open_session((folder / "out" / name).read_bytes(), "cpu") for name in names if (folder / "out" / name).exists()
    ]
    feeds = hostile_feeds(model.schema, N_ROWS)
    tensors = {value.name: array for value, array in zip(prep.get_outputs(), prep.run(None, feeds), strict=True)}
    tensors = {value.name: tensors[value.name] for value in net.get_inputs()}
    outputs = [value.name for value in net.get_outputs()]
    got = dict(zip(outputs, run_elsewhere(runtime, folder / "out/net.onnx", tensors, folder), strict=True))
    got |= run_chain(post, got) if post else {}
    expected = model.predict_feeds(feeds)
    classes = np.array(model.schema.target.classes)
    if "label" in expected:
        agrees = classes[got["label"]] == expected["label"]
        best = np.sort(expected["probabilities"], axis=1)
        assert agrees[best[:, -1] - best[:, -2] > near].all()
    return expected, got


@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in IN_DOUBLE])
@pytest.mark.parametrize("target", ["several texts", "booleans"])
def test_classes(runtime, name, target, tasks, tmp_path):
    expected, got = check(runtime, quick(name).fit(tasks[target], progress=False), tmp_path)
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in IN_DOUBLE])
def test_numbers(runtime, name, tasks, tmp_path):
    # 1.7e9 with a standard deviation of 1: OpenVINO computes DOUBLE in FLOAT, so the unit has to be put on behind it.
    expected, got = check(runtime, quick(name).fit(tasks["far number"], progress=False), tmp_path, double="apart")
    np.testing.assert_allclose(got["prediction"], expected["prediction"], rtol=0, atol=2e-5 * 1.2)


@pytest.mark.parametrize("name", sorted(IN_DOUBLE))
def test_a_network_in_double_runs_in_float(runtime, name, tasks, tmp_path):
    expected, got = check(runtime, quick(name).fit(tasks["booleans"], progress=False), tmp_path, double="float")
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("far number", {"head": "quantile", "quantiles": (0.1, 0.5, 0.9), "coverage": 0.5, "calibration": 0.5}),
        ("far number", {"head": "normal"}),
        ("several texts", {"coverage": 0.5, "temperature": True, "calibration": 0.5}),
        ("booleans", {"threshold": 0.3}),
    ],
    ids=["quantiles", "normal", "sets", "threshold"],
)
def test_heads(runtime, target, options, tasks, tmp_path):
    expected, got = check(runtime, quick("mlp", **options).fit(tasks[target], progress=False), tmp_path, double="apart")
    for output, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(got[output], values, rtol=0, atol=3e-5)
        elif output == "set":
            assert (got[output] != values).mean() < 0.01


@pytest.fixture(scope="module")
def wide(tasks):
    """A model with matrices that are worth INT8."""
    return quick("mlp").replace(d_block=64).fit(tasks["several texts"], progress=False)


@pytest.mark.parametrize("way", ["fp16", "int8", "int8 static"])
def test_a_converted_network(runtime, way, wide, tasks, tmp_path):
    options = {"mode": "static", "calibration": tasks["several texts"]} if "static" in way else {}
    wide.export(way.split()[0], tmp_path / "new.onnx", data=tasks["several texts"], seconds=0, tolerance=0.1, **options)
    after = load(tmp_path / "new.onnx")
    if (runtime, way) == ("tract", "fp16"):
        # As the guide says.
        with pytest.raises(AssertionError, match="Gemm"):
            check(runtime, after, tmp_path)
        return
    # A step of rounding may go the other way, and with it a label whose two best classes are as near.
    expected, got = check(runtime, after, tmp_path, near=4e-3)
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], rtol=0, atol=2e-3)
