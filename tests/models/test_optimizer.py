"""Flat optimizers against torch's own."""

import pytest
import torch
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.optimizer import SGD, AdamW, FlatParameters, Group


def make_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))


def split_groups(net):
    return [p for p in net.parameters() if p.ndim == 2], [p for p in net.parameters() if p.ndim == 1]


def run(net, step, n_steps=20):
    generator = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        x = torch.randn(16, 5, generator=generator)
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
