"""Features of images that are computed once, as long as nothing of what makes them is trained."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.modes import begin_training

N = 48
# More than the features of all rows need, less than their images.
GB_OF_FEATURES = N * 4 * 100 / 1e9


@pytest.fixture(scope="module")
def task():
    def drawn(i):
        pixels = np.random.default_rng(i).integers(0, 90, (10, 10, 3), np.uint8)
        pixels[:, :5] += np.uint8(120 * (i % 2))
        return pixels

    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"photo": [drawn(i) for i in range(N)], "x": rng.normal(size=N), "side": ["rl"[i % 2] for i in range(N)]}
    )
    return ol.Task.from_frame(frame, "side", kinds={"photo": "image"})


class Calls(Callback):
    """Counts how often the images' encoder runs in each epoch, its validation included."""

    recorded = False

    def begin(self, ctx):
        self.counts, self.states = [], [state(ctx.module)]
        self.hook = ctx.module.images[0].register_forward_hook(lambda *_: self.counts.__setitem__(-1, self.counts[-1] + 1))

    def epoch_begin(self, ctx):
        self.counts.append(0)

    def epoch_end(self, ctx):
        self.states.append(state(ctx.module))

    def exit(self, ctx):
        self.hook.remove()


def state(module):
    return {name: tensor.clone() for name, tensor in module.images.state_dict().items()}


def learner(name="cnn", **settings):
    small = {"image_height": 12, "image_width": 12, "max_epochs": 4, "batch_size": 8, "seed": 0, "device": "cpu", "lr": 1e-2}
    own = {"cnn": {"width": 4}, "multimodal": {"width": 4}, "backbone": {"backbone": "resnet20"}}
    return ol.learner(name, **{**small, **own[name], "unfreeze": {"images.*": 3}, **settings})


def fitted(learner, task, *more):
    model = learner.replace(callbacks=(Calls(), *more)).fit(task, progress=False)
    return model, model.callbacks[0]


@pytest.mark.parametrize("name", ["cnn", "multimodal", "backbone"])
@pytest.mark.parametrize("lazy", [False, True])
def test_the_network_is_the_same_and_its_encoder_runs_once(task, name, lazy):
    memory = {"image_memory": GB_OF_FEATURES, "image_workers": 1} if lazy else {}
    cached, calls = fitted(learner(name, **memory), task)
    plain, all_calls = fitted(learner(name, cache_features=False, **memory), task)
    np.testing.assert_allclose(cached.predict(task).prob, plain.predict(task).prob, atol=1e-4)
    np.testing.assert_allclose(*(m.metadata["training"]["history"]["train_loss"] for m in (cached, plain)), rtol=1e-4)
    # Once for training and once for validation rows; then every batch.
    assert calls.counts[0] == 2
    assert calls.counts[1] == 0
    assert calls.counts[2:] == all_calls.counts[2:]
    assert all_calls.counts[0] == all_calls.counts[3] > 4
    before, first, second, third, _ = calls.states
    assert all(torch.equal(before[key], second[key]) and torch.equal(first[key], second[key]) for key in before)
    assert not any(torch.equal(second[key], third[key]) for key in before if key.endswith("weight"))


def test_what_is_frozen_for_good_goes_through_its_encoder_once(task):
    settings = {"freeze": ("images.*",), "unfreeze": None, "measures": ("acc",)}
    model, calls = fitted(learner(cache_features=True, **settings), task)
    assert calls.counts == [2, 0, 0, 0]
    assert model.verify().ok
    assert "train_acc" in model.metadata["training"]["history"]
    plain = learner(cache_features=False, **settings).fit(task, progress=False)
    np.testing.assert_allclose(model.predict(task).prob, plain.predict(task).prob, atol=1e-5)


def test_a_training_that_goes_on_is_the_same(task, tmp_path):
    settings = {"schedule": "constant", "unfreeze": None, "freeze": ("images.*",)}
    for max_epochs in (2, 4):
        parts = learner(max_epochs=max_epochs, **settings).fit(task, folder=tmp_path / "f", progress=False)
    whole = learner(max_epochs=4, **settings).fit(task, progress=False)
    np.testing.assert_array_equal(parts.predict(task).prob, whole.predict(task).prob)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"unfreeze": None}, "is trained from the first epoch on: freeze='images.*'"),
        ({"freeze": ("images.0.stages.0.*",), "unfreeze": None}, "is trained from the first epoch on"),
        ({"norm_statistics": "all"}, "is trained from the first epoch on"),
        ({"mixup": 0.2}, "mixup mixes images"),
        ({"augment_flip": 0.5}, "augmentation makes other images in each epoch"),
        ({"unfreeze": None, "callbacks": ("unfreeze(batch={6: 'images.*'})",)}, "join in the middle of an epoch"),
        ({"image_memory": 1e-6}, r"the features of 48 rows are [0-9.e-]+ GB, more than image_memory"),
    ],
)
def test_where_it_is_not_possible_it_says_why(task, settings, why):
    with pytest.raises(ParameterError, match=f"cache_features=True cannot be: .*{why}"):
        learner(cache_features=True, **settings).fit(task, progress=False)
    model, calls = fitted(learner(max_epochs=3, **{"callbacks": (), **settings}), task, *settings.get("callbacks", ()))
    assert min(calls.counts) > 2
    assert model.verify().ok


class Joins(Callback):
    """Trains everything from the third batch of the second epoch on."""

    recorded = False

    def batch_end(self, ctx):
        if ctx.n_steps == ctx.n_batches + 3:
            ctx.module.requires_grad_(True)
            ctx.regroup()


def test_a_callback_that_trains_encoders_in_the_middle_of_an_epoch(task):
    frozen = learner(freeze=("images.*",), unfreeze={"images.*": 4}, callbacks=(Joins(),))
    with pytest.raises(ParameterError, match=re.escape("from the middle of an epoch on") + ".*set cache_features=False"):
        frozen.fit(task, progress=False)
    assert frozen.replace(cache_features=False).fit(task, progress=False).verify().ok


def test_a_resting_encoder_computes_as_in_evaluation(task):
    network = learner("multimodal").untrained(task)
    encoder = network.images[0]
    encoder.add_module("dropout", nn.Dropout(0.5))
    begin_training(network, "trained")
    assert (encoder.dropout.training, network.dropout.training) == (True, True)
    encoder.requires_grad_(False)
    begin_training(network, "trained")
    assert (encoder.dropout.training, network.dropout.training) == (False, True)
    begin_training(network, "all")
    assert encoder.dropout.training
