"""Opening a model file where it is asked to run."""

from __future__ import annotations

from pathlib import Path

from onnxlearn.device import open_on_gpu
from onnxlearn.errors import ParameterError, ProviderError
from onnxlearn.providers import CPU_PROVIDER, Provider, cuda_obstacle, gpu_of, has_cuda_runtime, name_of
from onnxlearn.session import CHUNK_ROWS, Session, say_once, start_session


def open_session(
    source: bytes | Path, provider: Provider = "auto", n_threads: int | None = None, *, chunk_rows: int = CHUNK_ROWS
) -> Session:
    """Open a model (its bytes or its path) for running.

    ``provider``: ``cpu``; ``cuda``, ``tensorrt`` or one of :mod:`onnxlearn.providers` with settings, an error unless the
    session really got the GPU; ``auto``, CUDA where there is a GPU that the installed runtime can use, else the CPU.
    ``n_threads``: chunks of a big batch that are run side by side, by default as many as this process may use cores; one run
    is one thread. ``chunk_rows``: the most rows that are run at a time on the CPU.

    Raises: ModelFileError, ProviderError, ParameterError, MissingExtraError.
    """
    gpu = gpu_of(provider)
    if n_threads is not None and n_threads < 1:
        raise ParameterError(f"n_threads has to be >= 1 or None, not {n_threads!r}")
    if gpu is not None:
        found = cuda_obstacle() or open_on_gpu(source, gpu, n_threads, chunk_rows)
        if not isinstance(found, str):
            return found
        if provider != "auto":
            raise ProviderError(f"provider {name_of(provider)!r} is not available: {found}; use provider 'cpu' or 'auto'")
        if has_cuda_runtime():
            say_once(f"onnxlearn: running on the CPU: {found}")
    return start_session(source, [CPU_PROVIDER], n_threads, chunk_rows)
