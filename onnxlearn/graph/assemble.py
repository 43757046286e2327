"""Joining preprocessing, networks and outputs into one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnx

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.postprocess.heads import Head, emit_average
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.coding import declare_inputs
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling

EmitNetwork: TypeAlias = Callable[[GraphBuilder, Mapping[str, Value]], tuple[Value, int | None]]
"""Adds a network's nodes: from ``num`` FLOAT ``[N, n_num]`` and ``cat`` INT64 ``[N, n_cat]``, those that have columns, to its
output ``[N, D]`` and ``None``, or ``[N, k, D]`` and the number of members ``k``."""


@dataclass(frozen=True, kw_only=True)
class NetworkPart:
    """One network of a graph with what stands before and behind it.

    ``head`` says what its output means; ``scaling``: of the regression target; ``double``: the output is DOUBLE.
    """

    preprocessing: Preprocessing
    emit: EmitNetwork
    head: Head
    scaling: TargetScaling | None = None
    double: bool = False


def assemble(parts: Sequence[NetworkPart], post: Postprocessing) -> onnx.ModelProto:
    """One model from raw columns to labels and probabilities, or predictions: of one network, or the mean of several.

    What the networks' preprocessing has in common is in the graph once.
    """
    g = GraphBuilder()
    schema = parts[0].preprocessing.schema
    inputs = declare_inputs(g, schema)
    outputs = emit_average(g, [_emit(g, part, inputs) for part in parts])
    with g.scope("post"):
        post.emit(g, outputs, schema.target)
    return g.to_model()


def _emit(g: GraphBuilder, part: NetworkPart, inputs: Mapping[str, Value]) -> dict[str, Value]:
    tensors = part.preprocessing.emit(g, inputs)
    with g.scope("net"):
        output, n_members = part.emit(g, tensors)
    with g.scope("post"):
        return part.head.emit(g, output, part.scaling, double=part.double, n_members=n_members)
