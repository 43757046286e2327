"""The folder of a training: whatever ended it, it goes on and comes to the same."""

import json
import os
import warnings

import pytest
import torch
from tests.contract.quick_learners import quick

import onnxlearn as ol
from onnxlearn.errors import DataError, OutputError, ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks.checkpoints import CheckpointWarning
from onnxlearn_models.training.folder import DOCUMENT, read_folder

TRAINED = sorted(set(ol.learners()) - {"featureless"})


class Killed(BaseException):
    """Stands for the end of the process."""


class Killer(Callback):
    """Ends the training in the middle of an epoch."""

    recorded = False

    def __init__(self, epoch, skipped=0):
        self.epoch, self.left = epoch, skipped

    def after_backward(self, ctx):
        if ctx.epoch == self.epoch:
            self.left -= 1
            if self.left < 0:
                raise Killed


class Counting(Callback):
    """Counts epochs, also of a training that goes on."""

    recorded = False

    def __init__(self):
        self.n = 0

    def epoch_end(self, ctx):
        self.n += 1


def task():
    return example_tasks()["two"]


def linear(**settings):
    return ol.learner("linear", **{"max_epochs": 5, "batch_size": 10, "checkpoint_every": 1, **settings})


def killed(learner, folder, epoch, skipped=0, data=None):
    with pytest.raises(Killed):
        learner.replace(callbacks=(Killer(epoch, skipped),)).fit(data or task(), folder=folder, progress=False)


@pytest.mark.parametrize("name", TRAINED)
def test_a_killed_training_comes_to_the_same_file(name, tmp_path):
    settings = {"batch_size": 8, "checkpoint_every": 1, "patience": None}
    if name == "ensemble":
        first, second = (quick(member, **settings).replace(max_epochs=4) for member in ("mlp", "tabm"))
        recipe = ol.learner(name, members=[first, second], max_epochs=4)
        dying = recipe.replace(members=[first, second.replace(callbacks=[Killer(3, 1)])])
    else:
        recipe = quick(name, **settings).replace(max_epochs=4)
        dying = recipe.replace(callbacks=[Killer(3, 1)])
    undisturbed = recipe.fit(task(), progress=False).to_bytes()
    with pytest.raises(Killed):
        dying.fit(task(), folder=tmp_path, progress=False)
    checkpoints = read_folder(tmp_path).networks
    assert checkpoints[max(checkpoints)].epoch == 2
    # Random numbers from elsewhere must not matter.
    torch.manual_seed(17)
    assert recipe.fit(task(), folder=tmp_path, progress=False).to_bytes() == undisturbed
    assert recipe.fit(task(), folder=tmp_path, progress=False).to_bytes() == undisturbed
