"""Ghost batch norm: its virtual batches, and the statistics that evaluation uses."""

import pytest
import torch
from torch import nn

from onnxlearn_models.layers.ghost_norm import GhostBatchNorm

WIDTH = 3


def ghost_norm(size, momentum=0.1):
    torch.manual_seed(0)
    norm = GhostBatchNorm(WIDTH, momentum=momentum, virtual_batch_size=size)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def parts_of(n_rows, n_parts):
    """Which rows make each virtual batch: every k-th of the larger ones, then every k-th of the others."""
    size, n_larger = divmod(n_rows, n_parts)
    cut = n_larger * (size + 1)
    first, rest = range(cut), range(cut, n_rows)
    return [list(first[i::n_larger]) for i in range(n_larger)] + [
        list(rest[i :: n_parts - n_larger]) for i in range(n_parts - n_larger)
    ]


@pytest.mark.parametrize("n_rows", [2, 3, 5, 7, 8, 16, 21, 61])
@pytest.mark.parametrize("size", [None, 2, 4, 16])
def test_every_virtual_batch_is_normed_by_itself(n_rows, size):
    norm, plain = ghost_norm(size), nn.BatchNorm1d(WIDTH)
    plain.load_state_dict(norm.state_dict())
    x = torch.randn(n_rows, WIDTH, generator=torch.Generator().manual_seed(n_rows))
    parts = parts_of(n_rows, max(1, n_rows // (size or n_rows)))
    assert sorted(row for part in parts for row in part) == list(range(n_rows))
    assert min(map(len, parts)) >= min(size or 2, n_rows)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = norm(ours)
    expected = torch.zeros(n_rows, WIDTH)
    for part in parts:
        expected[part] = plain(theirs[part])
    torch.testing.assert_close(found, expected)
    grad = torch.randn(n_rows, WIDTH)
    found.backward(grad)
    expected.backward(grad)
    # Of two rows the gradient is nearly 0: what is left of it is rounding.
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.weight.grad, plain.weight.grad)
    torch.testing.assert_close(norm.bias.grad, plain.bias.grad)
    means = torch.stack([x[part].mean(dim=0) for part in parts])
    variances = torch.stack([x[part].var(dim=0) for part in parts])
    assert int(norm.num_batches_tracked) == len(parts)
    if len({len(part) for part in parts}) == 1:
        torch.testing.assert_close(norm.running_mean, means.mean(dim=0))
        torch.testing.assert_close(norm.running_var, variances.mean(dim=0))


def test_running_statistics_are_plain_averages_at_first():
    norm = ghost_norm(None)
    means = []
    for seed in range(10):
        x = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(seed))
        means.append(x.mean(dim=0))
        norm(x)
        torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(dim=0))


@pytest.mark.parametrize("n_parts", [1, 3])
def test_running_statistics_follow_with_momentum_later(n_parts):
    norm, plain = ghost_norm(8), nn.BatchNorm1d(WIDTH, momentum=0.1)
    for part in (norm, plain):
        part.num_batches_tracked.fill_(1000)
    for _ in range(5):
        x = torch.randn(8 * n_parts, WIDTH)
        norm(x)
        if n_parts == 1:
            plain(x)
        else:
            means = x.reshape(8, n_parts, WIDTH).mean(dim=0)
            plain.running_mean.lerp_(means.mean(dim=0), 1 - 0.9**n_parts)
    torch.testing.assert_close(norm.running_mean, plain.running_mean)


def test_evaluation_is_that_of_batch_norm():
    norm, plain = ghost_norm(4), nn.BatchNorm1d(WIDTH)
    norm(torch.randn(32, WIDTH))
    plain.load_state_dict(norm.state_dict())
    x = torch.randn(9, WIDTH)
    assert torch.equal(norm.eval()(x), plain.eval()(x))
