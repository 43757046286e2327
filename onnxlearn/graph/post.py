"""The last part of the graph: softmax and class labels, or the prediction in the target's unit."""

from __future__ import annotations

import numpy as np

from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Target


def emit_classification(g: GraphBuilder, logits: Value, target: Target, *, double: bool = False) -> None:
    """Outputs ``label`` ``[N]`` and ``probabilities`` FLOAT ``[N, C]`` from logits ``[N, C]``, FLOAT or ``double``.

    The label is STRING, or INT64 where the classes are integers or booleans (0, 1); of equal probabilities the first wins.
    """
    with g.scope("post"):
        probabilities = g.op("Softmax", logits, axis=-1)
        if double:
            probabilities = g.op("Cast", probabilities, to=FLOAT)
        best = g.op("ArgMax", probabilities, axis=1, keepdims=0)
        classes = np.array(target.classes, object if target.dtype == "str" else np.int64)
        # A label that is its own index needs no look-up.
        named = classes.tolist() != list(range(len(classes)))
        label = g.op("Gather", g.const(classes, "classes"), best, axis=0) if named else best
    g.output(label, "label", "STRING" if target.dtype == "str" else "INT64", ["N"])
    g.output(probabilities, "probabilities", "FLOAT", ["N", len(classes)])


def emit_regression(g: GraphBuilder, z: Value, target: Target, scaling: TargetScaling) -> None:
    """Output ``prediction`` DOUBLE ``[N, T]`` in the target's unit from scaled predictions ``[N, T]``, FLOAT or DOUBLE."""
    with g.scope("post"):
        prediction = scaling.emit_inverse(g, z)
    g.output(prediction, "prediction", "DOUBLE", ["N", target.n_outputs])
