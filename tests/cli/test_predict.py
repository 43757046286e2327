"""``onnxlearn predict`` and ``evaluate``: the library's own numbers, in and out of every kind of file."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol

CLASSES = ["Adelie", "Chinstrap", "Gentoo"]
EXAMPLE = Path(ol.__file__).parent / "data/penguins.csv"
OWN_MEASURE = """
import onnxlearn as ol

@ol.measure("first_class", task="classification", needs="labels", minimize=None, low=0, high=1)
def first(outcome):
    "share of rows taken for the first class"
    return outcome.mean(outcome.response == 0)
"""


@pytest.fixture(scope="module")
def penguins() -> pd.DataFrame:
    return pd.read_csv(EXAMPLE)


@pytest.fixture(scope="module")
def expected(trained: Path, penguins: pd.DataFrame) -> pd.DataFrame:
    return ol.load(trained).predict(penguins).to_frame().reset_index(drop=True)


def same(written: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=0, atol=0)


def test_to_standard_output(command, model: Path, expected: pd.DataFrame) -> None:
    done = command("predict", model, "example:penguins")
    assert (done.code, done.err) == (0, "")
    written = pd.read_csv(io.StringIO(done.out), dtype={f"prob_{name}": np.float32 for name in CLASSES})
    assert list(written.columns) == ["label", *(f"prob_{name}" for name in CLASSES)]
    same(written, expected)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".feather", ".csv.gz", ".jsonl.gz"])
def test_from_every_kind_of_file(command, model: Path, penguins: pd.DataFrame, suffix: str) -> None:
    plain = command("predict", model, "example:penguins").out
    path = Path(f"table{suffix}")
    writers = {
        ".csv": lambda frame: frame.to_csv(index=False, na_rep="NA").encode(),
        ".tsv": lambda frame: frame.to_csv(index=False, sep="\t").encode(),
        ".jsonl": lambda frame: frame.to_json(orient="records", lines=True).encode(),
    }
    if suffix == ".parquet":
        penguins.to_parquet(path)
    elif suffix == ".feather":
        penguins.to_feather(path)
    else:
        content = writers[path.suffixes[0]](penguins)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    done = command("predict", model, path)
    assert done.code == 0, done.err
    assert done.out == plain


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".feather"])
def test_to_every_kind_of_file(command, model: Path, expected: pd.DataFrame, suffix: str) -> None:
    path = Path(f"p{suffix}")
    done = command("predict", model, "example:penguins", "--out", path)
    assert (done.code, done.out) == (0, "")
    readers = {
        ".csv": pd.read_csv,
        ".tsv": lambda path: pd.read_csv(path, sep="\t"),
        ".jsonl": lambda path: pd.read_json(path, lines=True),
        ".parquet": pd.read_parquet,
        ".feather": pd.read_feather,
    }
    written = readers[suffix](path)
    assert list(written.columns) == list(expected.columns)
    assert written["label"].tolist() == expected["label"].tolist()
    np.testing.assert_allclose(written[expected.columns[1:]], expected[expected.columns[1:]], rtol=1e-6)


def test_standard_input(command, model: Path) -> None:
    done = command("predict", model, "-", "--format", "csv", stdin=EXAMPLE.read_bytes())
    assert done.code == 0, done.err
    assert done.out == command("predict", model, "example:penguins").out


def test_columns_to_keep(command, model: Path, penguins: pd.DataFrame) -> None:
    done = command("predict", model, "example:penguins", "--keep", "sex", "--keep", "body_mass_g")
    lines = [line.split(",") for line in done.out.splitlines()]
    assert lines[0] == ["sex", "body_mass_g", "label", *(f"prob_{name}" for name in CLASSES)]
    cells = [line.split(",") for line in EXAMPLE.read_text().splitlines()]
    sex, mass = cells[0].index("sex"), cells[0].index("body_mass_g")
    assert [line[:2] for line in lines[1:]] == [[line[sex], line[mass]] for line in cells[1:]]


def test_other_columns_are_ignored_and_order_is_free(command, model: Path, penguins: pd.DataFrame) -> None:
    penguins[sorted(penguins.columns)].assign(beak="x").to_csv("t.csv", index=False)
    done = command("predict", model, "t.csv")
    assert done.out == command("predict", model, "example:penguins").out


def test_no_rows(command, model: Path, penguins: pd.DataFrame) -> None:
    penguins.head(0).to_json("t.jsonl", orient="records", lines=True)
    penguins.head(0).to_parquet("t.parquet")
    done = command("predict", model, "t.parquet")
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["label,prob_Adelie,prob_Chinstrap,prob_Gentoo"]


def test_evaluate_gives_the_scores_of_the_library(command, model: Path, penguins: pd.DataFrame) -> None:
    done = command("evaluate", model, "example:penguins", "--measure", "acc", "--measure", "logloss")
    assert (done.code, done.err) == (0, "")
    scores = ol.load(model).score(penguins, "acc", "logloss")
    assert [line.split() for line in done.out.splitlines()] == [
        ["measure", "score"],
        *([k, f"{v:.4g}"] for k, v in scores.items()),
    ]


def test_evaluate_by_a_measure_of_ones_own(command, model: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(ol.measures.registry, "MEASURES", dict(ol.measures.MEASURES))
    Path("scores_of_test.py").write_text(OWN_MEASURE)
    done = command("evaluate", model, "example:penguins", "--measure", "scores_of_test:first", "--measure", "first_class")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split() == ["measure", "score"]
    share = (ol.load(model).predict(ol.Task.from_file("example:penguins", "species")).response == "Adelie").mean()
    assert float(done.out.splitlines()[1].split()[1]) == pytest.approx(share, abs=1e-4)
    assert "share of rows taken for the first class" in command("measures", "scores_of_test:first").out


def test_evaluate_by_default(command, model: Path) -> None:
    names = [line.split()[0] for line in command("evaluate", model, "example:penguins").out.splitlines()[1:]]
    assert set(names) == set(ol.load(model).scores["validation"])


def test_predicting_needs_neither_torch_nor_pandas(model: Path) -> None:
    """Nothing but numpy and ONNX Runtime is imported on the way from CSV to CSV: that is what makes it start quickly."""
    code = f"""
import sys
from onnxlearn_cli import main
assert main(["predict", {str(model)!r}, "example:penguins", "--out", "p.csv"]) == 0
heavy = ["torch", "pandas", "sklearn", "pyarrow", "onnx", "rich"]
found = [name for name in heavy if name in sys.modules]
assert not found, found
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=model.parent, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len((model.parent / "p.csv").read_text().splitlines()) == 345


def test_predicting_where_torch_cannot_be_imported(model: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from onnxlearn_cli import main
sys.exit(main(["evaluate", {str(model)!r}, "example:penguins", "--measure", "acc"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=model.parent, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[:3] == ["measure", "score", "acc"]


def test_inspect_as_json_is_the_document(command, model: Path) -> None:
    document = json.loads(command("inspect", model, "--json").out)
    assert document["schema"]["target"]["classes"] == CLASSES
    assert document == json.loads(json.dumps(ol.load(model).inspect()))
