"""The networks inside a model: taken out to be converted, and put back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxlearn.errors import ParameterError, listing
from onnxlearn.images.run import batches_of_one_size
from onnxlearn.runtime import open_session
from onnxlearn.session import CHUNK_ROWS, Session

Array = np.ndarray[Any, np.dtype[Any]]

PREP, NET = "prep/", "net/"


def network_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """The nodes below ``net/`` as a model of their own; the model itself is left as it is.

    It reads what preprocessing makes and gives what is read of it, each by its name in the model. Several networks of one
    file are one here.
    """
    nodes = [node for node in model.graph.node if _is_net(node)]
    others = [node for node in model.graph.node if not _is_net(node)]
    made = [name for node in nodes for name in node.output if name]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    read = dict.fromkeys(name for node in nodes for name in node.input if name)
    wanted = {name for node in others for name in node.input} | {value.name for value in model.graph.output}
    known = known_values(model)
    graph = helper.make_graph(
        nodes, "network", [known[name] for name in read if name not in constants and name not in made],
        [known[name] for name in made if name in wanted], [constants[name] for name in read if name in constants],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[entry for entry in model.opset_import if entry.domain == ""], ir_version=model.ir_version
    )


def with_network(model: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with another network in the place of its own: one with these inputs and outputs by name."""
    _name_below_net(network)
    kept = [node for node in model.graph.node if not _is_net(node)]
    prep = [node for node in kept if node.name.startswith(PREP)]
    nodes = [*prep, *network.graph.node, *(node for node in kept if not node.name.startswith(PREP))]
    constants = {tensor.name: tensor for tensor in (*_read_by(kept, model), *_read_by(network.graph.node, network))}
    joined = onnx.ModelProto()
    joined.CopyFrom(model)
    del joined.graph.node[:], joined.graph.initializer[:], joined.graph.value_info[:]
    joined.graph.node.extend(nodes)
    joined.graph.initializer.extend(constants.values())
    return joined


def _read_by(nodes: Iterable[onnx.NodeProto], model: onnx.ModelProto) -> list[onnx.TensorProto]:
    read = {name for node in nodes for name in node.input}
    return [tensor for tensor in model.graph.initializer if tensor.name in read]


def tapped(model: onnx.ModelProto, names: Iterable[str]) -> bytes:
    """The bytes of the model with other outputs: tensors inside it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:], copy.metadata_props[:]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return bytes(copy.SerializeToString())


def largest_values(
    model: onnx.ModelProto, names: Sequence[str], feeds: Mapping[str, Any], chunk_rows: int = CHUNK_ROWS
) -> dict[str, float]:
    """The largest size of a number in each of these tensors over all rows, which are run in chunks."""
    if not names:
        return {}
    session = open_session(tapped(model, names), "cpu")
    largest = np.zeros(len(names))
    for batch in _chunks(session, feeds, chunk_rows):
        found = session.run(names, batch)
        largest = np.maximum(largest, [np.abs(values).max(initial=0) for values in found])
    return dict(zip(names, largest.tolist(), strict=True))


def _chunks(session: Session, feeds: Mapping[str, Any], chunk_rows: int) -> Iterator[Mapping[str, Array]]:
    if any(hasattr(feed, "read") for feed in feeds.values()):
        yield from batches_of_one_size(session, feeds)
        return
    for start in range(0, len(next(iter(feeds.values()))), chunk_rows):
        yield {name: rows[start : start + chunk_rows] for name, rows in feeds.items()}


def known_values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Type and shape of every tensor of a model but its constants, by name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Names of the FLOAT tensors that the nodes of a model make."""
    known = known_values(model)
    made = [name for node in model.graph.node for name in node.output if name]
    return [name for name in made if known[name].type.tensor_type.elem_type == TensorProto.FLOAT]


def named_nodes(network: onnx.ModelProto, patterns: Sequence[str]) -> set[str]:
    """Names of the nodes whose name or operator fits one of the patterns (``Gemm``, ``net/Gemm_7``, ``net/Gemm_*``).

    Raises: ParameterError for a pattern that fits none.
    """
    found: set[str] = set()
    for pattern in patterns:
        fitting = {node.name for node in network.graph.node if any(fnmatchcase(text, pattern) for text in _called(node))}
        if not fitting:
            there = listing(sorted({node.op_type for node in network.graph.node}))
            raise ParameterError(f"keep: no operator or node of the network fits {pattern!r}; its operators are {there}")
        found |= fitting
    return found


def _called(node: onnx.NodeProto) -> Collection[str]:
    return node.name, node.op_type


def _is_net(node: onnx.NodeProto) -> bool:
    return str(node.name).startswith(NET)


def _name_below_net(network: onnx.ModelProto) -> None:
    """What a converter added is named after what it stands beside, which may be preprocessing."""
    graph = network.graph
    own = {value.name for value in (*graph.input, *graph.output)} | {""}
    made = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    renamed = {name: f"{NET}{name}" for name in made - own if not name.startswith(NET)}
    for node in graph.node:
        node.name = node.name if _is_net(node) else f"{NET}{node.name}"
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
