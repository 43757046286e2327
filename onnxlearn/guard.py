"""What a file that comes from elsewhere may not ask of the runtime: other people's code, other files, memory without end.

Read from the file's bytes before the runtime sees them, without onnx. This is no sandbox: see "Files from others" in
``docs/guide.md`` for what it cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from onnxlearn.errors import ModelFileError
from onnxlearn.metadata import message_fields

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Of the operators that a file may use: the standard's own."""

MAX_BYTES = 2**31 - 1
"""The size that protobuf allows a file."""

MAX_CONSTANT = 2**28
"""The most elements of a tensor that a constant in the file may ask for, where the file does not hold them."""

MAX_SHAPE = 512
"""The most bytes of a constant that is taken for a shape: longer ones are tables."""

MAX_DEPTH = 16
"""Graphs inside graphs."""

# Field numbers of ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto and SparseTensorProto in onnx.proto.
_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_INPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 4, 5, 7
_ATTR_TENSOR, _ATTR_GRAPH, _ATTR_TENSORS, _ATTR_GRAPHS, _ATTR_SPARSE, _ATTR_SPARSES = 5, 6, 10, 11, 22, 23
_DATA_TYPE, _INT64_DATA, _NAME, _RAW_DATA, _EXTERNAL, _LOCATION = 2, 7, 8, 9, 13, 14
_INT64 = 7

# Operators whose output has the shape that an input tells, and which input that is.
_SHAPED_BY = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}


def require_harmless(data: bytes, *, source: str = "the file") -> None:
    """Refuse a model whose graph uses what no file of ours needs.

    That is: operators outside ai.onnx and ai.onnx.ml and functions of the file's own; weights in other files; sparse weights;
    more than one graph (a second one is merged into the first by protobuf, which the checksum does not cover); graphs inside
    graphs more than 16 deep; constants that ask for tensors of more than 2^28 elements; 2 GiB or more.

    Raises: ModelFileError.
    """
    if len(data) > MAX_BYTES:
        raise ModelFileError(f"{source} has {len(data)} bytes: an ONNX file has less than 2 GiB")
    try:
        problem = next(_problems(memoryview(data)), None)
    except (ValueError, IndexError) as error:
        raise ModelFileError(f"{source} is damaged: its graph cannot be read ({error})") from error
    if problem is not None:
        raise ModelFileError(f"{source} is refused: {problem}; no model of onnxlearn needs that")


def _problems(model: memoryview) -> Iterator[str]:
    graphs = 0
    for number, value in message_fields(model):
        if number == _FUNCTIONS:
            yield "it defines functions of its own"
        elif number == _TRAINING:
            yield "it has graphs for training"
        elif number == _GRAPH and isinstance(value, memoryview):
            graphs += 1
            if graphs > 1:
                yield "it has more than one graph"
            yield from _graph_problems(value, depth=0)


def _graph_problems(graph: memoryview, *, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield f"it has graphs inside graphs, more than {MAX_DEPTH} deep"
        return
    asked: dict[str, int] = {}
    nodes = []
    for number, value in message_fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _SPARSE_INITIALIZER:
            yield "it has sparse weights"
        elif number == _INITIALIZER:
            yield from _tensor_problems(value)
            name, elements = _as_shape(value)
            asked[name] = elements
        elif number == _NODE:
            nodes.append(value)
    for node in nodes:
        yield from _node_problems(node, asked, depth=depth)


def _node_problems(node: memoryview, asked: dict[str, int], *, depth: int) -> Iterator[str]:
    inputs: list[str] = []
    operator = domain = ""
    for number, value in message_fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == _INPUT:
            inputs.append(bytes(value).decode())
        elif number == _OP_TYPE:
            operator = bytes(value).decode()
        elif number == _DOMAIN:
            domain = bytes(value).decode()
        elif number == _ATTRIBUTE:
            yield from _attribute_problems(value, depth=depth)
    if domain not in DOMAINS:
        yield f"it uses the operator {operator[:60]!r} of {domain[:60]!r}, which is not of the standard"
    place = _SHAPED_BY.get(operator, len(inputs))
    elements = asked.get(inputs[place], 0) if place < len(inputs) else 0
    if elements > MAX_CONSTANT:
        yield f"a node {operator} asks for {elements:.3g} elements at once"


def _attribute_problems(attribute: memoryview, *, depth: int) -> Iterator[str]:
    for number, value in message_fields(attribute):
        if not isinstance(value, memoryview):
            continue
        if number in (_ATTR_SPARSE, _ATTR_SPARSES):
            yield "it has sparse weights"
        elif number in (_ATTR_TENSOR, _ATTR_TENSORS):
            yield from _tensor_problems(value)
        elif number in (_ATTR_GRAPH, _ATTR_GRAPHS):
            yield from _graph_problems(value, depth=depth + 1)


def _tensor_problems(tensor: memoryview) -> Iterator[str]:
    for number, value in message_fields(tensor):
        if number == _EXTERNAL or (number == _LOCATION and value):
            yield "its weights are in another file"


def _as_shape(tensor: memoryview) -> tuple[str, int]:
    """A constant's name, and how many elements it asks for where it is taken for a shape: 0 where it cannot be one."""
    import numpy as np

    name, kind = "", 0
    raw = memoryview(b"")
    content: list[int] = []
    for number, value in message_fields(tensor):
        if number == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif number == _INT64_DATA:
            content += [_signed(value)] if isinstance(value, int) else _packed(value[:MAX_SHAPE])
        elif number == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == _RAW_DATA and isinstance(value, memoryview):
            raw = value
    if kind != _INT64:
        return name, 0
    if len(raw) <= MAX_SHAPE:
        content += np.frombuffer(raw[: len(raw) // 8 * 8], "<i8").tolist()
    return name, math.prod(max(1, abs(size)) for size in content[:MAX_SHAPE]) if content else 0


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _packed(data: memoryview) -> list[int]:
    """Numbers one behind the other, seven bits a byte; those from 2^63 are negative."""
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            values.append(_signed(value))
            value = shift = 0
    return values
