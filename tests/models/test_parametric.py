"""The fast training step of layers with a parametric activation against autograd's."""

import itertools

import pytest
import torch
from torch import nn

from onnxlearn_models.layers.parametric import FAST, ParametricBlock, train_blocks


class Layers(nn.Module):
    """A scaling, blocks of different widths and an output layer."""

    def __init__(self, activation, dropout=0.3, widths=(7, 9, 6), *, scaled=True):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(ParametricBlock(*pair, activation, dropout) for pair in itertools.pairwise(widths))
        self.head = nn.Linear(widths[-1], 3)
        self.scale = nn.Parameter(torch.randn(widths[0])) if scaled else None
        self.activation = FAST[activation]
        with torch.no_grad():
            for block in self.blocks:
                block.activation.share.normal_(1, 0.5)

    def forward(self, x):
        """As autograd has it."""
        x = x if self.scale is None else x * self.scale
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def fast(self, x):
        return train_blocks(x, self.scale, list(self.blocks), self.head, self.activation)


def step(layers, forward, x, grad):
    """Output and gradients, that of the input first."""
    x = x.clone().requires_grad_()
    layers.zero_grad()
    torch.manual_seed(1)  # the same dropout masks
    output = forward(x)
    output.backward(grad)
    return [output.detach(), x.grad, *(parameter.grad.clone() for parameter in layers.parameters())]


@pytest.mark.parametrize("activation", sorted(FAST))
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("size", [1.0, 30.0])
@pytest.mark.parametrize("shape", [{}, {"scaled": False}, {"widths": (7,)}], ids=str)
def test_same_output_and_gradients(activation, dropout, size, shape):
    layers = Layers(activation, dropout, **shape).double()
    x, grad = size * torch.randn(50, 7, dtype=torch.float64), torch.randn(50, 3, dtype=torch.float64)
    for found, expected in zip(step(layers, layers.fast, x, grad), step(layers, layers, x, grad), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", sorted(FAST))
def test_float32_is_as_good(activation):
    layers = Layers(activation)
    x, grad = 5 * torch.randn(200, 7), torch.randn(200, 3)
    fast = step(layers, layers.fast, x, grad)
    layers.double()
    for found, expected in zip(fast, step(layers, layers, x.double(), grad.double()), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("activation", sorted(FAST))
def test_a_block_in_evaluation(activation):
    block, x = ParametricBlock(7, 9, activation, 0.3).eval(), torch.randn(5, 7)
    h = block.linear(x)
    expected = h + block.activation.share * (block.activation.activation(h) - h)
    torch.testing.assert_close(block(x), expected)


def test_an_input_without_gradient():
    layers = Layers("selu")
    layers.fast(torch.randn(5, 7)).sum().backward()
    assert all(parameter.grad is not None for parameter in layers.parameters())


def test_a_second_backward_is_refused():
    """What was kept is overwritten by the first: gradients from it would be wrong."""
    output = Layers("mish").fast(torch.randn(5, 7)).sum()
    output.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()
