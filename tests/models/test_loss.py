"""Losses: their values, their settings, their predictions in the file."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.training import losses
from onnxlearn_models.training.config import make_train_config
from onnxlearn_models.training.loss import row_loss

QUICK = {"d_block": 16, "n_blocks": 1, "max_epochs": 4, "device": "cpu"}
GENERATOR = torch.Generator().manual_seed(0)
LOGITS, CLASSES = torch.randn(30, 2, generator=GENERATOR), torch.randint(0, 2, (30,), generator=GENERATOR)
NUMBERS, TRUTH = torch.randn(30, 2, generator=GENERATOR), torch.randn(30, 2, generator=GENERATOR) * 2
WEIGHTS = torch.tensor([1.0, 3.0])
COUNTS = torch.randint(0, 6, (30, 2), generator=GENERATOR).float()


def value(name, task, output, target, unit=None, **settings):
    config = make_train_config(loss=name, **{f"loss_{key}": each for key, each in settings.items()})
    return row_loss(name, task, config=config, unit=unit)(output, target)


def probability():
    return LOGITS.softmax(1)[range(30), CLASSES]


OF_CLASSES = [
    ("cross_entropy", {}, lambda: functional.cross_entropy(LOGITS, CLASSES, reduction="none")),
    ("bce", {}, lambda: functional.cross_entropy(LOGITS, CLASSES, reduction="none")),
    ("bce", {"positive_weight": 3.0}, lambda: WEIGHTS[CLASSES] * functional.cross_entropy(LOGITS, CLASSES, reduction="none")),
    ("focal", {"gamma": 1.5}, lambda: -((1 - probability()) ** 1.5) * probability().log()),
    ("poly", {"epsilon": 2.0}, lambda: -probability().log() + 2 * (1 - probability())),
]  # fmt: skip
OF_NUMBERS = [
    ("mse", {}, lambda: functional.mse_loss(NUMBERS, TRUTH, reduction="none")),
    ("mae", {}, lambda: functional.l1_loss(NUMBERS, TRUTH, reduction="none")),
    ("l1", {}, lambda: functional.l1_loss(NUMBERS, TRUTH, reduction="none")),
    ("huber", {"delta": 0.5}, lambda: functional.huber_loss(NUMBERS, TRUTH, reduction="none", delta=0.5)),
    ("smooth_l1", {"beta": 0.5}, lambda: functional.smooth_l1_loss(NUMBERS, TRUTH, reduction="none", beta=0.5)),
    ("log_cosh", {}, lambda: torch.log(torch.cosh(NUMBERS - TRUTH))),
    ("pinball", {"quantile": 0.8}, lambda: torch.where(TRUTH > NUMBERS, 0.8 * (TRUTH - NUMBERS), 0.2 * (NUMBERS - TRUTH))),
]
OF_COUNTS = [
    ("poisson", lambda: functional.poisson_nll_loss(NUMBERS, COUNTS, reduction="none")),
    ("gamma", lambda: NUMBERS + COUNTS / NUMBERS.exp()),
    ("msle", lambda: (torch.log1p(3 * NUMBERS.exp()) - torch.log1p(3 * COUNTS)) ** 2),
]


@pytest.mark.parametrize(("name", "settings", "expected"), OF_CLASSES)
def test_losses_of_classes(name, settings, expected):
    torch.testing.assert_close(value(name, "classification", LOGITS, CLASSES, **settings), expected())


@pytest.mark.parametrize(("name", "settings", "expected"), OF_NUMBERS)
def test_losses_of_numbers(name, settings, expected):
    torch.testing.assert_close(value(name, "regression", NUMBERS, TRUTH, **settings), expected().mean(dim=1))


@pytest.mark.parametrize(("name", "expected"), OF_COUNTS)
def test_losses_of_positive_numbers(name, expected):
    found = value(name, "regression", NUMBERS, COUNTS, unit=torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(found, expected().mean(dim=1))


def test_the_comparison_covers_every_loss_and_setting():
    compared = {name: set() for name in losses}
    for name, settings, _ in OF_CLASSES + OF_NUMBERS:
        compared[name] |= set(settings)
    assert {name for name, _ in OF_COUNTS} | {name for name, *_ in OF_CLASSES + OF_NUMBERS} == set(losses)
    assert {name: {f"loss_{key}" for key in keys} for name, keys in compared.items()} == {
        name: {field for field, _, _ in losses.fields(entry)} for name, entry in losses.items()
    }


# Positive numbers: the file predicts the exponential.


def counts(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": rng.poisson(np.exp(1.5 + 0.8 * x[:, 0])).astype(float)})
    return ol.Task.from_frame(frame, target="y", type="regression")


@pytest.mark.parametrize("options", [{"loss": "poisson"}, {"loss": "msle"}, {"loss": "poisson", "target_scaler": "none"}])
def test_predictions_of_counts_are_positive_and_right(options):
    task = counts()
    recipe = ol.learner("mlp", **{**QUICK, "max_epochs": 30, "lr": 0.01}, **options)
    model = recipe.fit(task, progress=False)
    assert model.metadata["parity"]["max_difference"] <= 1e-4
    found = model.predict(task.frame).response
    expected = np.exp(1.5 + 0.8 * task.frame["a"].to_numpy())
    assert found.min() > 0
    assert np.corrcoef(np.log(found.ravel()), np.log(expected))[0, 1] > 0.95
    assert found.mean() == pytest.approx(expected.mean(), rel=0.2)


def test_poisson_is_the_generalized_linear_model():
    """Against scikit-learn's, which minimises the same deviance with the logarithm as link."""
    from sklearn.linear_model import PoissonRegressor

    task = counts(400)
    exact = {"optimizer": "lbfgs", "l2": 0, "weight_decay": 0, "validation": None, "max_epochs": 20, "schedule": "constant"}
    recipe = ol.learner("linear", loss="poisson", lr=1.0, batch_size=400, device="cpu", **exact)
    found = recipe.fit(task, progress=False).predict(task.frame).response.ravel()
    x = task.frame[["a", "b"]].to_numpy()
    expected = PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000).fit(x, task.frame["y"]).predict(x)
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_members_of_one_network_are_averaged_as_predictions():
    options = {"loss": "poisson", "n_members": 4, "d_block": 8, "max_epochs": 2, "device": "cpu"}
    model = ol.learner("tabm", **options).fit(counts(120), progress=False)
    assert model.metadata["parity"]["max_difference"] <= 1e-4
    training = model.metadata["training"]
    rmse = training["history"]["valid_rmse"][training["best_epoch"] - 1]
    assert model.scores["validation"]["rmse"] == pytest.approx(rmse, rel=1e-3)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "msle"])
def test_positive_losses_keep_the_contracts_of_every_file(loss):
    task = example_tasks(120)["number"]
    frame = task.frame.assign(**{task.schema.target.names[0]: np.abs(task.truth()[:, 0]) + 0.5})
    task = ol.Task.from_frame(frame, target=task.schema.target.names[0], type="regression")
    model = ol.learner("mlp", loss=loss, coverage=0.8, target_clip=True, **QUICK).fit(task, progress=False)
    for n in (0, 1, 37):
        outputs = model.predict_feeds(task.select(np.arange(n)).feeds())
        assert np.isfinite(outputs["prediction"]).all()
        assert (outputs["prediction"] > 0).all()


BAD = [
    (
        "two",
        {"loss": "mse"},
        ParameterError,
        "loss='mse' is for regression, this task is a classification: choose one of cross_e",
    ),
    ("classes", {"loss": "bce"}, ParameterError, "loss='bce' is for 2 classes, and there are 3: choose cross_entropy"),
    ("number", {"loss": "gaussian_nll"}, ParameterError, "head='normal' minimises, .*: leave loss out"),
    ("number", {"loss": "huber", "head": "normal"}, ParameterError, "loss='huber' is for head='point'"),
    ("below 0", {"loss": "poisson"}, DataError, "loss='poisson' is for numbers that are not negative, and the target has -"),
    ("two", {"loss": "focal", "label_smoothing": 0.1}, ParameterError, "label_smoothing goes with loss='cross_entropy'"),
    (
        "two",
        {"class_weight": {"nope": 2.0}},
        ParameterError,
        "class_weight has a weight for 'nope', which is none of the classes",
    ),
    ("number", {"class_weight": {"a": 2.0}}, ParameterError, "is for classification; this task is a regression"),
]


@pytest.mark.parametrize(("kind", "options", "error", "message"), BAD)
def test_what_does_not_suit_the_task_is_refused_before_training(kind, options, error, message):
    task = normal_numbers() if kind == "below 0" else example_tasks(60)[kind]
    with pytest.raises(error, match=message):
        ol.learner("mlp", **QUICK, **options).prepare(task)


def test_a_scaling_that_would_do_nothing_is_refused():
    with pytest.raises(ParameterError, match="target_scaler is 'standard' then, or 'none' to leave it as it is, not 'robust'"):
        ol.learner("mlp", loss="poisson", target_scaler="robust", **QUICK).prepare(counts(60))


# Class weights.


def test_class_weights_are_weights_of_the_rows():
    task = example_tasks(80)["two"]
    first, second = task.schema.target.classes
    name = task.schema.target.name
    frame = task.frame.assign(weight=np.where(task.frame[name] == first, 3.0, 1.0))
    weighed = ol.Task.from_frame(frame, target=name, weight="weight", positive=second)
    options = {**QUICK, "validation": None}
    by_class = ol.learner("mlp", class_weight={first: 3.0}, **options)
    assert by_class.prepare(task).train.weights == pytest.approx(ol.learner("mlp", **options).prepare(weighed).train.weights)
    assert by_class.to_dict()["params"]["class_weight"] == {str(first): 3.0}
    a, b = by_class.fit(task, progress=False), ol.learner("mlp", **options).fit(task, progress=False)
    assert not np.allclose(a.predict(task.frame).prob, b.predict(task.frame).prob)


# Functions of the user's own.


def winsorized(output, target, *, limit: float = 3.0):
    return (output - target).clamp(-limit, limit).square().mean(dim=1)


def normal_numbers():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=80), "y": rng.normal(size=80)})
    return ol.Task.from_frame(frame, target="y", type="regression")


def mean_of_all(output, target):
    return (output - target).square().mean()


def broken(output, target):
    raise RuntimeError("no such thing")


def test_a_function_of_ones_own_has_settings_and_is_named_in_the_file():
    task = normal_numbers()
    model = ol.learner("mlp", loss=winsorized, loss_limit=0.3, **QUICK).fit(task, progress=False)
    params = model.metadata["learner"]["params"]
    assert (params["loss"], params["loss_limit"]) == (f"{__name__}:winsorized", 0.3)
    other = ol.learner("mlp", loss=winsorized, **QUICK).fit(task, progress=False)
    assert (model.predict(task.frame).response != other.predict(task.frame).response).any()


def test_losses_of_torch_may_stand_for_themselves():
    task = normal_numbers()
    expected = ol.learner("mlp", loss="huber", loss_delta=0.5, **QUICK).fit(task, progress=False).predict(task.frame).response
    for loss in (nn.HuberLoss(reduction="none", delta=0.5), functional.huber_loss):
        options = {} if isinstance(loss, nn.Module) else {"loss_reduction": "none", "loss_delta": 0.5}
        found = ol.learner("mlp", loss=loss, **options, **QUICK).fit(task, progress=False)
        np.testing.assert_allclose(found.predict(task.frame).response, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            mean_of_all,
            r"mean_of_all has to give the loss of each row, a tensor \[N\], .* of 2 rows it gives a tensor \[\]: leave",
        ),
        (nn.MSELoss(), "has to give the loss of each row"),
        (broken, r"broken fails for output \[2, 1\] and target \[2, 1\]: RuntimeError: no such thing"),
    ],
)
def test_losses_that_do_not_tell_rows_apart_are_refused_before_training(loss, message):
    with pytest.raises(ParameterError, match=message):
        ol.learner("mlp", loss=loss, **QUICK).prepare(example_tasks(60)["number"])


def test_a_registered_loss_is_a_choice_with_settings():
    losses.register("winsorized", task="regression")(winsorized)
    try:
        recipe = ol.learner("mlp", loss="winsorized", loss_limit=0.3)
        assert recipe.values["loss_limit"] == 0.3
        with pytest.raises(ParameterError, match="loss='winsorized' is for regression, this task is a classification"):
            recipe.replace(device="cpu").prepare(example_tasks(60)["two"])
        # Running the cell of a notebook again is no clash.
        losses.register("winsorized", task="regression")(winsorized)
    finally:
        del losses["winsorized"]


def test_a_loss_without_a_derivative_is_refused_before_the_first_batch():
    def detached(output, target):
        return (output.detach() - target).square().mean(dim=1)

    with pytest.raises(ParameterError, match="has no derivative by the output: compute it by torch's operations"):
        ol.learner("linear", loss=detached).fit(example_tasks()["number"], progress=False)


def test_a_loss_that_is_no_number_from_the_start_is_not_blamed_on_the_steps():
    def none(output, target):
        return (output - target).square().mean(dim=1) * math.nan

    with pytest.raises(
        ParameterError, match=r"in batch 1 of \d+, with lr=0\.\d+; .* the weights are those that training began"
    ):
        ol.learner("linear", loss=none).fit(example_tasks()["number"], progress=False)


def test_a_loss_of_torchs_is_called_by_its_name():
    with pytest.raises(ParameterError, match=r"loss=torch\.nn\.modules\.loss:MSELoss has to give the loss of each row"):
        ol.learner("linear", loss=nn.MSELoss()).fit(example_tasks()["number"], progress=False)
