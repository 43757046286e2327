"""Shake-shake and shake-drop: factors of the forward and of the backward pass, and their means."""

import pytest
import torch

from onnxlearn_models.layers.shake import ShakeDrop, ShakeShake, drop_probabilities

N = 20_000


def factors(module, *scales):
    """Factor of each row's branches in the forward and in the backward pass, ``[N]`` each."""
    torch.manual_seed(0)
    branches = [torch.full((N, 3), scale, requires_grad=True) for scale in scales]
    output = module(*branches)
    output.sum().backward()
    assert all(torch.equal(b.grad[:, 0], b.grad[:, 2]) for b in branches)
    torch.testing.assert_close(output[:, 0], output[:, 2])
    return output[:, 0].detach(), [b.grad[:, 0] for b in branches]


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_shake_drop(probability):
    forwards, (backwards,) = factors(ShakeDrop(probability).train(), 1.0)
    shaken = forwards != 1
    assert torch.equal(shaken, backwards != 1)
    assert float(shaken.float().mean()) == pytest.approx(probability, abs=0.015)
    for drawn in (forwards[shaken], backwards[shaken]):
        assert 0 <= drawn.min() < 0.01 < 0.99 < drawn.max() < 1
        assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
    correlation = torch.corrcoef(torch.stack([forwards[shaken], backwards[shaken]]))[0, 1]
    assert abs(float(correlation)) < 0.05


@pytest.mark.parametrize("probability", [0.1, 0.5, 1.0])
def test_shake_drop_in_evaluation_is_its_mean(probability):
    module = ShakeDrop(probability)
    forwards, _ = factors(module.train(), 1.0)
    fixed, (backwards,) = factors(module.eval(), 1.0)
    assert fixed.unique().tolist() == backwards.unique().tolist() == [pytest.approx(1 - probability / 2)]
    assert float(forwards.mean()) == pytest.approx(1 - probability / 2, abs=0.01)


def test_shake_shake():
    forwards, (first, second) = factors(ShakeShake().train(), 1.0, 0.0)
    torch.testing.assert_close(first + second, torch.ones(N))
    assert float(forwards.mean()) == pytest.approx(0.5, abs=0.01)
    assert 0 <= forwards.min() < 0.01 < 0.99 < forwards.max() <= 1
    assert abs(float(torch.corrcoef(torch.stack([forwards, first]))[0, 1])) < 0.05
    fixed, gradients = factors(ShakeShake().eval(), 3.0, 1.0)
    assert torch.equal(fixed, torch.full((N,), 2.0))
    assert all(torch.equal(gradient, torch.full((N,), 0.5)) for gradient in gradients)


def test_the_first_blocks_are_shaken_least():
    # p_l = 1 - l / L (1 - p_L) of the paper is the probability not to be shaken.
    assert drop_probabilities(3, 0.6) == pytest.approx([1 - (1 - l / 3 * 0.6) for l in (1, 2, 3)])  # noqa: E741
    assert drop_probabilities(0, 0.5) == []
