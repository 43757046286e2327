"""``onnxlearn bench``: table, JSON and plot of how fast a file runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

QUICK = ["--seconds", "0.01", "--batch", "1", "--batch", "20", "--threads", "1"]


@pytest.fixture(autouse=True)
def one_process_each(monkeypatch) -> None:
    monkeypatch.setattr("onnxlearn.inference.start.TIMES", 1)


def test_the_table_tells_what_ran_where(command, model) -> None:
    done = command("bench", model, "example:penguins", *QUICK, "--json", "bench.json", "--plot", "bench.svg")
    assert done.code == 0, done.err
    document = json.loads(Path("bench.json").read_text(encoding="utf-8"))
    versions, file, _, head, *rows = done.out.splitlines()
    assert document["about"]["versions"]["onnxruntime"] in versions
    assert file == f"penguins: mlp, float32, {document['files'][0]['n_bytes'] / 1e6:.2f} MB"
    assert head.split("  ")[0] == "file"
    assert [row.split()[:6] for row in rows[:4]] == [
        ["penguins", engine, "CPU", "float32", size, "1"] for engine in ("onnxruntime", "torch") for size in ("1", "20")
    ]
    assert rows[0].split()[6] == f"{document['timings'][0]['p50_ms']:.4g}"
    assert rows[5].split() == ["fresh", "process", "import", "s", "load", "s", "first", "row", "ms", "peak", "MB"]
    assert [row.split()[0] for row in rows[6:8]] == ["penguins", "torch"]
    assert any(row.startswith("note: torch: the network alone, with weights that are not trained") for row in rows[8:])
    assert Path("bench.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert done.err.splitlines()[-2:] == ["onnxlearn: wrote bench.json", "onnxlearn: wrote bench.svg"]


def test_json_on_standard_output_is_all_there_is(command, model) -> None:
    done = command("bench", model, *QUICK, "--no-torch", "--json", "-")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert [timing["engine"] for timing in document["timings"]] == ["onnxruntime"] * 2
    assert [start["what"] for start in document["starts"]] == ["penguins"]


def test_two_files(command, model) -> None:
    other = model.with_name("other.onnx")
    other.write_bytes(model.read_bytes())
    done = command("bench", model, "--against", other, *QUICK, "--no-torch", "--json", "-")
    assert {timing["file"] for timing in json.loads(done.out)["timings"]} == {"penguins", "other"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.csv"], "there is no file 'nowhere.csv'"),
        (["--batch", "0"], "'--batch': 0 is not in the range"),
        (["--seconds", "-1"], "seconds has to be a number > 0, not -1"),
        (["--provider", "tpu"], "'tpu' is not one of"),
        (["--json", "nowhere/b.json"], "there is no folder"),
        (["--json", "penguins.onnx"], "the output 'penguins.onnx' is the input"),
        (["--plot", "penguins.onnx"], "a plot is one of .svg, .png, .pdf"),
        (["-", "--format", "csv", "--against", "penguins.onnx"], "standard input can be read once"),
        (["-"], "standard input has no suffix"),
    ],
)
def test_bad_options(command, model, options, message) -> None:
    before = model.read_bytes()
    done = command("bench", model, *options)
    assert done.code == 2
    assert message in done.error
    assert [path.name for path in Path().iterdir()] == ["penguins.onnx"]
    assert model.read_bytes() == before
