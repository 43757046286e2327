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
    if not has_byte_mask(like, share):
        return functional.dropout(torch.ones_like(like, requires_grad=False), share)
    size = like.numel()
    numbers = torch.empty(-(-size // 8), dtype=torch.int64)
    n_dropped = draw_bytes(numbers, size, share)
    return byte_mask(numbers.view(torch.uint8)[:size].view(like.shape), n_dropped, like.dtype)


def has_byte_mask(like: Tensor, share: float) -> bool:
    """Whether bytes are drawn for this share, and not torch's own masks."""
    return like.device.type == "cpu" and share <= _LARGEST


def draw_bytes(numbers: Tensor, size: int, share: float, generator: torch.Generator | None = None) -> int:
    """Fill the first ``size`` bytes of ``numbers``, int64, at random; the elements with bytes below the result are dropped.

    ``generator``: what draws, by default torch's own.
    """
    n_dropped = int(share * _STEPS + float(torch.rand((), generator=generator)))
    numbers[: -(-size // 8)].random_(-(2**63), None, generator=generator)
    return n_dropped


def byte_mask(random: Tensor, n_dropped: int | Tensor, dtype: torch.dtype) -> Tensor:
    """What dropout multiplies by, of uint8 ``random``; ``n_dropped``: one number, or some of that type."""
    # Compared as numbers of their own type, bytes would take several times longer.
    return random.to(dtype).ge_(n_dropped).mul_(_STEPS / (_STEPS - n_dropped))


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
