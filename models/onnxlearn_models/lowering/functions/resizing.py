"""More or fewer positions of the same picture. ONNX Runtime has it in float32 alone."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.convolutions import each, places_of
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Context
from onnxlearn_models.lowering.trace import UnsupportedError

_LINES = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
_COPIES = ("nearest", "nearest-exact")


@lowers(functional.interpolate, functional.upsample)
def _interpolate(
    c: Context, input: Tensorish, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Value:  # fmt: skip
    c.need_single("interpolation")
    n = len(c.shape) - 2
    sizes = places_of(input, n, "interpolation")
    given = each(scale_factor, n) if size is None and not recompute_scale_factor else None
    factors = given or [there / before for there, before in zip(c.out.shape[2:], sizes, strict=True)]
    if mode in _COPIES and any(factor != int(factor) for factor in factors):
        return _copied(c, c.value(input), sizes, given, mode)
    how = {"axes": list(range(2, n + 2)), **_way(mode, align_corners=bool(align_corners), antialias=antialias)}
    if given:
        return c.g.op("Resize", c.value(input), None, c.g.const(np.array(given, np.float32)), **how)
    return c.g.op("Resize", c.value(input), None, None, c.int64(*c.out.shape[2:]), **how)


def _way(mode: str, *, align_corners: bool, antialias: bool) -> dict[str, Any]:
    """What the operator calls it. Raises: UnsupportedError."""
    if mode in _COPIES:
        return {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if mode not in _LINES:
        raise UnsupportedError(f"interpolation {mode!r}")
    how: dict[str, Any] = {
        "mode": _LINES[mode],
        "coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel",
    }
    if mode == "bicubic":
        how["cubic_coeff_a"] = -0.5 if antialias else -0.75
    # Without exclude_outside the borders are other ones than torch's.
    return how | {"antialias": 1, "exclude_outside": 1} if antialias else how


def _copied(c: Context, x: Value, sizes: tuple[int, ...], factors: list[float] | None, mode: str) -> Value:
    """Positions that torch takes, along one dimension after the other: where a factor is no whole number, rounding decides."""
    for i, before in enumerate(sizes):
        how: dict[str, Any] = {"size": c.out.shape[2 + i]} if factors is None else {"scale_factor": factors[i]}
        found = functional.interpolate(torch.arange(before, dtype=torch.float32)[None, None], mode=mode, **how)
        x = c.g.op("Gather", x, c.int64(*map(int, found.flatten())), axis=2 + i)
    return x
