"""Joining preprocessing, networks and outputs into one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.postprocess.heads import Head, emit_average
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.coding import declare_inputs
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn.preprocess.target import TargetScaling

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class NetworkValues:
    """What a network computes: its output ``[N, D]``, or ``[N, k, D]`` with ``n_members`` k.

    ``further``: what else it gives, by name, as FLOAT values and the shape of each row.
    """

    output: Value
    n_members: int | None = None
    further: Mapping[str, tuple[Value, tuple[int, ...]]] = field(default_factory=dict)


EmitNetwork: TypeAlias = Callable[[GraphBuilder, Mapping[str, Value]], NetworkValues]
"""Adds a network's nodes, which read the tensors of the ingress by name, such as ``num`` FLOAT ``[N, n_num]``."""


@dataclass(frozen=True, kw_only=True)
class NetworkPart:
    """One network of a graph with what stands before and behind it.

    ``head`` says what its output means; ``scaling``: of the regression target; ``double``: the output is DOUBLE.
    """

    preprocessing: FittedPreprocessing
    emit: EmitNetwork
    head: Head
    scaling: TargetScaling | None = None
    double: bool = False


def assemble(parts: Sequence[NetworkPart], post: Postprocessing, weights: Array | None = None) -> onnx.ModelProto:
    """One model from raw columns to labels and probabilities, or predictions: of one network, or the mean of several.

    ``weights``: what each of these counts, with sum 1; ``None``: all the same. What the networks' preprocessing has in common
    is in the graph once. What a network gives beside its output is an output of the file where the network is the only one.
    """
    g = GraphBuilder()
    schema = parts[0].preprocessing.schema
    inputs = declare_inputs(g, schema)
    emitted = [_emit(g, part, inputs) for part in parts]
    outputs = emit_average(g, [_emit_head(g, part, values) for part, values in zip(parts, emitted, strict=True)], weights)
    with g.scope("post"):
        post.emit(g, outputs, schema.target)
    if len(emitted) == 1:
        for name, (value, shape) in emitted[0].further.items():
            g.output(value, name, "FLOAT", ["N", *shape])
    return g.to_model()


def _emit(g: GraphBuilder, part: NetworkPart, inputs: Mapping[str, Value]) -> NetworkValues:
    tensors = part.preprocessing.emit(g, inputs)
    with g.scope("net"):
        return part.emit(g, tensors)


def _emit_head(g: GraphBuilder, part: NetworkPart, values: NetworkValues) -> dict[str, Value]:
    with g.scope("post"):
        return part.head.emit(g, values.output, part.scaling, double=part.double, n_members=values.n_members)
