"""linear: the minimum that scikit-learn finds, on real tables; penalties; what a category without its own column does."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import load
from networks import CODES, MIXED, NUMBERS, assert_lowers, count, rows, warm
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.task import Task
from onnxlearn_models.linear import Linear, LinearConfig, LinearNet

INGRESSES = [NUMBERS, CODES, MIXED]


def task_of(name, n_rows=None):
    data = load(name)
    frame = data.frame if n_rows is None else data.frame.sample(n_rows, random_state=0, ignore_index=True)
    return Task.from_frame(frame, data.target)


def fit(task, **options):
    """Trained on all rows: the network, the columns as scikit-learn takes them, outputs for them, the penalized weights."""
    fitted = Linear(validation=None, device="cpu", **options).train(task, None, progress=False)
    inputs = fitted.preprocessing.transform(task.feeds())
    columns = [inputs["num"]] if "num" in inputs else []
    if "cat" in inputs:
        sizes = fitted.preprocessing.schema.ingress.cardinalities
        columns += [np.eye(n)[inputs["cat"][:, i]] for i, n in enumerate(sizes)]
    with torch.no_grad():
        output = fitted.module(**{name: torch.from_numpy(array) for name, array in inputs.items()}).double().numpy()
    weights = [p.detach().double().numpy() for p in fitted.module.parameters() if p.ndim == 2]
    return fitted, np.concatenate(columns, axis=1).astype(float), output, weights


def log_loss(logits, truth):
    return float(functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(truth)))


@pytest.mark.parametrize("name", ["breast_cancer", "credit_data"])
def test_two_classes(name):
    task = task_of(name, 569)
    fitted, x, output, weights = fit(task)
    truth, n = task.truth(), task.n_rows
    model = LogisticRegression(C=1.0, max_iter=10_000, tol=1e-8).fit(x, truth)
    expected = log_loss(model.predict_log_proba(x), truth)
    assert log_loss(output, truth) == pytest.approx(expected, rel=0.005)
    # A weight of scikit-learn's is the difference of two opposite ones.
    penalty = sum((w**2).sum() for w in weights) / n
    minimum = expected + (model.coef_**2).sum() / (2 * n)
    assert minimum * (1 - 1e-4) < log_loss(output, truth) + penalty < minimum * 1.001
    numbers = weights[0][1] - weights[0][0]
    np.testing.assert_allclose(numbers, model.coef_[0, : len(numbers)], atol=0.1)
    np.testing.assert_allclose(functional.softmax(torch.from_numpy(output), 1), model.predict_proba(x), atol=0.03)
    assert fitted.chosen["l2"] == 1 / n


def test_three_classes():
    task = task_of("penguins")
    fitted, x, output, weights = fit(task)
    truth, n = task.truth(), task.n_rows
    model = LogisticRegression(C=1.0, max_iter=10_000, tol=1e-8).fit(x, truth)
    expected = log_loss(model.predict_log_proba(x), truth)
    minimum = expected + (model.coef_**2).sum() / (2 * n)
    assert minimum * (1 - 1e-4) < log_loss(output, truth) + sum((w**2).sum() for w in weights) / (2 * n) < minimum * 1.001
    np.testing.assert_allclose(weights[0], model.coef_[:, : weights[0].shape[1]], atol=0.02)
    assert fitted.chosen["l2"] == 0.5 / n


@pytest.mark.parametrize(("name", "worse"), [("diabetes", 1e-4), ("ames", 0.015)])
def test_regression(name, worse):
    task = task_of(name, None if name == "diabetes" else 800)
    fitted, x, output, weights = fit(task)
    truth, n = fitted.scaling.transform(task.truth()).astype(float), task.n_rows
    model = Ridge(alpha=1.0).fit(x, truth[:, 0])
    minimum = np.square(model.predict(x) - truth[:, 0]).mean() + (model.coef_**2).sum() / n
    found = np.square(output - truth).mean() + sum((w**2).sum() for w in weights) / n
    assert minimum * (1 - 1e-4) < found < minimum * (1 + worse)
    if name == "diabetes":
        np.testing.assert_allclose(weights[0][0], model.coef_, atol=0.01)


def test_several_targets_have_the_penalty_of_ridge():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(200, 2))
    frame = pd.DataFrame(np.hstack([x, y]), columns=[*"abcyz"])
    fitted, x, _, weights = fit(Task.from_frame(frame, ["y", "z"]))
    truth = fitted.scaling.transform(frame[["y", "z"]].to_numpy()).astype(float)
    np.testing.assert_allclose(weights[0], Ridge(alpha=1.0).fit(x, truth).coef_, atol=2e-3)


def test_l1_leaves_columns_out():
    task = task_of("diabetes")
    fitted, x, output, weights = fit(task, l1=0.1, l2=0.0, cat_encoding="onehot")
    truth = fitted.scaling.transform(task.truth()).astype(float)[:, 0]
    model = Lasso(alpha=0.05, tol=1e-8, max_iter=100_000).fit(x, truth)
    minimum = np.square(model.predict(x) - truth).mean() + 0.1 * np.abs(model.coef_).sum()
    found = np.square(output[:, 0] - truth).mean() + 0.1 * np.abs(weights[0]).sum()
    assert minimum * (1 - 1e-4) < found < minimum * 1.001
    zero = weights[0][0] == 0
    assert zero.sum() >= 2
    assert not model.coef_[zero].any()


@pytest.mark.parametrize("target", ["number", "label"])
def test_codes_are_one_hot_columns(target):
    rng = np.random.default_rng(0)
    level = rng.integers(0, 40, 600)
    number = rng.normal(size=40)[level] + rng.normal(size=600)
    frame = pd.DataFrame({"level": [f"l{i}" for i in level], "number": number, "label": np.where(number > 0, "p", "n")})
    task = Task.from_frame(frame, target, ignore={"number": "label", "label": "number"}[target])
    found = [
        Linear(cat_encoding=encoding, min_level_rows=1, device="cpu", validation=None).fit(task, progress=False).predict(task)
        for encoding in ("onehot", "embedding")
    ]
    values = [p.response if target == "number" else p.prob[:, 1] for p in found]
    np.testing.assert_allclose(values[0], values[1], atol=0.02)
    assert values[0].std() > 0.1


def test_training_starts_at_zero():
    net = LinearNet(MIXED, 3, LinearConfig())
    assert not net(**rows(MIXED, 5)).any()
    assert count(net) == 3 * (NUMBERS.n_num + sum(CODES.cardinalities) + 1)
    assert count(LinearNet(MIXED, 3, LinearConfig(intercept=False))) == count(net) - 3


@pytest.mark.parametrize("ingress", INGRESSES)
@pytest.mark.parametrize("intercept", [True, False])
def test_it_is_a_sum_and_lowers_by_the_table(ingress, intercept):
    net = warm(LinearNet(ingress, 3, LinearConfig(intercept=intercept)), ingress)
    batch = rows(ingress, 9)
    expected = torch.zeros(9, 3) if net.bias is None else net.bias
    if "num" in batch:
        expected = expected + batch["num"] @ net.weight.T
    if "cat" in batch:
        expected = expected + sum(table.weight[batch["cat"][:, i]] for i, table in enumerate(net.codes.tables))
    torch.testing.assert_close(net(**batch), expected)
    assert_lowers(net, ingress)


def test_small_tables_are_passed_over_more_often():
    chosen = [Linear.choose(LinearConfig(), Linear().configs[2], task_of("diabetes").schema, n)[1] for n in (100, 3_000, 10**6)]
    assert [c.max_epochs for c in chosen] == [200, 87, 20]
    assert [c.l2 for c in chosen] == pytest.approx([1 / 100, 1 / 3_000, 1e-6])
    given = Linear(max_epochs=3, l2=0.5).configs[2]
    kept = Linear.choose(LinearConfig(), given, task_of("diabetes").schema, 100)[1]
    assert (kept.max_epochs, kept.l2) == (3, 0.5)


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match=r"l2 has to be float \| None >= 0, not -1"):
        Linear(l2=-1)
