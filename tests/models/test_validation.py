"""Validation rows: where they come from, what they are for, and what they must not touch."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn_models.training.callback import Callback

QUICK = {"max_epochs": 3, "d_block": 8, "device": "cpu"}
OPTIMISTIC = "the test rows chose the epoch (validation='test'): their scores are better than those of new rows"


def frame(n=150):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=n), "c": rng.choice(["p", "q", "r"], n), "w": rng.integers(1, 6, n)})
    return table.assign(y=np.where(table["x"] + rng.normal(size=n) > 0.2, "yes", "no"), z=3 * table["x"] + rng.normal(size=n))


def task_of(target="y", table=None, **roles):
    others = {"y", "z", "w"} - {target, *roles.values()}
    return ol.Task.from_frame(frame() if table is None else table, target, ignore=sorted(others), **roles)


class Valid(Callback):
    """Keeps the rows that choose the epoch, and what the last epoch came to."""

    def end(self, ctx):
        self.rows, self.train, self.epoch = ctx.valid, ctx.train, ctx.history[-1]
        with torch.no_grad():
            self.output = None if ctx.valid is None else ctx.module(**ctx.valid.inputs)


def test_the_test_rows_of_a_resampling_choose_the_epoch():
    task = task_of()
    splits = ol.CV(folds=3, seed=1)
    learner = ol.learner("mlp", **QUICK, validation="test", callbacks=(Valid(),))
    result = ol.resample(task, learner, splits, ["acc"], models=True, progress=False)
    for i, (record, (train, test)) in enumerate(zip(result.records, splits.split(task), strict=True)):
        assert record.notes[-1] == OPTIMISTIC
        training = result.models[i].metadata["training"]
        assert (training["n_rows"], training["n_validation_rows"]) == (150, len(test))
        assert training["scores"]["validation"]["acc"] == pytest.approx(record.scores["acc"])
        # As by a table of these rows.
        by_table = ol.learner("mlp", **QUICK, n_threads=1, validation=task.frame.iloc[test])
        other = by_table.fit(task.select(train), progress=False)
        np.testing.assert_array_equal(other.predict(task).prob, result.models[i].predict(task).prob)
    assert result.models[0].metadata["learner"]["params"]["validation"] == "test"


def test_a_test_task_of_a_fit_chooses_the_epoch():
    train, test = task_of().split(0.3, 0)
    model = ol.learner("mlp", **QUICK, validation="test").fit(train, test=test, progress=False)
    assert model.scores["validation"] == model.scores["test"]
    assert OPTIMISTIC in model.metadata["notes"]
    plain = ol.learner("mlp", **QUICK).fit(train, test=test, progress=False)
    assert OPTIMISTIC not in plain.metadata["notes"]


@pytest.mark.parametrize("name", ["bagging", "ensemble"])
def test_the_test_rows_choose_the_epochs_of_several_networks(name):
    train, test = task_of().split(0.3, 0)
    small = ol.learner("mlp", d_block=8)
    parts = {"base": small, "n_folds": 2} if name == "bagging" else {"members": [small], "n_seeds": 2}
    learner = ol.learner(name, **parts, max_epochs=2, device="cpu", validation="test")
    model = learner.fit(train, test=test, progress=False)
    assert OPTIMISTIC in model.metadata["notes"]
    with pytest.raises(ParameterError, match="validation='test' takes the test rows"):
        learner.fit(train, progress=False)


def test_a_benchmark_gives_each_learner_its_own_validation_rows():
    learners = {
        "plain": ol.learner("mlp", **QUICK),
        "seen": ol.learner("mlp", **QUICK, validation="test"),
        "none": ol.learner("featureless"),
    }
    result = ol.benchmark(task_of(), learners, ol.Holdout(0.3), ["acc"], progress=False)
    noted = {record.learner: OPTIMISTIC in record.notes for record in result.records}
    assert noted == {"plain": False, "seen": True, "none": False}


def test_without_test_rows_there_are_none_to_choose_by():
    with pytest.raises(ParameterError, match="validation='test' takes the test rows of a resampling or of a fit"):
        ol.learner("mlp", **QUICK, validation="test").fit(task_of(), progress=False)


@pytest.mark.parametrize("learner", ["mlp", "bagging", "ensemble"])
def test_validation_rows_change_nothing_of_the_preprocessing(learner):
    table, rows = frame(), tuple(range(0, 150, 5))
    wild = table.copy()
    wild.loc[list(rows), "x"] = 1e6
    wild.loc[list(rows), "c"] = "p"
    options = {**QUICK, "max_epochs": 1, "validation": rows}
    if learner == "ensemble":
        options = {"members": [ol.learner("mlp", d_block=8)], "n_seeds": 2, "max_epochs": 1, "validation": rows}
    if learner == "bagging":
        # Its folds have validation rows of their own: those of a table say what they like.
        options = {"base": ol.learner("mlp", d_block=8), "n_folds": 2, "max_epochs": 1}
        made = [{"validation": some.iloc[list(rows)]} for some in (table, wild)]
        files = [ol.learner(learner, **options, **each).fit(task_of(table=table), progress=False) for each in made]
    else:
        files = [ol.learner(learner, **options).fit(task_of(table=some), progress=False) for some in (table, wild)]
    # One epoch, whatever chooses it: the same weights, and the same scales before them.
    one, other = (file.predict(table).prob for file in files)
    np.testing.assert_array_equal(one, other)


def test_numbers_to_predict_are_scaled_by_training_rows_alone():
    table, rows = frame(), tuple(range(0, 150, 5))
    wild = table.copy()
    wild.loc[list(rows), "z"] = 1e6
    learner = ol.learner("mlp", **{**QUICK, "max_epochs": 1}, validation=rows)
    one, other = (learner.fit(task_of("z", some), progress=False).predict(table).response for some in (table, wild))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("target", ["y", "z"])
def test_weights_of_rows_count_wherever_validation_rows_are_judged(target):
    task = task_of(target, weight="w")
    rows = np.arange(0, 150, 4)
    measure = "logloss" if target == "y" else "rmse"
    options = {**QUICK, "validation": tuple(rows.tolist()), "measures": (measure,), "ema": 0.0, "keep": "last"}
    model = ol.learner("mlp", **options, callbacks=(Valid(),)).fit(task, progress=False)
    seen, weights = model.callbacks[0], task.weights()[rows]
    output, epoch = seen.output, seen.epoch
    torch.testing.assert_close(seen.rows.weight, torch.from_numpy(weights / weights.mean()).float())
    history = {name: column.iloc[-1] for name, column in model.history.items()}
    truth, prediction = task.frame[target].to_numpy()[rows], model.predict(task.select(rows))
    if target == "y":
        each = -torch.log_softmax(output, dim=1)[torch.arange(len(rows)), seen.rows.target].numpy()
        score = sk.accuracy_score(truth, prediction.response, sample_weight=weights)
        measured = np.average(-np.log(prediction.prob[np.arange(len(rows)), seen.rows.target]), weights=weights)
    else:
        each = ((output - seen.rows.target) ** 2).mean(dim=1).numpy()
        score = measured = sk.root_mean_squared_error(truth, prediction.response, sample_weight=weights)
    assert epoch.valid_loss == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    assert epoch.valid_loss != pytest.approx(each.mean(), rel=1e-3)
    assert epoch.valid_score == pytest.approx(score, rel=1e-4)
    assert history[f"valid_{measure}"] == pytest.approx(measured, rel=1e-4)
    assert model.scores["validation"][measure] == pytest.approx(measured, rel=1e-4)


def test_weights_of_rows_count_in_the_loss_of_training():
    def first_loss(weight):
        options = {**QUICK, "max_epochs": 1, "batch_size": 150, "dropout": 0.0, "validation": None, "callbacks": (Loss(),)}
        return ol.learner("mlp", **options).fit(task_of("z", weight=weight), progress=False).callbacks[0]

    class Loss(Callback):
        def batch_begin(self, ctx):
            with torch.no_grad():
                ctx.module.eval()
                self.each = ((ctx.module(**ctx.batch.inputs) - ctx.batch.target) ** 2).mean(dim=1)
                ctx.module.train()
            self.weight = ctx.batch.weight

        def batch_end(self, ctx):
            self.loss = float(ctx.loss)

    seen = first_loss("w")
    assert seen.loss == pytest.approx(float((seen.each * seen.weight).mean()), rel=1e-5)
    assert seen.loss != pytest.approx(float(seen.each.mean()), rel=1e-3)
    assert float(seen.weight.mean()) == pytest.approx(1.0, rel=1e-5)
