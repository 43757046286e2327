"""Weights of the rows in every place where they count: the classes' balance, the target's scaling, the scores in the file."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk

import onnxlearn_models.network_learner as network_learner
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.task import Task
from onnxlearn_models.featureless import Featureless
from onnxlearn_models.mlp import MLP

QUICK = {"max_epochs": 2, "d_block": 8, "device": "cpu", "validation": None}


def make_frame(n=200):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "y": np.where(rng.random(n) < 0.3, "a", "b"), "w": rng.integers(1, 9, n)})
    frame["z"] = frame["x"] * 3 + frame["w"] * 10
    return frame


def weighted(frame, target):
    return Task.from_frame(frame, target, weight="w", ignore=sorted({"y", "z"} - {target}))


def seen_in_training(monkeypatch):
    """The tensors that training reads, and those that choose the epoch."""
    seen = []
    train_network = network_learner.train_network

    def spy(module, train, valid, **options):
        seen.extend((train, valid))
        return train_network(module, train, valid, **options)

    monkeypatch.setattr(network_learner, "train_network", spy)
    return seen


def test_balanced_classes_count_the_same_with_weights_of_rows(monkeypatch):
    seen = seen_in_training(monkeypatch)
    frame = make_frame()
    MLP(**QUICK, class_weight="balanced").fit(weighted(frame, "y"), progress=False)
    got = seen[0].weight.numpy()
    share = frame["w"] / frame.groupby("y")["w"].transform("sum")
    np.testing.assert_allclose(got, share / share.mean(), rtol=1e-5)


def test_balanced_classes_count_as_much_where_the_epoch_is_chosen(monkeypatch):
    seen = seen_in_training(monkeypatch)
    frame = make_frame()
    valid = np.arange(0, 200, 7)
    MLP(**{**QUICK, "validation": tuple(valid)}, class_weight="balanced").fit(weighted(frame, "y"), progress=False)
    share = frame["w"] / frame["y"].map(frame.drop(valid).groupby("y")["w"].sum())
    np.testing.assert_allclose(seen[1].weight.numpy(), share[valid] / share[valid].mean(), rtol=1e-5)


def test_a_targets_scaling_weighs_its_rows(monkeypatch):
    frame = make_frame()
    task = weighted(frame, "z")
    fitted = MLP(**QUICK).train(task, None, progress=False)
    mean = np.average(frame["z"], weights=frame["w"])
    assert fitted.scaling.center == pytest.approx(mean)
    assert fitted.scaling.scale == pytest.approx(np.sqrt(np.average((frame["z"] - mean) ** 2, weights=frame["w"])))
    assert fitted.scaling.center != pytest.approx(TargetScaling.fit(task.truth(), "standard").center)


@pytest.mark.parametrize("learner", [MLP(**QUICK), Featureless()], ids=["mlp", "featureless"])
def test_scores_in_the_file_are_weighted(learner):
    train, test = weighted(make_frame(), "y").split(0.3, 0)
    model = learner.fit(train, test=test, progress=False)
    p = model.predict(test.frame)
    truth, weights = test.frame["y"].to_numpy(), test.frame["w"].to_numpy()
    assert model.scores["test"]["acc"] == pytest.approx(sk.accuracy_score(truth, p.response, sample_weight=weights))
    assert model.scores["test"]["acc"] != pytest.approx(sk.accuracy_score(truth, p.response))
    of_truth = p.prob[np.arange(len(truth)), (truth == "b").astype(int)]
    assert model.scores["test"]["logloss"] == pytest.approx(np.average(-np.log(of_truth), weights=weights), rel=1e-5)
