"""The same model in another form: a newer opset, labels as indices."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from onnxlearn.errors import ExportError, ParameterError, ParityError
from onnxlearn.graph.builder import BASE_OPSET
from onnxlearn.graph.check import check_names, check_onnx
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.graph.metadata import embed
from onnxlearn.metadata import read_chunk_rows, read_metadata, read_schema
from onnxlearn.runtime import CHUNK_ROWS, open_session, run_chunked
from onnxlearn.schema import Target

Array = np.ndarray[Any, np.dtype[Any]]
Labels: TypeAlias = Literal["names", "indices"]

# The newest opset that ONNX Runtime 1.31 runs.
NEWEST_OPSET = 26
# What differs by more is not the same model (operators may sum in another order).
TOLERANCE = 1e-6


def rewrite(data: bytes, *, opset: int | None = None, labels: Labels | None = None) -> bytes:
    """The bytes of an equivalent model file; what is not given stays as it is.

    ``opset``: 18 to 26, not below that of the file. ``labels``: ``names``, the classes, or ``indices``, INT64 positions among
    them (the metadata then has ``"labels": "indices"``), which saves runtimes without string tensors. The result is checked
    and compared with the original on hostile rows.

    Raises: ParameterError, ModelFileError, ExportError where an operator cannot be converted, ParityError.
    """
    document = read_metadata(data)
    model = onnx.load_from_string(data)
    target = read_schema(document).target
    current = _opset(model)
    wanted = current if opset is None else opset
    if not max(current, BASE_OPSET) <= wanted <= NEWEST_OPSET:
        raise ParameterError(f"opset has to be {max(current, BASE_OPSET)} to {NEWEST_OPSET} for this file, not {opset}")
    if labels is not None and target.type == "regression":
        raise ParameterError("labels can be chosen for a classification, this file predicts numbers")
    if labels is not None and labels != document.get("labels", "names"):
        _name_labels(model, target) if labels == "names" else _index_labels(model, target)
        document["labels"] = labels
    if wanted != current:
        model = _convert(model, wanted)
    check_onnx(model.SerializeToString())
    check_names(model)
    rewritten = embed(model, document)
    _compare(data, rewritten)
    return rewritten


def _opset(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain == "")


def _convert(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        converted = version_converter.convert_version(model, opset)
    except RuntimeError as error:
        raise ExportError(f"the model cannot be converted to opset {opset}: {str(error).splitlines()[0]}") from error
    # The converter leaves the IR version behind, and the shapes of all inner tensors in the file.
    del converted.graph.value_info[:]
    converted.ir_version = max(model.ir_version, helper.find_min_ir_version_for(list(converted.opset_import)))
    return converted


def _index_labels(model: onnx.ModelProto, target: Target) -> None:
    """Give out the position of the best class instead of looking its name up."""
    if _is_own_index(target):
        return
    lookup = _producer(model, "label")
    names, position = lookup.input
    model.graph.node.remove(lookup)
    _rename(model, position, "label")
    if not any(names in node.input for node in model.graph.node):
        model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == names))
    _declare_label(model, TensorProto.INT64)


def _name_labels(model: onnx.ModelProto, target: Target) -> None:
    """The inverse of :func:`_index_labels`."""
    if _is_own_index(target):
        return
    best = _producer(model, "label")
    _rename(model, "label", best.name)
    is_text = target.dtype == "str"
    names = numpy_helper.from_array(np.array(target.classes, object if is_text else np.int64), "post/classes")
    model.graph.initializer.append(names)
    model.graph.node.append(helper.make_node("Gather", [names.name, best.name], ["label"], name="post/Gather_label", axis=0))
    _declare_label(model, TensorProto.STRING if is_text else TensorProto.INT64)


def _is_own_index(target: Target) -> bool:
    return target.dtype != "str" and [int(label) for label in target.classes] == list(range(len(target.classes)))


def _producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    producer: onnx.NodeProto = next(node for node in model.graph.node if name in node.output)
    return producer


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Give a tensor another name, where it is made and where it is read."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _declare_label(model: onnx.ModelProto, element_type: int) -> None:
    label = next(output for output in model.graph.output if output.name == "label")
    label.type.tensor_type.elem_type = element_type


def _compare(before: bytes, after: bytes) -> None:
    """Both files agree on hostile rows."""
    old, new = read_metadata(before), read_metadata(after)
    schema = read_schema(old)
    feeds = hostile_feeds(schema)
    chunk_rows = read_chunk_rows(old) or CHUNK_ROWS
    expected, got = (run_chunked(open_session(data, "cpu", chunk_rows=chunk_rows), feeds) for data in (before, after))
    for name, values in expected.items():
        if values.dtype.kind == "f":
            scale = np.maximum(1.0, np.abs(values))
            difference = float((np.abs(got[name] - values) / scale).max(initial=0.0))
            if not difference <= TOLERANCE:
                raise ParityError(f"the rewritten model differs by {difference:g} in {name}, more than {TOLERANCE:g}")
        elif name != "label" and not np.array_equal(got[name], values):
            raise ParityError(f"the rewritten model differs in {name}")
    if "label" in expected and not np.array_equal(
        _indices(expected["label"], schema.target, old), _indices(got["label"], schema.target, new)
    ):
        raise ParityError("the rewritten model gives other labels")


def _indices(labels: Array, target: Target, document: dict[str, Any]) -> list[int]:
    if document.get("labels") == "indices":
        return [int(label) for label in labels]
    position = {(str(label) if target.dtype == "str" else int(label)): i for i, label in enumerate(target.classes)}
    return [position[label] for label in labels.tolist()]
