"""Several networks of one architecture as one network, whose parameters are theirs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from onnxlearn_models.stacked.lanes import Lanes
from onnxlearn_models.stacked.layers import FORMS, UnstackableError

Merge: TypeAlias = Callable[[Sequence[nn.Parameter]], tuple[Tensor, Tensor | None]]
"""The same parameter of every model -> all of them in one tensor ``[k, *shape]``, and their gradients; each model's are views.

Parameters that are not trained have no gradients.
"""


def stack(modules: Sequence[nn.Module], lanes: Lanes, merge: Merge) -> nn.Module:
    """One network of the same form; its inputs and output have a dimension more, the models, in front.

    Layers in :data:`~onnxlearn_models.stacked.layers.FORMS` have their batched form; all others run as they are on
    ``[k, N, ...]``, with what they own as ``[k, 1, ...]``. Whether that is right, only running it tells. Buffers are shared as
    the parameters are.

    Raises: UnstackableError where the networks differ in form, or share parameters between layers.
    """
    return _Stacking(lanes, merge).stack(modules)


class _Stacking:
    def __init__(self, lanes: Lanes, merge: Merge) -> None:
        self.lanes, self.merge = lanes, merge
        self._seen: set[int] = set()

    def stack(self, modules: Sequence[nn.Module]) -> nn.Module:
        first = modules[0]
        if any(type(module) is not type(first) or module._modules.keys() != first._modules.keys() for module in modules):
            raise UnstackableError(f"the networks differ in what stands at {type(first).__name__}")
        form = FORMS.get(type(first))
        if form is not None and (first._forward_hooks or first._forward_pre_hooks or first._backward_hooks):
            raise UnstackableError(f"hooks of {type(first).__name__}")
        stacked = copy.copy(first)
        # A form has all models' tensors as they are; other layers take them for one more dimension of the rows.
        stacked._parameters = {name: self._parameter(modules, name, raw=form is not None) for name in first._parameters}
        stacked._buffers = {name: self._buffer(modules, name, raw=form is not None) for name in first._buffers}
        stacked._modules = {
            name: None if child is None else self.stack([module.get_submodule(name) for module in modules])
            for name, child in first._modules.items()
        }
        return stacked if form is None else form(stacked, modules, self.lanes)

    def _parameter(self, modules: Sequence[nn.Module], name: str, *, raw: bool) -> nn.Parameter | None:
        parameters = [module._parameters[name] for module in modules]
        first = parameters[0]
        if first is None:
            return None
        self._require_alike(parameters, name)
        merged, gradient = self.merge([parameter for parameter in parameters if parameter is not None])
        stacked = nn.Parameter(merged if raw else _in_rows(merged), requires_grad=gradient is not None)
        if gradient is not None:
            stacked.grad = gradient if raw else _in_rows(gradient)
        return stacked

    def _buffer(self, modules: Sequence[nn.Module], name: str, *, raw: bool) -> Tensor | None:
        buffers = [module._buffers[name] for module in modules]
        if buffers[0] is None:
            return None
        self._require_alike(buffers, name)
        merged = share_buffers([buffer for buffer in buffers if buffer is not None])
        return merged if raw else _in_rows(merged)

    def _require_alike(self, tensors: Sequence[Tensor | None], name: str) -> None:
        shapes = {None if tensor is None else (tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in tensors}
        if len(shapes) > 1:
            raise UnstackableError(f"the networks differ in {name}")
        ids = {id(tensor) for tensor in tensors}
        if len(ids) < len(tensors) or ids & self._seen:
            raise UnstackableError(f"{name} stands in several places")
        self._seen |= ids


def share_buffers(buffers: Sequence[Tensor]) -> Tensor:
    """All of them in one tensor ``[k, *shape]``, which each shows its part of from now on."""
    merged = torch.stack(list(buffers))
    for buffer, own in zip(buffers, merged, strict=True):
        buffer.set_(own)
    return merged


def _in_rows(merged: Tensor) -> Tensor:
    """``[k, *shape]`` such that it meets ``[k, N, *shape]``."""
    return merged.unsqueeze(1) if merged.ndim > 1 else merged.view(-1, 1, 1)
