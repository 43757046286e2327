"""Measures in the history of a training: the loop's own values of what the file says."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import onnxlearn as ol
import onnxlearn_models.training.measuring as measuring
from onnxlearn.errors import OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.measures import MEASURES
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.measuring import Known

# The weights of the last epoch are those of the file.
QUICK = {"max_epochs": 3, "d_block": 8, "device": "cpu", "keep": "last", "validation": tuple(range(0, 200, 4))}


def frame(n=200):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=n), "u": rng.normal(size=n), "w": rng.integers(0, 5, n)})
    table["y"] = np.where(table["x"] + rng.normal(size=n) > 0.4, "yes", "no")
    table["k"] = np.where(table["u"] > 0.5, "c", table["y"])
    return table.assign(z=100 + 30 * table["x"] + rng.normal(size=n), z2=table["u"] / 7)


def task_of(target, weight="w"):
    targets = [target] if isinstance(target, str) else list(target)
    others = [name for name in ("y", "k", "z", "z2", "w") if name not in (*targets, weight)]
    return ol.Task.from_frame(frame(), target, weight=weight, ignore=others)


def of_file(model, task, rows, *names):
    prediction = model.predict(task.select(rows))
    return {name: prediction.score(name) for name in names}


@pytest.mark.parametrize("weight", ["w", None])
@pytest.mark.parametrize(
    ("target", "learner", "options", "names"),
    [
        ("y", "mlp", {}, ("auc", "f1", "acc", "logloss")),
        ("k", "mlp", {"class_weight": "balanced"}, ("bacc", "acc", "brier", "top_2")),
        ("y", "mlp", {"threshold": 0.3}, ("f1", "acc")),
        ("k", "tabm", {"n_members": 4}, ("acc", "logloss")),
        ("z", "mlp", {}, ("rmse", "mae", "r2")),
        (("z", "z2"), "mlp", {}, ("rmse", "r2")),
        ("z", "mlp", {"head": "quantile", "quantiles": (0.1, 0.5, 0.9)}, ("pinball", "mae")),
        ("z", "tabm", {"head": "normal", "n_members": 4}, ("crps_normal", "nll", "rmse")),
    ],
)
def test_values_are_those_of_the_files_outputs(target, learner, options, names, weight):
    task, valid = task_of(target, weight), np.array(QUICK["validation"])
    model = ol.learner(learner, **QUICK, measures=names, **options).fit(task, progress=False)
    last = model.history.iloc[-1]
    for rows, where in ((valid, "valid"), (np.setdiff1d(np.arange(200), valid), "train")):
        for name, value in of_file(model, task, rows, *names).items():
            assert last[f"{where}_{name}"] == pytest.approx(value, rel=2e-5, abs=1e-6), (where, name)


def test_measures_come_every_so_many_epochs_and_after_the_last_one():
    task = task_of("y")
    history = ol.learner("mlp", **{**QUICK, "max_epochs": 8}, measures=("auc",), eval_every=3).fit(task, progress=False).history
    assert history["epoch"][history["valid_auc"].notna()].tolist() == [3, 6, 8]
    assert history["epoch"][history["train_auc"].notna()].tolist() == [3, 6, 8]


def test_a_column_has_one_meaning_in_all_epochs():
    options = {**QUICK, "class_weight": "balanced", "measures": ("acc",), "eval_every": 2}
    history = ol.learner("mlp", **options).fit(task_of("y"), progress=False).history
    # Between them stands nothing, not the score of that name, which counts classes as the loss does.
    assert history["valid_acc"].notna().tolist() == [False, True, True]


def test_measures_come_after_an_epoch_that_patience_makes_the_last():
    options = {"max_epochs": 60, "patience": 1, "lr": 0.3, "schedule": "constant", "ema": 0.0, "device": "cpu", "d_block": 8}
    model = ol.learner("mlp", **options, measures=("auc",), eval_every=50).fit(task_of("y"), progress=False)
    history = model.history
    assert model.metadata["training"]["stopped"] == "patience"
    assert len(history) < 50
    assert history["epoch"][history["train_auc"].notna()].tolist() == [len(history)]
    assert history["valid_auc"].notna().tolist() == history["train_auc"].notna().tolist()


def test_without_validation_rows_training_rows_are_measured():
    learner = ol.learner("mlp", max_epochs=3, d_block=8, device="cpu", validation=None, measures=("auc",))
    model = learner.fit(task_of("y"), progress=False)
    assert "train_auc" in model.history
    assert "valid_auc" not in model.history


def test_measuring_changes_no_weights():
    files = [
        ol.learner("tabm", **QUICK, n_members=4, **options).fit(task_of("y"), progress=False)
        for options in ({}, {"measures": ("auc", "f1"), "eval_every": 2})
    ]
    task = task_of("y")
    np.testing.assert_array_equal(*(file.predict(task).prob for file in files))
    assert files[0].history["train_loss"].tolist() == files[1].history["train_loss"].tolist()


class Values(Callback):
    """Notes what the epochs were judged by, and what they were like."""

    def begin(self, ctx):
        self.low, self.epochs = [], []

    def valid_end(self, ctx):
        self.low.append(ctx.monitored(ctx.config.monitor))
        self.epochs.append(ctx.history[-1])


@pytest.mark.parametrize(
    ("target", "monitor", "sign"), [("y", "auc", -1), ("y", "logloss", 1), ("y", "f1", -1), ("z", "mae", 1), ("z", "r2", -1)]
)
def test_any_measure_chooses_the_epoch(target, monitor, sign):
    options = {**QUICK, "keep": "best", "max_epochs": 10, "ema": 0.0, "schedule": "constant", "lr": 0.05, "patience": None}
    task = task_of(target)
    model = ol.learner("mlp", **options, monitor=monitor, callbacks=(Values(),)).fit(task, progress=False)
    values = model.history[f"valid_{monitor}"].to_numpy()
    assert len(values) == 10, "the monitored measure belongs to every epoch"
    assert not np.isnan(values).any()
    assert model.callbacks[0].low == [sign * value for value in values]
    # Of equal values the later epoch counts.
    best = len(values) - 1 - int(np.argmin(sign * values[::-1]))
    assert model.metadata["training"]["best_epoch"] == best + 1
    kept = of_file(model, task, np.array(QUICK["validation"]), monitor)[monitor]
    assert kept == pytest.approx(values[best], rel=2e-5)
    assert f"train_{monitor}" not in model.history, "it was not asked for of training rows"


@pytest.mark.parametrize("extreme", [slice(None, 40), slice(-40, None)], ids=["lowest", "highest"])
def test_a_measure_that_should_be_near_0_is_judged_by_its_distance(extreme):
    task = task_of("z", None)
    rows = tuple(np.argsort(task.truth()[:, 0])[extreme].tolist())
    options = {**QUICK, "max_epochs": 6, "monitor": "bias", "validation": rows, "callbacks": (Values(),)}
    model = ol.learner("mlp", **options).fit(task, progress=False)
    values = model.history["valid_bias"]
    assert model.callbacks[0].low == values.abs().tolist()
    # Of a network that knows little, the lowest are far below the predictions.
    assert ((values > 0) == (extreme.start is None)).all()


def test_measures_stand_in_the_metadata_by_name():
    own = dataclasses.replace(MEASURES["mae"], name="offset")
    model = ol.learner("mlp", **QUICK, measures=("rmse", own)).fit(task_of("z"), progress=False)
    assert model.metadata["learner"]["params"]["measures"] == ["rmse", "offset"]
    assert "train_offset" in model.history


def test_a_measure_that_is_called_as_the_score_is_the_files():
    options = {**QUICK, "class_weight": "balanced"}
    task = task_of("y", None)
    plain = ol.learner("mlp", **options).fit(task, progress=False)
    measured = ol.learner("mlp", **options, measures=("acc",)).fit(task, progress=False)
    # The loop's own score counts classes as the loss does.
    assert measured.history["valid_acc"].iloc[-1] == pytest.approx(measured.scores["validation"]["acc"])
    assert plain.history["valid_acc"].iloc[-1] != pytest.approx(plain.scores["validation"]["acc"])


@pytest.mark.parametrize(
    ("target", "options", "error", "text"),
    [
        ("y", {"monitor": "rmse"}, ParameterError, "measure 'rmse' is for regression"),
        ("z", {"measures": ("auc",)}, ParameterError, "measure 'auc' is for classification"),
        ("k", {"measures": ("f1", "tp")}, ParameterError, "for two classes"),
        ("y", {"monitor": "acuracy"}, UnknownNameError, "there is no monitor 'acuracy'"),
        ("y", {"monitor": "los"}, UnknownNameError, "Did you mean 'loss'"),
        ("y", {"measures": ("time_train",)}, ParameterError, "what a run took is known when it is over"),
        ("z", {"measures": ("winkler_0.8",), "coverage": 0.8}, ParameterError, "calibrated after the training"),
        ("z", {"measures": ("nll",)}, ParameterError, "needs standard deviations"),
        ("y", {"monitor": "auc", "validation": None}, ParameterError, "changes nothing with validation=None"),
        (
            "y",
            {"measures": ("auc", dataclasses.replace(MEASURES["acc"], name="auc"))},
            ParameterError,
            "two measures are called",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_first_batch(target, options, error, text):
    class Never(Callback):
        def begin(self, ctx):
            raise AssertionError("the training began")

    with pytest.raises(error, match=text):
        ol.learner("mlp", **{**QUICK, **options}, callbacks=(Never(),)).fit(task_of(target), progress=False)


def test_a_monitored_measure_that_the_rows_do_not_define_is_refused():
    table = frame()
    rows = tuple(np.flatnonzero(table["y"] == "yes")[:20].tolist())
    with pytest.raises(ParameterError, match="monitor='auc' has no value on the 20 validation rows"):
        ol.learner("mlp", **{**QUICK, "validation": rows}, monitor="auc").fit(task_of("y"), progress=False)


def test_an_undefined_measure_is_none_in_the_history():
    table = frame()
    rows = tuple(np.flatnonzero(table["y"] == "yes")[:20].tolist())
    model = ol.learner("mlp", **{**QUICK, "validation": rows}, measures=("auc",)).fit(task_of("y"), progress=False)
    assert model.metadata["training"]["history"]["valid_auc"] == [None] * 3


def test_many_training_rows_are_measured_by_some_of_them(monkeypatch):
    monkeypatch.setattr(measuring, "MEASURED_ROWS", 40)
    task = task_of("y")
    model = ol.learner("mlp", **QUICK, measures=("logloss",)).fit(task, progress=False)
    train = np.setdiff1d(np.arange(200), QUICK["validation"])
    counted = train[task.weights()[train] > 0]
    some = counted[np.linspace(0, len(counted) - 1, 40).round().astype(int)]
    assert model.history["train_logloss"].iloc[-1] == pytest.approx(of_file(model, task, some, "logloss")["logloss"], rel=2e-5)


def test_some_of_the_rows_are_evenly_spaced():
    known = Known.of(task_of("z", None), 50)
    assert len(known.truth) == 50
    assert np.diff(known.rows).min() >= 3
    assert (known.rows[0], known.rows[-1]) == (0, 199)
    assert Known.of(task_of("z", None), 200).rows is None


def test_a_training_that_goes_on_has_the_same_history():
    learner = ol.learner("mlp", **{**QUICK, "max_epochs": 4, "ema": 0.0}, measures=("auc",), monitor="f1", eval_every=2)

    class Halves(Callback):
        """Goes back to the state after the second epoch once."""

        def begin(self, ctx):
            self.kept = None

        def epoch_end(self, ctx):
            if ctx.epoch == 2 and self.kept is None:
                self.kept = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in ctx.state().items()}
            elif ctx.epoch == 3 and self.kept:
                state, self.kept = self.kept, {}
                ctx.load_state(state)

    whole = learner.fit(task_of("y"), progress=False)
    halved = learner.replace(callbacks=(Halves(),)).fit(task_of("y"), progress=False)
    pd.testing.assert_frame_equal(whole.history, halved.history)


def test_averaging_learners_measure_each_network():
    task, options = task_of("y"), {"max_epochs": 2, "device": "cpu"}
    bagging = ol.learner("bagging", base=ol.learner("mlp", d_block=8), n_folds=2, measures=("auc",), monitor="auc", **options)
    assert {"valid_auc", "train_auc"} <= set(bagging.fit(task, progress=False).history)
    member = ol.learner("mlp", d_block=8, measures=("auc",))
    ensemble = ol.learner("ensemble", members=[member], n_seeds=2, **options)
    assert {"valid_auc", "train_auc"} <= set(ensemble.fit(task, progress=False).history)


def test_measures_of_ones_own_are_part_of_a_design(tmp_path):
    task = task_of("y")

    def share(outcome):
        return float((outcome.response == 1).mean())

    def other(outcome):
        return float((outcome.response == 0).mean())

    def learner(function):
        measure = dataclasses.replace(MEASURES["acc"], name="share", function=function, per_row=None)
        return ol.learner("mlp", max_epochs=1, d_block=8, device="cpu", measures=(measure,), monitor="share")

    ol.resample(task, learner(share), ol.Holdout(0.3), ["acc"], store=tmp_path / "a", progress=False)
    with pytest.raises(OnnxlearnError, match="design"):
        ol.resample(task, learner(other), ol.Holdout(0.3), ["acc"], store=tmp_path / "a", progress=False)


def test_a_network_is_made_without_the_rows_that_its_epoch_is_chosen_by():
    learner = ol.learner("mlp", **QUICK, monitor="auc", measures=("f1",))
    assert learner.untrained(task_of("y")) is not None
    assert learner.bare(task_of("y")) is not None
    assert ol.lr_find(task_of("y"), learner, n_steps=20).losses.size
    # Without rows to choose by the last epoch is kept, as by any other monitored value.
    assert learner.train(task_of("y"), None, progress=False).result.best_epoch == QUICK["max_epochs"]
