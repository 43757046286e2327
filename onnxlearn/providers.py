"""Where a file runs: what can be asked for, what of it is there, and what ONNX Runtime is told."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from onnxlearn.errors import MissingExtraError, ParameterError

ProviderName: TypeAlias = Literal["auto", "cpu", "cuda", "tensorrt"]

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"


# An ONNX model of one node, y = x + x over one float: opset 18, IR version 8.
_TINY_MODEL = (
    b'\x08\x08:5\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)


@dataclass(frozen=True, kw_only=True)
class Cuda:
    """An NVIDIA GPU by CUDA; ``"cuda"`` is ``Cuda()``.

    ``device``: number of the GPU, from 0. ``tf32``: let products round their inputs to 10 bits of mantissa, which is quicker
    and costs three digits. ``graph_rows``: run blocks of so many rows, at least 1, as one recorded CUDA graph; fewer rows are
    filled up.

    >>> import onnxlearn as ol
    >>> ol.Cuda(graph_rows=256)
    Cuda(device=0, tf32=False, graph_rows=256)

    Raises: ParameterError.
    """

    device: int = 0
    tf32: bool = False
    graph_rows: int | None = None

    def __post_init__(self) -> None:
        _require_count("device", self.device, low=0)
        if self.graph_rows is not None:
            _require_count("graph_rows", self.graph_rows, low=1)

    def options(self) -> list[Any]:
        """ONNX Runtime's providers, the first one first."""
        told = {"device_id": str(self.device), "use_tf32": str(int(self.tf32))}
        if self.graph_rows is not None:
            told["enable_cuda_graph"] = "1"
        return [(CUDA_PROVIDER, told), CPU_PROVIDER]


@dataclass(frozen=True, kw_only=True)
class TensorRT:
    """An NVIDIA GPU by TensorRT, and by CUDA what TensorRT lacks; ``"tensorrt"`` is ``TensorRT()``.

    ``device``: number of the GPU, from 0. ``fp16``: compute in FLOAT16 where TensorRT finds that quicker. ``engine_cache``: a
    folder that keeps what TensorRT builds, which takes seconds to minutes, for later processes.

    >>> import onnxlearn as ol
    >>> ol.TensorRT(engine_cache="engines")
    TensorRT(device=0, fp16=False, engine_cache='engines')

    Raises: ParameterError.
    """

    device: int = 0
    fp16: bool = False
    engine_cache: str | Path | None = None

    def __post_init__(self) -> None:
        _require_count("device", self.device, low=0)

    def options(self) -> list[Any]:
        """ONNX Runtime's providers, the first one first."""
        told = {"device_id": str(self.device), "trt_fp16_enable": str(int(self.fp16))}
        if self.engine_cache is not None:
            told |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(self.engine_cache)}
        return [(TENSORRT_PROVIDER, told), *Cuda(device=self.device).options()]


Gpu: TypeAlias = Cuda | TensorRT
Provider: TypeAlias = ProviderName | Gpu


def gpu_of(provider: Provider) -> Gpu | None:
    """The GPU that is asked for, ``None`` for the CPU; of ``auto`` the one to try.

    Raises: ParameterError.
    """
    if isinstance(provider, Cuda | TensorRT):
        return provider
    if provider not in get_args(ProviderName):
        raise ParameterError(
            "provider has to be 'auto', 'cpu', 'cuda', 'tensorrt', onnxlearn.Cuda(...) or onnxlearn.TensorRT(...), "
            f"not {provider!r}"
        )
    if provider == "cpu":
        return None
    return TensorRT() if provider == "tensorrt" else Cuda()


def name_of(provider: Provider) -> str:
    """As it is called: ``cuda`` of ``Cuda(...)``."""
    return provider if isinstance(provider, str) else type(provider).__name__.lower()


def import_onnxruntime() -> Any:
    """The module onnxruntime.

    Raises: MissingExtraError where it is not installed, or is left broken by installing and removing both of its wheels.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError.of("onnxruntime", "cpu", "running a model") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise MissingExtraError(
            "the package onnxruntime is damaged (its CPU and GPU wheels overwrite each other): "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxlearn[cpu]'"
        )
    return onnxruntime


def has_cuda_runtime() -> bool:
    """Whether the installed runtime was built with CUDA: without, ``auto`` and ``cpu`` are the same."""
    return CUDA_PROVIDER in import_onnxruntime().get_available_providers()


@functools.cache
def cuda_obstacle() -> str:
    """Why CUDA cannot be asked for, or an empty string: no GPU here, or a runtime built without it."""
    if not has_cuda_runtime():
        return "the installed onnxruntime has no CUDA (pip uninstall -y onnxruntime && pip install 'onnxlearn[gpu]')"
    if count_gpus() == 0:
        return "there is no NVIDIA GPU or no driver"
    return ""


def count_gpus() -> int:
    """Number of NVIDIA GPUs that the driver shows to this process, 0 without a driver."""
    return len(gpu_names())


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs that the driver shows to this process, by their numbers; none without a driver."""
    # Asked of the driver because ONNX Runtime lists CUDA as available wherever its GPU wheel is installed.
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    count = ctypes.c_int(0)
    with contextlib.suppress(OSError, AttributeError):
        driver = ctypes.CDLL(library)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return [_gpu_name(driver, number) for number in range(count.value)]
    return []


def provider_obstacle(providers: Sequence[Any]) -> str:
    """Why the first of these providers of ONNX Runtime cannot run a tiny model here, or an empty string."""
    import numpy as np

    ort = import_onnxruntime()
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if first in (CUDA_PROVIDER, TENSORRT_PROVIDER):
        _preload_gpu(ort)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        with quiet_runtime():
            session = ort.InferenceSession(_TINY_MODEL, options, providers=list(providers), enable_fallback=0)
        found = session.run(None, {"x": np.array([2], np.float32)})[0].tolist()
    except Exception as error:  # noqa: BLE001  the runtime's errors have no base class of their own
        return first_line(error)
    if first not in session.get_providers():
        return f"ONNX Runtime cannot load the libraries of {first}"
    return "" if found == [4.0] else f"2 + 2 gave {found}"


@contextlib.contextmanager
def quiet_runtime() -> Iterator[None]:
    """Inside, ONNX Runtime does not write to stderr what it cannot load: that is told by whoever asked for it."""
    ort = import_onnxruntime()
    ort.set_default_logger_severity(4)
    try:
        yield
    finally:
        # Its own default, which cannot be asked for.
        ort.set_default_logger_severity(2)


def first_line(error: Exception) -> str:
    """An error of the runtime in one line, without the place in its sources."""
    line = (str(error).splitlines() or [type(error).__name__])[0].strip()
    return re.sub(r"^/\S+:\d+ .*?\) (?=[A-Z])", "", line)


def _preload_gpu(ort: Any) -> None:
    """Find the libraries of CUDA and TensorRT that came as Python packages, before the first session."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        # It prints what it does not find instead of raising.
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        # Importing the package loads its libraries; without it those of the system are found, or none.
        with contextlib.suppress(ImportError):
            import tensorrt  # noqa: F401


def _gpu_name(driver: Any, number: int) -> str:
    name, device = ctypes.create_string_buffer(100), ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    return name.value.decode(errors="replace")


def _require_count(name: str, value: object, *, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ParameterError(f"{name} has to be an integer >= {low}, not {value!r}")
