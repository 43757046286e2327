"""When two learners are the same, and fits side by side."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.testing import example_tasks

QUICK = {"max_epochs": 4, "device": "cpu"}


def make(activation):
    def net(n_num, n_outputs):
        return nn.Sequential(*[nn.Linear(n_num, 4), activation(), nn.Linear(4, n_outputs)])

    return net


def instance(activation):
    torch.manual_seed(0)
    return Wrapped(activation)


class Wrapped(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 2))

    def forward(self, num):
        return self.layers(num)


@pytest.mark.parametrize("of", [make, instance])
def test_networks_that_share_a_name_are_not_the_same(of):
    tanh = of(nn.Tanh)
    assert ol.learner(tanh) == ol.learner(tanh)
    assert hash(ol.learner(tanh)) == hash(ol.learner(tanh))
    assert ol.learner(tanh) != ol.learner(of(nn.ReLU))
    assert ol.learner(tanh, lr=0.1) != ol.learner(tanh)
    members = [ol.learner(tanh), ol.learner(of(nn.ReLU))]
    assert len(ol.learner("ensemble", members=members).members()) == 2
    assert ol.learner("ensemble", members=members) != ol.learner("ensemble", members=members[:1] * 2)


def test_a_name_and_its_learner_are_the_same():
    assert ol.learner("ensemble", members=["linear"]) == ol.learner("ensemble", members=[ol.learner("linear")])


def test_fits_in_threads_are_those_of_one_after_the_other():
    """Torch has one stream of random numbers for all threads."""
    task, recipe = example_tasks()["two"], ol.learner("mlp", d_block=16, n_blocks=1, max_epochs=60, patience=None, device="cpu")
    expected = recipe.fit(task, progress=False).to_bytes()
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(recipe.fit(task, progress=False).to_bytes())) for _ in range(3)]
    state = torch.get_rng_state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3
    assert torch.equal(torch.get_rng_state(), state)
