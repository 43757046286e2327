"""Giving a model inputs of another form: packed tensors, columns of rank 1, numbers in FLOAT."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxlearn.schema import Schema
from onnxlearn.wire.form import Form, packs

# Builders name nodes scope/Operator_number: no other name begins so.
PREFIX = "prep/input:"


@dataclass(frozen=True)
class _Loose:
    """A column as it comes: a place in a packed tensor, or a tensor of its own (``place`` ``None``) of rank 1 or 2.

    ``given`` and ``wanted``: the element type that comes, and the one that the model reads.
    """

    tensor: str
    place: int | None
    given: str
    wanted: str


def change_inputs(model: onnx.ModelProto, schema: Schema, form: Form) -> None:
    """Change a model with inputs in the standard form, in place.

    Columns that stand side by side in a Concat are taken out of a packed tensor, or stacked, at once: a node for each column
    would make wide tables slow, which is what packing is for.
    """
    adapter = _Adapter(model, schema, form)
    nodes = [made for node in model.graph.node for made in adapter.adapt(node)]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(adapter.constants.values())
    for name, (onnx_type, shape) in form.inputs(schema).items():
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.DataType.Value(onnx_type), list(shape)))


class _Adapter:
    def __init__(self, model: onnx.ModelProto, schema: Schema, form: Form) -> None:
        self.constants: dict[tuple[int, ...], onnx.TensorProto] = {}
        self._rank = form.rank if form.layout == "columns" else 2
        self._loose = _loose_columns(schema, form)
        self._widths = {name: shape[-1] for name, (_, shape) in form.inputs(schema).items()}
        single = {name for node in model.graph.node if not _is_row_concat(node) for name in node.input}
        self._single = {name: loose for name, loose in self._loose.items() if name in single and loose.place is not None}
        self._made: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._new: list[onnx.NodeProto] = []

    def adapt(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The nodes that stand for one: those that make its inputs, and itself reading them."""
        self._new, loose = [], self._loose.get(node.input[0]) if node.input else None
        if self._rank == 1 and node.op_type == "LabelEncoder" and loose:
            # Numbers are reshaped more cheaply than texts: codes first.
            codes = f"{PREFIX}{node.output[0]}"
            self._loose[node.output[0]] = _Loose(codes, None, "INT64", "INT64")
            node.input[0], node.output[0] = loose.tensor, codes
        elif _is_row_concat(node):
            node.input[:] = self._blocks(node.input)
        else:
            node.input[:] = [self._column(name) for name in node.input]
        return [*self._new, node]

    def _blocks(self, names: Sequence[str]) -> list[str]:
        """What to concatenate: each run of columns of one kind as one tensor."""
        runs = [(kind, list(run)) for kind, run in itertools.groupby(names, key=self._kind)]
        return [block for kind, run in runs for block in ([self._together(run)] if kind else run)]

    def _kind(self, name: str) -> tuple[str, ...]:
        loose = self._loose.get(name)
        if loose is None:
            return ()
        return ("" if loose.place is None else loose.tensor, loose.given, loose.wanted)

    def _column(self, name: str) -> str:
        """A column by itself, ``[N, 1]``; of a packed tensor all that are needed so are split off at once."""
        loose = self._loose.get(name)
        if loose is None:
            return name
        if loose.place is None:
            return self._together([name])
        places = [other.place for other in self._single.values() if other.tensor == loose.tensor and other.place is not None]
        taken, at = self._taken(loose.tensor, places), places.index(loose.place)
        if len(places) > 1:
            taken = self._nodes("Split", taken, self._constant([1] * len(places)), n_outputs=len(places), axis=1)[at]
        return self._typed(taken, loose)

    def _together(self, names: list[str]) -> str:
        """Columns of one kind as a matrix ``[N, K]`` of the type that the model reads."""
        columns = [self._loose[name] for name in names]
        places = [column.place for column in columns if column.place is not None]
        matrix = self._taken(columns[0].tensor, places) if places else self._stacked([column.tensor for column in columns])
        return self._typed(matrix, columns[0])

    def _typed(self, tensor: str, like: _Loose) -> str:
        return tensor if like.given == like.wanted else self._node("Cast", tensor, to=TensorProto.DataType.Value(like.wanted))

    def _taken(self, tensor: str, places: list[int]) -> str:
        if places == list(range(int(self._widths[tensor]))):
            return tensor
        return self._node("Gather", tensor, self._constant(places), axis=1)

    def _stacked(self, tensors: list[str]) -> str:
        if self._rank == 2:
            return tensors[0] if len(tensors) == 1 else self._node("Concat", *tensors, axis=1)
        if len(tensors) == 1:
            return self._node("Unsqueeze", tensors[0], self._constant([1]))
        below = self._node("Concat", *tensors, axis=0)
        return self._node("Transpose", self._node("Reshape", below, self._constant([len(tensors), -1])), perm=[1, 0])

    def _node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        return self._nodes(op_type, *inputs, n_outputs=1, **attributes)[0]

    def _nodes(self, op_type: str, *inputs: str, n_outputs: int, **attributes: Any) -> tuple[str, ...]:
        key = (op_type, *inputs, str(attributes))
        if key not in self._made:
            name = f"{PREFIX}{op_type}_{len(self._made)}"
            outputs = (name,) if n_outputs == 1 else tuple(f"{name}:{i}" for i in range(n_outputs))
            self._new.append(helper.make_node(op_type, inputs, outputs, name=name, **attributes))
            self._made[key] = outputs
        return self._made[key]

    def _constant(self, values: list[int]) -> str:
        key = tuple(values)
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(np.array(values, np.int64), f"{PREFIX}const_{len(self.constants)}")
        return str(self.constants[key].name)


def _is_row_concat(node: onnx.NodeProto) -> bool:
    return node.op_type == "Concat" and node.attribute[0].i == 1


def _loose_columns(schema: Schema, form: Form) -> dict[str, _Loose]:
    """The columns by name, but those that come as the model reads them."""
    inputs = form.inputs(schema)
    if form.layout == "packed":
        places = [(name, i, column) for name, columns in packs(schema).items() for i, column in enumerate(columns)]
        return {column.name: _Loose(name, i, inputs[name][0], column.onnx_type) for name, i, column in places}
    loose = {column.name: _Loose(column.name, None, inputs[column.name][0], column.onnx_type) for column in schema.features}
    return {name: column for name, column in loose.items() if form.rank == 1 or column.given != column.wanted}
