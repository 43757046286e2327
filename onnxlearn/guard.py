"""What a file that comes from elsewhere may not ask of the runtime: other people's code, other files, loops without end.

Read from the file's bytes before the runtime sees them, without onnx. This is no sandbox: see "Files from others" in
``docs/guide.md`` for what it cannot tell.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from onnxlearn.errors import ModelFileError
from onnxlearn.metadata import message_fields
from onnxlearn.operators import OPERATORS, OPSETS, SIZED, WINDOWED

TRUST = "ONNXLEARN_TRUST"
"""The environment variable that trusts every file where it is 1: for the command line and for servers."""

MAX_BYTES = 2**31 - 1
"""The size that protobuf allows a file."""

MAX_CONSTANT = 2**28
"""The most elements of a tensor that a constant in the file may ask for, where the file does not hold them."""

MAX_SHAPE = 512
"""The most bytes of a constant that is taken for a shape: longer ones are tables."""

MAX_FIELDS = 2_000_000
"""The most fields that are read, which takes seconds. A level of a column is two."""

MAX_NODES = 20_000
"""The most nodes, of which the runtime looks at some kinds once for each other one: more keep it busy for minutes. A table of
500 columns takes a few hundred."""

MAX_DEPTH = 16
"""Graphs inside graphs, where these are trusted."""

# Field numbers of ModelProto, OperatorSetIdProto, GraphProto, NodeProto, AttributeProto and TensorProto in onnx.proto.
_GRAPH, _OPSET, _TRAINING, _FUNCTIONS = 7, 8, 20, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_ATTR_INT, _ATTR_INTS = 3, 8
_ATTR_TENSOR, _ATTR_GRAPH, _ATTR_TENSORS, _ATTR_GRAPHS, _ATTR_SPARSE, _ATTR_SPARSES = 5, 6, 10, 11, 22, 23
_DATA_TYPE, _INT64_DATA, _NAME, _RAW_DATA, _EXTERNAL, _LOCATION = 2, 7, 8, 9, 13, 14
_INT64 = 7


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file; ``trusted``: it may have that where one trusts it."""

    text: str
    trusted: bool = False


def require_harmless(data: bytes, *, trust: bool = False, source: str = "the file") -> None:
    """Refuse a model that asks for what no file of ours needs.

    Always: several graphs, or none, and an opset told twice (protobuf merges them, past the checksum); functions of the
    file's own and graphs for training; weights in other files; 2 GiB or more. Unless it is trusted (``trust``, or the
    environment variable ``ONNXLEARN_TRUST=1``): operators that are not in :data:`onnxlearn.operators.OPERATORS`, graphs
    inside graphs, sparse weights, more than 20,000 nodes, and constants that ask for tensors of more than 2^28 elements.

    Raises: ModelFileError.
    """
    if len(data) > MAX_BYTES:
        raise ModelFileError(f"{source} has {len(data)} bytes: an ONNX file has less than 2 GiB")
    problem = problem_of(data, trust=trust or os.environ.get(TRUST) == "1", source=source)
    if problem is None:
        return
    way = (
        f"if you trust where it comes from, load(path, trust=True), or set the environment variable {TRUST}=1"
        if problem.trusted
        else "no model needs that: get it anew from where it was made"
    )
    raise ModelFileError(f"{source} is refused: {problem.text}; {way}")


def problem_of(data: bytes, *, trust: bool = False, source: str = "the file") -> Problem | None:
    """What :func:`require_harmless` refuses first. Raises: ModelFileError where the graph cannot be read."""
    try:
        return next((problem for problem in _Walk().model(memoryview(data)) if not (trust and problem.trusted)), None)
    except ValueError as error:
        raise ModelFileError(f"{source} is damaged: its graph cannot be read ({error})") from error


class _Walk:
    """One pass over a file."""

    def __init__(self) -> None:
        self._n_fields = itertools.count()
        self._n_nodes = 0

    def model(self, model: memoryview) -> Iterator[Problem]:
        n_graphs = 0
        domains: set[str] = set()
        for number, value in self._parts(model):
            if number == _FUNCTIONS:
                yield Problem("it defines functions of its own")
            elif number == _TRAINING:
                yield Problem("it has graphs for training")
            elif number == _OPSET:
                yield from self._opset(value, domains)
            elif number == _GRAPH:
                n_graphs += 1
                if n_graphs == 1:
                    yield from self._graph(value, depth=0)
        if n_graphs != 1:
            yield Problem(f"it has {n_graphs} graphs")

    def _opset(self, entry: memoryview, domains: set[str]) -> Iterator[Problem]:
        domain, version = "", 0
        for number, value in self._fields(entry):
            if number == _OPSET_DOMAIN and isinstance(value, memoryview):
                domain = _text(value)
            elif number == _OPSET_VERSION and isinstance(value, int):
                version = value
        domain = "" if domain == "ai.onnx" else domain
        if domain in domains:
            yield Problem(f"it tells the version of the operators {domain!r} twice")
        domains.add(domain)
        if version not in OPSETS.get(domain, ()):
            yield Problem(f"it asks for version {version} of the operators {_shown(domain)}", trusted=True)

    def _graph(self, graph: memoryview, *, depth: int) -> Iterator[Problem]:
        if depth > MAX_DEPTH:
            yield Problem(f"it has graphs inside graphs, more than {MAX_DEPTH} deep")
            return
        asked: dict[str, int] = {}
        nodes = []
        for number, value in self._parts(graph):
            if number == _SPARSE_INITIALIZER:
                yield from self._sparse(value)
            elif number == _INITIALIZER:
                yield from self._tensor(value)
                name, elements = self._as_shape(value)
                asked[name] = elements
            elif number == _NODE:
                nodes.append(value)
        self._n_nodes += len(nodes)
        if self._n_nodes > MAX_NODES:
            yield Problem(f"it has {self._n_nodes} nodes, more than {MAX_NODES}", trusted=True)
        for node in nodes:
            yield from self._node(node, asked, depth=depth)

    def _node(self, node: memoryview, asked: dict[str, int], *, depth: int) -> Iterator[Problem]:
        parts = list(self._parts(node))
        inputs = [_text(value) for number, value in parts if number == _INPUT]
        operator, domain = _last_text(parts, _OP_TYPE), _last_text(parts, _DOMAIN)
        domain = "" if domain == "ai.onnx" else domain
        if operator not in OPERATORS.get(domain, ()):
            where = f" of {_shown(domain)}" if domain else ""
            yield Problem(f"it uses the operator {_shown(operator)}{where}, which no learner needs", trusted=True)
        place = SIZED.get(operator, len(inputs))
        elements = asked.get(inputs[place], 0) if place < len(inputs) else 0
        if operator in WINDOWED:
            elements = max((self._constant(value) for number, value in parts if number == _ATTRIBUTE), default=0)
        if elements > MAX_CONSTANT:
            yield Problem(f"a node {operator} asks for {elements} elements at once", trusted=True)
        for attribute in (value for number, value in parts if number == _ATTRIBUTE):
            yield from self._attribute(attribute, depth=depth)
            if operator == "Constant":
                asked[_last_text(parts, _OUTPUT)] = self._constant(attribute)

    def _attribute(self, attribute: memoryview, *, depth: int) -> Iterator[Problem]:
        for number, value in self._parts(attribute):
            if number in (_ATTR_SPARSE, _ATTR_SPARSES):
                yield from self._sparse(value)
            elif number in (_ATTR_TENSOR, _ATTR_TENSORS):
                yield from self._tensor(value)
            elif number in (_ATTR_GRAPH, _ATTR_GRAPHS):
                yield Problem("it has graphs inside its graph", trusted=True)
                yield from self._graph(value, depth=depth + 1)

    def _constant(self, attribute: memoryview) -> int:
        """How many elements a constant's value asks for where it is taken for a shape."""
        content: list[int] = []
        for number, value in self._fields(attribute):
            if number == _ATTR_TENSOR and isinstance(value, memoryview):
                return self._as_shape(value)[1]
            if number in (_ATTR_INT, _ATTR_INTS):
                content += _numbers(value)
        return _elements(content)

    def _sparse(self, sparse: memoryview) -> Iterator[Problem]:
        """Its parts, of which two are tensors, may not be elsewhere either."""
        yield Problem("it has sparse weights", trusted=True)
        for _, value in self._parts(sparse):
            yield from self._tensor(value)

    def _tensor(self, tensor: memoryview) -> Iterator[Problem]:
        for number, value in self._fields(tensor):
            if number == _EXTERNAL or (number == _LOCATION and value):
                yield Problem("its weights are in another file")

    def _as_shape(self, tensor: memoryview) -> tuple[str, int]:
        """A constant's name, and how many elements it asks for where it is taken for a shape: 0 where it cannot be one."""
        import numpy as np

        name, kind = "", 0
        raw = memoryview(b"")
        content: list[int] = []
        for number, value in self._fields(tensor):
            if number == _DATA_TYPE and isinstance(value, int):
                kind = value
            elif number == _INT64_DATA and len(content) < MAX_SHAPE:
                content += _numbers(value)
            elif number == _NAME and isinstance(value, memoryview):
                name = _text(value)
            elif number == _RAW_DATA and isinstance(value, memoryview):
                raw = value
        if kind != _INT64 or len(raw) > MAX_SHAPE:
            return name, 0
        content += np.frombuffer(raw[: len(raw) // 8 * 8], "<i8").tolist()
        return name, _elements(content)

    def _fields(self, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        for field in message_fields(message):
            if next(self._n_fields) > MAX_FIELDS:
                raise ValueError(f"more than {MAX_FIELDS} fields")
            yield field

    def _parts(self, message: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Of a message the fields that hold bytes: texts and messages."""
        return ((number, value) for number, value in self._fields(message) if isinstance(value, memoryview))


def _text(value: memoryview) -> str:
    return bytes(value).decode()


def _last_text(parts: list[tuple[int, memoryview]], number: int) -> str:
    """A text field; of several the last one counts."""
    return next((_text(value) for found, value in reversed(parts) if found == number), "")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _elements(shape: list[int]) -> int:
    return math.prod(max(1, abs(size)) for size in shape[:MAX_SHAPE]) if shape else 0


def _numbers(value: int | memoryview) -> list[int]:
    """One number, or several that are packed into bytes."""
    return [_signed(value)] if isinstance(value, int) else _packed(value[:MAX_SHAPE])


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
