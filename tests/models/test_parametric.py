"""The fast training step of a block with a parametric activation against autograd's."""

import pytest
import torch

from onnxlearn_models.layers.parametric import FAST, ParametricBlock


def block(activation, dropout=0.3, dtype=torch.float64):
    torch.manual_seed(0)
    part = ParametricBlock(7, 9, activation, dropout).to(dtype).train()
    with torch.no_grad():
        part.activation.share.normal_(1, 0.5)
    return part


def step(part, x, grad):
    """Output and gradients, that of the input first."""
    x = x.clone().requires_grad_()
    part.zero_grad()
    torch.manual_seed(1)  # the same dropout mask
    output = part(x)
    output.backward(grad)
    return [output.detach(), x.grad, *(parameter.grad.clone() for parameter in part.parameters())]


@pytest.mark.parametrize("activation", sorted(FAST))
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_same_output_and_gradients(activation, dropout, size):
    part = block(activation, dropout)
    x, grad = size * torch.randn(50, 7, dtype=torch.float64), torch.randn(50, 9, dtype=torch.float64)
    fast = step(part, x, grad)
    part.fast = None
    for found, expected in zip(fast, step(part, x, grad), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", sorted(FAST))
def test_float32_is_as_good(activation):
    x, grad = 5 * torch.randn(200, 7), torch.randn(200, 9)
    fast = step(block(activation, dtype=torch.float32), x, grad)
    for found, expected in zip(fast, step(block(activation), x.double(), grad.double()), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_other_activations_take_the_usual_way():
    part = block("gelu", dropout=0.0)
    x = torch.randn(5, 7, dtype=torch.float64)
    h = part.linear(x)
    torch.testing.assert_close(part(x), h + part.activation.share * (torch.nn.functional.gelu(h) - h))


def test_an_input_without_gradient():
    part = block("selu")
    part(torch.randn(5, 7, dtype=torch.float64)).sum().backward()
    assert all(parameter.grad is not None for parameter in part.parameters())


def test_a_second_backward_is_refused():
    """What was kept is overwritten by the first: gradients from it would be wrong."""
    output = block("mish")(torch.randn(5, 7, dtype=torch.float64)).sum()
    output.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()
