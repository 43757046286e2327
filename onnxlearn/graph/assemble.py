"""Joining preprocessing, network and outputs into one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.graph.post import emit_classification, emit_regression
from onnxlearn.preprocess.coding import declare_inputs
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling

EmitNetwork: TypeAlias = Callable[[GraphBuilder, Mapping[str, Value]], Value]


def assemble(
    preprocessing: Preprocessing, emit_network: EmitNetwork, scaling: TargetScaling | None = None, *, double: bool = False
) -> onnx.ModelProto:
    """One model from raw columns to labels and probabilities, or predictions.

    ``emit_network(g, tensors)`` adds the network's nodes (they are named after ``net``): from ``num`` FLOAT ``[N, n_num]``
    and ``cat`` INT64 ``[N, n_cat]``, those that have columns, to logits FLOAT ``[N, C]`` or scaled predictions ``[N, T]``.
    ``scaling``: of the regression target. ``double``: the network's output is DOUBLE.
    """
    g = GraphBuilder()
    tensors = preprocessing.emit(g, declare_inputs(g, preprocessing.schema))
    with g.scope("net"):
        output = emit_network(g, tensors)
    target = preprocessing.schema.target
    if target.type == "classification":
        emit_classification(g, output, target, double=double)
    else:
        assert scaling is not None, "a regression has a target scaling"
        emit_regression(g, output, target, scaling)
    return g.to_model()
