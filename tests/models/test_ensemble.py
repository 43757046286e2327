"""Learners ensemble and bagging: several networks in one file."""

import pickle

import numpy as np
import onnx
import pytest

from onnxlearn.errors import DataError, InterruptedFit, ParameterError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.registry import learner
from onnxlearn.runtime import run_chunked
from onnxlearn.testing import example_tasks
from onnxlearn_models.mlp import MLP
from onnxlearn_models.shipping import Rows, export_proven
from onnxlearn_models.training.split import hold_out

QUICK = {"max_epochs": 3, "device": "cpu"}


def small(**options):
    return MLP(**{"d_block": 16, "n_blocks": 2, **options})


def members_outputs(members, task, feeds):
    """What the file of each member alone says, trained on the same rows as in an ensemble."""
    rows = Rows.of(task, 0.15, learner("ensemble", members=["mlp"]).configs[1], 0)
    outputs = []
    for member in members:
        network = member.train(rows.train, rows.valid, progress=False)
        _, opened, _ = export_proven([network], Postprocessing(), rows.train.feeds())
        outputs.append(run_chunked(opened.session, feeds))
    return outputs


@pytest.mark.parametrize("name", ["classes", "two", "number", "numbers"])
def test_the_file_gives_the_mean_of_its_members(name):
    task = example_tasks()[name]
    ensemble = learner("ensemble", members=[small(), small(norm="batch", seed=3)], n_seeds=2, **QUICK)
    model = ensemble.fit(task, progress=False)
    for feeds in (task.feeds(), hostile_feeds(task.schema)):
        outputs = members_outputs(ensemble.members(), task, feeds)
        found = model.predict_feeds(feeds)
        for output in {"probabilities", "prediction"} & set(found):
            expected = np.mean([each[output] for each in outputs], axis=0)
            unit = 1.0 if output == "probabilities" else task.truth().std(axis=0)
            np.testing.assert_allclose(found[output] / unit, expected / unit, rtol=1e-6, atol=1e-6)
    assert [member["learner"] for member in model.metadata["training"]["members"]] == ["mlp"] * 4


def test_a_mixture_of_normal_distributions_is_wider_than_its_members():
    task = example_tasks()["number"]
    ensemble = learner("ensemble", members=[small(lr=0.05)], n_seeds=3, head="normal", **QUICK)
    model, feeds = ensemble.fit(task, progress=False), task.feeds()
    each = members_outputs(ensemble.members(), task, feeds)
    means, stds = (np.stack([outputs[name] for outputs in each]) for name in ("prediction", "std"))
    expected = np.sqrt((stds**2).mean(axis=0) + means.var(axis=0))
    np.testing.assert_allclose(model.predict_feeds(feeds)["std"], expected, rtol=1e-5)


def test_the_mean_of_probabilities_scores_better_than_the_mean_score():
    task = example_tasks(200)["classes"]
    train, test = task.split(0.3, 0)
    ensemble = learner("ensemble", members=[small(lr=0.01)], n_seeds=3, device="cpu")
    model = ensemble.fit(train, test=test, progress=False)
    each = members_outputs(ensemble.members(), train, test.feeds())
    losses = [-np.log(outputs["probabilities"][np.arange(test.n_rows), test.truth()]).mean() for outputs in each]
    assert model.scores["test"]["logloss"] < np.mean(losses)


def test_what_members_share_is_in_the_file_once():
    task = example_tasks()["classes"]
    models = [learner("ensemble", members=[small()], n_seeds=n, **QUICK).fit(task, progress=False) for n in (1, 4)]
    names = [[node.name for node in onnx.load_from_string(model.to_bytes()).graph.node] for model in models]
    prep = [[name for name in nodes if name.startswith("prep/")] for nodes in names]
    assert prep[0] == prep[1]
    assert len(names[1]) > len(names[0]) + 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": []}, "an ensemble needs members: give learners or their names"),
        ({"members": ["featureless"]}, "learner 'featureless' trains no network of its own: ensemble averages networks"),
        ({"members": ["mlp", "mlp"]}, "an ensemble has a member twice, which adds nothing: give the learners different seeds"),
        ({"members": [small(seed=0), small(seed=1)], "n_seeds": 2}, "an ensemble has a member twice"),
        (
            {"members": [small(temperature=True)]},
            "learner 'mlp' has 'temperature', which only a whole file has: give it to ensemble itself",
        ),
        ({"members": [learner("tabnet", masks="steps")]}, "learner 'tabnet' gives 'masks', which is of one network alone"),
        ({"members": ["mpl"]}, "there is no learner 'mpl'.*Did you mean 'mlp'"),
        ({"members": ["mlp"], "head": "quantile"}, "head='quantile' is for numbers"),
    ],
)
def test_wrong_members_are_refused_before_training(options, message):
    with pytest.raises((ParameterError, LookupError), match=message):
        learner("ensemble", **{"max_epochs": 10**6, **options}).fit(example_tasks()["two"])


class OnlyNumbers(MLP):
    """Does regression alone."""

    name = "only_numbers"
    tasks = ("regression",)


def test_a_member_that_cannot_do_the_task_is_named():
    with pytest.raises(DataError, match="learner 'only_numbers' does regression, not classification"):
        learner("ensemble", members=["mlp", OnlyNumbers()], max_epochs=10**6).fit(example_tasks()["two"])
    with pytest.raises(DataError, match="learner 'only_numbers' does regression, not classification"):
        learner("bagging", base=OnlyNumbers(max_epochs=10**6)).fit(example_tasks()["two"])


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_each_row_is_predicted_by_the_network_that_has_not_seen_it(name):
    task = example_tasks()[name]
    bagging = learner("bagging", base=small(), n_folds=3, **QUICK)
    model = bagging.fit(task, progress=False)
    folds, found = task.folds(3, 0), model.out_of_fold
    assert np.array_equal(found.row_ids, task.frame.index)
    for fold, member in enumerate(bagging.fold_learners()):
        train, valid = hold_out(task.select(folds != fold), 0.15, fold)
        network = member.train(train, valid, progress=False)
        outputs = network.outputs(task.select(folds == fold).feeds())
        if name == "classes":
            np.testing.assert_allclose(found.prob[folds == fold], outputs["probabilities"], atol=1e-5)
        else:
            np.testing.assert_allclose(found.response[folds == fold], outputs["prediction"], rtol=1e-6, atol=1e-6)
    assert model.scores["out_of_fold"] == found.scores()
    assert pickle.loads(pickle.dumps(model)).out_of_fold.scores() == found.scores()


def test_bagging_has_the_parameters_of_its_base():
    bagging = learner("bagging", base=small(lr=0.25), n_folds=3, d_block=8, coverage=0.8)
    assert (bagging.values["lr"], bagging.values["d_block"], bagging.values["n_blocks"]) == (0.25, 8, 2)
    assert [member.values["seed"] for member in bagging.fold_learners()] == [0, 1, 2]
    assert {param.name: param.default for param in bagging.params}["lr"] == 0.25
    with pytest.raises(ParameterError, match=r"learner 'bagging' has no parameter 'd_blok'\. Did you mean 'd_block'"):
        learner("bagging", d_blok=3)
    with pytest.raises(
        ParameterError, match="learner 'mlp' has 'coverage', which only a whole file has: give it to bagging itself"
    ):
        learner("bagging", base=small(coverage=0.8))
    with pytest.raises(ParameterError, match="bagging takes validation rows from each fold's own"):
        learner("bagging", validation=(1, 2), max_epochs=10**6).fit(example_tasks()["two"])


def test_calibration_rows_are_in_no_fold():
    task = example_tasks(120)["number"]
    model = learner("bagging", base=small(), n_folds=2, coverage=0.5, **QUICK).fit(task, progress=False)
    assert len(model.out_of_fold) == 120 - model.metadata["training"]["n_calibration_rows"] == 102
    outputs = model.predict_feeds(task.feeds())
    assert np.all(outputs["lower"] <= outputs["upper"])


@pytest.mark.parametrize("name", ["ensemble", "bagging"])
def test_an_interruption_keeps_the_networks_that_there_are(monkeypatch, name):
    recipe = {
        "ensemble": learner("ensemble", members=[small()], n_seeds=3, **QUICK),
        "bagging": learner("bagging", base=small(), n_folds=3, **QUICK),
    }[name]
    train, trained = MLP.train, []

    def interrupted(self, *args, **options):
        trained.append(self)
        if len(trained) == 3:
            raise InterruptedFit("interrupted before the first epoch ended")
        return train(self, *args, **options)

    monkeypatch.setattr(MLP, "train", interrupted)
    model = recipe.fit(example_tasks()["two"], keep_on_interrupt=True, progress=False)
    assert model.metadata["training"]["stopped"] == "interrupted"
    assert len(model.metadata["training"]["members"]) == 2
    if name == "bagging":
        assert len(model.out_of_fold) == 40
