"""What a model gives: labels by name or position, fewer outputs, flags of values that training did not see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxlearn.errors import ParameterError, listing
from onnxlearn.schema import UNSEEN_CODE, Schema, Target

UNSEEN = "unseen"
# As in inputs.py: no name that a builder gives begins so.
PREFIX = "post/output:"


def index_labels(model: onnx.ModelProto, target: Target) -> None:
    """Give out the position of the best class instead of looking its name up."""
    if not _is_own_index(target):
        look_up(model)


def look_up(model: onnx.ModelProto) -> onnx.TensorProto:
    """Take the look-up of class names out of the graph, which gives positions from now on; gives the names."""
    lookup = _producer(model, "label")
    names, position = lookup.input
    model.graph.node.remove(lookup)
    rename(model, position, "label")
    classes: onnx.TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name == names)
    if not any(names in node.input for node in model.graph.node):
        model.graph.initializer.remove(classes)
    _declare_label(model, TensorProto.INT64)
    return classes


def name_labels(model: onnx.ModelProto, target: Target) -> None:
    """The inverse of :func:`index_labels`."""
    if _is_own_index(target):
        return
    best = _producer(model, "label")
    rename(model, "label", best.name)
    is_text = target.dtype == "str"
    names = numpy_helper.from_array(np.array(target.classes, object if is_text else np.int64), "post/classes")
    model.graph.initializer.append(names)
    model.graph.node.append(helper.make_node("Gather", [names.name, best.name], ["label"], name="post/Gather_label", axis=0))
    _declare_label(model, TensorProto.STRING if is_text else TensorProto.INT64)


def choose_outputs(model: onnx.ModelProto, schema: Schema, names: Sequence[str]) -> None:
    """Give these outputs in this order; what none of them needs is dropped. ``unseen`` is added where there is none.

    Raises: ParameterError for an output that the model has not, or none or the same one twice.
    """
    there = {output.name: output for output in model.graph.output}
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"outputs names the outputs to keep, each once, not {listing(names)}")
    unknown = [name for name in names if name not in there and name != UNSEEN]
    if unknown:
        raise ParameterError(
            f"the model has no output {unknown[0]!r}: it has {listing(there)}{_addable(model)}; sets, intervals and quantiles "
            "are asked for when a model is fitted"
        )
    if UNSEEN in names and UNSEEN not in there:
        there[UNSEEN] = _add_unseen(model, schema)
    chosen = [there[name] for name in names]
    for name in set(there).difference(names):
        # Others may be made of it.
        rename(model, name, f"{PREFIX}{name}")
    del model.graph.output[:]
    model.graph.output.extend(chosen)
    drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> None:
    """Drop nodes and constants that no output needs; inputs stay, they are what the model is fed with."""
    needed, kept = {output.name for output in model.graph.output}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(constants)


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Give a tensor another name, where it is made and where it is read."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _addable(model: onnx.ModelProto) -> str:
    has_levels = any(node.op_type == "LabelEncoder" for node in model.graph.node)
    return f", and {UNSEEN!r} can be added" if has_levels else ""


def _add_unseen(model: onnx.ModelProto, schema: Schema) -> onnx.ValueInfoProto:
    """Flags BOOL ``[N, F]``: which value is no level of its column and not missing; numbers and dates never are unseen."""
    codes = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "LabelEncoder"}
    coded = [name for name in schema.feature_names if name in codes]
    if not coded:
        raise ParameterError(f"{UNSEEN!r} tells of categories that training did not see: the model has no categories")
    # A last column is never true: it stands for all features that are not coded.
    places = [coded.index(name) if name in codes else len(coded) for name in schema.feature_names]
    _add(model, "Concat", "codes", [*(codes[name] for name in coded), codes[coded[0]]], axis=1)
    _add(model, "Equal", "flags", [f"{PREFIX}codes", _constant(model, "wanted", [UNSEEN_CODE] * len(coded) + [-1])])
    made = helper.make_node("Gather", [f"{PREFIX}flags", _constant(model, "places", places)], [UNSEEN], axis=1)
    made.name = f"{PREFIX}Gather"
    model.graph.node.append(made)
    return helper.make_tensor_value_info(UNSEEN, TensorProto.BOOL, ["N", len(places)])


def _add(model: onnx.ModelProto, op_type: str, name: str, inputs: Iterable[str], **attributes: Any) -> None:
    name = f"{PREFIX}{name}"
    model.graph.node.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))


def _constant(model: onnx.ModelProto, name: str, values: Sequence[int]) -> str:
    tensor = numpy_helper.from_array(np.array(values, np.int64), f"{PREFIX}{name}")
    model.graph.initializer.append(tensor)
    return str(tensor.name)


def _is_own_index(target: Target) -> bool:
    return target.dtype != "str" and [int(label) for label in target.classes] == list(range(len(target.classes)))


def _producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    producer: onnx.NodeProto = next(node for node in model.graph.node if name in node.output)
    return producer


def _declare_label(model: onnx.ModelProto, element_type: int) -> None:
    label = next(output for output in model.graph.output if output.name == "label")
    label.type.tensor_type.elem_type = element_type
