"""Networks in INT8 with fixed ranges of activations, found on calibration rows, by ONNX Runtime's quantizer."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

Array = np.ndarray[Any, np.dtype[Any]]


def calibrated(
    network: onnx.ModelProto, layers: Collection[onnx.NodeProto], rows: Mapping[str, Array], *, bits: int, chunk_rows: int
) -> onnx.ModelProto:
    """The network with these layers between QuantizeLinear and DequantizeLinear, which runtimes merge into INT8 products.

    ``rows``: the network's inputs of the calibration rows, ``[N, ...]`` by name. ``bits``: of the weights, 8 or 7, as in
    :func:`onnxlearn.graph.int8.with_int8_layers`. The range of an activation is from the least to the largest value seen; what
    lies beyond is cut off. ``chunk_rows``: rows that are run at a time.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory(prefix="onnxlearn-") as folder:
        paths = [Path(folder, name) for name in ("float.onnx", "int8.onnx")]
        onnx.save(_marked(network), paths[0])
        quantize_static(
            paths[0], paths[1], _Reader(rows, chunk_rows), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=bits == 7,
            nodes_to_quantize=[node.name for node in layers], op_types_to_quantize=sorted({node.op_type for node in layers}),
        )  # fmt: skip
        return onnx.load(paths[1])


def _marked(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that the quantizer takes as prepared: it would write advice to the log."""
    marked = onnx.ModelProto()
    marked.CopyFrom(network)
    helper.set_model_props(marked, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return marked


class _Reader:
    """What the quantizer reads the calibration rows from: feeds one after the other, then ``None``."""

    def __init__(self, rows: Mapping[str, Array], chunk_rows: int) -> None:
        self._feeds = _batches(rows, chunk_rows)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def _batches(rows: Mapping[str, Array], chunk_rows: int) -> Iterator[dict[str, Array]]:
    n_rows = len(next(iter(rows.values())))
    for start in range(0, n_rows, chunk_rows):
        yield {name: array[start : start + chunk_rows] for name, array in rows.items()}
