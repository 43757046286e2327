"""Doing without DOUBLE in a network: what needs it in a file of its own, or in FLOAT."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from onnxlearn.errors import ParameterError
from onnxlearn.graph.outputs import drop_unused, rename

RAW = "raw"
_LARGEST = float(np.finfo(np.float32).max)


def split_double(net: onnx.ModelProto) -> onnx.ModelProto | None:
    """Cut off, in place, what is computed in DOUBLE behind a network, and what reads it; a model of that, or ``None``.

    The network then gives ``raw``, ``raw_2`` ... as well, which are FLOAT, as far as the part behind it needs them.

    Raises: ParameterError where the network itself computes in DOUBLE.
    """
    types = _types(net)
    behind = _behind(net, types)
    if not behind:
        return None
    if any(not node.name.startswith("post/") for node in behind):
        raise ParameterError(
            "double='apart' is for networks in FLOAT, and this one computes in DOUBLE itself, as the model's notes say: "
            "double='float' computes all in FLOAT"
        )
    outputs = {output.name: output for output in net.graph.output}
    _name_raw(net, behind, types, set(outputs))
    post = onnx.ModelProto()
    post.CopyFrom(net)
    made = {name for node in behind for name in node.output}
    read = dict.fromkeys(name for node in behind for name in node.input if name in types and name not in made)
    crossing = [types[name] for name in read]
    _keep(post, behind, [types[name] for name in read], [output for name, output in outputs.items() if name in made])
    front = [node for node in net.graph.node if node not in behind]
    given = [output for name, output in outputs.items() if name not in made]
    _keep(net, front, list(net.graph.input), given + [value for value in crossing if value.name not in outputs])
    return post


def in_float(net: onnx.ModelProto) -> None:
    """Compute in FLOAT throughout, in place: constants rounded, numbers beyond its range its largest."""
    for tensor in net.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            rounded = numpy_helper.to_array(tensor).clip(-_LARGEST, _LARGEST).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    for node in net.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
    for output in net.graph.output:
        if output.type.tensor_type.elem_type == TensorProto.DOUBLE:
            output.type.tensor_type.elem_type = TensorProto.FLOAT


def _types(net: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Type and shape of every tensor that is no constant, and of constants in DOUBLE."""
    shaped = onnx.shape_inference.infer_shapes(net).graph
    return {value.name: value for value in [*shaped.value_info, *shaped.input, *shaped.output]}


def _behind(net: onnx.ModelProto, types: dict[str, onnx.ValueInfoProto]) -> list[onnx.NodeProto]:
    """The nodes that read or make DOUBLE, and all that read what these make."""
    double = {name for name, value in types.items() if value.type.tensor_type.elem_type == TensorProto.DOUBLE}
    double |= {tensor.name for tensor in net.graph.initializer if tensor.data_type == TensorProto.DOUBLE}
    found: list[onnx.NodeProto] = []
    for node in net.graph.node:
        if double.intersection((*node.input, *node.output)):
            double.update(node.output)
            found.append(node)
    return found


def _name_raw(
    net: onnx.ModelProto, behind: list[onnx.NodeProto], types: dict[str, onnx.ValueInfoProto], outputs: set[str]
) -> None:
    """Call what passes from the network to the part behind it ``raw``, unless it is an output already."""
    made = {name for node in behind for name in node.output}
    taken = outputs | {value.name for value in net.graph.input}
    names = _raw_names(taken)
    for name in dict.fromkeys(name for node in behind for name in node.input):
        if name in types and name not in made and name not in taken:
            new = next(names)
            rename(net, name, new)
            types[new] = types.pop(name)
            types[new].name = new


def _raw_names(taken: set[str]) -> Iterator[str]:
    number = 1
    while True:
        name = RAW if number == 1 else f"{RAW}_{number}"
        if name not in taken:
            yield name
        number += 1


def _keep(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> None:
    nodes, inputs, outputs = ([_copied(entry) for entry in entries] for entries in (nodes, inputs, outputs))
    for field, entries in (("node", nodes), ("input", inputs), ("output", outputs)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(entries)
    drop_unused(model)


def _copied(entry: onnx.NodeProto | onnx.ValueInfoProto) -> onnx.NodeProto | onnx.ValueInfoProto:
    copied = type(entry)()
    copied.CopyFrom(entry)
    return copied
