"""The cheap dropout against torch's own."""

import pytest
import torch
from torch import nn

from onnxlearn_models.layers.dropout import Dropout


@pytest.mark.parametrize("share", [1e-3, 0.15, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(100, 41), (7,), (3, 5, 11), (0, 4)])
def test_share_and_scale(share, shape):
    torch.manual_seed(0)
    part, ones = Dropout(share).train(), torch.ones(shape)
    outputs = torch.stack([part(ones) for _ in range(200)])
    assert outputs.shape == (200, *shape)
    for output in outputs:
        kept = output[output != 0]
        # One value, by which the mean stays, near what the share asks for.
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share) if share < 1 else 1), rtol=0.05, atol=0)
        assert len(kept.unique()) <= 1
    if outputs.numel() > 100_000:
        kept = outputs != 0
        assert float(kept.double().mean()) == pytest.approx(1 - share, abs=0.002)
        assert float(outputs.double().mean()) == pytest.approx(float(share < 1), abs=0.005)
        # Elements that share a random number are dropped independently.
        both = (kept[..., :-1] & kept[..., 1:]).double().mean()
        assert float(both) == pytest.approx((1 - share) ** 2, abs=0.003)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_pass_where_values_pass(dtype):
    x = torch.ones(50, 8, dtype=dtype, requires_grad=True)
    output = Dropout(0.3).train()(x)
    output.sum().backward()
    assert output.dtype == dtype
    torch.testing.assert_close(x.grad, output.detach())


def test_nothing_happens_in_evaluation_and_without_a_share():
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_it_is_a_dropout_for_whoever_sets_its_share():
    part = Dropout(0.5).train()
    assert isinstance(part, nn.Dropout)
    part.p = 0.0
    assert part(x := torch.ones(3)) is x


def test_the_seed_decides():
    part, x = Dropout(0.5).train(), torch.ones(100)
    torch.manual_seed(3)
    first = part(x)
    torch.manual_seed(3)
    assert torch.equal(first, part(x))
    assert not torch.equal(first, part(x))
