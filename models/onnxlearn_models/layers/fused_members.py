"""The training step of hidden layers that members share, in few passes over memory.

Between two matrix products a layer scales, shifts, cuts off at 0 and drops out every unit of every member. Written as one
operation after the other these passes take as long as the products. Here a part of the batch that the cache holds goes through
all layers, forward and later backward, in memory that is used again in every step.

With ``z`` the product, ``y = c m relu(s z + b)`` (``m`` what dropout keeps, ``c`` its factor) and ``r y`` the next layer's
input, let ``e`` be the gradient of that input where ``y > 0``, else 0. Two sums over the rows, ``E0`` of ``e`` and ``E1`` of
``e z``, give the gradients of all that a member has of its own::

    s: c r E1      b: c r E0      r: c (s E1 + b E0)      z: c r s e
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from onnxlearn_models.layers.members import HiddenLayer, MemberLinear

# Numbers of one layer that are worked on at a time: two megabytes, a few of which the caches of a processor hold.
CACHED = 2**19
# Random numbers that the masks of dropout are cut from, at random places.
N_RANDOM = 2**20


class Workspace:
    """Memory that is used again in every step, and the random numbers of dropout."""

    def __init__(self) -> None:
        self.n_steps = 0
        self._tensors: dict[str, Tensor] = {}
        self._random = torch.empty(0)
        # Of torch's generator, when it drew them: what they can be drawn from again.
        self._generator: Tensor | None = None
        self._bounds: tuple[float, Tensor] | None = None

    def take(self, name: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this shape and of the type of ``like``, whose values are left from before."""
        size = math.prod(shape)
        held = self._tensors.get(name)
        if held is None or held.numel() < size or held.dtype != like.dtype:
            held = self._tensors[name] = torch.empty(size, dtype=like.dtype)
        return held[:size].view(shape)

    def state(self) -> dict[str, Any]:
        """What later steps depend on."""
        return {} if self._generator is None else {"n_random": len(self._random), "generator": self._generator}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        if state:
            self._generator, self._bounds = state["generator"], None
            self._random = torch.rand(state["n_random"], generator=torch.Generator().set_state(state["generator"]))

    def bounds(self, share: float, like: Tensor) -> Tensor:
        """Upper bounds of units, in shape and type of ``like``: 0 for the share that is dropped, else infinity."""
        if len(self._random) < 2 * like.numel():
            self._generator = torch.get_rng_state()
            self._random, self._bounds = torch.rand(max(N_RANDOM, 2 * like.numel())), None
        if self._bounds is None or self._bounds[0] != share:
            self._bounds = share, torch.where(self._random < share, 0.0, math.inf).to(like.dtype)
        start = int(torch.randint(len(self._random) - like.numel(), ()))
        return self._bounds[1][start : start + like.numel()].view(like.shape)


def train_members(
    x: Tensor, start: Tensor, layers: list[HiddenLayer], head: MemberLinear, dropout: float, workspace: Workspace
) -> Tensor:
    """``x`` times the input scaling ``start [k, d_in]``, all layers with ReLU and dropout, the output layer: ``[N, k, d_out]``.

    ``x``: ``[N, k, d_in]``, or ``[N, 1, d_in]`` where members share their rows. Gradients have to be asked for before the next
    call with this workspace.
    """
    tensors = (tensor for layer in layers for tensor in layer)
    apply = cast(Any, _Members.apply)
    output: Tensor = apply(x, start, head.weight, head.bias, dropout, workspace, *tensors)
    return output


class _Members(torch.autograd.Function):
    """See :func:`train_members`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, start: Tensor, head: Tensor, bias: Tensor, dropout: float, workspace: Workspace, *tensors: Tensor
    ) -> Tensor:
        layers = [HiddenLayer(*tensors[i : i + 4]) for i in range(0, len(tensors), 4)]
        steps = [_Step(layer, i, (len(x), len(start)), dropout, workspace) for i, layer in enumerate(layers)]
        output = x.new_empty(len(x), *bias.shape)
        for rows in _parts(x, steps):
            carried = _scaled(x[rows], start, workspace)
            for step in steps:
                carried = step.forward(carried, rows)
            torch.add(torch.bmm(head, carried.permute(1, 2, 0)).permute(2, 0, 1), bias, out=output[rows])
        workspace.n_steps += 1
        ctx.save_for_backward(x, start, head)
        ctx.steps, ctx.workspace, ctx.number = steps, workspace, workspace.n_steps
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, start, head = ctx.saved_tensors
        steps, workspace = ctx.steps, ctx.workspace
        assert ctx.number == workspace.n_steps, "the memory of this step was used by a later one"
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_start, grad_head = torch.zeros_like(start), torch.zeros_like(head)
        for rows in _parts(x, steps):
            by_member = grad[rows].transpose(0, 1)
            grad_head.baddbmm_(by_member.mT, steps[-1].x[rows].transpose(0, 1))
            carried = workspace.take("head", x, (*by_member.shape[:2], head.shape[2]))
            carried = torch.bmm(by_member, head, out=carried).transpose(0, 1)
            for i in reversed(range(len(steps))):
                below = steps[i - 1].x[rows] if i else _scaled(x[rows], start, workspace)
                carried = steps[i].backward(carried, below, rows)
            _add_rows(grad_start, torch.mul(carried, x[rows], out=workspace.take("product", carried, carried.shape)))
            if grad_x is not None:
                carried *= start
                grad_x[rows] = carried if x.shape[1] > 1 else carried.sum(dim=1, keepdim=True)
        own = (gradient for step in steps for gradient in step.gradients())
        return grad_x, grad_start, grad_head, grad.sum(dim=0), None, None, *own


class _Step:
    """One layer in one training step. ``z``, ``y`` and ``x``, ``[N, k, d]``: product, what the ReLU gives, next input."""

    def __init__(self, layer: HiddenLayer, index: int, rows: tuple[int, int], dropout: float, workspace: Workspace) -> None:
        self.layer, self.workspace, self.dropout, self.parity = layer, workspace, dropout, index % 2
        self.factor = 1 / (1 - dropout)
        # Dropout's factor goes with the scaling or, where there is none, with weights and bias: relu(c z) = c relu(z).
        self.weight = layer.weight if layer.scale is not None else layer.weight * self.factor
        # A positive scaling behind the ReLU may stand before it: one pass less.
        is_folded = layer.after is not None and bool((layer.after > 0).all())
        self.behind = self.factor if layer.after is None else layer.after * self.factor
        before = self.behind if is_folded else self.factor
        self.bias = layer.bias * before
        self.scale = None if layer.scale is None else layer.scale * before
        self.scale_back = None if layer.scale is None else layer.scale * self.behind
        shape = (*rows, len(layer.weight))
        self.z = workspace.take(f"z{index}", layer.weight, shape)
        self.y = self.z if layer.scale is None else workspace.take(f"y{index}", layer.weight, shape)
        self.x = self.y if is_folded or layer.after is None else workspace.take(f"x{index}", layer.weight, shape)
        self.zero = layer.weight.new_zeros(())
        self.grad_weight = torch.zeros_like(layer.weight)
        self.sum_e, self.sum_ez = torch.zeros_like(layer.bias), torch.zeros_like(layer.bias)

    def forward(self, x: Tensor, rows: slice) -> Tensor:
        """From the layer's input to the next one's, both ``[n, k, ...]``."""
        z, y = self.z[rows], self.y[rows]
        torch.mm(x.flatten(0, 1), self.weight.T, out=z.flatten(0, 1))
        if self.scale is None:
            y += self.bias
        else:
            torch.addcmul(self.bias, z, self.scale, out=y)
        if self.dropout:
            torch.clamp(y, self.zero, self.workspace.bounds(self.dropout, y), out=y)
        else:
            y.clamp_min_(0)
        if self.x is not self.y:
            torch.mul(y, cast(Tensor, self.layer.after), out=self.x[rows])
        return self.x[rows]

    def backward(self, grad: Tensor, x: Tensor, rows: slice) -> Tensor:
        """From the gradient of the next layer's input to that of ``x``, this one's; adds up those of its weights."""
        # In place, but for that of the output layer, where members come first.
        e = grad if grad.is_contiguous() else self.workspace.take("e", grad, grad.shape)
        torch.ops.aten.threshold_backward.grad_input(grad, self.y[rows], 0, grad_input=e)
        if self.scale_back is None:
            self.sum_e += e.sum(dim=(0, 1))
        else:
            _add_rows(self.sum_e, e)
            _add_rows(self.sum_ez, torch.mul(e, self.z[rows], out=self.workspace.take("product", e, e.shape)))
            e *= self.scale_back
        self.grad_weight.addmm_(e.flatten(0, 1).T, x.flatten(0, 1))
        grad_x = self.workspace.take(f"grad{self.parity}", x, x.shape)
        torch.mm(e.flatten(0, 1), self.weight, out=grad_x.flatten(0, 1))
        return grad_x

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Those of weight, bias, scale and after."""
        bias, scale, after = self.layer[1:]
        if scale is None:
            return self.grad_weight * self.factor, self.sum_e * self.factor, None, None
        grad_after = None if after is None else self.factor * (scale * self.sum_ez + bias * self.sum_e)
        return self.grad_weight, self.behind * self.sum_e, self.behind * self.sum_ez, grad_after


def _parts(x: Tensor, steps: list[_Step]) -> Iterator[slice]:
    """Slices of the rows of ``x`` whose units the cache holds."""
    size = max(1, CACHED // steps[0].z[0].numel())
    for start in range(0, len(x), size):
        yield slice(start, min(start + size, len(x)))


def _scaled(x: Tensor, start: Tensor, workspace: Workspace) -> Tensor:
    """Every member's scaled input."""
    return torch.mul(x, start, out=workspace.take("start", x, (len(x), *start.shape)))


def _add_rows(total: Tensor, x: Tensor) -> None:
    """Add the sum of ``x [n, ...]`` over its rows. A product with ones does it in half the time of a sum."""
    total.view(1, -1).addmm_(x.new_ones(1, len(x)), x.view(len(x), -1))
