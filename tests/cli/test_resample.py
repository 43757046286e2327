"""``onnxlearn resample``: learners on the same splits, as the library has them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

import onnxlearn as ol

QUICK = ["--set", "linear.max_epochs=2"]
BOTH = ["--learner", "linear", "--learner", "featureless"]


def resample(command, *options):
    return command("resample", "example:penguins", "--target", "species", *QUICK, *options)


def test_the_table_and_the_file_have_the_scores_of_the_library(command) -> None:
    done = resample(command, *BOTH, "--folds", "3", "--seed", "4", "--measure", "logloss", "--out", "scores.csv")
    assert done.code == 0, done.err
    head, linear, featureless, wrote = done.out.splitlines()
    assert head.split() == ["learner", "logloss", "folds", "failed"]
    task = ol.Task.from_file("example:penguins", "species")
    learners = {"linear": ol.learner("linear", max_epochs=2, seed=4), "featureless": ol.learner("featureless")}
    expected = ol.benchmark(task, learners, ol.CV(3, seed=4), "logloss")
    pd.testing.assert_frame_equal(pd.read_csv("scores.csv"), expected.scores)
    means = expected.aggregate().set_index("learner")["logloss"]
    for line, name in ((linear, "linear"), (featureless, "featureless")):
        assert re.fullmatch(rf"{name} +{means[name]:.4g} ± \S+ +3 +0", line)
    assert wrote == "wrote scores.csv (6 folds)"


def test_a_folder_goes_on(command) -> None:
    first = resample(command, *BOTH, "--folds", "2", "--store", "results")
    assert first.code == 0, first.err
    again = resample(command, *BOTH, "--folds", "2", "--store", "results")
    assert again.out == first.out
    other = resample(command, *BOTH, "--folds", "3", "--store", "results")
    assert other.code == 2
    assert "the folder 'results' holds results of another design" in other.error
    assert len(ol.BenchmarkResult.load("results").records) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "depth=3"], "--set depth=3: none of the learners linear has a parameter 'depth'"),
        (["--set", "mlp.lr=3"], "--set mlp.lr=3: 'mlp' is none of the learners linear"),
        (["--learner", "linear"], "--learner names one twice"),
        (["--holdout", "1.5"], "--holdout is a share of the rows between 0 and 1, not 1.5"),
        (["--holdout", "0.2", "--repeats", "2"], "--holdout is one split, and --repeats 2 says several"),
        (["--measure", "rmse"], "measure 'rmse' is for regression, and no task is one"),
        (["--out", "scores.txt"], "cannot tell the format of 'scores.txt'"),
        (["--out", "-"], "--out has to be a file"),
        (["--out", "nowhere/scores.csv"], "there is no folder"),
        (["--folds", "400"], "CV(folds=400) needs"),
    ],
)
def test_bad_options(command, options, message) -> None:
    done = resample(command, "--learner", "linear", *options)
    assert done.code == 2
    assert message in done.error
    assert done.out == ""


def test_a_measure_of_the_working_directory(command, monkeypatch) -> None:
    monkeypatch.setattr(ol.measures.registry, "MEASURES", dict(ol.measures.MEASURES))
    monkeypatch.setattr("sys.path", list(sys.path))
    Path("shares.py").write_text(
        "import onnxlearn as ol\n\n\n"
        "@ol.measure('adelies', task='classification', needs='labels', minimize=False, low=0, high=1)\n"
        "def adelies(outcome):\n    'share of rows predicted to be of the first class'\n"
        "    return outcome.mean(outcome.response == 0)\n"
    )
    done = command(
        "resample", "example:penguins", "--target", "species", "--learner", "featureless", "--folds", "2",
        "--measure", "shares:adelies",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert re.fullmatch(r"featureless +1 ± 0 +2 +0", done.out.splitlines()[1])


def test_a_run_in_which_every_fit_failed_is_no_success(command) -> None:
    done = command("resample", "example:penguins", "--target", "species", "--learner", "linear", "--set", "coverage=0.9999")
    assert (done.code, done.error) == (2, "every fit failed; the reasons stand above")
    told = [line for line in done.err.splitlines() if line.startswith("onnxlearn: linear, iterations 0, 1, 2, 3, 4: coverage")]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--holdout", "0.3", "--folds", "7"], "--holdout is one split, and --folds 7 says several: give one of the two"),
        (["--time-limit", "0"], "time_limit is a number of seconds above 0, or None, not 0"),
        (["--set", "max_epochz=3"], "has a parameter 'max_epochz'. Did you mean 'max_epochs'?"),
    ],
)
def test_arguments_that_contradict_are_refused(command, arguments, message) -> None:
    done = command("resample", "example:penguins", "--target", "species", "--learner", "linear", *arguments)
    assert done.code == 2
    assert message in done.error
