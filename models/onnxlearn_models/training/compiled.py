"""A network whose training step torch compiles."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.layers.dropout import register_mask
from onnxlearn_models.layers.ghost_norm import GhostBatchNorm
from onnxlearn_models.training.config import TrainConfig

_WAY_OUT = "leave compile out"


def require_compilable(module: nn.Module, config: TrainConfig) -> None:
    """Raise ``ParameterError`` for what changes in each step, and so would be compiled in each."""
    if config.dropout_schedule == "fade":
        raise ParameterError(
            "compile=True compiles dropout as it is, and dropout_schedule='fade' changes it in each step: leave one of them out"
        )
    if any(isinstance(part, GhostBatchNorm) for part in module.modules()):
        raise ParameterError(f"compile=True is not for ghost batch norm, which weighs each step differently: {_WAY_OUT}")


def compiled(module: nn.Module, device: torch.device) -> Callable[..., Tensor]:
    """The network's forward pass by ``torch.compile``, which takes seconds when the first batch comes and pays later.

    It draws the random numbers of the plain network, whose results it gives but for rounding. On a GPU its kernels are
    recorded as CUDA graphs, one for each size of batch: there are two at most. Raises: ParameterError where it cannot be
    compiled, at the latest when the first batch comes.
    """
    _require_compiler(device)
    register_mask()
    graphs = {"triton.cudagraphs": True} if device.type == "cuda" else {}
    with _quiet():
        forward = torch.compile(module, dynamic=False, options={"fallback_random": True, **graphs})

    def run(**inputs: Tensor) -> Tensor:
        if graphs:
            # What the last step's graph wrote may be overwritten.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with _explained():
            output: Tensor = forward(**inputs)
        return output

    return run


def _require_compiler(device: torch.device) -> None:
    """Raise ``ParameterError`` where there is nothing to compile with."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise ParameterError(f"compile=True needs the package triton on a GPU: pip install triton, or {_WAY_OUT}")
        return
    with _quiet():
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise ParameterError(
            "compile=True needs a C++ compiler, and torch finds none: install g++ or clang (or name one in CXX), or " + _WAY_OUT
        ) from None


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError

    try:
        with _quiet():
            yield
    except (TorchDynamoException, CppCompileError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ParameterError(f"compile=True: torch cannot compile this network ({reason}): {_WAY_OUT}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's compiler has to say of torch's own modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
