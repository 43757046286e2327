"""What a file makes of the (averaged) outputs of its networks: labels, and what was calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.schema import Target

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Postprocessing:
    """Fitted on calibration rows, where something is to be fitted."""

    def apply(self, outputs: Mapping[str, Array], target: Target) -> dict[str, Array]:
        """The outputs of the file, with the label as position of the class, from those of :class:`Head`."""
        del target
        made = dict(outputs)
        if "probabilities" in made:
            made["probabilities"] = made["probabilities"].astype(np.float32)
            made["label"] = made["probabilities"].argmax(axis=1)
        return made

    def certain(self, outputs: Mapping[str, Array], target: Target, tolerance: float) -> dict[str, Array]:
        """Of each output that is a choice: where no difference of probabilities up to ``tolerance`` changes it."""
        del target
        if "probabilities" not in outputs:
            return {}
        best = np.sort(outputs["probabilities"], axis=1)[:, -2:]
        return {"label": best[:, 1] - best[:, 0] > tolerance}

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value], target: Target) -> None:
        """Declare the outputs of the file."""
        with g.scope("post"):
            made = dict(outputs)
            if "probabilities" in made:
                best = g.op("ArgMax", made["probabilities"], axis=1, keepdims=0)
                made = {"label": emit_label(g, best, target), **made}
        for name, value in made.items():
            declare(g, name, value, target)


def emit_label(g: GraphBuilder, position: Value, target: Target) -> Value:
    """The classes at these positions: STRING, or INT64 where they are integers or booleans."""
    classes = np.array(target.classes, object if target.dtype == "str" else np.int64)
    # A label that is its own position needs no look-up.
    named = classes.tolist() != list(range(len(classes)))
    return g.op("Gather", g.const(classes, "classes"), position, axis=0) if named else position


def declare(g: GraphBuilder, name: str, value: Value, target: Target) -> None:
    """Make the value an output of the file, with the type and shape that its name tells."""
    if name == "label":
        g.output(value, name, "STRING" if target.dtype == "str" else "INT64", ["N"])
        return
    types = {"probabilities": "FLOAT", "set": "BOOL"}
    shape: list[int | str] = ["N", target.n_outputs]
    g.output(value, name, types.get(name, "DOUBLE"), [*shape, "Q"] if name == "quantiles" else shape)
