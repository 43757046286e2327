"""Networks with INT8 weights, whose activations are rounded row by row."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxlearn.graph.builder import attributes_of
from onnxlearn.graph.network import known_values

Array = np.ndarray[Any, np.dtype[Any]]

# Smaller matrices are not worth it: an output layer has few weights, and rounding it moves the outputs most.
FEWEST_WEIGHTS = 1024
FEWEST_OUTPUTS = 16
# Activations are -127 to 127 about this: UINT8 times INT8 is the product that processors are quick at.
ZERO_POINT = 128
_STEPS = np.float32(127)
# Of a row of zeros: any scale will do, but not 0.
_TINY = np.float32(1e-30)


def layers_of(network: onnx.ModelProto, stay: Collection[str] = ()) -> list[onnx.NodeProto]:
    """The nodes that multiply by a matrix of FLOAT constants large enough to be worth INT8, but those of these names."""
    constants = {tensor.name: tensor for tensor in network.graph.initializer}
    return [node for node in network.graph.node if node.name not in stay and _is_layer(node, constants)]


def tables_of(network: onnx.ModelProto, stay: Collection[str] = ()) -> list[onnx.NodeProto]:
    """The nodes that look rows up in a table of FLOAT constants, embeddings, large enough to be worth INT8."""
    constants = {tensor.name: tensor for tensor in network.graph.initializer}
    return [node for node in network.graph.node if node.name not in stay and _is_table(node, constants)]


def with_int8_tables(network: onnx.ModelProto, tables: Collection[onnx.NodeProto]) -> onnx.ModelProto:
    """The network with these tables in INT8, each of their rows with a scale of its own."""
    return _Rewriting(network, tables=tables).model()


def with_int8_layers(network: onnx.ModelProto, layers: Collection[onnx.NodeProto], *, bits: int) -> onnx.ModelProto:
    """The network with these layers in INT8: weights by output, activations by row.

    The largest activation of a row is 127 steps, so that what a row gives depends on that row alone; DynamicQuantizeLinear
    takes the largest of the batch. ``bits``: of the weights, 8 or 7. Two products of 8 bits overflow the 16 bits in which
    processors without VNNI add them.
    """
    return _Rewriting(network, layers=layers, bits=bits).model()


def is_stack(layer: onnx.NodeProto, network: onnx.ModelProto) -> bool:
    """Whether a layer multiplies by several matrices, one for each member or column."""
    return any(tensor.name == layer.input[1] and len(tensor.dims) > 2 for tensor in network.graph.initializer)


def _is_layer(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type not in ("Gemm", "MatMul") or node.input[1] not in constants or node.input[0] in constants:
        return False
    told = attributes_of(node)
    dims = _large_dims(constants[node.input[1]])
    # A scale that stands beside the bias, or a transposed batch, is no layer that anybody writes.
    plain = not told.get("transA") and told.get("beta", 1.0) == 1.0
    return plain and bool(dims) and dims[-2 if told.get("transB") else -1] >= FEWEST_OUTPUTS


def _is_table(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if node.op_type != "Gather" or node.input[0] not in constants or attributes_of(node).get("axis", 0) != 0:
        return False
    return len(_large_dims(constants[node.input[0]])) == 2


def _large_dims(tensor: onnx.TensorProto) -> tuple[int, ...]:
    """The shape of a matrix, or stack of matrices, that is large; else nothing."""
    is_large = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2 and np.prod(tensor.dims) >= FEWEST_WEIGHTS
    return tuple(tensor.dims) if is_large else ()


def rounded_weights(weights: Array, axis: int, bits: int) -> tuple[Array, Array]:
    """INT8 weights and the FLOAT scale of each vector along ``axis`` (kept as 1): their product is about the weights.

    >>> weights, scale = rounded_weights(np.array([[1.0], [-0.5]], np.float32), axis=0, bits=8)
    >>> weights.tolist(), scale.tolist()
    ([[127], [-64]], [[0.007874015718698502]])
    """
    most = 2 ** (bits - 1) - 1
    scale = np.abs(weights).max(axis=axis, keepdims=True) / np.float32(most)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


class _Rewriting:
    def __init__(
        self,
        network: onnx.ModelProto,
        layers: Collection[onnx.NodeProto] = (),
        tables: Collection[onnx.NodeProto] = (),
        bits: int = 8,
    ) -> None:
        self._network = network
        self._layers, self._tables = ({node.name for node in nodes} for nodes in (layers, tables))
        self._bits = bits
        self._known = known_values(network) if layers else {}
        self._constants = {tensor.name: tensor for tensor in network.graph.initializer}
        self._rounded: dict[str, tuple[str, str]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._name = ""

    def model(self) -> onnx.ModelProto:
        """The network with what was chosen replaced."""
        for node in self._network.graph.node:
            self._name = node.name
            if node.name in self._layers:
                self._add_layer(node)
            elif node.name in self._tables:
                self._add_table(node)
            else:
                self._nodes.append(node)
        read = {name for node in self._nodes for name in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in read]
        graph = self._network.graph
        made = helper.make_graph(self._nodes, graph.name, graph.input, graph.output, constants)
        return helper.make_model(made, opset_imports=self._network.opset_import, ir_version=self._network.ir_version)

    def _add_layer(self, node: onnx.NodeProto) -> None:
        told = attributes_of(node)
        weights, scale = self._weights(node.input[1], transposed=bool(told.get("transB")), alpha=told.get("alpha", 1.0))
        # Not -1: of no rows at all ONNX Runtime would give another shape.
        last = len(self._known[node.input[0]].type.tensor_type.shape.dim) - 1
        axis = self._constant(f"net/int8:axis:{last}", np.array([last]))
        largest = self._op("ReduceMax", self._op("Abs", node.input[0]), axis)
        # Not Div last: ONNX Runtime takes a product of two scales for that of a whole batch, and merges it with the layer.
        largest = self._op("Max", largest, self._constant("net/int8:tiny", _TINY))
        wide = self._op("Mul", node.input[0], self._op("Div", self._constant("net/int8:steps", _STEPS), largest))
        zero = self._constant("net/int8:zero_point", np.uint8(ZERO_POINT))
        rounded = self._op("QuantizeLinear", wide, self._constant("net/int8:one", np.float32(1)), zero)
        product = self._op("Cast", self._op("MatMulInteger", rounded, weights, zero), to=TensorProto.FLOAT)
        product = self._op("Mul", product, largest)
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else ""
        if not bias:
            self._op("Mul", product, scale, output=node.output[0])
            return
        self._op("Add", self._op("Mul", product, scale), bias, output=node.output[0])

    def _add_table(self, node: onnx.NodeProto) -> None:
        table, at = node.input
        if table not in self._rounded:
            rounded, scale = rounded_weights(numpy_helper.to_array(self._constants[table]), axis=1, bits=8)
            self._rounded[table] = self._pair(table, rounded, scale)
        rows, scales = (self._op("Gather", name, at, axis=0) for name in self._rounded[table])
        self._op("Mul", self._op("Cast", rows, to=TensorProto.FLOAT), scales, output=node.output[0])

    def _weights(self, name: str, *, transposed: bool, alpha: float) -> tuple[str, str]:
        """Names of a layer's INT8 weights, inputs down, and of their scale for each output."""
        key = f"{name}{':transposed' if transposed else ''}{f':{alpha}' if alpha != 1 else ''}"
        if key not in self._rounded:
            matrix = numpy_helper.to_array(self._constants[name])
            rounded, scale = rounded_weights(matrix.swapaxes(-1, -2) if transposed else matrix, axis=-2, bits=self._bits)
            self._rounded[key] = self._pair(key, rounded, scale * np.float32(alpha) / _STEPS)
        return self._rounded[key]

    def _pair(self, name: str, rounded: Array, scale: Array) -> tuple[str, str]:
        return self._constant(f"{name}:int8", np.ascontiguousarray(rounded)), self._constant(f"{name}:scale", scale)

    def _constant(self, name: str, values: Any) -> str:
        self._constants.setdefault(name, numpy_helper.from_array(np.asarray(values), name))
        return name

    def _op(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node, named after the one whose place it takes; the name of its output."""
        name = f"{self._name}:{op_type}"
        while any(name == node.name for node in self._nodes[-16:]):
            name += "'"
        output = output or name
        self._nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        return output
