"""A model in two: preprocessing, and the network with what stands behind it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import ML_DOMAIN, PRODUCER
from onnxlearn.graph.outputs import drop_unused

NUM, CAT = "num", "cat"
_TYPES = {NUM: TensorProto.FLOAT, CAT: TensorProto.INT64}
# No name that a builder gives begins so.
PREFIX = "net/input:"


@dataclass(frozen=True, kw_only=True)
class Halves:
    """``prep`` gives ``num`` FLOAT ``[N, K]`` and ``cat`` INT64 ``[N, S]``, which ``net`` takes; those that have columns.

    ``names``: what these two are called, ``num_`` or ``cat_`` where a feature has the name.
    """

    prep: onnx.ModelProto
    net: onnx.ModelProto
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Crossing:
    """A tensor that preprocessing makes and the network reads."""

    name: str
    element_type: int
    width: int


def split(model: onnx.ModelProto) -> Halves:
    """The two halves of a model with inputs in the standard form; the model itself is left as it is.

    Several networks of one file may read tensors of their own, which then stand side by side in ``num`` and ``cat``.

    Raises: ExportError where the network reads something else than numbers and codes of preprocessing.
    """
    crossings = _crossings(model)
    inputs = {value.name for value in model.graph.input}
    packed = {_free(name, inputs): [c for c in crossings if c.element_type == kind] for name, kind in _TYPES.items()}
    packed = {name: parts for name, parts in packed.items() if parts}
    prep, net = _copy(model), _copy(model)
    _make_prep(prep, packed)
    _make_net(net, packed)
    return Halves(prep=prep, net=net, names=tuple(packed))


def _free(name: str, taken: Collection[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    del copied.metadata_props[:]
    return copied


def _is_prep(node: onnx.NodeProto) -> bool:
    return str(node.name).startswith("prep/")


def _crossings(model: onnx.ModelProto) -> list[_Crossing]:
    """In the order in which the network reads them."""
    shaped = onnx.shape_inference.infer_shapes(model).graph
    known = {value.name: value.type.tensor_type for value in [*shaped.value_info, *shaped.input]}
    made = {name for node in model.graph.node if _is_prep(node) for name in node.output}
    made |= {value.name for value in model.graph.input}
    read = dict.fromkeys(name for node in model.graph.node if not _is_prep(node) for name in node.input if name in made)
    return [_crossing(name, known[name], model) for name in read]


def _crossing(name: str, kind: onnx.TypeProto.Tensor, model: onnx.ModelProto) -> _Crossing:
    dims = kind.shape.dim
    width = dims[1].dim_value if len(dims) == 2 else 0
    if name in {value.name for value in model.graph.input} and _only_counted(name, model):
        # A network without features counts the rows of a column: a column of zeros has as many.
        return _Crossing(name, TensorProto.FLOAT, 1)
    if not width or kind.elem_type not in _TYPES.values():
        found = TensorProto.DataType.Name(kind.elem_type)
        raise ExportError(
            f"the network reads {name!r}, {found} of {len(dims)} dimensions, from its preprocessing: only matrices of FLOAT "
            "and INT64 can be passed from one file to the other"
        )
    return _Crossing(name, kind.elem_type, width)


def _only_counted(name: str, model: onnx.ModelProto) -> bool:
    return all(node.op_type == "Shape" for node in model.graph.node if name in node.input and not _is_prep(node))


def _make_prep(model: onnx.ModelProto, packed: dict[str, list[_Crossing]]) -> None:
    graph = model.graph
    nodes = [node for node in graph.node if _is_prep(node)]
    inputs = {value.name for value in graph.input}
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    for name, parts in packed.items():
        blocks = [_zeros(model, part.name) if part.name in inputs else part.name for part in parts]
        _add(model, *(("Concat", blocks, [name], {"axis": 1}) if len(blocks) > 1 else ("Identity", blocks, [name], {})))
        graph.output.append(_matrix(name, parts))
    drop_unused(model)
    _set_opsets(model)


def _zeros(model: onnx.ModelProto, column: str) -> str:
    """A column of zeros, FLOAT ``[N, 1]``, with as many rows as an input."""
    names = [f"prep/output:{part}" for part in ("rows", "shape", "zeros")]
    _add(model, "Shape", [column], names[:1], {"start": 0, "end": 1})
    _add(model, "Concat", [names[0], _constant(model, "prep/output:one", np.array([1]))], names[1:2], {"axis": 0})
    _add(model, "Expand", [_constant(model, "prep/output:zero", np.zeros((1, 1), np.float32)), names[1]], names[2:], {})
    return names[2]


def _make_net(model: onnx.ModelProto, packed: dict[str, list[_Crossing]]) -> None:
    graph = model.graph
    nodes = [node for node in graph.node if not _is_prep(node)]
    del graph.node[:], graph.input[:]
    for name, parts in packed.items():
        graph.input.append(_matrix(name, parts))
        if len(parts) == 1:
            continue
        sizes = _constant(model, f"{PREFIX}{name}_sizes", np.array([part.width for part in parts]))
        _add(model, "Split", [name, sizes], [f"{PREFIX}{name}:{i}" for i in range(len(parts))], {"axis": 1})
    renamed = {
        part.name: name if len(parts) == 1 else f"{PREFIX}{name}:{i}"
        for name, parts in packed.items()
        for i, part in enumerate(parts)
    }
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    graph.node.extend(nodes)
    drop_unused(model)
    _set_opsets(model)


def _add(
    model: onnx.ModelProto, op_type: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Any]
) -> None:
    name = f"{'net' if outputs[0].startswith('net/') else 'prep'}/{'input' if op_type == 'Split' else 'output'}:{op_type}"
    name += f"_{len(model.graph.node)}"
    model.graph.node.append(helper.make_node(op_type, inputs, outputs, name=name, **attributes))


def _constant(model: onnx.ModelProto, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32 | np.int64]]) -> str:
    if not any(tensor.name == name for tensor in model.graph.initializer):
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _matrix(name: str, parts: Sequence[_Crossing]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, parts[0].element_type, ["N", sum(part.width for part in parts)])


def _set_opsets(model: onnx.ModelProto) -> None:
    """Declare ai.onnx.ml where it is used alone: runtimes without it need not know of it."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.producer_name = PRODUCER
    assert used <= {"", ML_DOMAIN}, "no other domain is in a checked model"
