"""``onnxlearn fit --out-of-fold``: what the networks of folds say of the rows that they have not seen, as a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.registry import learner_infos

BAGGING = ("--learner", "bagging", "--set", "n_folds=2", "--set", "d_block=8", "--set", "n_blocks=1")


def fit(command, *options, data="example:penguins", target="species"):
    return command("fit", data, "--target", target, *BAGGING, "--set", "max_epochs=2", *options)


def test_the_table_has_a_line_for_each_row_and_the_scores_of_the_file(command) -> None:
    done = fit(command, "--out-of-fold", "oof.csv")
    assert done.code == 0, done.err
    assert "wrote oof.csv (344 rows out of fold)" in done.out.splitlines()
    frame, table = pd.read_csv("oof.csv"), ol.Task.from_file("example:penguins", "species").frame
    assert frame.columns.tolist() == ["row", "label", "prob_Adelie", "prob_Chinstrap", "prob_Gentoo"]
    assert frame["row"].tolist() == list(range(344))
    scores = ol.load("model.onnx").scores["out_of_fold"]
    assert np.mean(frame["label"].to_numpy() == table["species"].to_numpy()) == scores["acc"]


def test_rows_set_aside_are_not_in_it(command) -> None:
    pd.DataFrame({"x": np.arange(80) % 7, "y": np.arange(80) % 7 * 2.0 + np.arange(80) % 3}).to_csv("t.csv", index=False)
    options = ("--test", "0.25", "--seed", "3", "--set", "coverage=0.5", "--out-of-fold", "oof.jsonl")
    done = fit(command, *options, data="t.csv", target="y")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in Path("oof.jsonl").read_text().splitlines()]
    assert list(lines[0]) == ["row", "prediction", "lower", "upper"]
    train, _ = ol.Task.from_file("t.csv", "y").split(0.25, 3)
    rows = [line["row"] for line in lines]
    assert rows == sorted(set(rows))
    assert set(rows) < set(train.frame.index)
    assert len(rows) == train.n_rows - ol.load("model.onnx").metadata["training"]["n_calibration_rows"]
    truth = pd.read_csv("t.csv")["y"].to_numpy()[rows]
    error = np.sqrt(np.mean((truth - np.array([line["prediction"] for line in lines])) ** 2))
    assert error == pytest.approx(ol.load("model.onnx").scores["out_of_fold"]["rmse"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--learner", "mlp", "--out-of-fold", "oof.csv"),
            "--out-of-fold is for learners that predict each row without having seen it, 'auto', 'bagging', not for 'mlp'",
        ),
        ((*BAGGING, "--out-of-fold", "oof.txt"), "cannot tell the format of 'oof.txt' by its suffix: give one of .csv"),
        ((*BAGGING, "--out-of-fold", "-"), "--out-of-fold has to be a file: standard output gets the scores"),
        ((*BAGGING, "--out-of-fold", "t.csv"), "the output 't.csv' is the input 't.csv': it would be lost"),
        (
            (*BAGGING, "--out", "m.csv", "--out-of-fold", "./m.csv"),
            "--out and --out-of-fold are the same file 'm.csv': choose another name for one of them",
        ),
        ((*BAGGING, "--out-of-fold", "nowhere/oof.csv"), "cannot write"),
    ],
)
def test_what_cannot_be_is_refused_before_training(command, options, message) -> None:
    Path("t.csv").write_text("x,y\n1,a\n2,b\n")
    done = command("fit", "t.csv", "--target", "y", *options, "--set", "max_epochs=1000000")
    assert done.code == 2
    assert done.error.startswith(message)
    assert [path.name for path in Path().iterdir()] == ["t.csv"]


def test_parquet_without_pyarrow_is_refused_before_training(command, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = fit(command, "--out-of-fold", "oof.parquet")
    assert done.error == "writing .parquet files needs the package pyarrow: pip install 'onnxlearn[files]'"


def test_the_record_tells_which_learners_have_it() -> None:
    assert [name for name, info in learner_infos().items() if info.out_of_fold] == ["auto", "bagging"]
