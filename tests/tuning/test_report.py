"""The page of a search: its numbers are those of the trials, its file is what fit reads, and a folder gives the same page."""

import json
import re
import statistics

import pytest

import onnxlearn as ol
from onnxlearn.card import number
from onnxlearn.errors import DataError, OnnxlearnError, ParameterError
from onnxlearn.reporting.page import opened, render
from onnxlearn.tuning.files import read_params, with_params
from onnxlearn.tuning.ranges import Choice, Range, domain_from_dict
from onnxlearn.tuning.result import Tuning
from onnxlearn.tuning.trial import Trial
from tests.experiments.pages import Page
from tests.tuning.searches import by_lr, search, trial

QUICK = {"max_epochs": 2, "n_blocks": 1, "d_block": 4, "device": "cpu", "seed": 0}
SPACE = {
    "lr": ol.Range(1e-3, 0.1, log=True), "validation": [None, 0.25], "optimizer": ["adamw", "sgd"],
    "opt_momentum": ol.Range(0.5, 0.9, when={"batch_size": [16]}), "batch_size": [16, 64],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A search that is kept, one trial of which took too long."""
    path = tmp_path_factory.mktemp("searches") / "study"
    ol.tune(ol.example_task("iris"), ol.learner("mlp", **QUICK), SPACE, ol.CV(folds=2), budget=14, store=path, progress=False)
    return path


@pytest.fixture(scope="module")
def found(folder):
    return Tuning.load(folder)


def test_a_folder_gives_the_search_again(folder, found):
    again = ol.tune(
        ol.example_task("iris"), ol.learner("mlp", **QUICK), SPACE, ol.CV(folds=2), budget=14, store=folder, progress=False
    )
    assert again.all == found.all
    assert again.about == found.about
    assert again.learner() == found.learner()
    assert render(again) == render(found)
    assert {name: entry.domain for name, entry in found.space.entries[""].items()} == {
        name: entry.domain for name, entry in again.space.entries[""].items()
    }


@pytest.mark.parametrize(
    "domain",
    [
        Range(0.1, 2.0),
        Range(1, 64, log=True),
        Range(0.0, 1.0, step=0.25, when={"norm": "batch"}),
        Choice(None, "relu", 2, [1, 2]),
    ],
)
def test_domains_come_back_from_json(domain):
    assert domain_from_dict(json.loads(json.dumps({"name": "x", **domain.to_dict()}))) == domain


def own_loss(predictions, truth):
    return ((predictions - truth) ** 2).mean(dim=-1)


def test_of_code_a_folder_has_the_name(tmp_path):
    learner = ol.learner("mlp", **QUICK)
    space = {"loss": ["mse", own_loss]}
    given = {"resampling": ol.CV(folds=2), "budget": 3, "store": tmp_path / "study", "progress": False, "sampler": "grid"}
    whole = ol.tune(ol.example_task("diabetes"), learner, space, **given)
    assert [each.state for each in whole.all] == ["done", "done"], whole.all
    assert whole.learner(whole.all[1]).values["loss"] is own_loss
    read = Tuning.load(tmp_path / "study")
    assert read.all == whole.all
    with pytest.raises(OnnxlearnError, match="a folder has no code of learners"):
        read.learner()
    assert "There is no file of these parameters: a folder has no code" in render(read)
    assert texts(Page(render(read)).find("What was searched", "The space"), 1) == [f"mse, {own_loss.__module__}:own_loss"]


def texts(table, i):
    return [row[i][0] for row in table.rows]


def test_the_trials_are_those_of_the_search(found):
    table = Page(render(found)).find("Trials", "Every trial")
    assert table.head == [
        "trial", "state", "logloss", "epochs", "seconds", *dict.fromkeys(name for each in found.all for name in each.params),
    ]  # fmt: skip
    assert table.values("trial") == [[str(each.number)] for each in found.all]
    splits = [[one["logloss"] for one in each.by_split] for each in found.all]
    assert table.values("logloss") == [
        [repr(each.scores["logloss"]), repr(statistics.stdev(one))] for each, one in zip(found.all, splits, strict=True)
    ]
    assert table.values("seconds") == [[repr(each.seconds)] for each in found.all]
    assert table.values("lr") == [[repr(each.params["lr"]) if "lr" in each.params else ""] for each in found.all]
    i = table.head.index("validation")
    expected = ["" if "validation" not in each.params else str(each.params["validation"]) for each in found.all]
    assert [row[i][0] for row in table.rows] == expected
    assert texts(table, 1)[:2] == ["done,\u00a0as\u00a0given", "done"]


def test_every_number_shown_is_one_of_four_digits_of_its_value(found):
    page = Page(render(found))
    pairs = [pair for several in page.tables.values() for one in several for row in one.rows for _, vs in row for pair in vs]
    assert len(pairs) > 60
    for shown, value in pairs:
        assert shown in (value, number(float(value or "nan"))), (shown, value)


def test_the_file_on_the_page_is_what_fit_reads(found, tmp_path):
    code = re.search(r"<pre[^>]*><code>(.*?)</code>", render(found), re.DOTALL)[1]
    (tmp_path / "best.toml").write_text(code.replace("&#34;", '"'))
    name, params = read_params(tmp_path / "best.toml")
    assert with_params(ol.learner(name), params) == found.learner()
    assert f"# trial {found.best.number} of 14: logloss {found.best.scores['logloss']:.4g}" in code


def test_what_was_searched_and_how(found):
    page = Page(render(found))
    space = page.find("What was searched", "The space")
    told = dict(zip(texts(space, 0), texts(space, 1), strict=True))
    assert told == {
        "lr": "0.001 to 0.1, all orders of magnitude alike", "validation": "None, 0.25", "optimizer": "adamw, sgd",
        "opt_momentum": "0.5 to 0.9", "batch_size": "16, 64",
    }  # fmt: skip
    assert dict(zip(texts(space, 0), texts(space, 2), strict=True))["opt_momentum"] == "batch_size = 16"
    how = page.find("What was searched", "How")
    assert texts(how, 1)[:3] == [
        "CV(folds=2, repeats=1, seed=0, stratify=True), 2 splits", "logloss (smaller is better)", "tpe",
    ]  # fmt: skip
    text = " ".join(page.text)
    assert "Search for mlp on iris" in text
    assert "its own score flatters" in text
    drawn = page.find("Best parameters", "What it drew")
    assert texts(drawn, 0) == list(found.best.params)


def captions(text):
    return re.findall(r"<figcaption>(.*?)</figcaption>", text)


def test_the_plots_are_there_in_the_colours_of_the_theme(found):
    text = render(found)
    drawn = {name for each in found.all for name in each.params}
    assert captions(text) == ["logloss"] * 3 + [name for name in found.space.entries[""] if name in drawn]
    drawings = " ".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) == set()
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    page = Page(text)
    assert page.tags.count("script") == 1
    assert all(link.startswith(("#", "data:,")) for link in page.links)


def test_of_several_learners_and_measures(tmp_path):
    learners = {"net": ol.learner("mlp", **QUICK), "line": ol.learner("linear", max_epochs=2)}
    space = {"net": {"lr": SPACE["lr"]}, "line": {"lr": SPACE["lr"]}}
    given = {"resampling": ol.CV(folds=2), "measure": ["logloss", "acc"], "budget": 8, "progress": False}
    whole = ol.tune(ol.example_task("iris"), learners, space, store=tmp_path / "study", **given)
    ol.report(tmp_path / "study", tmp_path / "page.html", title="Which & how")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text == render(whole, "Which & how")
    assert "<h1>Which &amp; how</h1>" in text
    page = Page(text)
    front = page.find("Best parameters", "The front")
    assert front.values("trial") == [[str(each.number)] for each in whole.front]
    assert texts(page.find("Trials", "Every trial"), 2) == [each.learner for each in whole.all]
    assert captions(text)[:3] == ["logloss", "acc", "logloss and acc"]
    assert texts(page.find("What was searched", "Learners"), 0) == ["net", "line"]


def test_failures_have_their_errors_and_what_cannot_be_drawn_is_told():
    page = Page(render(by_lr(6)))
    failed = page.find("Failures", "Trials that failed")
    assert [(row[1][0], row[2][0]) for row in failed.rows] == [("lr=1", "OSError: disk full")]
    text = " ".join(page.text)
    assert "8 trials: 6 done, 1 stopped early, 1 failed." in text
    assert "which parameters counted takes 10 finished trials of the space, and there are 5" in text


def test_where_nothing_was_finished_there_is_a_page_all_the_same(tmp_path):
    hostile = "<script>alert(1)</script>"
    found = search([Trial(number=0, state="failed", params={"lr": 0.1}, error=hostile)])
    ol.report(found, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1
    assert page.find("Failures", "Trials that failed").rows[0][2][0] == hostile
    assert list(page.tables) == ["What was searched", "Trials", "Failures"]
    with pytest.raises(DataError, match="no trial has ended"):
        ol.report(search([]), tmp_path / "page.html")


def test_one_trial():
    page = Page(render(search([trial(0, 0.5)])))
    assert "no trial was finished beside the learner as it was given" in " ".join(page.text)


def test_bad_input(folder, tmp_path):
    with pytest.raises(DataError, match="is no folder of a search"):
        Tuning.load(tmp_path)
    (tmp_path / "tuning.json").write_text(json.dumps({"space": [], "seed": 0}))
    with pytest.raises(DataError, match=r"is not of ol.tune, or of another version: its tuning.json lacks 'learners', 'given'"):
        ol.report(tmp_path, tmp_path / "page.html")
    with pytest.raises(ParameterError, match="is a search, whose page is its own: name it alone"):
        opened(folder, tmp_path)
