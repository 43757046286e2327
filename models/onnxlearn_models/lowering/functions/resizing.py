"""More or fewer positions of the same picture. ONNX Runtime has it in float32 alone."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

from typing import Any

import numpy as np
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.convolutions import each, places_of
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Context
from onnxlearn_models.lowering.trace import UnsupportedError

_MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


@lowers(functional.interpolate, functional.upsample)
def _interpolate(
    c: Context, input: Tensorish, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Value:  # fmt: skip
    c.need_single("interpolation")
    if mode not in _MODES:
        raise UnsupportedError(f"interpolation {mode!r}")
    n = len(c.shape) - 2
    places_of(input, n, "interpolation")
    how: dict[str, Any] = {"axes": list(range(2, n + 2)), "mode": _MODES[mode]}
    if mode == "nearest":
        how |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        how["coordinate_transformation_mode"] = "align_corners" if align_corners else "half_pixel"
    if mode == "bicubic":
        how["cubic_coeff_a"] = -0.5 if antialias else -0.75
    if antialias:
        # Without it the borders are other ones than torch's.
        how |= {"antialias": 1, "exclude_outside": 1}
    if size is None and not recompute_scale_factor:
        factors = c.g.const(np.array(each(scale_factor, n), np.float32))
        return c.g.op("Resize", c.value(input), None, factors, **how)
    return c.g.op("Resize", c.value(input), None, None, c.int64(*c.out.shape[2:]), **how)
