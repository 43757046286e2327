"""Layers that follow one another, as one part of a network that knows its own derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn_models.layers.dropout import Dropout, dropout_mask
from onnxlearn_models.layers.tape import Tape, active_tape

# Of torch's SELU.
_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805

Back: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(gradient of a layer's output, ones [N]) -> that of its input, perhaps in the same memory, or anything if none wants it.

Of k networks at once: the gradients, and ones [k, N].
"""
Step: TypeAlias = Callable[[Any, Tensor, list[Back]], Tensor]
"""(layer, what another layer made, ways back so far) -> output, perhaps in the same memory; adds its own way back, if any."""


def dense(x: Tensor, *parts: nn.Module) -> Tensor:
    """``x [N, d_in]`` through layers and sequences of layers, one after the other: ``[N, d_out]``.

    While a :class:`~onnxlearn_models.layers.tape.Tape` notes, what stands from the first linear layer to the last is one part,
    if :data:`STEPS` has all layers in between.

    >>> layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    >>> dense(torch.zeros(2, 3), layers, nn.Linear(4, 1)).shape
    torch.Size([2, 1])
    """
    tape = active_tape()
    if tape is None:
        for part in parts:
            x = part(x)
        return x
    layers = [layer for part in parts for layer in (part if type(part) is nn.Sequential else (part,))]
    linear = [i for i, layer in enumerate(layers) if type(layer) in PRODUCTS]
    start, end = (linear[0], linear[-1] + 1) if linear else (0, 0)
    if not all(map(_is_known, layers[start:end])):
        end = start
    for layer in layers[:start]:
        x = layer(x)
    if end > start:
        x = _through(tape, x, layers[start:end])
    for layer in layers[end:]:
        x = layer(x)
    return x


def _is_known(layer: nn.Module) -> bool:
    """Whether there is a step for it, nobody listens to it, and its parameters have gradients to add to."""
    return (
        type(layer) in STEPS
        and not (layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)
        and all(p is None or p.grad is not None or not p.requires_grad for p in layer._parameters.values())
    )


def _through(tape: Tape, x: Tensor, layers: Sequence[nn.Module]) -> Tensor:
    output, way = x, list[Back]()
    with torch.no_grad():
        for layer in layers:
            output = STEPS[type(layer)](layer, output, way)

    def back(grad: Tensor) -> Tensor:
        ones = grad.new_ones(grad.shape[:-1])
        # What is behind is freed at once.
        while way:
            grad = way.pop()(grad, ones)
        return grad

    return tape.note(output, x, back)


def _linear(layer: nn.Linear, x: Tensor, way: list[Back]) -> Tensor:
    weight, bias = layer._parameters["weight"], layer._parameters["bias"]
    assert weight is not None
    wanted = bool(way) or x.requires_grad

    def back(grad: Tensor, ones: Tensor) -> Tensor:
        transposed = grad.t()
        if weight.requires_grad:
            assert weight.grad is not None
            weight.grad.addmm_(transposed, x)
        if bias is not None and bias.requires_grad:
            assert bias.grad is not None
            # A product with ones takes half the time of a sum over the rows.
            bias.grad.addmv_(transposed, ones)
        return torch.mm(grad, weight) if wanted else grad

    way.append(back)
    return functional.linear(x, weight, bias)


def _relu(_layer: nn.ReLU, x: Tensor, way: list[Back]) -> Tensor:
    x.relu_()
    way.append(lambda grad, _: grad.mul_(x.sign()))
    return x


def _dropout(layer: nn.Dropout, x: Tensor, way: list[Back]) -> Tensor:
    if not (layer.p and layer.training):
        return x
    mask = dropout_mask(x, layer.p)
    way.append(lambda grad, _: grad.mul_(mask))
    return x * mask


def _identity(_layer: nn.Identity, x: Tensor, _way: list[Back]) -> Tensor:
    return x


def _smooth(slope: Callable[[Any, Tensor, Tensor], Tensor]) -> Step:
    """Of an activation; ``slope``: (layer, gradient of its output, its input) -> gradient of its input."""

    def step(layer: nn.Module, x: Tensor, way: list[Back]) -> Tensor:
        way.append(lambda grad, _: slope(layer, grad, x))
        output: Tensor = layer(x)
        return output

    return step


def _elu_slope(grad: Tensor, x: Tensor, alpha: float, scale: float) -> Tensor:
    slope: Tensor = _aten.elu_backward(grad, alpha, scale, 1.0, is_result=False, self_or_result=x)
    return slope


_aten = torch.ops.aten
STEPS: dict[type[nn.Module], Step] = {
    nn.Linear: _linear,
    nn.Identity: _identity,
    Dropout: _dropout,
    nn.ReLU: _relu,
    nn.GELU: _smooth(lambda layer, grad, x: _aten.gelu_backward(grad, x, approximate=layer.approximate)),
    nn.SiLU: _smooth(lambda _, grad, x: _aten.silu_backward(grad, x)),
    nn.Mish: _smooth(lambda _, grad, x: _aten.mish_backward(grad, x)),
    nn.SELU: _smooth(lambda _, grad, x: _elu_slope(grad, x, _ALPHA, _SCALE)),
    nn.ELU: _smooth(lambda layer, grad, x: _elu_slope(grad, x, layer.alpha, 1.0)),
    nn.LeakyReLU: _smooth(
        lambda layer, grad, x: _aten.leaky_relu_backward(grad, x, layer.negative_slope, self_is_result=False)
    ),
    nn.Tanh: _smooth(lambda _, grad, x: _aten.tanh_backward(grad, x.tanh())),
    nn.Sigmoid: _smooth(lambda _, grad, x: _aten.sigmoid_backward(grad, x.sigmoid())),
    nn.Softplus: _smooth(lambda layer, grad, x: _aten.softplus_backward(grad, x, layer.beta, layer.threshold)),
    nn.Hardswish: _smooth(lambda _, grad, x: _aten.hardswish_backward(grad, x)),
}
"""What :func:`dense` makes of layers in training mode, by their exact type."""
PRODUCTS: set[type[nn.Module]] = {nn.Linear}
"""Of these the matrix products, which what is one part begins and ends with."""
