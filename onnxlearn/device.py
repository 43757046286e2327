"""A file on a GPU: text and preprocessing stay on the CPU, numbers and codes go over at once, outputs come back."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from onnxlearn.errors import ExportError, MissingExtraError, ModelFileError
from onnxlearn.providers import CPU_PROVIDER, Cuda, Gpu, import_onnxruntime, provider_obstacle
from onnxlearn.session import Session, run_chunked, say_once, start_session

Array = np.ndarray[Any, np.dtype[Any]]

# A GPU wants more rows at a time than a processor's cache holds; its memory is what bounds them.
CHUNKS = 32

_DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(bool)": np.bool_,
}  # fmt: skip


def open_on_gpu(source: bytes | Path, gpu: Gpu, n_threads: int | None, chunk_rows: int) -> Session | str:
    """A session that really runs on the GPU, or why there is none; arguments of :func:`onnxlearn.runtime.open_session`.

    Raises: ModelFileError.
    """
    providers, graph_rows = gpu.options(), gpu.graph_rows if isinstance(gpu, Cuda) else None
    if obstacle := provider_obstacle(type(gpu)(device=gpu.device).options()):
        return f"{obstacle} (onnxlearn doctor tells what works)"
    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        return open_apart(data, providers, ("cuda", gpu.device), n_threads, chunk_rows=chunk_rows, graph_rows=graph_rows)
    except MissingExtraError as error:
        return str(error)
    except (ExportError, ModelFileError) as error:
        if graph_rows is not None:
            return f"this file cannot run as a CUDA graph ({error})"
        say_once(f"onnxlearn: the whole file runs on the GPU, which takes longer where there is text: {error}")
    return start_session(data, providers, n_threads, CHUNKS * chunk_rows)


def open_apart(
    data: bytes,
    providers: Sequence[Any],
    device: tuple[str, int],
    n_threads: int | None,
    *,
    chunk_rows: int,
    graph_rows: int | None = None,
) -> Session:
    """A file in two: preprocessing on the CPU, the network by these providers.

    ``device``: its type and number, as ``OrtValue`` takes them. ``chunk_rows``: the most rows that a CPU runs at a time.
    ``graph_rows``: the rows of every run of the network.

    Raises: ExportError where the file cannot be taken apart, MissingExtraError without the package onnx, ModelFileError.
    """
    from onnxlearn.graph.apart import apart

    parts = apart(data)
    net = start_session(parts.net, providers, 1, chunk_rows, n_rows=graph_rows)
    prep = start_session(parts.prep, [CPU_PROVIDER], n_threads, chunk_rows)
    ort = import_onnxruntime()
    run = _Fixed(ort, net, device, graph_rows) if graph_rows else _Bound(ort, net, device)
    return DeviceSession(prep, net, run, names=parts.names, chunk_rows=graph_rows or CHUNKS * chunk_rows)


class _Run(Protocol):
    """How the network is run."""

    def run(self, tensors: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        """Outputs of these names, in order."""


class _Value(NamedTuple):
    """An output as a session tells it."""

    name: str
    type: str
    shape: list[Any]


class DeviceSession:
    """Two sessions that run as one: ``prep`` on the CPU, ``net`` on a device.

    ``names``: the classes where ``net`` gives positions instead of text. ``chunk_rows``: the most rows of a run.
    """

    n_threads = 1  # Runs on one device wait for each other; preprocessing shares out its rows by itself.

    def __init__(self, prep: Session, net: Session, network: _Run, *, names: Array | None, chunk_rows: int) -> None:
        self.chunk_rows = chunk_rows
        self._prep, self._net, self._network, self._names = prep, net, network, names

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array]) -> list[Array]:
        """Outputs of these names, in order."""
        wanted = list(output_names) if output_names is not None else [value.name for value in self._net.get_outputs()]
        tensors = run_chunked(self._prep, input_feed)
        n_rows = len(next(iter(tensors.values())))
        # A device is not asked for nothing: some of its operators fail on no rows.
        found = self._network.run({name: _filled(array, n_rows or 1) for name, array in tensors.items()}, wanted)
        return [self._named(name, array[:n_rows]) for name, array in zip(wanted, found, strict=True)]

    def get_inputs(self) -> list[Any]:
        """Those of the file."""
        return self._prep.get_inputs()

    def get_outputs(self) -> list[Any]:
        """Those of the file."""
        is_text = self._names is not None
        return [
            _Value(value.name, "tensor(string)" if is_text and value.name == "label" else value.type, list(value.shape))
            for value in self._net.get_outputs()
        ]

    def get_providers(self) -> list[str]:
        """Those of the network."""
        return self._net.get_providers()

    def _named(self, name: str, array: Array) -> Array:
        return self._names[array] if self._names is not None and name == "label" else array


class _Bound:
    """Inputs are copied to the device, outputs from it, once a run."""

    def __init__(self, ort: Any, net: Any, device: tuple[str, int]) -> None:
        self._ort, self._net, self._device = ort, net, device

    def run(self, tensors: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        binding = self._net.io_binding()
        for name, array in tensors.items():
            binding.bind_ortvalue_input(name, self._ort.OrtValue.ortvalue_from_numpy(array, *self._device))
        for name in names:
            binding.bind_output(name, *self._device)
        self._net.run_with_iobinding(binding)
        outputs: list[Array] = binding.copy_outputs_to_cpu()
        return outputs


class _Fixed:
    """The same tensors in every run, for a graph of kernels that is recorded at the first and played back from then on."""

    def __init__(self, ort: Any, net: Any, device: tuple[str, int], n_rows: int) -> None:
        def made(values: Sequence[Any]) -> dict[str, Any]:
            return {
                value.name: ort.OrtValue.ortvalue_from_shape_and_type([n_rows, *value.shape[1:]], _DTYPES[value.type], *device)
                for value in values
            }

        self._net, self._n_rows = net, n_rows
        self._inputs, self._outputs = made(net.get_inputs()), made(net.get_outputs())
        self._binding = net.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        # Its tensors are those of one run at a time.
        self._lock = threading.Lock()

    def run(self, tensors: Mapping[str, Array], names: Sequence[str]) -> list[Array]:
        with self._lock:
            for name, array in tensors.items():
                self._inputs[name].update_inplace(_filled(array, self._n_rows))
            self._binding.synchronize_inputs()
            self._net.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            # A copy also where the device is the CPU: the next run writes to the same place.
            return [self._outputs[name].numpy().copy() for name in names]


def _filled(array: Array, n_rows: int) -> Array:
    """The array with rows of zeros after its own; a row's output does not depend on the others."""
    if len(array) == n_rows:
        return np.ascontiguousarray(array)
    filled = np.zeros((n_rows, *array.shape[1:]), array.dtype)
    filled[: len(array)] = array
    return filled
