"""Checking that a model is what our file format promises."""

from __future__ import annotations

import onnx

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import BASE_OPSET, IR_VERSION, ML_DOMAIN, ML_OPSET, STRING_OPSET

SCOPES = ("prep/", "net/", "post/")


def check(model: onnx.ModelProto) -> None:
    """Run the full checker of onnx and hold the model to our profile.

    The profile: opset 18 (20 for string operators), ai.onnx.ml 2, IR 8, names below ``prep/``, ``net/`` and ``post/``,
    everything inside the file, no notes of an exporter.

    Raises: ExportError naming the node.
    """
    check_serialized(model, model.SerializeToString())


def check_serialized(model: onnx.ModelProto, data: bytes) -> onnx.ModelProto:
    """As :func:`check`, where the model's bytes are there already; the model with the shapes of all its tensors."""
    shaped = check_onnx(data)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets.pop("", None) not in (BASE_OPSET, STRING_OPSET) or opsets not in ({}, {ML_DOMAIN: ML_OPSET}):
        raise ExportError(f"a model has opset {BASE_OPSET} or {STRING_OPSET} and {ML_DOMAIN} {ML_OPSET}, not {opsets}")
    if model.ir_version != IR_VERSION:
        raise ExportError(f"a model has IR version {IR_VERSION}, not {model.ir_version}")
    check_names(model)
    return shaped


def check_onnx(data: bytes) -> onnx.ModelProto:
    """The full check of onnx: operators, types and shapes; the model with the shapes that were found.

    Raises: ExportError with the checker's first line.
    """
    try:
        onnx.checker.check_model(data)
        # What full_check=True does as its second part, and keeps to itself.
        return onnx.shape_inference.infer_shapes(data, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise ExportError(f"the exported graph is no valid ONNX: {text}") from error


def check_names(model: onnx.ModelProto) -> None:
    """Nodes and tensors are named below our scopes, and carry no notes: an exporter's hold local paths."""
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        if not node.name.startswith(SCOPES):
            raise ExportError(f"a node's name has to start with prep/, net/ or post/, not {node.name!r} ({node.op_type})")
        if node.doc_string or node.metadata_props:
            raise ExportError(f"node {node.name!r} carries notes of its exporter: strip doc_string and metadata_props")
        for name in node.output:
            if name and name not in outputs and not name.startswith(SCOPES):
                raise ExportError(f"node {node.name!r} makes {name!r}, which could meet a column's name")
    for tensor in model.graph.initializer:
        if not tensor.name.startswith(SCOPES) or tensor.doc_string or tensor.external_data:
            raise ExportError(f"constant {tensor.name!r} has to be inside the file, without notes, below one of our scopes")
