"""Dropout that is cheap on a CPU."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

# Each element gets a random byte.
_STEPS = 256
# Above this share a byte is too coarse.
_LARGEST = 0.98


def dropout_mask(like: Tensor, share: float) -> Tensor:
    """What dropout multiplies by: 0 for that share of the elements at random, and for the others what keeps the mean at 1.

    On a CPU one random number of 64 bits serves eight elements: one each, as torch has it, takes longer than a matrix product.
    The share of one call is a multiple of 1/256, at random the one below or above; over many calls it is as given.
    """
    if torch.compiler.is_compiling():
        compiled: Tensor = torch.ops.onnxlearn.dropout_mask(like.detach(), share)
        return compiled
    if not share:
        return torch.ones_like(like, requires_grad=False)
    if like.device.type != "cpu" or share > _LARGEST:
        return functional.dropout(torch.ones_like(like, requires_grad=False), share)
    n_dropped = int(share * _STEPS + float(torch.rand(())))
    size = like.numel()
    numbers = torch.empty(-(-size // 8), dtype=torch.int64).random_(-(2**63), None)
    # Compared as numbers of their own type, bytes would take several times longer.
    mask = numbers.view(torch.uint8)[:size].view(like.shape).to(like.dtype)
    return mask.ge_(n_dropped).mul_(_STEPS / (_STEPS - n_dropped))


@functools.cache
def register_mask() -> None:
    """Make :func:`dropout_mask` known to torch's compiler, which takes it as it is: masks are those of the plain network."""
    mask = torch.library.custom_op("onnxlearn::dropout_mask", dropout_mask, mutates_args=())
    mask.register_fake(lambda like, _share: torch.empty_like(like))


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` by :func:`dropout_mask`."""

    def forward(self, input: Tensor) -> Tensor:
        """Mask in training; in evaluation nothing."""
        return input * dropout_mask(input, self.p) if self.training and self.p else input
