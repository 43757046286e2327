"""The same model in another form: a newer opset, labels as indices, other inputs, fewer outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import helper, version_converter

from onnxlearn.errors import ExportError, ParameterError, ParityError
from onnxlearn.graph.builder import BASE_OPSET
from onnxlearn.graph.check import check_names, check_onnx
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.graph.inputs import change_inputs
from onnxlearn.graph.metadata import embed_tested
from onnxlearn.graph.outputs import UNSEEN, choose_outputs, index_labels, name_labels
from onnxlearn.metadata import read_chunk_rows, read_metadata, read_schema
from onnxlearn.runtime import open_session
from onnxlearn.schema import Schema, Target
from onnxlearn.session import CHUNK_ROWS, run_chunked
from onnxlearn.wire.form import KEY, FloatType, Form, Layout

Array = np.ndarray[Any, np.dtype[Any]]
Labels: TypeAlias = Literal["names", "indices"]

# The newest opset that ONNX Runtime 1.31 runs.
NEWEST_OPSET = 26
# What differs by more is not the same model (operators may sum in another order).
TOLERANCE = 1e-6


def rewrite(
    data: bytes,
    *,
    opset: int | None = None,
    labels: Labels | None = None,
    outputs: Sequence[str] | None = None,
    layout: Layout | None = None,
    rank: Literal[1, 2] | None = None,
    float_type: FloatType | None = None,
) -> bytes:
    """The bytes of an equivalent model file; what is not given stays as it is.

    ``opset``: 18 to 26, not below that of the file. ``labels``: ``names``, the classes, or ``indices``, INT64 positions among
    them (the metadata then has ``"labels": "indices"``), which saves runtimes without string tensors. ``outputs``: those to
    keep, in this order; ``unseen``, BOOL ``[N, F]``, is added where it is named. ``layout``, ``rank``, ``float_type``: as
    :class:`onnxlearn.wire.form.Form` has them, which the metadata's ``inputs`` then tells. The result is checked and compared
    with the original on hostile rows.

    Raises: ParameterError, ModelFileError, ExportError where an operator cannot be converted, ParityError.
    """
    document = read_metadata(data)
    model = onnx.load_from_string(data)
    schema = read_schema(document)
    current = _opset(model)
    wanted = current if opset is None else opset
    if not max(current, BASE_OPSET) <= wanted <= NEWEST_OPSET:
        raise ParameterError(f"opset has to be {max(current, BASE_OPSET)} to {NEWEST_OPSET} for this file, not {opset}")
    form = _wanted_form(document, layout=layout, rank=rank, float_type=float_type)
    if labels is not None:
        _change_labels(model, schema.target, labels, document)
    if outputs is not None:
        _require_columns(document, model, outputs)
        choose_outputs(model, schema, outputs)
        _tell_outputs(model, document)
    if form is not None:
        change_inputs(model, schema, form)
        document |= form.to_dict(schema)
    if wanted != current:
        model = _convert(model, wanted)
    check_onnx(model.SerializeToString())
    check_names(model)
    rewritten = embed_tested(model, document)
    _compare(data, rewritten)
    return rewritten


def _opset(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain == "")


def _wanted_form(document: dict[str, Any], **settings: Any) -> Form | None:
    """The form of inputs that is asked for, ``None`` where it is that of the file."""
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("layout") == "packed" and given.get("rank") == 1:
        raise ParameterError(
            "rank=1 is for columns by themselves, the tensors of layout='packed' have rank 2: give one of them"
        )
    current = Form.of(document)
    form = Form(**{**vars(current), **given})
    if form == current:
        return None
    if current != Form():
        raise _changed_already(document)
    return form


def _require_columns(document: dict[str, Any], model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    there = {output.name for output in model.graph.output}
    if UNSEEN in outputs and UNSEEN not in there and Form.of(document) != Form():
        raise _changed_already(document)


def _changed_already(document: dict[str, Any]) -> ParameterError:
    told = document[KEY]
    return ParameterError(
        f"the inputs of this file were changed already ({told.get('layout', 'columns')}, rank {told.get('rank', 2)}): export "
        "from the model that it was made of"
    )


def _change_labels(model: onnx.ModelProto, target: Target, labels: Labels, document: dict[str, Any]) -> None:
    if target.type == "regression":
        raise ParameterError("labels can be chosen for a classification, this file predicts numbers")
    if labels == document.get("labels", "names"):
        return
    if not any(output.name == "label" for output in model.graph.output):
        raise ParameterError("labels can be chosen where there is an output 'label', which this file was exported without")
    (name_labels if labels == "names" else index_labels)(model, target)
    document["labels"] = labels


def _tell_outputs(model: onnx.ModelProto, document: dict[str, Any]) -> None:
    """What stands along an output's last axis is told of those that are left."""
    left = {output.name for output in model.graph.output}
    if axes := {name: axis for name, axis in document.pop("outputs", {}).items() if name in left}:
        document["outputs"] = axes


def _convert(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        converted = version_converter.convert_version(model, opset)
    except RuntimeError as error:
        raise ExportError(f"the model cannot be converted to opset {opset}: {str(error).splitlines()[0]}") from error
    # The converter leaves the IR version behind, and the shapes of all inner tensors in the file.
    del converted.graph.value_info[:]
    converted.ir_version = max(model.ir_version, helper.find_min_ir_version_for(list(converted.opset_import)))
    return converted


def _compare(before: bytes, after: bytes) -> None:
    """Both files agree on hostile rows, as far as these can be told in the new one's type of numbers."""
    old, new = read_metadata(before), read_metadata(after)
    schema = read_schema(old)
    feeds = Form.of(new).rounded(hostile_feeds(schema), schema)
    expected, got = (_run(data, document, schema, feeds) for data, document in ((before, old), (after, new)))
    for name in (name for name in expected if name in got):
        if name == "label":
            _compare_labels(expected[name], got[name], schema.target, old, new)
        else:
            _compare_values(name, expected[name], got[name])


def _run(data: bytes, document: dict[str, Any], schema: Schema, feeds: dict[str, Array]) -> dict[str, Array]:
    session = open_session(data, "cpu", chunk_rows=read_chunk_rows(document) or CHUNK_ROWS)
    return run_chunked(session, Form.of(document).arrange(feeds, schema))


def _compare_values(name: str, expected: Array, got: Array) -> None:
    if expected.dtype.kind != "f":
        if not np.array_equal(got, expected):
            raise ParityError(f"the rewritten model differs in {name}")
        return
    scale = np.maximum(1.0, np.abs(expected))
    difference = float((np.abs(got - expected) / scale).max(initial=0.0))
    if not difference <= TOLERANCE:
        raise ParityError(f"the rewritten model differs by {difference:g} in {name}, more than {TOLERANCE:g}")


def _compare_labels(expected: Array, got: Array, target: Target, old: dict[str, Any], new: dict[str, Any]) -> None:
    if _indices(expected, target, old) != _indices(got, target, new):
        raise ParityError("the rewritten model gives other labels")


def _indices(labels: Array, target: Target, document: dict[str, Any]) -> list[int]:
    if document.get("labels") == "indices":
        return [int(label) for label in labels]
    position = {(str(label) if target.dtype == "str" else int(label)): i for i, label in enumerate(target.classes)}
    return [position[label] for label in labels.tolist()]
