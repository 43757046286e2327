"""Learner ensemble: several networks in one file."""

import numpy as np
import onnx
import pytest
import torch
from own_networks import Codes
from torch import nn

from onnxlearn.errors import DataError, InterruptedFit, ParameterError, ProviderError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.registry import learner
from onnxlearn.session import run_chunked
from onnxlearn.testing import example_tasks
from onnxlearn_models import network_learner
from onnxlearn_models.mlp import MLP
from onnxlearn_models.shipping import Rows, export_proven

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
    members = [small(fold_parallel="never"), small(norm="batch", seed=3, fold_parallel="never")]
    ensemble = learner("ensemble", members=members, n_seeds=2, **QUICK)
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
        (
            {"members": ["mlp", "linear", "mlp"]},
            "twice, which adds nothing: members 1 and 3 are both 'mlp' with seed 0; let their seeds differ$",
        ),
        (
            {"members": [small(seed=0), small(seed=1)], "n_seeds": 2, "seed": 5},
            "members 1 and 2 are both 'mlp' with seed 6; let their seeds differ by n_seeds=2 or more, since each has 2 seeds",
        ),
        (
            {"members": ["linear", learner("ensemble")]},
            "^member 2: learner 'ensemble' averages several networks itself, .* takes learners of one network: give its",
        ),
        ({"members": [learner("bagging")]}, "learner 'bagging' averages several networks itself.*: give its base here"),
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


class Wide(nn.Module):
    """Gives too many outputs."""

    def __init__(self, n_num):
        super().__init__()
        self.layer = nn.Linear(n_num, 7)

    def forward(self, num):
        return self.layer(num)


@pytest.fixture
def untrained(monkeypatch):
    """Nothing may be trained."""

    def train_network(*args, **options):
        raise AssertionError("a network is being trained")

    monkeypatch.setattr(network_learner, "train_network", train_network)


@pytest.mark.parametrize(
    ("task", "member", "message"),
    [
        ("two", OnlyNumbers(), "'only_numbers': learner 'only_numbers' does regression, not classification"),
        ("two", learner(Wide), "'module': Wide.forward has to give a float32 tensor"),
        ("two", learner(Codes), "'module': Codes.forward asks for cat alone, and column"),
        ("two", small(loss="mse"), "'mlp': loss='mse' is for regression"),
        ("two", small(norm="batch", batch_size=1), "'mlp': learner 'mlp': batch norm needs at least two rows in each step"),
        ("number", small(class_weight="balanced"), "'mlp': class_weight='balanced' is for classification"),
    ],
)
@pytest.mark.usefixtures("untrained")
def test_what_a_member_cannot_do_is_refused_before_the_first_is_trained(task, member, message):
    with pytest.raises((DataError, ParameterError), match=f"^member 2, {message}"):
        learner("ensemble", members=["linear", member]).fit(example_tasks()[task])
    with pytest.raises((DataError, ParameterError), match=f"^fold 1 of 5: {message.partition(': ')[2]}"):
        learner("bagging", base=member).fit(example_tasks()[task])


@pytest.mark.usefixtures("untrained")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_member_without_its_gpu_is_refused_before_the_first_is_trained():
    with pytest.raises(ProviderError, match=r"^member 2, 'mlp': device='cuda' is not available"):
        learner("ensemble", members=["linear", small(device="cuda")]).fit(example_tasks()["two"])


def test_a_member_that_diverges_is_named():
    members = [small(max_epochs=1), small(max_epochs=1, lr=1e30, optimizer="sgd", warmup=0.0)]
    with pytest.raises(ParameterError, match=r"^member 2, 'mlp': the loss is not finite in epoch 1, .*: choose a lower lr"):
        learner("ensemble", members=members, device="cpu").fit(example_tasks()["number"], progress=False)


@pytest.mark.parametrize(
    ("options", "ensemble", "message"),
    [
        ({"head": "quantile"}, {}, "head='quantile', and head is the same for all members, here 'point'"),
        ({"head": "normal"}, {"head": "quantile"}, "head='normal', and head is the same for all members, here 'quantile'"),
        (
            {"head": "quantile", "quantiles": (0.1, 0.5)}, {"head": "quantile"},
            r"quantiles=\[0.1, 0.5\], and quantiles is the same for all members, here \[0.05, 0.5, 0.95\]",
        ),
        ({"validation": 0.5}, {}, "validation=0.5, and validation is the same for all members, here 0.15"),
        ({"validation": (0, 1)}, {"validation": None}, r"validation=\[0, 1\], and validation is .*, here None"),
        ({"coverage": 0.9}, {}, "coverage=0.9, and coverage is the same for all members, here None"),
        ({"coverage": 0.9, "calibration": 0.5}, {"coverage": 0.9}, "calibration=0.5, and calibration is .*, here 0.15"),
        ({"max_epochs": 5}, {"max_epochs": 6}, "max_epochs=5, and max_epochs is the same for all members, here 6"),
        ({"n_threads": 1}, {"n_threads": 2}, "n_threads=1, and n_threads is the same for all members, here 2"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("untrained")
def test_a_member_differs_from_the_ensemble_in_nothing_that_is_the_same_for_all(options, ensemble, message):
    recipe = learner("ensemble", members=["linear", small(**options)], **ensemble)
    with pytest.raises(ParameterError, match=f"^member 2: learner 'mlp' has {message}: give it to the ensemble itself"):
        recipe.fit(example_tasks()["number"])


def test_members_get_what_is_the_same_for_all():
    rows = example_tasks()["number"].frame.head(9)
    same = {"head": "quantile", "validation": rows, "n_threads": 2, "device": "cpu", "max_epochs": 7}
    first, second, third, fourth = learner(
        "ensemble", members=[learner("realmlp", **same), small(seed=3)], n_seeds=2, seed=10, **same
    ).members()
    for member in (first, second, third, fourth):
        assert all(member.values[name] is value for name, value in same.items())
    assert [member.values["seed"] for member in (first, second, third, fourth)] == [10, 11, 13, 14]
    (alone,) = learner("ensemble", members=[learner("realmlp", device="cpu", n_threads=3)]).members()
    assert [alone.values[name] for name in ("max_epochs", "device", "n_threads", "validation")] == [256, "cpu", 3, 0.15]


@pytest.mark.parametrize("name", ["ensemble", "bagging"])
def test_an_interruption_keeps_the_networks_that_there_are(monkeypatch, name):
    recipe = {
        "ensemble": learner("ensemble", members=[small(fold_parallel="never")], n_seeds=3, **QUICK),
        "bagging": learner("bagging", base=small(fold_parallel="never"), n_folds=3, **QUICK),
    }[name]
    train, trained = MLP.train_prepared, []

    def interrupted(self, *args, **options):
        trained.append(self)
        if len(trained) == 3:
            raise InterruptedFit("interrupted before the first epoch ended")
        return train(self, *args, **options)

    monkeypatch.setattr(MLP, "train_prepared", interrupted)
    model = recipe.fit(example_tasks()["two"], keep_on_interrupt=True, progress=False)
    assert model.metadata["training"]["stopped"] == "interrupted"
    assert len(model.metadata["training"]["members"]) == 2
    assert "training was interrupted: 2 of 3 networks are in the file" in model.metadata["notes"]
    if name == "bagging":
        assert len(model.out_of_fold) == 40
        assert "the scores out of fold are of 40 of 60 rows" in model.metadata["notes"]


def test_the_metadata_tells_what_every_network_was_trained_with():
    members = [learner("realmlp", d_block=8, n_blocks=1), "linear"]
    task = example_tasks()["two"]
    recipe = learner("ensemble", members=members, seed=7, temperature=True, **QUICK)
    document = recipe.fit(task, progress=False).metadata
    assert document["learner"]["params"]["members"] == [
        {"name": "realmlp", "params": {"d_block": 8, "n_blocks": 1}}, {"name": "linear", "params": {}}
    ]  # fmt: skip
    trained = document["training"]["members"]
    assert [member["params"] for member in trained] == [member.to_dict()["params"] for member in recipe.members()]
    for member in trained:
        params = member["params"]
        assert (params["seed"], params["max_epochs"], params["validation"], params["temperature"]) == (7, 3, 0.15, True)
    again = learner("ensemble", members=[members[0], learner("linear")], seed=7, temperature=True, **QUICK)
    assert again == recipe
    assert again.fit(task, progress=False).to_bytes() == recipe.fit(task, progress=False).to_bytes()


def test_the_history_counts_the_networks():
    history = learner("ensemble", members=["linear", small()], **QUICK).fit(example_tasks()["two"], progress=False).history
    assert history.columns[:2].tolist() == ["network", "epoch"]
    assert history[["network", "epoch"]].to_numpy().tolist() == [[n, e] for n in (1, 2) for e in (1, 2, 3)]
    assert history["valid_loss"].notna().all()


@pytest.mark.parametrize("name", ["ensemble", "bagging"])
def test_an_interruption_of_the_last_network_is_told(monkeypatch, name):
    one = small(fold_parallel="never")
    given = {"members": [one], "n_seeds": 2} if name == "ensemble" else {"base": one, "n_folds": 2}
    train, trained = MLP.train_prepared, []

    def interrupted(self, *args, **options):
        network = train(self, *args, **options)
        trained.append(network)
        if len(trained) == 2:
            network.result.stopped = "interrupted"
        return network

    monkeypatch.setattr(MLP, "train_prepared", interrupted)
    model = learner(name, **given, **QUICK).fit(example_tasks()["two"], keep_on_interrupt=True, progress=False)
    assert len(model.metadata["training"]["members"]) == 2
    assert model.metadata["training"]["stopped"] == "interrupted"
