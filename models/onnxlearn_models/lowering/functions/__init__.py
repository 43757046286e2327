"""The lowering table: functions, methods and modules of torch to ONNX nodes, operator set 18.

An entry takes the :class:`Context`, then the function's own arguments, in which tensors are ``Traced`` or ``Constant``; that of
a module takes the module before them. Each topic has a file, which is imported below.
"""

from __future__ import annotations

from onnxlearn_models.lowering.functions import (
    activations,
    arithmetic,
    attention,
    convolutions,
    embeddings,
    indexing,
    linear,
    norms,
    padding,
    pools,
    recurrent,
    reductions,
    resizing,
    shapes,
)
from onnxlearn_models.lowering.functions.table import TABLE

# The topics fill the table as they are imported.
__all__ = [
    "TABLE",
    "activations",
    "arithmetic",
    "attention",
    "convolutions",
    "embeddings",
    "indexing",
    "linear",
    "norms",
    "padding",
    "pools",
    "recurrent",
    "reductions",
    "resizing",
    "shapes",
]
