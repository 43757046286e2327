"""``onnxlearn verify``, and what the command line says to files that are not to be trusted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxlearn.graph.metadata import embed
from onnxlearn.metadata import read_metadata


def test_a_model_verifies(command, model: Path) -> None:
    done = command("verify", model)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["output", "difference", "result"]
    assert [line.split() for line in lines[1:]] == [["label", "0", "ok"], ["probabilities", "0", "ok"]]


def test_as_json(command, model: Path) -> None:
    done = command("verify", model, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found == {
        "ok": True, "n_rows": 4, "tolerance": 1e-05, "differences": {"label": 0.0, "probabilities": 0.0}, "failed": [],
    }  # fmt: skip


@pytest.fixture
def altered(model: Path) -> Path:
    """Its last layer a little larger, with a checksum that is right: the file is whole, and not what it was."""
    data = model.read_bytes()
    made = onnx.load_from_string(data)
    bias = next(each for each in reversed(made.graph.initializer) if each.name.startswith("net/") and len(each.dims) == 1)
    array = onnx.numpy_helper.to_array(bias)
    bias.CopyFrom(onnx.numpy_helper.from_array(array + np.linspace(0, 0.01, len(array)).astype(array.dtype), bias.name))
    model.write_bytes(embed(made, read_metadata(data)))
    return model


def test_weights_that_were_changed(command, altered: Path) -> None:
    done = command("verify", altered)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.err == (
        f"onnxlearn: {altered} gives other outputs on this machine (probabilities): compare the versions of onnxruntime "
        "(onnxlearn inspect, onnxlearn doctor)\n"
    )
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()[1:]}
    assert rows["label"] == ["0", "ok"]
    assert rows["probabilities"][1] == "differs"
    assert 1e-5 < float(rows["probabilities"][0]) < 0.01
    assert command("verify", altered, "--tolerance", "0.01").code == 0
    found = command("verify", altered, "--json")
    assert found.code == 2
    assert json.loads(found.out)["failed"] == ["probabilities"]


@pytest.mark.parametrize("tolerance", ["-1", "nan"])
def test_a_tolerance_that_is_none(command, model: Path, tolerance: str) -> None:
    done = command("verify", model, "--tolerance", tolerance)
    assert done.code == 2
    assert "tolerance has to be a number from 0" in done.error


def test_a_file_without_rows(command, model: Path) -> None:
    data = model.read_bytes()
    document = {key: value for key, value in read_metadata(data).items() if key != "self_test"}
    model.write_bytes(embed(onnx.load_from_string(data), document))
    done = command("verify", model)
    assert done.code == 2
    assert "has no rows to verify it with" in done.error


def loop(graph: onnx.GraphProto) -> None:
    """Noise that is added to nothing: no learner's operator."""
    graph.node.append(onnx.helper.make_node("RandomNormal", [], ["net/noise"], name="net/noise", shape=[1]))


def elsewhere(graph: onnx.GraphProto) -> None:
    tensor = max(graph.initializer, key=lambda each: len(each.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


@pytest.mark.parametrize("name", ["verify", "inspect", "predict", "evaluate", "export"])
@pytest.mark.parametrize("change", [loop, elsewhere])
def test_files_that_are_refused(command, model: Path, name: str, change) -> None:
    data = model.read_bytes()
    made = onnx.load_from_string(data)
    change(made.graph)
    model.write_bytes(embed(made, read_metadata(data)))
    further = {"predict": ["example:penguins"], "evaluate": ["example:penguins"], "export": ["--to", "onnx", "--out", "o.onnx"]}
    done = command(name, model, *further.get(name, []))
    assert done.code == 2
    assert done.error.startswith(f"{model} is refused: ")
    assert ("ONNXLEARN_TRUST=1" in done.error) == (change is loop)


def test_a_file_that_is_trusted(command, model: Path, monkeypatch) -> None:
    data = model.read_bytes()
    made = onnx.load_from_string(data)
    loop(made.graph)
    model.write_bytes(embed(made, read_metadata(data)))
    monkeypatch.setenv("ONNXLEARN_TRUST", "1")
    for arguments in (["verify", model], ["predict", model, "example:penguins"], ["inspect", model]):
        assert command(*arguments).code == 0
