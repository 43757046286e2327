"""Trained networks in files of their own, made anew beside what was prepared."""

import numpy as np
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError
from onnxlearn_models.many import train_group
from onnxlearn_models.training.kept import read_network

SMALL = {"max_epochs": 4, "device": "cpu", "n_threads": 1}
LEARNERS = {
    "mlp": {"n_blocks": 1, "d_block": 8},
    "realmlp": {"n_blocks": 1, "d_block": 8},
    # What is shipped is not what is trained: members are chosen, batch norms are folded.
    "tabm": {"n_blocks": 1, "d_block": 8, "n_members": 4},
    "tabnet": {"n_d": 4, "n_a": 4, "n_steps": 2},
    "tab_resnet": {"n_blocks": 1, "d_block": 8},
    "linear": {"optimizer": "lbfgs"},
}


@pytest.fixture(scope="module")
def parts():
    return ol.example_task("penguins").split(0.3, 0)


def assert_same(found, other, rows):
    for name, values in other.outputs(rows).items():
        np.testing.assert_array_equal(found.outputs(rows)[name], values)
    assert (found.result.best_epoch, found.result.epochs) == (other.result.best_epoch, other.result.epochs)
    assert (found.result.notes, found.result.stopped) == (other.result.notes, other.result.stopped)
    assert found.chosen == other.chosen


@pytest.mark.parametrize("name", LEARNERS)
def test_a_network_is_made_anew_from_its_file(name, parts, tmp_path):
    train, valid = parts
    learner = ol.learner(name, **SMALL, **LEARNERS[name])
    kept = tmp_path / "network.safetensors"
    trained = learner.train_prepared(learner.prepare(train, valid), kept=kept, progress=False)
    assert_same(learner.restored(learner.prepare(train, valid), kept), trained, train.feeds())


def test_of_several_that_are_trained_as_one(parts, tmp_path):
    train, valid = parts
    learners = [ol.learner("mlp", seed=seed, **SMALL, **LEARNERS["mlp"]) for seed in range(3)]
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    networks = train_group([(each, each.prepare(train, valid)) for each in learners], kept=files)
    for learner, network, file in zip(learners, networks, files, strict=True):
        assert_same(learner.restored(learner.prepare(train, valid), file), network, train.feeds())


def test_a_file_that_is_damaged_or_of_another_network_is_refused(parts, tmp_path):
    train, valid = parts
    learner = ol.learner("mlp", **SMALL, **LEARNERS["mlp"])
    kept = tmp_path / "network.safetensors"
    learner.train_prepared(learner.prepare(train, valid), kept=kept, progress=False)
    wider = learner.replace(d_block=16).prepare(train, valid)
    with pytest.raises(DataError, match="of another network"):
        read_network(kept, wider.module)
    contents = bytearray(kept.read_bytes())
    contents[-1] ^= 1
    kept.write_bytes(contents)
    with pytest.raises(DataError, match="its tensors are not those that were written"):
        read_network(kept, learner.prepare(train, valid).module)
    kept.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_network(kept, learner.prepare(train, valid).module)
