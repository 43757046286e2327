"""A search: what is tried, kept, gone on with, stopped early and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn import ingress, nn
from onnxlearn.errors import (
    DataError,
    MissingExtraError,
    OnnxlearnError,
    OutputError,
    ParameterError,
    SpaceError,
    UnknownNameError,
)
from onnxlearn.learner import Learner
from onnxlearn.tuning.budget import Budget, budget_of

SPACE = {"lr": ol.Range(1e-3, 1e-1, log=True), "dropout": ol.Range(0.0, 0.5), "num_embedding": ["none", "pbld"]}
QUICK = {"max_epochs": 3, "n_blocks": 1, "d_block": 8, "device": "cpu", "seed": 0}


@pytest.fixture(scope="module")
def task():
    return ol.example_task("penguins")


def mlp(**settings):
    return ol.learner("mlp", **QUICK, **settings)


def search(task, learner=None, space=None, budget=5, **options):
    given = {"resampling": ol.CV(folds=2), "progress": False, **options}
    return ol.tune(task, learner or mlp(), space or SPACE, budget=budget, **given)


@pytest.fixture(scope="module")
def found(task):
    return search(task)


def test_trials_are_scored_by_a_resampling_of_files(task, found):
    assert [trial.state for trial in found.all] == ["done"] * 5
    first, best = found.all[0], found.best
    assert first.params == {}
    assert best.scores["logloss"] == min(trial.scores["logloss"] for trial in found.all)
    for trial, learner in ((first, mlp()), (best, mlp().replace(**best.params))):
        scores = ol.resample(task, learner, ol.CV(folds=2), ["logloss"], progress=False).scores["logloss"]
        assert [one["logloss"] for one in trial.by_split] == scores.tolist()
        assert trial.scores["logloss"] == pytest.approx(scores.mean())
    assert found.trials["number"].tolist() == [0, 1, 2, 3, 4]
    assert set(found.trials) >= {"lr", "dropout", "num_embedding", "logloss", "epochs", "seconds", "error"}
    assert pd.isna(found.trials["lr"][0])


def test_the_best_is_trained_on_all_rows_for_the_epochs_that_were_found(task, found):
    learner = found.learner()
    assert learner.given["stop_epoch"] == found.best.n_epochs
    assert learner.given["validation"] is None
    assert {name: learner.values[name] for name in found.best_params} == found.best_params
    model = found.fit(task, progress=False)
    assert model.metadata["training"]["epochs"] == found.best.n_epochs
    assert found.learner(epochs="searched") == mlp().replace(**found.best_params)
    with pytest.raises(ParameterError, match="epochs is 'found' or 'searched', not 'all'"):
        found.learner(epochs="all")


def test_rows_that_choose_epochs_do_not_score_them(task):
    """Validation by the rows of a split: it is scored by a training for the epochs that the other splits found."""
    learner = mlp(validation="test", lr=0.3).replace(max_epochs=12)
    (trial,) = search(task, learner, budget=1, resampling=ol.CV(folds=3)).all
    splits = ol.CV(folds=3).split(task)
    models = [learner.fit(task.select(splits.train(i)), test=task.select(splits.test(i)), progress=False) for i in range(3)]
    epochs = [model.metadata["training"]["best_epoch"] for model in models]
    assert trial.epochs == epochs
    assert len(set(epochs)) > 1
    for i, scores in enumerate(trial.by_split):
        others = [epoch for j, epoch in enumerate(epochs) if j != i]
        model = learner.for_epochs(round(sum(others) / 2)).fit(task.select(splits.train(i)), progress=False)
        assert scores["logloss"] == pytest.approx(model.score(task.select(splits.test(i)), "logloss"), rel=1e-5)


def test_a_seed_says_all(task, found):
    assert [(trial.params, trial.scores) for trial in search(task).all] == [(trial.params, trial.scores) for trial in found.all]
    assert search(task, seed=1).all[1].params != found.all[1].params


def test_a_study_goes_on_as_if_it_had_not_ended(task, found, tmp_path):
    search(task, budget=2, store=tmp_path / "study")
    whole = search(task, store=tmp_path / "study")
    assert [(trial.params, trial.scores) for trial in whole.all] == [(trial.params, trial.scores) for trial in found.all]
    again = search(task, store=tmp_path / "study")
    assert [trial.seconds for trial in again.all] == [trial.seconds for trial in whole.all]
    with pytest.raises(OutputError, match="holds another search: it differs in 'seed'; give another folder"):
        search(task, store=tmp_path / "study", seed=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("")
    with pytest.raises(OutputError, match=r"holds other files and no tuning.json"):
        search(task, store=tmp_path / "other")


def test_a_database_keeps_a_study(task, found, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    search(task, budget=2, store=url)
    whole = search(task, store=url)
    assert [(trial.params, trial.scores) for trial in whole.all] == [(trial.params, trial.scores) for trial in found.all]


def test_processes_share_the_trials(task, tmp_path):
    shared = search(task, budget=6, n_jobs=2, store=tmp_path / "study")
    assert [trial.number for trial in shared.all] == list(range(6))
    assert all(trial.state == "done" for trial in shared.all)


KILLED = """
import sys
import onnxlearn as ol
sys.path.insert(0, sys.argv[2])
from test_tune import SPACE, mlp
if __name__ == "__main__":
    ol.tune(ol.example_task("penguins"), mlp(), SPACE, ol.CV(folds=2), budget=12, n_jobs=2, store=sys.argv[1], progress=False)
"""


def test_a_killed_study_loses_nothing(task, tmp_path):
    """Killed again and again, with its workers: what was finished is there once, and the end is that of a search."""
    script = tmp_path / "search.py"
    script.write_text(KILLED)
    for pause in (6, 7, 8, 60):
        command = [sys.executable, script, tmp_path / "study", Path(__file__).parent]
        process = subprocess.Popen(command, start_new_session=True)
        end = time.monotonic() + pause
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.returncode == 0:
            break
    else:
        search(task, budget=12, store=tmp_path / "study")
    whole = search(task, budget=12, store=tmp_path / "study")
    assert len(whole.all) == 12
    assert len({trial.number for trial in whole.all}) == 12
    points = [json.dumps(dict(trial.params), sort_keys=True) for trial in whole.all]
    assert len(set(points)) == 12


def test_hopeless_trials_are_stopped(task):
    wild = {"lr": ol.Range(1e-5, 1.0, log=True)}
    stopped = search(task, mlp().replace(max_epochs=12), wild, budget=10, pruner="halving", sampler="random")
    states = [trial.state for trial in stopped.all]
    assert "pruned" in states
    assert "done" in states
    assert all("stopped after epoch" in trial.error for trial in stopped.all if trial.state == "pruned")
    with pytest.raises(ParameterError, match="pruner='median' compares trials by one measure"):
        search(task, pruner="median", measure=["logloss", "file_size"])
    with pytest.raises(OnnxlearnError, match="learner 'bagging' tells nothing of its epochs: leave pruner out"):
        search(task, ol.learner("bagging", n_folds=2, **QUICK), pruner="median")


def test_a_grid_is_tried_once(task):
    space = {"dropout": ol.Range(0.0, 0.4, step=0.2), "num_embedding": ["none", "pbld"], "n_frequencies": [4, 8]}
    grid = search(task, space=space, budget=100, sampler="grid")
    points = [tuple(trial.params.items()) for trial in grid.all]
    # Frequencies count with pbld alone.
    assert len(points) == len(set(points)) == 3 * (1 + 2)


def test_several_learners_and_measures(task):
    learners = {"mlp": mlp(), "linear": ol.learner("linear", max_epochs=2, device="cpu", seed=0)}
    both = search(task, learners, "small", budget=6, measure=["logloss", "file_size"])
    assert [(trial.learner, trial.params) for trial in both.all[:2]] == [("mlp", {}), ("linear", {})]
    front = both.front
    assert [trial.scores["logloss"] for trial in front] == sorted(trial.scores["logloss"] for trial in front)
    assert {trial.number for trial in both.all} - {trial.number for trial in front}
    assert both.learner(front[0]).name == front[0].learner
    assert "learner" in both.trials


def test_graphs_are_searched_by_the_addresses_of_their_nodes(task):
    net = ingress.num() >> nn.block(nn.linear(8) >> nn.relu() >> nn.dropout(0.1), n_blocks=1) >> nn.head()
    searched = search(task, net.as_learner(max_epochs=2, device="cpu", seed=0), "medium", budget=3)
    assert set(searched.all[1].params) >= {"lr", "block__dropout__p", "block__n_blocks"}
    assert searched.learner().graph.settings["block__n_blocks"] == searched.best_params.get("block__n_blocks", 1)


class Failing(Learner):
    """Fails with some settings, or always."""

    name = "failing"
    config_types = (type(mlp().configs[0]), *mlp().config_types[1:])

    def fit(self, task, **options):
        del options
        if self.values["dropout"] is None or self.values["dropout"] > 0.25:
            raise DataError("too many units are dropped")
        return ol.learner("featureless").fit(task)


def test_failing_trials_are_recorded_and_the_study_goes_on(task):
    some = search(task, Failing(dropout=0.1), {"dropout": ol.Range(0.0, 0.5)}, budget=8, sampler="random")
    failed = [trial for trial in some.all if trial.state == "failed"]
    assert {trial.error for trial in failed} == {"too many units are dropped"}
    assert 0 < len(failed) < 8
    assert some.best.params.get("dropout", 0.1) <= 0.25
    with pytest.raises(OnnxlearnError, match="all 5 trials have failed, 5 of them with: too many units are dropped"):
        search(task, Failing(dropout=0.4), {"dropout": ol.Range(0.3, 0.5)}, budget=50)


def test_budgets(task):
    start = time.monotonic()
    timed = search(task, budget=Budget(seconds=2))
    assert time.monotonic() - start < 20
    assert len(timed.all) > 1
    stuck = search(task, space={"seed": [0, 1, 2]}, budget=Budget(trials=30, stagnation=2))
    assert 3 <= len(stuck.all) < 30
    for given, message in (
        (0, "trials of a budget is a number above 0, not 0"), ("soon", "a time is a number above 0 with s, m or h"),
        (1.5, "a budget is a number of trials, a time"),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=message):
            budget_of(given)
    with pytest.raises(ParameterError, match="a budget needs an end"):
        Budget()


def test_what_cannot_be_is_refused_before_the_first_trial(task):
    with pytest.raises(SpaceError, match="has no parameter 'lrr'"):
        search(task, space={"lrr": ol.Range(0, 1)})
    with pytest.raises(UnknownNameError, match=r"there is no sampler 'tpu'.* Did you mean 'tpe'"):
        search(task, sampler="tpu")
    with pytest.raises(UnknownNameError, match=r"there is no pruner 'medan'.* Did you mean 'median'"):
        search(task, pruner="medan")
    with pytest.raises(ParameterError, match="is for regression"):
        search(task, measure="rmse")
    with pytest.raises(ParameterError, match="measure 'bias' is best near 0"):
        search(ol.example_task("diabetes"), measure="bias")


def test_without_optuna_the_way_out_is_said():
    code = """
import sys
sys.modules["optuna"] = None
import onnxlearn as ol
from onnxlearn.errors import MissingExtraError
try:
    ol.tune(ol.example_task("iris"), ol.learner("featureless"), budget=1)
except MissingExtraError as error:
    assert "pip install 'onnxlearn[tune]'" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert issubclass(MissingExtraError, OnnxlearnError)
