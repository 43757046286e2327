"""``onnxlearn importance`` and ``onnxlearn dependence``: as the library, in a table, a file and a plot."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import onnxlearn as ol


def test_importance_is_that_of_the_library(command, model) -> None:
    options = ["--measure", "acc", "--repeats", "2", "--seed", "3", "--together", "bill=bill_length_mm,bill_depth_mm"]
    done = command("importance", model, "example:penguins", *options, "--out", "i.csv", "--plot", "i.svg")
    assert done.code == 0, done.err
    groups = {"bill": ["bill_length_mm", "bill_depth_mm"]}
    expected = ol.importance(ol.load(model), "example:penguins", measure="acc", repeats=2, seed=3, groups=groups)
    pd.testing.assert_frame_equal(pd.read_csv("i.csv"), expected.to_frame())
    head, first, *_ = done.out.splitlines()
    assert head.split() == ["column", "importance", "sd", "se"]
    assert first.split() == [
        expected.rows()[0]["column"], *(f"{expected.rows()[0][name]:.4g}" for name in ("importance", "sd", "se")),
    ]  # fmt: skip
    assert f"onnxlearn: {expected.headline()}" in done.err
    assert Path("i.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_dependence_is_that_of_the_library(command, model) -> None:
    options = ["--column", "body_mass_g", "--points", "5", "--of", "Gentoo"]
    done = command("dependence", model, "example:penguins", *options, "--out", "d.parquet", "--plot", "d.png", "--curves")
    assert done.code == 0, done.err
    expected = ol.partial_dependence(ol.load(model), "example:penguins", "body_mass_g", n_points=5, of=["Gentoo"]).to_frame()
    pd.testing.assert_frame_equal(pd.read_parquet("d.parquet"), expected)
    head, *lines = done.out.splitlines()
    assert head.split() == ["body_mass_g", "prob_Gentoo"]
    assert [line.split()[0] for line in lines] == [*(f"{mass:.0f}" for mass in expected["body_mass_g"][:5]), "missing"]
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")


def test_a_surface(command, model) -> None:
    done = command("dependence", model, "example:penguins", "--column", "sex", "--column", "island", "--of", "Gentoo")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1 + 3 * 3


def test_the_same_call_draws_the_same_bytes(command, model) -> None:
    for name in ("a.svg", "b.svg"):
        assert command("importance", model, "example:penguins", "--repeats", "2", "--plot", name).code == 0
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["importance", "--measure", "rmse"], "measure 'rmse' is for regression"),
        (["importance", "--repeats", "0"], "'--repeats': 0 is not in the range"),
        (["importance", "--together", "bill"], "--together takes NAME=VALUE, not 'bill'"),
        (["importance", "--together", "bill=beak"], "group 'bill' names 'beak', no feature of the model"),
        (["importance", "--out", "-"], "--out has to be a file"),
        (["importance", "--out", "i.txt"], "cannot tell the format of 'i.txt'"),
        (["importance", "--plot", "i.jpg"], "cannot draw 'i.jpg': a plot is one of .svg, .png, .pdf"),
        (["importance", "--plot", "nowhere/i.svg"], "there is no folder"),
        (["dependence", "--column", "species"], "column 'species' is what the model predicts"),
        (["dependence", "--column", "sexx"], "Did you mean 'sex'?"),
        (["dependence", "--column", "sex", "--of", "Emperor"], "has to be some of the model's classes"),
        (["dependence", "--column", "sex", "--column", "island", "--plot", "s.svg"], "a surface shows one class"),
        (["dependence", "--column", "sex", "--curves"], "--curves are drawn: say where with --plot"),
        (["dependence", "--column", "sex", "--column", "island", "--curves", "--plot", "s.svg"], "have a surface of averages"),
        (["dependence", "--column", "sex", "--points", "1"], "'--points': 1 is not in the range"),
    ],
)
def test_bad_options(command, model, arguments, message) -> None:
    name, *options = arguments
    done = command(name, model, "example:penguins", *options)
    assert done.code == 2
    assert message in done.error
    assert [path.name for path in Path().iterdir()] == ["penguins.onnx"]


def test_a_table_without_the_target_is_refused(command, model) -> None:
    ol.example_task("penguins").frame.drop(columns="species").to_csv("x.csv", index=False)
    assert "this cannot be scored: the table has no column 'species'" in command("importance", model, "x.csv").error
    assert command("dependence", model, "x.csv", "--column", "sex").code == 0


def test_without_matplotlib_the_way_out_is_told_before_anything_runs(command, model, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = command("importance", model, "example:penguins", "--plot", "i.svg")
    assert done.error == "a plot needs the package matplotlib: pip install 'onnxlearn[plot]'"
    assert command("importance", model, "example:penguins", "--repeats", "1").code == 0


def test_a_missing_level_is_null_in_parquet(command) -> None:
    command("fit", "example:penguins", "--target", "species", "--learner", "linear", "--set", "max_epochs=1", "--out", "m.onnx")
    done = command("dependence", "m.onnx", "example:penguins", "--column", "sex", "--of", "Adelie", "--out", "d.parquet")
    assert done.code == 0, done.err
    assert pd.read_parquet("d.parquet")["sex"].tolist()[:2] == ["female", "male"]
    assert pd.read_parquet("d.parquet")["sex"].isna().tolist() == [False, False, True]
