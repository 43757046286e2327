"""``onnxlearn tune``, and ``fit`` with what it found."""

import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.tuning.files import read_params

ASKED = [
    "tune", "example:penguins", "--target", "species", "--set", "max_epochs=2", "--set", "d_block=8", "--set", "n_blocks=1",
    "--space", "small", "--folds", "2", "--seed", "0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_what_is_found_is_what_fit_reads(command, folder):
    outcome = command(*ASKED, "--budget", "3", "--trials", "trials.csv")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["trial", "logloss", "epochs", "parameters"]
    assert any("the learner as it was given" in line for line in lines)
    assert lines[-1] == "next: onnxlearn fit example:penguins --target species --params best.toml --out model.onnx"
    name, params = read_params(folder / "best.toml")
    assert (name, params["validation"]) == ("mlp", "none")
    assert len(pd.read_csv(folder / "trials.csv")) == 3
    fitted = command("fit", "example:penguins", "--target", "species", "--params", "best.toml", "--out", "model.onnx")
    assert fitted.code == 0, fitted.err
    told = ol.load(folder / "model.onnx").metadata["learner"]["params"]
    assert {key: told[key] for key in params} == {**params, "validation": None}
    wrong = command("fit", "example:penguins", "--target", "species", "--params", "best.toml", "--learner", "tabm")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "--learner tabm, and best.toml has parameters of mlp: leave --learner out" in wrong.err


def test_a_search_goes_on_in_its_folder(command):
    assert command(*ASKED, "--budget", "1", "--store", "study").code == 0
    outcome = command(*ASKED, "--budget", "2", "--store", "study")
    assert outcome.code == 0, outcome.err
    other = command(*ASKED, "--budget", "2", "--store", "study", "--sampler", "random")
    assert other.code == 2
    assert "holds another search: it differs in 'sampler'" in other.err


def test_the_trials_are_drawn_and_reported(command, folder):
    outcome = command(*ASKED, "--budget", "2", "--store", "study", "--plot", "history.svg", "--report", "search.html")
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-2:] == ["onnxlearn: wrote history.svg", "onnxlearn: wrote search.html"]
    assert "logloss (smaller is better)" in (folder / "history.svg").read_text()
    done = command("report", "study", "--out", "again.html")
    assert (done.code, done.err) == (0, "onnxlearn: wrote again.html (2 trials)\n")
    assert (folder / "again.html").read_bytes() == (folder / "search.html").read_bytes()
    both = command("report", "study", "study", "--out", "both.html")
    assert both.error == "'study' is a search, whose page is its own: name it alone"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--plot", "history.txt"], "cannot draw 'history.txt': a plot is one of .svg, .png, .pdf"),
        (["--report", "search.txt"], "a report is an HTML page, and 'search.txt' is none by its name: --report report.html"),
        (["--trials", "nowhere/trials.csv"], "there is no folder"),
        (["--space", "huge"], "--space is small, medium, large or a .toml file, not 'huge'"),
        (["--budget", "soon"], "a time is a number above 0 with s, m or h"),
        (["--sampler", "tpu"], "Did you mean 'tpe'"),
        (["--space", "none.toml"], "cannot read 'none.toml': No such file or directory"),
    ],
)
def test_mistakes_are_one_line(command, folder, asked, message):
    outcome = command("tune", "example:penguins", "--target", "species", *asked)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (folder / "best.toml").exists()
