"""Where steps that are written by hand may stand in for the layers that they compute."""

from __future__ import annotations

import torch
from torch import Tensor


def may_fuse(x: Tensor) -> bool:
    """Whether a step of our own may compute with ``x``: it knows one type of number, and torch's compiler writes its own.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     may_fuse(torch.zeros(1))
    False
    """
    return not torch.is_autocast_enabled(x.device.type) and not torch.compiler.is_compiling()
