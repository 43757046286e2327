"""Networks in FLOAT16: half the bytes, for hardware that computes in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from onnxlearn.errors import ParameterError
from onnxlearn.graph.network import known_values

Array = np.ndarray[Any, np.dtype[Any]]

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_LARGEST = float(np.finfo(np.float16).max)
# The smallest number that has all its digits, and the smallest but 0.
_FULL, _SMALLEST = float(np.finfo(np.float16).smallest_normal), float(np.finfo(np.float16).smallest_subnormal)

# ONNX Runtime has no kernel of these in FLOAT16 on a processor: of Softplus it makes log(1 + exp(x)), which overflows, and of
# Celu a graph that it cannot run.
_NEVER_HALF = {"Softplus", "Celu"}


@dataclass(frozen=True, kw_only=True)
class Halved:
    """``network``: the converted one. ``rounded``: the one in FLOAT with every tensor rounded that the other has in FLOAT16.

    ONNX Runtime computes FLOAT16 in FLOAT on a processor and rounds no result between two nodes; a GPU does. What that
    comes to, ``rounded`` tells on a processor.
    """

    network: onnx.ModelProto
    rounded: onnx.ModelProto


def halved(network: onnx.ModelProto, stay: Collection[str] = ()) -> Halved:
    """A network with its FLOAT tensors and weights in FLOAT16; inputs, outputs and DOUBLE stay as they are.

    ``stay``: names of nodes that stay in FLOAT. So do those whose operator knows no FLOAT16, and those that read a constant
    that does not fit (:func:`fits`).

    Raises: ParameterError where the network has branches or loops.
    """
    conversion = _Conversion(network, stay)
    for node in network.graph.node:
        conversion.add(node)
    return Halved(network=conversion.to_model(), rounded=_rounded(network, conversion.halves))


def fits(largest: float, spare: float = 1.0) -> bool:
    """Whether FLOAT16 holds a tensor whose largest number has this size: with ``spare`` times that, and all its digits.

    >>> fits(0.0), fits(65504.0), fits(65504.0, spare=2.0), fits(1e-5)
    (True, True, False, False)
    """
    return largest == 0 or _FULL <= largest <= _LARGEST / spare


def half_array(array: Array) -> Array:
    """Numbers in FLOAT16: none of them becomes 0 that was not."""
    half = array.astype(np.float16)
    lost = (half == 0) & (array != 0)
    return np.asarray(np.where(lost, np.copysign(np.float16(_SMALLEST), half), half), np.float16)


class _Conversion:
    def __init__(self, network: onnx.ModelProto, stay: Collection[str]) -> None:
        self._network = network
        self._opset = next(entry.version for entry in network.opset_import if entry.domain == "")
        known = known_values(network)
        self._floats = {name for name, value in known.items() if value.type.tensor_type.elem_type == FLOAT}
        self._constants = {tensor.name: tensor for tensor in network.graph.initializer}
        self._floats |= {name for name, tensor in self._constants.items() if tensor.data_type == FLOAT}
        self._stay = set(stay)
        self._there = {value.name for value in network.graph.input} | set(self._constants)
        self._nodes: list[onnx.NodeProto] = []
        self._halved: list[onnx.TensorProto] = []
        self.halves: set[str] = set()

    def add(self, node: onnx.NodeProto) -> None:
        """Add a node, in FLOAT16 where that can be."""
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ParameterError(
                f"a network with branches or loops cannot be converted: node {node.name!r} is one ({node.op_type})"
            )
        to_half = self._can_be_half(node)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self._read(name, half=to_half) if name in self._floats else name for name in node.input]
        if to_half:
            _convert_attributes(copy)
            copy.output[:] = [self._make(name) if name in self._floats else name for name in node.output]
        else:
            self._there |= set(node.output)
        self._nodes.append(copy)

    def to_model(self) -> onnx.ModelProto:
        """The network, its outputs in FLOAT again."""
        graph = self._network.graph
        for value in graph.output:
            if value.name in self._floats:
                self._read(value.name, half=False)
        read = {name for node in self._nodes for name in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in read] + self._halved
        made = helper.make_graph(self._nodes, graph.name, graph.input, graph.output, constants)
        return helper.make_model(made, opset_imports=self._network.opset_import, ir_version=self._network.ir_version)

    def _can_be_half(self, node: onnx.NodeProto) -> bool:
        touched = [name for name in (*node.input, *node.output) if name in self._floats]
        if (
            not touched
            or node.op_type in _NEVER_HALF
            or node.name in self._stay
            or not _knows_half(node, self._floats, self._opset)
        ):
            return False
        return all(self._is_in_range(name) for name in touched if name in self._constants)

    def _is_in_range(self, name: str) -> bool:
        array = numpy_helper.to_array(self._constants[name])
        return fits(float(np.abs(array).max(initial=0)))

    def _read(self, name: str, *, half: bool) -> str:
        """The name of a FLOAT tensor in the type that is wanted, with a node before that converts it where needed."""
        wanted = _half_name(name) if half else name
        if wanted in self._there:
            return wanted
        self._there.add(wanted)
        if half and name in self._constants:
            self._halved.append(numpy_helper.from_array(half_array(numpy_helper.to_array(self._constants[name])), wanted))
            self.halves.add(name)
            return wanted
        source = name if half else _half_name(name)
        node = helper.make_node("Cast", [source], [wanted], name=f"net/Cast:{wanted}", to=HALF if half else FLOAT)
        self.halves |= {name} if half else set()
        self._nodes.append(node)
        return wanted

    def _make(self, name: str) -> str:
        self.halves.add(name)
        self._there.add(_half_name(name))
        return _half_name(name)


def _half_name(name: str) -> str:
    return f"{name}:half"


def _knows_half(node: onnx.NodeProto, floats: Collection[str], opset: int) -> bool:
    """Whether the operator takes and gives FLOAT16 wherever this node has FLOAT."""
    schema = defs.get_schema(node.op_type, opset, node.domain)
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    pairs = [*_declared(node.input, schema.inputs), *_declared(node.output, schema.outputs)]
    return all("tensor(float16)" in allowed.get(kind, (kind,)) for name, kind in pairs if name in floats)


def _declared(names: Collection[str], formal: Any) -> list[tuple[str, str]]:
    """Each name with the type that its place in an operator has; the last place may stand for many."""
    return [(name, formal[min(i, len(formal) - 1)].type_str) for i, name in enumerate(names)]


def _convert_attributes(node: onnx.NodeProto) -> None:
    """``to`` of Cast, ``value`` of Constant and ConstantOfShape, and whatever else holds the type or a tensor."""
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(helper.make_attribute("value", helper.make_tensor("value", FLOAT, [1], [0])))
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == FLOAT:
            attribute.i = HALF
        elif attribute.HasField("t") and attribute.t.data_type == FLOAT:
            attribute.t.CopyFrom(numpy_helper.from_array(half_array(numpy_helper.to_array(attribute.t)), attribute.t.name))


def _rounded(network: onnx.ModelProto, halves: Collection[str]) -> onnx.ModelProto:
    """The network in FLOAT, these tensors and constants rounded to FLOAT16 and back."""
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    graph = copy.graph
    for tensor in graph.initializer:
        if tensor.name in halves:
            values = half_array(numpy_helper.to_array(tensor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes = list(graph.node)
    del graph.node[:]
    for value in graph.input:
        if value.name in halves:
            graph.node.extend(_rounding(value.name, f"net/{value.name}:near"))
            for node in nodes:
                node.input[:] = [f"net/{value.name}:near" if name == value.name else name for name in node.input]
    for node in nodes:
        made = [name for name in node.output if name in halves]
        node.output[:] = [f"{name}:wide" if name in halves else name for name in node.output]
        graph.node.extend([node, *(each for name in made for each in _rounding(f"{name}:wide", name))])
    return copy


def _rounding(source: str, wanted: str) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    between = f"{source}:half"
    down = helper.make_node("Cast", [source], [between], name=f"net/Cast:{between}", to=HALF)
    return down, helper.make_node("Cast", [between], [wanted], name=f"net/Cast:{wanted}", to=FLOAT)
