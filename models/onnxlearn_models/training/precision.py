"""In what numbers a training computes; weights, loss, validation and the exported file are in float32 whatever it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError

Precision: TypeAlias = Literal["float32", "tf32", "bf16", "fp16"]

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions of 16 bits, which torch's autocast uses for matrix products and whatever else bears it."""

# As of torch's own GradScaler (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).
_FIRST_SCALE, _GROWTH, _BACKOFF, _GROWTH_STEPS = 2.0**16, 2.0, 0.5, 2000
# Gradients that overflow unscaled are no matter of precision.
_LEAST_SCALE = 1.0


def require_precision(precision: Precision, module: nn.Module, device: torch.device) -> None:
    """Raise ``ParameterError`` where a network on a device cannot compute like this."""
    if precision == "float32":
        return
    if any(parameter.dtype == torch.float64 for parameter in module.parameters()):
        raise ParameterError(f"precision={precision!r} would change nothing: this network computes in DOUBLE; leave it out")
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise ParameterError(
            f"precision='tf32' is for NVIDIA GPUs from Ampere on, not for training on {device.type}: use 'float32' or 'bf16'"
        )
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ParameterError("precision='bf16' is for GPUs from Ampere on, and this one is older: use 'fp16' or 'float32'")


def computing(forward: Callable[..., Tensor], precision: Precision, device: torch.device) -> Callable[..., Tensor]:
    """A network's forward pass in this precision; its output is float32 again, for the loss."""
    dtype = HALF.get(precision)
    if dtype is None:
        return forward

    def mixed(**inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype):
            output = forward(**inputs)
        return output.float()

    return mixed


@contextlib.contextmanager
def numerics(precision: Precision, device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Inside, torch computes matrix products on a GPU in this precision, and if asked for the same numbers in every run.

    What torch has no deterministic way of raises inside.
    """
    with contextlib.ExitStack() as changes:
        if device.type == "cuda":
            changes.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        if deterministic:
            changes.enter_context(_deterministic())
        yield


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    # A property of the module, which type checkers do not know.
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    # What cuBLAS needs for it; it looks at it once, before its first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)  # noqa: FBT003
    # Memory that nothing was written to is not read here: to fill it would take time for nothing.
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = filled


class GradientScale:
    """A factor on the loss that keeps small gradients of fp16 from becoming 0.

    It halves where gradients overflow, whose step is left out, and doubles after many steps without. ``skipped``: steps that
    were left out so far.
    """

    def __init__(self, device: torch.device) -> None:
        self._scale = torch.full((), _FIRST_SCALE, device=device)
        self._n_steps = torch.zeros((), dtype=torch.int32, device=device)
        self._overflow = torch.zeros((), device=device)
        self.skipped = 0

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to ask for gradients of."""
        return loss * self._scale

    @torch.no_grad()
    def unscale(self, grads: Tensor) -> bool:
        """Gradients of the loss itself, in place; whether all are finite. Looking at that waits for a GPU."""
        self._overflow.zero_()
        torch._amp_foreach_non_finite_check_and_unscale_([grads], self._overflow, self._scale.reciprocal())
        torch._amp_update_scale_(self._scale, self._n_steps, self._overflow, _GROWTH, _BACKOFF, _GROWTH_STEPS)
        is_finite = not bool(self._overflow)
        self.skipped += not is_finite
        return is_finite

    @property
    def is_exhausted(self) -> bool:
        """Whether gradients have overflowed so often that no factor helps."""
        return float(self._scale) < _LEAST_SCALE

    def state(self) -> dict[str, Any]:
        """The factor and what has been counted."""
        return {"scale": self._scale, "n_steps": self._n_steps, "skipped": self.skipped}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self._scale.copy_(state["scale"])
        self._n_steps.copy_(state["n_steps"])
        self.skipped = state["skipped"]
