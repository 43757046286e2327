"""``export --to fp16`` and ``--to int8``: what it prints, what it refuses."""

from __future__ import annotations

import io

import pandas as pd
import pytest

import onnxlearn as ol

DATA = ("--set", "data=example:penguins", "--set", "seconds=0.01")


@pytest.fixture
def rows(folder):
    """Penguins as a file, with the holes that they have."""
    frame = ol.example_task("penguins").frame
    assert frame.isna().any().any()
    frame.to_csv("rows.csv", index=False)
    return frame


def test_what_it_prints(command, trained):
    done = command("export", trained, "--to", "int8", *DATA, "--out", "small.onnx")
    assert (done.code, done.out) == (0, "wrote small.onnx\n")
    lines = [line.removeprefix("onnxlearn: ") for line in done.err.splitlines()]
    assert lines[0].startswith("in INT8: ")
    assert " MB become " in lines[1]
    assert lines[2].startswith("a call, on one thread here: 1 row ")
    assert lines[3].startswith("moved on the 344 rows: label of ")
    assert lines[4].startswith("moved on missing, unseen and extreme values: label of ")
    told = "\n".join(lines[5:])
    for measure in ("acc", "logloss", "bacc", "mbrier", "auc"):
        assert measure in told
    # What decides stands first.
    assert lines[5].split() == ["before", "after", "change", "measure"]
    assert "logloss" in lines[6] + lines[7]


def test_the_file_is_used_as_any_other(command, trained, rows):
    assert command("export", trained, "--to", "fp16", *DATA, "--out", "half.onnx").code == 0
    assert command("verify", "half.onnx").code == 0
    shown = command("inspect", "half.onnx").out
    assert "converted  the network is in fp16" in shown
    assert "rows of the conversion" in shown
    before, after = (command("predict", path, "rows.csv") for path in (trained, "half.onnx"))
    assert before.out != after.out
    labels = [pd.read_csv(io.StringIO(done.out))["label"] for done in (before, after)]
    assert (labels[0] == labels[1]).mean() > 0.98
    scored = command("evaluate", "half.onnx", "rows.csv")
    logloss = next(line.split()[1] for line in scored.out.splitlines() if line.startswith("logloss"))
    assert f"logloss {logloss}" in shown


def test_static_ranges_from_a_file(command, trained, rows):
    rows.drop(columns="species").head(200).to_csv("some.csv", index=False)
    asked = ("--set", "mode=static", "--set", "calibration=some.csv", *DATA)
    done = command("export", trained, "--to", "int8", *asked, "--out", "small.onnx")
    assert done.code == 0
    assert "mode static" in command("inspect", "small.onnx").out


@pytest.mark.parametrize(
    ("to", "settings", "line"),
    [
        (
            "int8",
            [],
            "int8 changes what the model predicts, and data says how much: give data=, rows with the truth, or force=",
        ),
        ("fp16", ["data=gone.csv"], "there is no file 'gone.csv'"),
        ("fp16", ["data=untold.csv"], "this cannot be scored: the table has no column 'species'"),
        ("fp16", ["data=other.csv"], "the model needs column"),
        ("int8", ["data=rows.csv", "mode=static"], "mode 'static' needs rows to find the ranges of activations on: give calib"),
        ("int8", ["data=rows.csv", "calibration=rows.csv"], "target 'int8': calibration='rows.csv' changes nothing with mode="),
        ("int8", ["data=rows.csv", "measures=rmse"], "measure 'rmse' is for regression, the model does classification"),
        ("int8", ["data=rows.csv", "keep=Conv"], "keep: no operator or node of the network fits 'Conv'; its operators are"),
        ("int8", ["data=rows.csv", "bits=4"], "bits"),
        ("int8", ["data=rows.csv", "tolerance=-1"], "tolerance"),
    ],
)
def test_what_it_refuses(command, trained, rows, folder, to, settings, line):
    rows.drop(columns="species").to_csv("untold.csv", index=False)
    rows.drop(columns="island").to_csv("other.csv", index=False)
    options = [text for setting in settings for text in ("--set", setting)]
    done = command("export", trained, "--to", to, *options, "--out", "new.onnx")
    assert done.code == 2
    assert line in done.error
    assert not (folder / "new.onnx").exists()


def test_what_gets_worse_is_refused_unless_forced(command, trained, rows, folder):
    # One of so many gets worse, by however little.
    measures = "measures=logloss,mbrier,ece,mce,auc"
    asked = ("--set", "data=rows.csv", "--set", "tolerance=0", "--set", measures, "--set", "seconds=0")
    done = command("export", trained, "--to", "int8", *asked, "--out", "new.onnx")
    assert done.code == 2
    assert done.error.startswith("int8 makes ")
    assert done.error.endswith(
        "more than tolerance=0: keep= leaves operators in FLOAT, a larger tolerance= or force=true takes it"
    )
    assert not (folder / "new.onnx").exists()
    assert command("export", trained, "--to", "int8", *asked, "--set", "force=true", "--out", "new.onnx").code == 0
