"""Layers of k models at once: ``[k, N, d]``, each model's rows through its own weights.

A layer that only works along the last dimensions needs no line here: it is run as it is. The others are in :data:`FORMS`; a
line there, or :func:`stacked_form`, gives another one a batched form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn_models.layers.dense import PRODUCTS, STEPS, Back
from onnxlearn_models.layers.dropout import Dropout, byte_mask, draw_bytes, has_byte_mask
from onnxlearn_models.layers.numeric import ColumnLinear, PBLDEmbedding, embed_columns
from onnxlearn_models.layers.shake import ShakeDrop, ShakeShake, scale_both_ways
from onnxlearn_models.stacked.lanes import Lanes


class UnstackableError(Exception):
    """Something in a network has no batched form; the message says what."""


class Form(nn.Module):
    """The batched form of a layer.

    ``layer``: a copy of the first model's, whose parameters and buffers are those of all models, ``[k, *shape]``; ``layers``:
    the models' own. ``lanes``: rows and random numbers of the step.
    """

    requires: ClassVar[dict[str, Any]] = {}
    """Attributes that a layer has to have, for this form to be its batched form."""

    def __init__(self, layer: nn.Module, layers: Sequence[nn.Module], lanes: Lanes) -> None:
        super().__init__()
        for name, value in self.requires.items():
            if getattr(layer, name) != value:
                raise UnstackableError(f"{type(layer).__name__} with {name}={getattr(layer, name)!r}")
        self.layer: Any = layer
        # Not registered: they are no part of this network.
        self.layers: tuple[Any, ...] = tuple(layers)
        self.lanes = lanes


FORMS: dict[type[nn.Module], type[Form]] = {}
"""The batched form of a layer by its type; subclasses are other layers."""


def stacked_form(*layers: type[nn.Module]) -> Callable[[type[Form]], type[Form]]:
    """Make a :class:`Form` that of these layers."""

    def register(form: type[Form]) -> type[Form]:
        FORMS.update(dict.fromkeys(layers, form))
        return form

    return register


def along(parameter: Tensor, x: Tensor) -> Tensor:
    """A parameter ``[k, d]`` as what ``x [k, N, ..., d]`` is multiplied by."""
    return parameter.view(len(parameter), *[1] * (x.ndim - 2), -1)


@stacked_form(nn.Linear)
class StackedLinear(Form):
    """A product of batches of matrices."""

    def forward(self, x: Tensor) -> Tensor:
        """From ``[k, N, ..., d_in]`` to ``[k, N, ..., d_out]``."""
        flat, weight = x.flatten(1, -2), self.layer.weight.mT
        bias = self.layer.bias
        made = torch.bmm(flat, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), flat, weight)
        return made if x.ndim == 3 else made.view(*x.shape[:-1], -1)


def _product_step(form: StackedLinear, x: Tensor, way: list[Back]) -> Tensor:
    weight, bias = form.layer.weight, form.layer.bias
    wanted = bool(way) or x.requires_grad

    def back(grad: Tensor, ones: Tensor) -> Tensor:
        if weight.requires_grad:
            # The gradients of a model follow one another: adding a product to them in place would take them one by one.
            weight.grad.add_(torch.bmm(grad.mT, x))
        if bias is not None and bias.requires_grad:
            bias.grad.add_(torch.bmm(ones.unsqueeze(1), grad).squeeze(1))
        return torch.bmm(grad, weight) if wanted else grad

    way.append(back)
    return form.forward(x)


@stacked_form(nn.Dropout, Dropout)
class StackedDropout(Form):
    """The masks that each model draws alone, at its own share."""

    def forward(self, x: Tensor) -> Tensor:
        """Mask in training."""
        mask = self.mask(x)
        return x if mask is None else x * mask

    def mask(self, x: Tensor) -> Tensor | None:
        """What this step multiplies by, if by anything."""
        shares = [layer.p for layer in self.layers]
        if not self.training or not any(shares):
            return None
        return self._plain_mask(x, shares) if type(self.layer) is nn.Dropout else self._byte_mask(x, shares)

    def _byte_mask(self, x: Tensor, shares: Sequence[float]) -> Tensor:
        """As :func:`onnxlearn_models.layers.dropout.dropout_mask` draws each."""
        width = x[0, 0].numel()
        numbers = torch.empty(len(x), -(-x[0].numel() // 8), dtype=torch.int64)
        if not all(has_byte_mask(x, share) for share in shares):
            raise UnstackableError(f"dropout of a share of {max(shares):g}")
        dropped = [
            draw_bytes(numbers[i], n_rows * width, share, generator) if share else 0
            for i, (n_rows, share, generator) in enumerate(zip(self.lanes.n_rows, shares, self.lanes.generators, strict=True))
        ]
        bytes_ = numbers.view(torch.uint8)[:, : x[0].numel()].view(x.shape)
        return byte_mask(bytes_, torch.tensor(dropped, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1)), x.dtype)

    def _plain_mask(self, x: Tensor, shares: Sequence[float]) -> Tensor:
        """As torch draws each."""
        mask = torch.ones_like(x, requires_grad=False)
        for i, (n_rows, share, generator) in enumerate(zip(self.lanes.n_rows, shares, self.lanes.generators, strict=True)):
            if share:
                mask[i, :n_rows].bernoulli_(1 - share, generator=generator).div_(1 - share)
        return mask


def _dropout_step(form: StackedDropout, x: Tensor, way: list[Back]) -> Tensor:
    mask = form.mask(x)
    if mask is None:
        return x
    way.append(lambda grad, _: grad.mul_(mask))
    return x * mask


# The ways back through them, where a network's steps are not autograd's.
STEPS.update({StackedLinear: _product_step, StackedDropout: _dropout_step})
PRODUCTS.add(StackedLinear)


@stacked_form(nn.BatchNorm1d)
class StackedBatchNorm(Form):
    """Statistics of each model's own rows, without padding."""

    requires: ClassVar[dict[str, Any]] = {"track_running_stats": True, "affine": True}

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[k, N, d]``."""
        layer = self.layer
        if x.ndim != 3 or layer.momentum is None:
            raise UnstackableError("batch norm of sequences, or without momentum")
        if self.training:
            mean, variance = self._statistics(x)
        else:
            mean, variance = layer.running_mean.unsqueeze(1), layer.running_var.unsqueeze(1)
        factor = torch.rsqrt(variance + layer.eps) * layer.weight.unsqueeze(1)
        return torch.addcmul(layer.bias.unsqueeze(1), x - mean, factor)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the rows, ``[k, 1, d]``; the running ones follow them."""
        layer, mask, counts = self.layer, self.lanes.mask, self.lanes.counts
        n: Tensor | int = x.shape[1]
        if mask is None or counts is None:
            variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        else:
            n = counts
            mean = (x * mask).sum(dim=1, keepdim=True) / n
            variance = ((x - mean) * mask).square().sum(dim=1, keepdim=True) / n
        with torch.no_grad():
            layer.running_mean.lerp_(mean.squeeze(1), layer.momentum)
            layer.running_var.lerp_((variance * (n / (n - 1))).squeeze(1), layer.momentum)
            layer.num_batches_tracked.add_(1)
        return mean, variance


@stacked_form(nn.LayerNorm)
class StackedLayerNorm(Form):
    """One norm for all models, whose factors and shifts differ."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[k, N, ..., d]``."""
        layer = self.layer
        if len(layer.normalized_shape) != 1:
            raise UnstackableError("layer norm over several dimensions")
        normed = functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
        if layer.weight is None:
            return normed
        weight = along(layer.weight, x)
        return normed * weight if layer.bias is None else torch.addcmul(along(layer.bias, x), normed, weight)


@stacked_form(nn.RMSNorm)
class StackedRMSNorm(Form):
    """One norm for all models, whose factors differ."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[k, N, ..., d]``."""
        layer = self.layer
        if len(layer.normalized_shape) != 1:
            raise UnstackableError("RMS norm over several dimensions")
        normed = functional.rms_norm(x, layer.normalized_shape, eps=layer.eps)
        return normed if layer.weight is None else normed * along(layer.weight, x)


@stacked_form(nn.PReLU)
class StackedPReLU(Form):
    """A slope of its own for each model, or for each unit of each model."""

    def forward(self, x: Tensor) -> Tensor:
        """From ``[k, N, d]`` to the same."""
        if x.ndim != 3:
            raise UnstackableError("PReLU of channels")
        return torch.where(x > 0, x, x * self.layer.weight.unsqueeze(1))


@stacked_form(nn.Embedding)
class StackedEmbedding(Form):
    """Every model looks up its own table."""

    requires: ClassVar[dict[str, Any]] = {
        "padding_idx": None, "max_norm": None, "scale_grad_by_freq": False, "sparse": False,
    }  # fmt: skip

    def forward(self, codes: Tensor) -> Tensor:
        """From int64 ``[k, N, ...]`` to ``[k, N, ..., d]``."""
        weight = self.layer.weight
        index = codes.flatten(1).unsqueeze(-1).expand(-1, -1, weight.shape[-1])
        found: Tensor = weight.gather(1, index).view(*codes.shape, -1)
        return found


@stacked_form(ColumnLinear)
class StackedColumnLinear(Form):
    """The columns of all models are columns of one layer."""

    def forward(self, x: Tensor) -> Tensor:
        """From ``[k, N, p, d_in]`` to ``[k, N, p, d_out]``."""
        made: Tensor = torch.einsum("knpi,kpio->knpo", x, self.layer.weight) + self.layer.bias.unsqueeze(1)
        return made


@stacked_form(PBLDEmbedding)
class StackedPBLD(Form):
    """The columns of all models are columns of one embedding."""

    def forward(self, num: Tensor) -> Tensor:
        """From ``[k, N, p]`` to ``[k, N, p, d]``."""
        layer, shape = self.layer, num.shape
        linear = layer.linear.layer
        parameters = [tensor.flatten(0, 1) for tensor in (layer.frequency, layer.phase, linear.weight, linear.bias)]
        columns = num.transpose(0, 1).reshape(shape[1], -1)
        return embed_columns(columns, *parameters).view(shape[1], shape[0], shape[2], -1).transpose(0, 1)


class _Shaken(Form):
    """Each model's rows are scaled by numbers of its own."""

    def _uniform(self, x: Tensor) -> Tensor:
        """A number for each row, as each model draws it alone."""
        numbers = torch.ones_like(x[..., :1], requires_grad=False)
        for i, (n_rows, generator) in enumerate(zip(self.lanes.n_rows, self.lanes.generators, strict=True)):
            numbers[i, :n_rows].uniform_(generator=generator)
        return numbers


@stacked_form(ShakeShake)
class StackedShakeShake(_Shaken):
    """See :class:`~onnxlearn_models.layers.shake.ShakeShake`."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """From two of ``[k, N, d]`` to one."""
        if not self.training:
            return 0.5 * (a + b)
        return b + scale_both_ways(a - b, self._uniform(a), self._uniform(a))


@stacked_form(ShakeDrop)
class StackedShakeDrop(_Shaken):
    """See :class:`~onnxlearn_models.layers.shake.ShakeDrop`."""

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``[k, N, d]``."""
        if not self.training:
            scaled: Tensor = self.layer(x)
            return scaled
        shaken = self._uniform(x) < self.layer.probability
        one = torch.ones_like(x[..., :1])
        forwards, backwards = (torch.where(shaken, self._uniform(x), one) for _ in range(2))
        return scale_both_ways(x, forwards, backwards)
