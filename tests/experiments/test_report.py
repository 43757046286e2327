"""The report: its numbers are the stored ones, it needs nothing else, and nothing in it can run."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.card import number
from onnxlearn.errors import DataError, DataTypeError, MissingExtraError, OutputError
from onnxlearn.reporting.page import render
from tests.experiments.learners import Failing
from tests.experiments.pages import Page

QUICK = ol.learner("linear", max_epochs=2, seed=0)
FEATURELESS = ol.learner("featureless")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three learners, one of which fails, on tasks of both types, stored."""
    path = tmp_path_factory.mktemp("results") / "r"
    tasks = [ol.example_task(name) for name in ("penguins", "diabetes")]
    learners = {"quick": QUICK, "guess": FEATURELESS, "failing": Failing()}
    ol.benchmark(tasks, learners, ol.CV(2), ["acc", "auc", "rmse", "file_size"], store=path, progress=False)
    return path


@pytest.fixture(scope="module")
def text(folder) -> str:
    return render(ol.BenchmarkResult.load(folder))


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_every_number_shown_is_one_of_four_digits_of_its_value(page) -> None:
    tables = [table for several in page.tables.values() for table in several]
    pairs = [pair for table in tables for row in table.rows for _, values in row for pair in values]
    assert len(pairs) > 150
    for shown, value in pairs:
        as_count = f"{int(value):,}" if value.isdecimal() else ""
        assert shown in (as_count, number(float(value or "nan"))), (shown, value)


@pytest.mark.parametrize("task", ["penguins", "diabetes"])
def test_the_iterations_are_those_of_the_folder(folder, page, task) -> None:
    result = ol.BenchmarkResult.load(folder).filter(tasks=task)
    table = page.find(task, "Every iteration")
    columns = {
        "iteration": lambda r: r.iteration, "training rows": lambda r: r.n_train, "test rows": lambda r: r.n_test,
        "fit, seconds": lambda r: r.seconds_train, "predict, seconds": lambda r: r.seconds_predict,
        "file, bytes": lambda r: r.n_bytes,
    }  # fmt: skip
    measures = ["rmse", "file_size"] if task == "diabetes" else ["acc", "auc", "file_size"]
    columns |= {name: lambda r, name=name: r.scores.get(name) for name in measures}
    assert set(table.head) == {"learner", "status", *columns}
    assert [row[0][0] for row in table.rows] == [record.learner for record in result.records]
    for name, value_of in columns.items():
        stored = [value_of(record) for record in result.records]
        assert table.values(name) == [["" if value is None else repr(value)] for value in stored]


@pytest.mark.parametrize("task", ["penguins", "diabetes"])
def test_means_and_errors_are_those_of_the_library(folder, page, task) -> None:
    result = ol.BenchmarkResult.load(folder).filter(tasks=task)
    table = page.find(task, "Mean over the iterations")
    lines = result.aggregate().to_dict("records")
    for name in table.head[1:-2]:
        means = {mean.learner: mean for mean in ol.statistics.means(result.statistics(name)).means}
        expected = [[line[name], means[line["learner"]].se] for line in lines]
        assert table.values(name) == [[repr(value) for value in pair if value == value] or [""] for pair in expected]
    assert table.values("failed") == [[str(line["n_failed"])] for line in lines]


def test_costs_are_means_of_what_is_stored(folder, page) -> None:
    table = page.find("penguins", "Mean time to fit")
    records = [r for r in ol.BenchmarkResult.load(folder).records if (r.task, r.learner) == ("penguins", "quick")]
    row = dict(zip(table.head, table.rows[0], strict=True))
    assert float(row["fit, seconds"][1][0][1]) == pytest.approx(np.mean([r.seconds_train for r in records]), rel=1e-12)
    assert float(row["file, MB"][1][0][1]) == pytest.approx(np.mean([r.n_bytes for r in records]) / 1e6, rel=1e-12)


def test_ranks_and_tasks_by_learners(folder, page) -> None:
    result = ol.BenchmarkResult.load(folder)
    matrix = page.find("file_size over tasks", "file_size by task")
    assert matrix.head == ["task", "quick", "guess", "failing"]
    for row in matrix.rows:
        values = result.filter(tasks=row[0][0]).aggregate().set_index("learner")["file_size"]
        assert [value for _, pairs in row[1:] for _, value in pairs] == [
            "" if math.isnan(values[name]) else repr(float(values[name])) for name in matrix.head[1:]
        ]
    assert "No ranks by file_size: every file_size has to be a finite number; learner 'failing'" in " ".join(page.text)
    whole = result.filter(learners=["quick", "guess"])
    expected = ol.statistics.ranks(whole.statistics("file_size"))
    ranks = Page(render(whole)).find("file_size over tasks", "Ranks by file_size over 2 tasks")
    assert ranks.values("mean rank") == [[repr(row["mean_rank"])] for row in expected.rows()]
    assert ranks.values("best on tasks") == [[str(row["n_best"])] for row in expected.rows()]


def test_what_was_compared_and_what_failed(folder, page) -> None:
    tasks = page.find("What was compared", "Tasks")
    assert [cell for cell, _ in tasks.rows[0]] == [
        "penguins", "classification", "", "2 categorical, 5 numeric", "species, one of 3: Adelie, Chinstrap, Gentoo",
    ]  # fmt: skip
    assert tasks.values("rows") == [["344"], ["442"]]
    learners = page.find("What was compared", "Learners")
    assert [row[2][0] for row in learners.rows] == ["max_epochs=2, seed=0", "nothing", "nothing"]
    made = page.find("What was compared", "Made with")
    assert any("torch " in row[0][0] for row in made.rows)
    errors = ol.BenchmarkResult.load(folder).errors
    failed = page.find("Failures", "Iterations that failed")
    assert [(row[0][0], row[5][0]) for row in failed.rows] == list(zip(errors["task"], errors["error"], strict=True))
    assert failed.values("iteration") == [[str(i)] for i in errors["iteration"]]


def test_plots_suit_the_task(text) -> None:
    def captions(i):
        section = text[text.index(f'<section id="task-{i}">') :].partition("</section>")[0]
        return re.findall(r"<figcaption>(.*?)</figcaption>", section)

    assert captions(0)[:6] == ["acc", "auc", "file_size", "ROC", "Precision and recall", "Calibration"]
    assert captions(1)[:2] == ["rmse", "file_size"]
    assert captions(1).count("quick") == 3  # prediction against truth, residuals, learning curve
    assert text.count("<svg") == text.count("<figcaption>") > 15


def test_the_page_loads_nothing_and_has_one_script(text, page) -> None:
    assert page.tags.count("script") == 1
    assert all(link.startswith(("#", "data:,")) for link in page.links)
    assert "default-src 'none'" in text
    assert "http" not in re.sub(r"http-equiv|<a [^>]*>", "", text)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text)
    assert {a or b for a, b in targets} <= set(ids)


def test_colours_are_those_of_the_theme(text) -> None:
    drawings = " ".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) == set()
    assert {"--ink", "--c0", "--grid"} <= set(re.findall(r"var\((--\w+)\)", drawings))
    defined = set(re.findall(r"(--\w+):", text))
    assert set(re.findall(r"var\((--\w+)\)", text)) <= defined


def test_the_same_results_give_the_same_bytes(folder, text, tmp_path) -> None:
    """Also in another process, and whatever was set for other plots."""
    code = (
        "import sys, matplotlib, onnxlearn as ol\n"
        "matplotlib.rcParams.update({'font.size': 30, 'axes.facecolor': 'red', 'svg.fonttype': 'path'})\n"
        "ol.report(sys.argv[1], sys.argv[2])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    out = tmp_path / "report.html"
    subprocess.run([sys.executable, "-c", code, str(folder), str(out)], check=True, env=environment)
    assert out.read_text(encoding="utf-8") == text


def test_hostile_names_are_shown_and_do_nothing() -> None:
    bad = "<script>alert(1)</script>"
    frame = pd.DataFrame({"x <i>": [0.5, 1.5, 2.5] * 20, bad: ["</style><b>", "$y$ & 'z'"] * 30})
    task = ol.Task.from_frame(frame, bad, name="<img src=x onerror=alert(1)>")
    learners = {bad: FEATURELESS, "x" * 300: QUICK, '" onload="alert(1)': QUICK, "日本": FEATURELESS}
    text = render(ol.benchmark(task, learners, {"<b>": ol.CV(2)}, "acc", progress=False), title=bad)
    page = Page(text)
    assert page.tags.count("script") == 1
    assert not {"img", "b", "i"} & set(page.tags)
    names = [row[0][0] for row in page.find("What was compared", "Learners").rows]
    assert names == list(learners)
    assert page.find("What was compared", "Tasks").rows[0][4][0] == f"{bad}, one of 2: $y$ & 'z', </style><b>"


def test_without_predictions_the_page_says_what_is_missing(tmp_path) -> None:
    learners = [QUICK, FEATURELESS]
    kept = {"predictions": False, "histories": False, "store": tmp_path / "r"}
    for task, missing in (
        ("iris", "ROC, precision-recall, calibration and confusion"),
        ("diabetes", "predictions against the"),
    ):
        result = ol.benchmark(
            ol.example_task(task), learners, ol.Holdout(), progress=False, **kept | {"store": tmp_path / task}
        )
        ol.report(result, tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert f"There are no plots of {missing}" in page
        assert "the predictions were not kept: run it again with predictions=True" in page
        assert "linear, featureless: no curves: nothing was trained" in page
        assert page.count("<figure>") == 3


def test_where_everything_failed_there_is_a_page_all_the_same() -> None:
    result = ol.resample(ol.example_task("iris"), QUICK, ol.Holdout(), time_limit=1e-6, on_error="record")
    page = Page(render(result))
    assert len(page.find("Failures", "Iterations that failed").rows) == 1
    assert "no iteration has a acc: all failed" in " ".join(page.text)


def test_results_of_folders_without_their_measure(tmp_path, monkeypatch) -> None:
    """A folder knows a measure of one's own by its name alone."""
    monkeypatch.setattr(ol.measures.registry, "MEASURES", dict(ol.measures.MEASURES))

    @ol.measure("first_share", task="classification", needs="labels", minimize=False)
    def first_share(outcome):
        """share of rows that are predicted to be of the first class"""
        return outcome.mean(outcome.response == 0)

    tasks = [ol.example_task("iris"), ol.example_task("wine")]
    ol.benchmark(tasks, FEATURELESS, ol.CV(2), [first_share, "bacc"], store=tmp_path / "r", progress=False)
    del ol.measures.registry.MEASURES["first_share"]
    page = Page(render(ol.BenchmarkResult.load(tmp_path / "r")))
    assert page.find("iris", "Mean over the iterations").values("first_share") == [["1.0", "0.0"]]
    assert "bacc over tasks" in page.tables
    assert "first_share over tasks" not in page.tables


def test_several_resamplings_of_a_task_stand_apart() -> None:
    tasks = [ol.example_task("iris"), ol.example_task("wine")]
    result = ol.benchmark(tasks, FEATURELESS, {"cv": ol.CV(2), "once": ol.Holdout()}, "acc", progress=False)
    page = Page(render(result))
    assert {"iris by cv", "iris by once", "wine by cv", "acc over tasks, once"} <= set(page.tables)
    recipes = [row[1][0] for row in page.find("What was compared", "Resamplings").rows]
    assert recipes[0] == "CV(folds=2, repeats=1, seed=0, stratify=True)"
    assert len(page.find("iris by once", "Every iteration").rows) == 1


def test_bad_input(folder, tmp_path) -> None:
    with pytest.raises(DataError, match="no results folder"):
        ol.report(tmp_path, tmp_path / "report.html")
    with pytest.raises(DataTypeError, match="not of DataFrame"):
        ol.report(pd.DataFrame(), tmp_path / "report.html")
    with pytest.raises(DataError, match="no iteration is finished"):
        ol.report(ol.BenchmarkResult([], lambda record: None), tmp_path / "report.html")
    with pytest.raises(OutputError, match="it is a folder"):
        ol.report(folder, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_before_anything_is_drawn(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"a report needs the package jinja2: pip install 'onnxlearn\[report\]'"):
        ol.report(folder, tmp_path / "report.html")


@pytest.mark.slow
def test_five_learners_on_eight_tasks_are_below_three_megabytes(tmp_path) -> None:
    names = ["penguins", "iris", "wine", "breast_cancer", "digits", "moons", "diabetes", "friedman1"]
    learners = {f"linear, {n} epochs": QUICK.replace(max_epochs=n) for n in (2, 3, 4, 5)} | {"guess": FEATURELESS}
    result = ol.benchmark([ol.example_task(name) for name in names], learners, ol.CV(5), progress=False)
    ol.report(result, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_a_measure_without_a_better_end_is_shown_without_a_best(tmp_path) -> None:
    tasks = [ol.example_task("diabetes"), ol.example_task("friedman1")]
    text = render(ol.benchmark(tasks, [QUICK, FEATURELESS], ol.CV(2), "bias", progress=False))
    assert len(Page(text).find("friedman1", "Mean over the iterations").values("bias")[0]) == 2
    assert 'class="number best"' not in text
    assert "bias over tasks" not in text
    assert "bias (nearest 0 is better)" in text
