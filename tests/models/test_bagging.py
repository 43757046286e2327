"""Learner bagging: a network a fold, and what each says of the rows that it has not seen."""

import pickle

import numpy as np
import pytest
from own_networks import Numbers

from onnxlearn.errors import ParameterError
from onnxlearn.registry import learner
from onnxlearn.task import Task
from onnxlearn.testing import example_frame, example_tasks
from onnxlearn_models.mlp import MLP
from onnxlearn_models.shipping import Rows, calibrated
from onnxlearn_models.training.split import hold_out

QUICK = {"max_epochs": 3, "device": "cpu"}


def small(**options):
    return MLP(**{"d_block": 16, "n_blocks": 2, **options})


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
    for given in (learner("bagging", base=small(coverage=0.8)), learner("bagging", base=small(), coverage=0.8)):
        assert given.values["coverage"] == 0.8
    with pytest.raises(ParameterError, match="bagging takes validation rows from each fold's own"):
        learner("bagging", validation=(1, 2), max_epochs=10**6).fit(example_tasks()["two"])


def test_calibration_rows_are_in_no_fold():
    task = example_tasks(120)["number"]
    model = learner("bagging", base=small(), n_folds=2, coverage=0.5, **QUICK).fit(task, progress=False)
    assert len(model.out_of_fold) == 120 - model.metadata["training"]["n_calibration_rows"] == 102
    outputs = model.predict_feeds(task.feeds())
    assert np.all(outputs["lower"] <= outputs["upper"])


def folds_and_networks(bagging, task):
    """The rows of no calibration, the fold of each, and the networks, trained once more."""
    rows = Rows.of(task, None, bagging.base.replace(**shared(bagging)).configs[3], 0)
    folds = rows.train.folds(bagging.values["n_folds"], 0)
    networks = [
        member.train(*hold_out(rows.train.select(folds != fold), 0.15, fold), progress=False)
        for fold, member in enumerate(bagging.fold_learners())
    ]
    return rows, folds, networks


def shared(bagging):
    return {name: value for name, value in bagging.given.items() if name not in ("base", "n_folds")}


@pytest.mark.parametrize(
    "options", [{"threshold": 0.9}, {"temperature": True, "threshold": "f1"}, {"temperature": True, "coverage": 0.7}]
)
def test_labels_and_probabilities_out_of_fold_are_those_of_the_file(options):
    """The postprocessing is fitted for the mean of the networks; each network has it behind it out of fold."""
    task = example_tasks(200)["two"]
    bagging = learner("bagging", base=small(lr=0.01, fold_parallel="never"), n_folds=3, **QUICK, **options)
    model = bagging.fit(task, progress=False)
    found = model.out_of_fold
    rows, folds, networks = folds_and_networks(bagging, task)
    post = calibrated(networks, rows, bagging.base.replace(**shared(bagging)).configs[3])
    assert post.to_dict() == model.metadata["training"]["calibration"]
    target = task.schema.target
    for fold, network in enumerate(networks):
        inside = folds == fold
        expected = post.apply(network.outputs(rows.train.select(inside).feeds()), target)
        np.testing.assert_allclose(found.prob[inside], expected["probabilities"], atol=1e-5)
        certain = np.abs(found.prob[inside][:, 1] - (post.threshold or 0.5)) > 1e-4
        labels = np.array(target.classes)[expected["label"]]
        assert (found.response[inside] == labels)[certain].all()
        if post.sets:
            close = np.abs(network.outputs(rows.train.select(inside).feeds())["probabilities"] - post.sets.probability) < 1e-4
            assert (found.sets[inside] == expected["set"])[~close].all()
    assert model.scores["out_of_fold"] == found.scores()


def test_a_low_threshold_counts_out_of_fold():
    task = example_tasks(200)["two"]
    model = learner("bagging", base=small(), n_folds=2, threshold=0.001, **QUICK).fit(task, progress=False)
    positive = task.schema.target.positive
    assert (model.predict(task).response == positive).all()
    assert (model.out_of_fold.response == positive).all()
    assert model.scores["out_of_fold"]["acc"] == np.mean(model.out_of_fold.truth == positive)


def test_columns_out_of_fold_are_those_of_the_file():
    task = example_tasks(120)["number"]
    bagging = learner("bagging", base=small(head="quantile", quantiles=(0.1, 0.5, 0.9), coverage=0.8), n_folds=2, **QUICK)
    model = bagging.fit(task, progress=False)
    columns = ["prediction", "q0.1", "q0.5", "q0.9", "lower", "upper"]
    assert model.predict(task).to_frame().columns.tolist() == columns
    frame = model.out_of_fold.to_frame()
    assert frame.columns.tolist() == columns
    assert model.out_of_fold.levels == (0.1, 0.5, 0.9)
    assert ((frame["lower"] <= frame["prediction"]) & (frame["prediction"] <= frame["upper"])).all()


def test_out_of_fold_rows_have_their_weights():
    frame = example_frame(60)[["width", "shape", "two"]].assign(w=np.arange(60) % 4)
    task = Task.from_frame(frame, "two", weight="w")
    model = learner("bagging", base=small(), n_folds=2, **QUICK).fit(task, progress=False)
    found = model.out_of_fold
    assert np.array_equal(found.weights, frame["w"])
    right = found.response == found.truth
    assert model.scores["out_of_fold"]["acc"] == pytest.approx(np.average(right, weights=frame["w"]))
    assert model.scores["out_of_fold"]["acc"] != pytest.approx(right.mean())


def test_folds_of_a_task_with_an_order_are_told():
    frame = example_frame(60)[["size", "shape", "two"]].assign(turn=np.arange(60) // 2)
    for order in ("turn", None):
        task = Task.from_frame(frame, "two", order=order)
        model = learner("bagging", base=small(), n_folds=2, **QUICK).fit(task, progress=False)
        told = [note for note in model.metadata["notes"] if note.startswith("folds follow each other by 'turn': ")]
        assert len(told) == (order is not None)


@pytest.mark.parametrize("params", [{"base": "tabnet", "masks": "steps"}, {"base": learner("tabnet", masks="steps")}])
def test_outputs_of_one_network_alone_are_refused(params):
    with pytest.raises(ParameterError, match="learner 'tabnet' gives 'masks', which is of one network alone: leave it out"):
        learner("bagging", **params)


def test_the_seed_draws_the_folds():
    task = example_tasks()["two"]
    models = [learner("bagging", base=small(), n_folds=2, seed=seed, **QUICK).fit(task, progress=False) for seed in (0, 5)]
    for seed, model in zip((0, 5), models, strict=True):
        folds = task.folds(2, seed)
        train, valid = hold_out(task.select(folds != 0), 0.15, seed)
        outputs = small(seed=seed, **QUICK).train(train, valid, progress=False).outputs(task.select(folds == 0).feeds())
        np.testing.assert_allclose(model.out_of_fold.prob[folds == 0], outputs["probabilities"], atol=1e-5)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (Numbers, r"^bagging takes learners and names of learners, not <class '.*Numbers'>; of a network of your own "),
        (5, "^bagging takes learners and names of learners, not 5$"),
        (["mlp"], r"^bagging takes learners and names of learners, not \['mlp'\]$"),
        (
            "ensemble",
            "averages several networks itself, and bagging takes learners of one network: give one of its members here",
        ),
    ],
)
def test_a_base_that_is_no_learner_is_refused(base, message):
    with pytest.raises(ParameterError, match=message):
        learner("bagging", base=base)


def test_a_network_of_ones_own_is_bagged_in_other_processes_too():
    recipe = learner("bagging", base=learner("module", module=Numbers, width=4), n_folds=2, **QUICK)
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    task = example_tasks()["number"]
    assert again.fit(task, progress=False).to_bytes() == recipe.fit(task, progress=False).to_bytes()


def test_a_fold_with_too_few_rows_is_named():
    with pytest.raises(ParameterError, match=r"^fold 1 of 2: 1 row cannot be parted .*validation=None"):
        learner("bagging", base="linear", n_folds=2).fit(example_tasks()["number"].select([0, 1, 2]))
