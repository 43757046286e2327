"""A small builder of ONNX graphs: named scopes, shared constants, the lowest opset that suffices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ML_DOMAIN = "ai.onnx.ml"
ML_OPSET = 2
BASE_OPSET = 18
STRING_OPSET = 20
STRING_OPS = frozenset({"StringSplit", "StringConcat", "RegexFullMatch"})
IR_VERSION = 8
PRODUCER = "onnxlearn"

# Element types, for the attribute ``to`` of Cast.
FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
DOUBLE = TensorProto.DOUBLE


@dataclass(frozen=True)
class Value:
    """A named tensor of the graph."""

    name: str


class GraphBuilder:
    """Collects nodes and constants; :meth:`to_model` makes the ModelProto.

    >>> g = GraphBuilder()
    >>> x = g.input("x", "DOUBLE", ["N", 1])
    >>> with g.scope("net"):
    ...     y = g.op("Mul", x, g.const(np.float64(2.0)))
    >>> g.output(y, "y", "DOUBLE", ["N", 1])
    >>> [node.name for node in g.to_model().graph.node]
    ['net/Mul_0']
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], list[tuple[bytes, Value]]] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._renamed: dict[str, str] = {}
        self._made: dict[bytes, tuple[Value, ...]] = {}
        self._scope = "net"
        self.opset = BASE_OPSET

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Name what is added inside after ``prep``, ``net`` or ``post``."""
        before, self._scope = self._scope, name
        try:
            yield
        finally:
            self._scope = before

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back the nodes that were added inside when an exception leaves it."""
        n_before, made = len(self._nodes), dict(self._made)
        try:
            yield
        except BaseException:
            del self._nodes[n_before:]
            self._made = made
            raise

    def input(self, name: str, onnx_type: str, shape: Sequence[int | str]) -> Value:
        """Declare a graph input, e.g. ``input("age", "DOUBLE", ["N", 1])``."""
        self._inputs[name] = helper.make_tensor_value_info(name, TensorProto.DataType.Value(onnx_type), list(shape))
        return Value(name)

    def output(self, value: Value, name: str, onnx_type: str, shape: Sequence[int | str]) -> None:
        """Declare a graph output: the value under that name."""
        made = any(value.name in node.output for node in self._nodes)
        if not made or value.name in self._renamed:
            # An input, a constant, or a value that is an output already keeps its name.
            with self.scope("post"):
                value = self.op("Identity", value)
        self._renamed[value.name] = name
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.DataType.Value(onnx_type), list(shape)))

    def const(self, array: Any, name: str = "const") -> Value:
        """An initializer; equal constants (same type, shape and bytes) become one."""
        data = np.asarray(array, order="C")
        content = repr(data.tolist()).encode() if data.dtype == object else data.tobytes()
        # Their beginnings tell nearly all constants apart; hashing all weights would take longer than copying them.
        alike = self._constants.setdefault((str(data.dtype), data.shape, content[:64]), [])
        for other, value in alike:
            if other == content:
                return value
        value = Value(f"{self._scope}/{name}_{len(self._initializers)}")
        self._initializers.append(numpy_helper.from_array(data, value.name))
        alike.append((content, value))
        return value

    def op(self, op_type: str, *inputs: Value | None, domain: str = "", **attributes: Any) -> Value:
        """Add a node with one output; ``None`` leaves an optional input out."""
        return self.ops(op_type, *inputs, n_outputs=1, domain=domain, **attributes)[0]

    def ops(
        self, op_type: str, *inputs: Value | None, n_outputs: int, domain: str = "", **attributes: Any
    ) -> tuple[Value, ...]:
        """Add a node with several outputs; where one that computes the same is there already, its outputs."""
        names = ["" if value is None else value.name for value in inputs]
        while names and not names[-1]:
            # ONNX allows an empty last name; LayerNormalization of ONNX Runtime crashes on it.
            names.pop()
        return self._add(helper.make_node(op_type, names, [], domain=domain, **attributes), n_outputs)

    def inlined(self, graph: onnx.GraphProto, inputs: Mapping[str, Value]) -> Value:
        """Add the nodes of another graph, which reads these values; the value of its first output.

        Its names, notes and shapes stay behind. Its nodes are of our operator set, and hold no graphs.
        """
        values = {tensor.name: self.const(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        values |= inputs
        for node in graph.node:
            names = [values[name].name if name else "" for name in node.input]
            copy = onnx.NodeProto(op_type=node.op_type, input=names, attribute=node.attribute)
            values.update(zip(node.output, self._add(copy, len(node.output)), strict=True))
        return values[graph.output[0].name]

    def _add(self, node: onnx.NodeProto, n_outputs: int) -> tuple[Value, ...]:
        """Add a node that has no name and no outputs yet, unless there is one that computes the same."""
        key = node.SerializeToString(deterministic=True)
        if key not in self._made:
            node.name = self._node_name(node.op_type)
            node.output.extend([node.name] if n_outputs == 1 else [f"{node.name}:{i}" for i in range(n_outputs)])
            self._nodes.append(node)
            self._made[key] = tuple(map(Value, node.output))
            if node.op_type in STRING_OPS:
                self.opset = max(self.opset, STRING_OPSET)
        return self._made[key]

    def to_model(self, *, doc: str = "") -> onnx.ModelProto:
        """The model: explicit opsets and IR version, no nodes or constants that nothing comes of."""
        needed = self._needed()
        used = {name for node in needed for name in node.input}
        initializers = [tensor for tensor in self._initializers if tensor.name in used]
        nodes = [self._with_output_names(node) for node in needed]
        graph = helper.make_graph(nodes, "onnxlearn", list(self._inputs.values()), self._outputs, initializers, doc)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == ML_DOMAIN for node in needed):
            opsets.append(helper.make_opsetid(ML_DOMAIN, ML_OPSET))
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)

    def _needed(self) -> list[onnx.NodeProto]:
        """The nodes that outputs are made of; all of them where no output has been named."""
        if not self._outputs:
            return self._nodes
        wanted, needed = set(self._renamed), []
        for node in reversed(self._nodes):
            if wanted & set(node.output):
                wanted.update(node.input)
                needed.append(node)
        return needed[::-1]

    def _with_output_names(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The node itself, or a copy that reads and writes graph outputs by their names."""
        if not any(name in self._renamed for name in (*node.input, *node.output)):
            return node
        renamed = onnx.NodeProto()
        renamed.CopyFrom(node)
        renamed.input[:] = [self._renamed.get(name, name) for name in node.input]
        renamed.output[:] = [self._renamed.get(name, name) for name in node.output]
        return renamed

    def _node_name(self, op_type: str) -> str:
        return f"{self._scope}/{op_type}_{len(self._nodes)}"


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name.

    >>> attributes_of(helper.make_node("Gemm", ["a", "b"], ["c"], transB=1))
    {'transB': 1}
    """
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
