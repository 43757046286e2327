"""``example:NAME`` wherever a table is read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import onnxlearn as ol


@pytest.mark.parametrize("name", ["iris", "linnerud", "moons", "friedman1"])
def test_fit_predict_and_evaluate(command, folder: Path, name: str) -> None:
    info, data = ol.example_tasks()[name], f"example:{name}"
    targets = [part for column in info.target for part in ("--target", column)]
    done = command("fit", data, *targets, "--learner", "featureless", "--out", "m.onnx")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"next: onnxlearn predict m.onnx {data} --out predictions.csv"
    assert command("predict", "m.onnx", data, "--out", "p.csv").code == 0
    assert len(pd.read_csv("p.csv")) == info.n_rows
    measure = "acc" if info.type == "classification" else "rmse"
    shown = command("evaluate", "m.onnx", data, "--measure", measure).out.split()[-1]
    score = ol.load("m.onnx").predict(ol.example_task(name)).score(measure)
    assert float(shown) == pytest.approx(score, rel=1e-3)


def test_an_unknown_example_is_one_line(command, folder: Path) -> None:
    done = command("fit", "example:moon", "--target", "class", "--learner", "featureless")
    assert done.code == 2
    assert "there is no example 'moon'" in done.error
    assert done.error.rstrip().endswith("Did you mean 'moons'?")
