"""``inspect``, ``learners``, ``measures``, ``examples``, ``doctor``, ``export``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxlearn as ol
from onnxlearn.measures import EXAMPLES, all_measures, get


def test_the_card(command, model: Path) -> None:
    done = command("inspect", model)
    assert (done.code, done.err) == (0, "")
    for text in (
        "species, one of 3 classes",
        "bill_length_mm",
        "categorical",
        "validation (used to choose the epoch)",
        "max_epochs=3",
    ):
        assert text in done.out


def test_learners(command) -> None:
    lines = command("learners").out.splitlines()
    assert [line.split()[0] for line in lines] == ["learner", *ol.learners()]


@pytest.mark.parametrize("name", list(ol.learners()))
def test_parameters_of_a_learner(command, name: str) -> None:
    done = command("learners", name)
    assert done.code == 0, done.err
    record, _, params = done.out.partition("\n\n")
    info = ol.learners()[name]
    assert " ".join(f"what {info.summary} when {info.use} tasks {', '.join(info.tasks)} columns".split()) in " ".join(
        record.split()
    )
    names = [line.split(" = ")[0] for line in params.splitlines() if not line.startswith(" ")]
    assert names == [param.name for param in ol.learner(name).params]
    assert max(map(len, done.out.splitlines())) <= 110


def test_measures(command) -> None:
    lines = command("measures").out.splitlines()
    assert lines[0].split() == ["measure", "tasks", "better", "range", "needs", "folds"]
    listed = [*all_measures(), *map(get, EXAMPLES)]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == [measure.name for measure in listed]
    assert " ".join(" ".join(lines).split()).count("same as recall") == 2
    assert max(map(len, lines)) <= 100


def test_one_measure(command) -> None:
    shown = dict(line.split(maxsplit=1) for line in command("measures", "dor").out.splitlines())
    assert shown == {
        "what": "diagnostic odds ratio, tp * tn / (fp * fn); infinite where fp or fn alone is 0",
        "tasks": "classification, two classes",
        "better": "larger",
        "range": "[0, inf)",
        "needs": "labels",
        "weights": "count",
        "folds": "macro",
        "undefined": "where fp or fn is 0, and so is tp or tn",
    }
    assert "recall counting 3 times as much" in command("measures", "fbeta_3").out
    failed = command("measures", "rsme")
    assert failed.code == 2
    assert failed.err.endswith("Did you mean 'rmse'?\n")


def test_examples(command) -> None:
    heads, *lines = command("examples").out.splitlines()
    assert heads.split() == ["example", "task", "rows", "features", "target", "what", "it", "is"]
    assert [line.split()[0] for line in lines] == list(ol.example_tasks())
    assert max(map(len, lines)) <= 127  # what a wide window shows


def test_examples_are_listed_without_numpy() -> None:
    code = """
import sys
from onnxlearn_cli import main
assert main(["examples"]) == 0
heavy = [name for name in ("numpy", "pandas", "sklearn", "torch") if name in sys.modules]
assert not heavy, heavy
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_doctor(command) -> None:
    done = command("doctor")
    assert done.code == 0
    assert "CPUExecutionProvider" in done.out
    assert "works" in done.out


def test_export_at_another_opset(command, model: Path) -> None:
    done = command("export", model, "--to", "onnx", "--opset", "21", "--out", "new.onnx")
    assert (done.code, done.out, done.err) == (0, "wrote new.onnx\n", "")
    assert {entry.domain: entry.version for entry in onnx.load("new.onnx").opset_import}[""] == 21
    old, new = (ol.load(path).predict(ol.Task.from_file("example:penguins", "species")) for path in (model, "new.onnx"))
    assert new.response.tolist() == old.response.tolist()
    np.testing.assert_allclose(new.prob, old.prob, atol=1e-6)


def test_export_with_labels_as_positions(command, model: Path) -> None:
    assert command("export", model, "--to", "onnx", "--labels", "indices", "--out", "new.onnx").code == 0
    label = next(output for output in onnx.load("new.onnx").graph.output if output.name == "label")
    assert label.type.tensor_type.elem_type == onnx.TensorProto.INT64


def test_export_of_folders_for_servers(command, model: Path) -> None:
    """Named as people name folders; a repository of Triton's takes a second version, other folders nothing more."""
    for target, file in {"kserve": "model-settings.json", "triton": "penguins/config.pbtxt"}.items():
        out = f"für {target}"
        done = command("export", model, "--to", target, "--out", out)
        assert (done.code, done.out) == (0, f"wrote {out}\n")
        assert f"'{out}'" in done.err
        assert Path(out, file).is_file()
        again = command("export", model, "--to", target, "--out", out)
        assert again.code == 2
        assert ("give version=2" if target == "triton" else "the folder holds something") in again.error
    done = command("export", model, "--to", "triton", "--set", "name=None", "--set", "version=2", "--out", "für triton")
    assert done.code == 0
    assert [path.name for path in Path("für triton").iterdir()] == ["penguins"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--to", "onnx", "--opset", "9"], "opset has to be 18 to 26 for this file, not 9"),
        (["--to", "onnx", "--opset", "99"], "opset has to be 18 to 26 for this file, not 99"),
        (["--to", "tflite"], "there is no target 'tflite'; there are .*'onnx'.*'web'"),
        (["--to", "onnx", "--labels", "both"], "labels has to be names .* indices .* None, not 'both'"),
    ],
)
def test_export_refuses(command, model: Path, arguments: list[str], line: str) -> None:
    done = command("export", model, *arguments, "--out", "new.onnx")
    assert re.search(line, done.error)
    assert done.code == 2
    assert not Path("new.onnx").exists()


def test_export_without_its_package(model: Path) -> None:
    code = f"""
import sys
sys.modules["onnx"] = None
from onnxlearn_cli import main
sys.exit(main(["export", {str(model)!r}, "--to", "onnx", "--out", {str(model.with_name("new.onnx"))!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "onnxlearn: error: making an ONNX file needs the package onnx: pip install 'onnxlearn[export]'\n"
