"""Which value of a row each column of a matrix is: the nodes of preprocessing, followed column by column.

Equal expressions have equal numbers, so that what a node computes can be compared with what a step of ours would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import numpy_helper

from onnxlearn.graph.builder import attributes_of

Array = np.ndarray[Any, np.dtype[Any]]
Expression: TypeAlias = int
Matrix: TypeAlias = "Array | tuple[Expression, ...]"
"""A constant, or an expression for each column of a tensor ``[N, K]``."""

CONST, INPUT, ANY, OTHER = "constant", "input", "any", "other"

# Operators that work on each value by itself, whatever stands beside it.
_BY_VALUE = frozenset({
    "Abs", "Add", "And", "Cast", "Cos", "Div", "Equal", "Exp", "GreaterOrEqual", "IsNaN", "LabelEncoder", "Less", "LessOrEqual",
    "Log", "Max", "Min", "Mod", "Mul", "Neg", "Sign", "Sin", "Sqrt", "Sub", "Where",
})  # fmt: skip
# Attributes that tell operators of one name apart; a LabelEncoder's vocabulary is that of its column.
_TELLING = ("to", "fmod")


@dataclass(frozen=True)
class Node:
    """An operator over expressions, a constant, or an input; ``value`` tells constants and inputs apart."""

    op: str
    inputs: tuple[Expression, ...] = ()
    value: Any = None


@dataclass
class Expressions:
    """All expressions of a graph by number, each once."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[Expression, Array] = field(default_factory=dict)
    _numbers: dict[Node, Expression] = field(default_factory=dict)

    def make(self, op: str, *inputs: Expression, value: Any = None) -> Expression:
        """The number of an expression."""
        node = Node(op, inputs, value)
        if node not in self._numbers:
            self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self._numbers[node]

    def constant(self, array: Array) -> Expression:
        """A number, or a table of them."""
        made = self.make(CONST, value=(str(array.dtype), array.shape, array.tobytes()))
        self.constants[made] = array
        return made

    def follow(
        self, graph: onnx.GraphProto, inputs: Mapping[str, Matrix], widths: Mapping[str, int] | None = None
    ) -> dict[str, Matrix]:
        """The columns of all tensors that can be told; others, and what is made of them, are absent.

        ``widths``: how many columns tensors have. Those of one that cannot be told are each an ``OTHER``, so that columns
        beside them can.
        """
        known: dict[str, Matrix] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        known |= inputs
        for node in graph.node:
            # How often a row is repeated changes no column.
            if all(name in known for name in (node.input[:1] if node.op_type == "Expand" else node.input)):
                inputs_of = [known[name] for name in node.input if name in known]
                known |= zip(node.output, self._outputs(node, inputs_of), strict=False)
            for name in node.output:
                if name not in known and name in (widths or {}):
                    known[name] = tuple(self.make(OTHER, value=(name, i)) for i in range((widths or {})[name]))
        return known

    def _outputs(self, node: onnx.NodeProto, inputs: list[Matrix]) -> list[Matrix]:
        """The outputs of a node, none where it is of a kind that is not followed."""
        attributes = attributes_of(node)
        if node.op_type == "Identity":
            return inputs
        if node.op_type == "Expand":
            return [self._columns(inputs[0])]
        if node.op_type in _BY_VALUE:
            value = tuple(attributes[name] for name in _TELLING if name in attributes) or None
            return self._by_value(node.op_type, inputs, value)
        if attributes.get("axis", 0) == 1:
            return _moved(node.op_type, inputs)
        wanted = {"Gather": 1, "GatherElements": 2}.get(node.op_type)
        if isinstance(inputs[0], np.ndarray) and inputs[0].ndim == wanted and isinstance(inputs[1], tuple):
            return [self._looked_up(inputs[0], inputs[1])]
        return []

    def _looked_up(self, table: Array, rows: tuple[Expression, ...]) -> Matrix:
        """A table of one column is that of all; of several, each column has its own."""
        tables = [table] if table.ndim == 1 else [column.copy() for column in table.T]
        own = [self.constant(column) for column in tables] * (len(rows) if table.ndim == 1 else 1)
        return tuple(self.make("Gather", column, row) for column, row in zip(own, rows, strict=True))

    def _by_value(self, op: str, inputs: list[Matrix], value: Any) -> list[Matrix]:
        columns = [self._columns(matrix) for matrix in inputs]
        width = max(map(len, columns))
        if not {len(column) for column in columns} <= {1, width}:
            return []
        wide = [column if len(column) == width else column * width for column in columns]
        return [tuple(self.make(op, *parts, value=value) for parts in zip(*wide, strict=True))]

    def _columns(self, matrix: Matrix) -> tuple[Expression, ...]:
        if isinstance(matrix, tuple):
            return matrix
        return tuple(
            self.constant(np.asarray(number)) for number in matrix.reshape(-1, matrix.shape[-1] if matrix.ndim else 1)[0]
        )

    def match(self, pattern: Expression, found: Expression) -> dict[Any, Expression] | None:
        """What stands in ``found`` where the pattern has its ``ANY`` nodes, by their values; ``None`` where it is another one.

        An ``ANY`` node whose value is a pair takes constants alone.
        """
        bound: dict[Any, Expression] = {}
        seen: set[tuple[Expression, Expression]] = set()
        waiting = [(pattern, found)]
        while waiting:
            pair = waiting.pop()
            if pair in seen or pair[0] == pair[1]:
                continue
            seen.add(pair)
            wanted, there = self.nodes[pair[0]], self.nodes[pair[1]]
            if wanted.op == ANY:
                if bound.setdefault(wanted.value, pair[1]) != pair[1]:
                    return None
                if isinstance(wanted.value, tuple) and there.op != CONST:
                    return None
            elif (wanted.op, wanted.value, len(wanted.inputs)) != (there.op, there.value, len(there.inputs)):
                return None
            else:
                waiting += zip(wanted.inputs, there.inputs, strict=True)
        return bound

    def replace(self, expression: Expression, others: dict[Expression, Expression]) -> Expression:
        """The expression with others in the place of some that it is made of; ``others`` remembers all that were replaced."""
        if expression not in others:
            node = self.nodes[expression]
            inputs = [self.replace(part, others) for part in node.inputs]
            others[expression] = self.make(node.op, *inputs, value=node.value)
        return others[expression]


def _moved(op: str, inputs: list[Matrix]) -> list[Matrix]:
    """Columns put side by side, parted or chosen; nothing where it is something else."""
    first = inputs[0]
    if op == "Concat" and all(isinstance(matrix, tuple) for matrix in inputs):
        return [tuple(column for matrix in inputs for column in matrix)]
    if op == "Split" and isinstance(first, tuple) and len(inputs) == 2:
        ends = np.cumsum(inputs[1])
        return [first[end - size : end] for end, size in zip(ends, inputs[1], strict=True)]
    if op == "Gather" and isinstance(first, tuple):
        return [tuple(first[place] for place in np.ravel(inputs[1]))]
    return []
