"""The range of learning rates: what it finds, what it leaves alone, what it draws."""

import numpy as np
import pytest
import torch

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.lr_range import N_FIRST, LRRange
from onnxlearn_models.training.callback import Callback


def task():
    return ol.example_task("penguins")


def test_the_loss_falls_and_explodes_and_the_suggestion_lies_before():
    found = ol.lr_find(task(), ol.learner("mlp", num_embedding="none"), high=10.0)
    assert found.lrs[0] == pytest.approx(1e-6)
    np.testing.assert_allclose(np.diff(np.log(found.lrs)), np.log(1e7) / 99)
    assert len(found.lrs) < 100, "at a rate of 10 the loss explodes"
    assert found.smoothed.min() < 0.5 * found.losses[0]
    assert found.suggestion == pytest.approx(found.lowest / 10, rel=0.06)
    assert 1e-4 < found.suggestion < 1e-2
    assert list(found.to_frame()) == ["lr", "loss", "smoothed"]


def test_the_suggestion_trains_about_as_well_as_the_tuned_rate():
    data = task()
    train, test = data.split(0.3, 0)
    usual = ol.learner("mlp", num_embedding="none", max_epochs=15)
    found = ol.lr_find(train, usual)
    tuned, suggested = (
        learner.fit(train, test=test, progress=False).scores["test"]["logloss"]
        for learner in (usual, usual.replace(lr=found.suggestion))
    )
    assert suggested < tuned + 0.1


def test_nothing_is_changed_and_the_same_is_found_again():
    data, learner = task(), ol.learner("linear", seed=3)
    before = learner.fit(data, progress=False).to_bytes()
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first, second = (ol.lr_find(data, learner, n_steps=30) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.losses, second.losses)
    assert learner.fit(data, progress=False).to_bytes() == before


def test_the_losses_are_those_of_steps_at_these_rates():
    """Of a single rate they are those of an ordinary training with it."""
    data = task()

    class Noting(Callback):
        def begin(self, ctx):
            self.losses = []

        def batch_end(self, ctx):
            self.losses.append(float(ctx.loss))

    learner = ol.learner("linear", validation=None, lr=0.01, schedule="constant", warmup=0.0, ema=0.0, callbacks=[Noting()])
    usual = learner.fit(data, progress=False).callbacks[0].losses
    np.testing.assert_allclose(learner.losses_at(data, [0.01] * 25), usual[1:26], rtol=1e-6)


@pytest.mark.parametrize("name", ["ensemble", "bagging", "featureless"])
def test_learners_of_several_networks_or_none_have_no_rate(name):
    with pytest.raises(ParameterError, match=f"learner {name!r} has no learning rate of its own"):
        ol.lr_find(task(), ol.learner(name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0}, "low is a learning rate above 0, not 0"),
        ({"high": float("inf")}, "high is a learning rate above 0, not inf"),
        ({"low": 1e-2, "high": 1e-3}, r"low=0\.01 is not below high=0\.001"),
        ({"n_steps": 5}, "n_steps is a whole number of at least 20, not 5"),
        ({"n_steps": True}, "n_steps is a whole number"),
    ],
)
def test_ranges_that_are_none_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        ol.lr_find(task(), ol.learner("linear"), **options)


def test_a_loss_that_does_not_fall_gives_no_suggestion():
    found = ol.lr_find(task(), ol.learner("linear"), low=1e-12, high=1e-11, n_steps=2 * N_FIRST)
    assert found.suggestion is None
    assert "the loss does not fall" in repr(found)
    assert found.plot().get_xscale() == "log"


def test_the_plot_shows_the_suggestion():
    lrs = np.geomspace(1e-5, 1, 50)
    losses = 1 + (np.log10(lrs) + 2) ** 2
    found = LRRange(learner="mlp", lrs=lrs, losses=losses, smoothed=losses)
    assert found.suggestion == pytest.approx(1e-3, rel=0.2)
    ax = found.plot()
    assert f"suggestion {found.suggestion:g}" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_learning_curves_of_a_model_are_its_history():
    model = ol.learner("linear", max_epochs=3).fit(task(), progress=False)
    ax = ol.plots.learning_curves(model)
    history = model.metadata["training"]["history"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), history["valid_loss"])


def test_learning_curves_of_a_model_of_several_networks_have_a_mean():
    model = ol.learner("ensemble", members=["linear"], n_seeds=2, max_epochs=2).fit(task(), progress=False)
    histories = [member["history"]["train_loss"] for member in model.metadata["training"]["members"]]
    drawn = [line.get_ydata().tolist() for line in ol.plots.learning_curves(model).lines]
    assert np.mean(histories, axis=0).tolist() in drawn
    assert all(history in drawn for history in histories)


def test_a_model_without_training_has_no_curves():
    model = ol.learner("featureless").fit(task())
    with pytest.raises(ol.errors.DataError, match="has no learning curves"):
        ol.plots.learning_curves(model)


def test_learning_curves_of_one_epoch_are_points_that_are_seen():
    model = ol.learner("linear", max_epochs=1).fit(ol.example_task("penguins"), progress=False)
    ax = ol.plots.learning_curves(model)
    curves = [line for line in ax.lines if line.get_marker() not in ("None", None)]
    assert [line.get_xdata().tolist() for line in curves] == [[1], [1]]
    assert [line.get_markevery() for line in curves] == [None, None]
    assert [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]] == [1.0]


def test_learning_curves_of_a_measure_mark_the_epoch_that_was_kept():
    learner = ol.learner("linear", max_epochs=6, measures=["auc"], monitor="auc")
    model = learner.fit(ol.example_task("penguins"), progress=False)
    ax = ol.plots.learning_curves(model, measure="auc")
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn[:2] == [model.history["train_auc"].tolist(), model.history["valid_auc"].tolist()]
    kept = model.metadata["training"]["best_epoch"]
    assert set(ax.lines[2].get_xdata()) == {kept}
    assert ax.get_ylabel() == "auc"
    with pytest.raises(ParameterError, match="no history has 'f1'; there are 'auc', 'loss', 'acc'"):
        ol.plots.learning_curves(model, measure="f1")


def test_the_steepest_fall_is_not_looked_for_where_batches_differ():
    rng = np.random.default_rng(0)
    lrs = np.geomspace(1e-6, 1, 100)
    # Nothing but noise at first, then a slow fall that ends at 0.05.
    losses = np.where(lrs < 1e-3, 1.0, 1.0 - 0.3 * np.log(lrs / 1e-3) / np.log(50)) + 0.05 * rng.normal(size=100)
    losses[0] = 1.6
    losses[lrs > 0.05] = 2.0
    smoothed = np.array([np.mean(losses[max(0, i - 9) : i + 1]) for i in range(100)])
    found = LRRange(learner="mlp", lrs=lrs, losses=losses, smoothed=smoothed)
    assert 1e-3 < found.steepest <= found.lowest
