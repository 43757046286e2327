"""What stands between a task and the training of a network."""

import json

import numpy as np
import pytest
import torch

import onnxlearn as ol
from onnxlearn.testing import example_tasks
from onnxlearn_models.many import train_group
from onnxlearn_models.mlp import MLP
from onnxlearn_models.prepared import Generators

CPU = torch.device("cpu")


def small(**options):
    return MLP(**{"d_block": 16, "n_blocks": 2, "max_epochs": 2, "device": "cpu", **options})


def drawn(*generators):
    found = []
    for generator in generators:
        with generator.resumed():
            found.append(torch.rand(2))
    return torch.cat(found)


def test_random_numbers_go_on_where_they_ended_whatever_is_drawn_between():
    torch.manual_seed(7)
    expected, callers = torch.rand(6), torch.rand(2)
    one, other = Generators(7, CPU), Generators(8, CPU)
    torch.manual_seed(7)
    torch.rand(6)
    assert torch.equal(drawn(one, other, one, one)[[0, 1, 4, 5, 6, 7]], expected)
    assert torch.equal(torch.rand(2), callers)


def test_networks_that_are_prepared_together_are_those_that_are_trained_one_by_one():
    train, valid = example_tasks()["classes"].split(0.2, 0)
    learners = [small(seed=1), small(seed=2, dropout=0.3)]
    prepared = [learner.prepare(train, valid) for learner in learners]
    together = [learner.train_prepared(each, progress=False) for learner, each in zip(learners, prepared, strict=True)]
    alone = [learner.train(train, valid, progress=False) for learner in reversed(learners)]
    for one, other in zip(together, reversed(alone), strict=True):
        first, second = one.module.state_dict(), other.module.state_dict()
        assert all(torch.equal(first[name], second[name]) for name in second)
        assert one.chosen == other.chosen


@pytest.mark.parametrize("name", ["classes", "number"])
def test_the_untrained_network_is_the_one_that_training_begins_with(name):
    task = example_tasks()[name]
    still = small(lr=1e-12, weight_decay=0.0, ema=0.0, validation=None, max_epochs=1, num_embedding="none")
    begun, ended = still.untrained(task).state_dict(), still.train(task, None, progress=False).module.state_dict()
    weights = [key for key in begun if key.endswith("weight")]
    assert weights
    assert any(torch.allclose(begun[key], ended[key], rtol=0, atol=1e-9) for key in weights)


@pytest.mark.parametrize("name", ["classes", "number"])
def test_training_rows_alone_get_target_encodings_of_other_folds(name):
    train, valid = example_tasks()[name].split(0.2, 0)
    prepared = small(cat_encoding="target").prepare(train, valid)
    steps, rows = prepared.preprocessing, prepared.tensors(prepared.train).inputs["num"].numpy()
    np.testing.assert_array_equal(rows, steps.transform_training(train.feeds())["num"])
    later = steps.transform(train.feeds())["num"]
    differs = (rows != later).any(axis=0)
    encoded = [":" in column and "missing" not in column for column in steps.schema.ingress.num_names]
    assert differs.any()
    assert not differs[~np.array(encoded)].any()
    np.testing.assert_array_equal(prepared.tensors(prepared.valid).inputs["num"].numpy(), steps.transform(valid.feeds())["num"])


MADE = {
    "num_bins": 3, "num_splines": 4, "num_polynomial": 2, "num_pca": 2, "num_select": 20, "cat_encoding": "target",
    "formulas": {"ratio": "bill_length_mm / bill_depth_mm"},
}  # fmt: skip


def test_a_recipe_with_columns_made_of_columns_is_data():
    task, learner = ol.example_task("penguins"), small(**MADE)
    again = ol.learner("mlp", **json.loads(json.dumps(learner.to_dict()["params"])))
    assert again.fit(task, progress=False).to_bytes() == learner.fit(task, progress=False).to_bytes()


def test_folds_with_columns_made_of_columns_are_trained_as_one():
    learner, task = small(**MADE, dropout=0.0), ol.example_task("penguins")
    parts = [task.split(0.2, seed) for seed in (0, 1, 2)]
    together = train_group([(learner, learner.prepare(*part)) for part in parts])
    for network, part in zip(together, parts, strict=True):
        alone = learner.train(*part, progress=False)
        torch.testing.assert_close(network.module.state_dict(), alone.module.state_dict(), rtol=1e-3, atol=1e-4)
