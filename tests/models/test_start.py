"""Fine-tuning: trainings that begin with given weights."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from own_networks import Both
from safetensors.torch import save_file
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_cli import main
from onnxlearn_models.training.folder import read_folder
from onnxlearn_models.training.start import StartWarning, StartWeights

QUICK = {"max_epochs": 3, "d_block": 8, "n_blocks": 2, "batch_size": 10, "device": "cpu", "n_threads": 1}
UNTRAINED = {**QUICK, "max_epochs": 1, "lr": 1e-12, "ema": 0.0, "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0}


def task(name="two"):
    return example_tasks()[name]


def mlp(**settings):
    return ol.learner("mlp", **{**QUICK, **settings})


def begun(learner, data=None):
    """The network that training begins with."""
    prepared = learner.prepare(data or task())
    with prepared.generators.resumed():
        prepared.initialize(prepared.tensors(prepared.train))
    return prepared.module


@pytest.fixture
def folder(tmp_path):
    """Of a training that is over."""
    mlp(seed=5).fit(task(), folder=tmp_path / "run", progress=False)
    return tmp_path / "run"


def test_a_training_begins_with_the_best_weights_of_a_folder(folder):
    best = read_folder(folder).networks[1].weights()
    network = begun(mlp(start_from=folder))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, best[name]), name
    # Steps of no size give the model of the folder again, but for rows of tables that no training row looks up.
    again = ol.learner("mlp", **UNTRAINED, seed=5, start_from=str(folder)).fit(task(), progress=False)
    first = mlp(seed=5).fit(task(), progress=False)
    np.testing.assert_allclose(again.predict(task()).prob, first.predict(task()).prob, atol=1e-5)


@pytest.mark.parametrize("kind", ["file", "network", "state dict", "arrays"])
def test_weights_come_from_files_networks_and_state_dicts(kind, folder, tmp_path):
    best = read_folder(folder).networks[1].weights()
    network = begun(mlp())
    network.load_state_dict(best)
    save_file(best, tmp_path / "weights.safetensors")
    given = {
        "file": tmp_path / "weights.safetensors",
        "network": network,
        "state dict": best,
        "arrays": {name: tensor.numpy() for name, tensor in best.items()},
    }[kind]
    found = begun(mlp(start_from=given)).state_dict()
    assert all(torch.equal(found[name], best[name]) for name in best)


def test_a_head_for_other_classes_begins_with_its_own_weights_and_that_is_said(folder):
    frame = task().frame
    three = frame.assign(**{task().schema.target.names[0]: np.tile(["a", "b", "c"], len(frame))[: len(frame)]})
    other = ol.Task.from_frame(three, target=task().schema.target.names[0])
    with pytest.warns(
        StartWarning, match=r"\d+ of \d+ parameters began with given weights, these with their own: 'head.*was given as"
    ):
        network = begun(mlp(start_from=folder), other)
    best = read_folder(folder).networks[1].weights()
    taken = [name for name, tensor in network.state_dict().items() if name in best and torch.equal(tensor, best[name])]
    assert len(taken) == len(best) - 2
    with pytest.warns(StartWarning):
        model = mlp(start_from=folder).fit(other, progress=False)
    assert any("these with their own" in note for note in model.metadata["notes"])
    assert str(folder) not in str(model.metadata)


def test_columns_of_another_meaning_are_told(folder):
    frame = task().frame
    first = task().schema.feature_names[0]
    renamed = frame.rename(columns={first: "another"})
    with pytest.warns(StartWarning, match=f"the given weights were trained for the columns '{first}'"):
        begun(mlp(start_from=folder), ol.Task.from_frame(renamed, target=task().schema.target.names[0]))
    target = task().schema.target.names[0]
    swapped = frame.assign(**{target: frame[target].astype(str) + "!"})
    with pytest.warns(StartWarning, match="for other kinds, levels or classes of 'the target'"):
        begun(mlp(start_from=folder), ol.Task.from_frame(swapped, target=target))


def test_weights_of_another_network_are_refused(folder):
    with pytest.raises(
        ParameterError, match=r"no weights of '.*' have the name and the shape of any of the network, which has"
    ):
        ol.learner("linear", start_from=folder).prepare(task())
    with pytest.raises(ParameterError, match="no weights of a Linear have the name"):
        mlp(start_from=nn.Linear(3, 2)).prepare(task())


def test_integers_are_no_weights():
    network = begun(mlp())
    name, tensor = next(iter(network.named_parameters()))
    with pytest.raises(ParameterError, match="no weights of a state dict have"):
        mlp(start_from={name: torch.ones(tensor.shape, dtype=torch.int64)}).prepare(task())


def test_what_holds_no_weights_is_refused(folder, tmp_path):
    model = mlp(max_epochs=1).fit(task(), progress=False)
    model.save(tmp_path / "model.onnx")
    (tmp_path / "weights.pt").write_bytes(b"")
    (tmp_path / "broken.safetensors").write_bytes(b"12345678")
    for given, reason in (
        (tmp_path / "model.onnx", "cannot take '.*model.onnx': export folds and fuses weights"),
        (model, "cannot take a Model: export folds"),
        (
            tmp_path / "weights.pt",
            r"reads .safetensors files, not 'weights.pt'; .* start_from=torch.load\('weights.pt', weights_only=True\)",
        ),
        (tmp_path / "nowhere", "there is no training folder and no file"),
        (tmp_path, "holds no trained network"),
        (3, "takes a training folder, a .safetensors file, a network or its state dict, not a value of type int"),
    ):
        with pytest.raises(ParameterError, match=f"start_from.* {reason}"):
            mlp(start_from=given)
    with pytest.raises(DataError, match="is no whole safetensors file"):
        mlp(start_from=tmp_path / "broken.safetensors")


def test_of_several_networks_one_has_to_be_named(tmp_path):
    ol.learner("bagging", **QUICK, n_folds=2).fit(task(), folder=tmp_path, progress=False)
    with pytest.raises(ParameterError, match=r"holds 2 networks: give one, such as '.*network-1.safetensors'"):
        mlp(start_from=tmp_path)
    second = read_folder(tmp_path).networks[2].weights()
    network = begun(mlp(start_from=tmp_path / "network-2.safetensors"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in network.state_dict().items())


def test_a_recipe_keeps_the_weights_that_it_was_given_and_names_them_by_their_digest(folder):
    learner = mlp(start_from=folder)
    before = learner.to_dict()
    assert before["params"]["start_from"] == {
        "n_tensors": len(read_folder(folder).networks[1].weights()),
        "sha256": StartWeights.of(folder).digest,
    }
    (folder / "network-1.safetensors").unlink()
    for same in (learner.replace(lr=None), pickle.loads(pickle.dumps(learner))):
        assert same.to_dict() == before
        assert same == learner
    assert learner != mlp()
    assert mlp(start_from={"a": torch.ones(2)}) != mlp(start_from={"a": torch.zeros(2)})
    assert mlp(start_from={"a": torch.ones(2)}) == mlp(start_from={"a": np.ones(2, np.float32)})


def test_what_happens_to_a_network_later_does_not_change_the_recipe():
    network = begun(mlp())
    learner = mlp(start_from=network)
    before = learner.to_dict()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert learner.to_dict() == before


def test_every_fold_of_bagging_begins_with_them(folder):
    bagging = ol.learner("bagging", **QUICK, n_folds=2, start_from=folder)
    best = read_folder(folder).networks[1].weights()
    for member in bagging.fold_learners():
        network = begun(member)
        assert all(torch.equal(tensor, best[name]) for name, tensor in network.state_dict().items())
    assert "sha256" in bagging.to_dict()["params"]["start_from"]


def test_a_network_of_ones_own_goes_by_its_own_names(tmp_path):
    prepared = ol.learner(Both).prepare(task())
    own = prepared.module.network
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.fill_(0.25)
    network = begun(ol.learner(Both, start_from=own))
    assert all((parameter == 0.25).all() for parameter in network.parameters())


def test_a_training_that_began_with_weights_goes_on(folder, tmp_path):
    learner = mlp(start_from=folder)
    first = learner.fit(task(), folder=tmp_path / "second", progress=False)
    assert learner.fit(task(), folder=tmp_path / "second", progress=False).to_bytes() == first.to_bytes()
    with pytest.raises(ParameterError, match="holds another training: it has start_from="):
        mlp().fit(task(), folder=tmp_path / "second", progress=False)


def test_fine_tuning_on_few_rows_beats_training_anew():
    rng = np.random.default_rng(0)

    def table(n):
        x = rng.normal(size=(n, 4))
        return pd.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "y": np.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2] ** 2})

    many, few, new = (ol.Task.from_frame(table(n), target="y") for n in (1500, 40, 500))
    settings = {"d_block": 32, "dropout": 0.0, "num_scaler": "none", "target_scaler": "none", "validation": None}
    network = ol.learner("mlp", **settings, max_epochs=30).train(many, None, progress=False).module
    anew = ol.learner("mlp", **settings, max_epochs=10).fit(few, progress=False)
    tuned = ol.learner("mlp", **settings, max_epochs=10, start_from=network).fit(few, progress=False)
    assert tuned.score(new)["rmse"] < 0.7 * anew.score(new)["rmse"]


def test_on_the_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["fit", "example:penguins", "--target", "species", "--set", "max_epochs=1", "--set", "d_block=8"]
    assert main([*line, "--folder", "first"]) == 0
    assert main([*line, "--set", "start_from=first", "--out", "second.onnx"]) == 0
    assert "sha256" in ol.load("second.onnx").metadata["learner"]["params"]["start_from"]
    assert main([*line, "--set", "start_from=model.onnx"]) == 2
    assert "export folds and fuses weights" in capsys.readouterr().err


def test_scores_of_rows_that_the_weights_may_know_are_noted(folder):
    model = mlp(start_from=folder).fit(task(), progress=False)
    assert any("trained on a task of the same name" in note for note in model.metadata["notes"])


def test_weights_that_are_no_numbers_are_named():
    weights = begun(mlp()).state_dict()
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], torch.nan)
    with pytest.raises(ParameterError, match=f"start_from: '{name}' of a state dict has values that are not finite"):
        mlp(start_from=weights).fit(task(), progress=False)
