"""Flat optimizers against torch's own."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, Ridge
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.mlp import MLP
from onnxlearn_models.realmlp import RealMLP
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.optim.fused import SGD, AdamW
from onnxlearn_models.training.optimizer import FlatParameters, Group


def make_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))


def split_groups(net):
    return [p for p in net.parameters() if p.ndim == 2], [p for p in net.parameters() if p.ndim == 1]


def run(net, step, n_steps=20):
    generator = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        x = torch.randn(16, 5, generator=generator)
        net.zero_grad(set_to_none=False)
        net(x).square().mean().backward()
        step()
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def reference(factory):
    net = make_net()
    matrices, vectors = split_groups(net)
    optimizer = factory([{"params": matrices, "weight_decay": 0.1, "lr": 0.02}, {"params": vectors, "weight_decay": 0.0}])

    def step():
        optimizer.step()
        optimizer.zero_grad()

    return run(net, step)


def ours(factory):
    net = make_net()
    matrices, vectors = split_groups(net)
    groups = [Group(parameters=tuple(matrices), weight_decay=0.1, lr_factor=2.0), Group(parameters=tuple(vectors))]
    optimizer = factory(groups)
    return run(net, lambda: optimizer.step(0.01))


def test_adamw_is_torchs():
    expected = reference(lambda groups: torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.99)))
    torch.testing.assert_close(ours(lambda groups: AdamW(groups, beta1=0.8, beta2=0.99)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs(momentum):
    expected = reference(lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=momentum, nesterov=momentum > 0))
    torch.testing.assert_close(ours(lambda groups: SGD(groups, momentum=momentum)), expected, rtol=0, atol=1e-6)


def test_parameters_are_views_of_one_tensor():
    net = make_net()
    before = [p.detach().clone() for p in net.parameters()]
    parameters = list(net.parameters())
    flat = FlatParameters([Group(parameters=tuple(parameters))])
    assert list(net.parameters()) == parameters
    for old, new in zip(before, net.parameters(), strict=True):
        torch.testing.assert_close(old, new.detach(), rtol=0, atol=0)
    flat.values.zero_()
    assert all(not p.detach().any() for p in net.parameters())
    net(torch.ones(3, 5)).sum().backward()
    assert flat.grads.any()


def test_mixed_types_are_refused():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(
        ParameterError, match=r"have to share one type and device, not torch.float32 on cpu, torch.float64 on cpu"
    ):
        FlatParameters([Group(parameters=tuple(net.parameters()))])


# Penalties, against scikit-learn on a problem without noise of batches.


def penalized(factory, l1, l2, n_steps=1500):
    """Weights of least squares in five columns, two of which say nothing."""
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    y = x @ torch.tensor([2.0, -1.0, 0.5, 0.0, 0.0]) + 0.3 * torch.randn(200)
    weight = nn.Parameter(torch.full((5,), 0.1))
    optimizer = factory([Group(parameters=(weight,), l1=l1, l2=l2, lr_factor=2.0)])
    for i in range(n_steps):
        optimizer.flat.grads.zero_()
        (x @ weight - y).square().mean().backward()
        optimizer.step(0.01 * (1 - i / n_steps))
    return x.double().numpy(), y.double().numpy(), weight.detach().numpy()


OPTIMIZERS = [AdamW, SGD, lambda groups: SGD(groups, momentum=0.0)]


@pytest.mark.parametrize("factory", OPTIMIZERS)
def test_l1_is_the_lasso_with_exact_zeros(factory):
    x, y, weight = penalized(factory, l1=0.3, l2=0.0)
    expected = Lasso(alpha=0.15, fit_intercept=False, tol=1e-8).fit(x, y).coef_
    np.testing.assert_allclose(weight, expected, atol=2e-3)
    assert list(weight == 0) == list(expected == 0) == [False, False, False, True, True]


@pytest.mark.parametrize("factory", OPTIMIZERS)
def test_l2_is_ridge_regression(factory):
    x, y, weight = penalized(factory, l1=0.0, l2=0.5)
    np.testing.assert_allclose(weight, Ridge(alpha=100, fit_intercept=False).fit(x, y).coef_, atol=1e-4)


def test_penalties_are_for_matrices_and_embeddings():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net.embedding = CodeEmbedding([4], [2])
    groups = parameter_groups(net, TrainConfig(l1=0.1, l2=0.2))
    assert [[tuple(p.shape) for p in g.parameters] for g in groups if g.l1] == [[(2, 3)], [(4, 2)]]
    assert [(g.l1, g.l2) for g in groups] == [(0.1, 0.2), (0.0, 0.0), (0.1, 0.2)]


class OwnRates(MLP):
    """A learner with groups of its own, in which penalties were not thought of."""

    @classmethod
    def parameter_groups(cls, module, config):
        return [Group(parameters=tuple(module.parameters()), weight_decay=config.weight_decay)]


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties_that_a_learner_does_not_take_are_refused(penalty):
    with pytest.raises(ParameterError, match=rf"learner 'realmlp' has no parameter '{penalty}': its parts .* use weight_decay"):
        RealMLP(**{penalty: 0.1})
    with pytest.raises(ParameterError, match="this learner sets its rates itself and takes no l1 or l2: use weight_decay"):
        OwnRates(**{penalty: 0.1}, device="cpu").fit(example_tasks(60)["two"], progress=False)
