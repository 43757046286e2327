"""The network of a graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from onnxlearn.errors import ParameterError
from onnxlearn.named import reason
from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.layers.ingress import Entry
from onnxlearn.networks.shapes import Placed, place
from onnxlearn.networks.tensor import Tensor as Sized
from onnxlearn.networks.tensor import product
from onnxlearn.schema import Schema
from onnxlearn_models.graphs.modules import make_module
from onnxlearn_models.graphs.plain import Function
from onnxlearn_models.prepared import own_stream

# Of the widest tensor, as many as are in memory at once while rows are judged.
EVALUATED_NUMBERS = 2**26
# Two sizes for each one that is not known: what follows from them is not known either.
_SAMPLES = ((2, 7), (3, 11))


class GraphNetwork(nn.Module):
    """The nodes of a graph, one after the other.

    ``forward(num, cat, columns)``: float32 ``[N, n_num]``, int64 ``[N, n_cat]``, and the tensors of images and texts by their
    ingress, ``None`` where the graph has no such ingress, to what its last node gives. The module of node ``linear`` is
    ``nodes.linear``.
    """

    def __init__(self, placed: Sequence[Placed], schema: Schema) -> None:
        super().__init__()
        self.nodes = nn.ModuleDict()
        for node in placed:
            if hasattr(self.nodes, node.name):
                raise ParameterError(f"a node cannot be called {node.name!r}, which torch uses: give it another id")
            if not isinstance(node.layer, Entry):
                self.nodes[node.name] = make_module(node.layer, node.inputs, schema)
        self.entries = {node.name: node.enters for node in placed if isinstance(node.layer, Entry)}
        self.reads = {node.name: node.reads for node in placed}
        widest = max(product(node.output.row) or 0 for node in placed)
        self.evaluation_rows = max(1, EVALUATED_NUMBERS // max(1, widest))

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None, columns: dict[str, Tensor] | None = None) -> Tensor:
        """Run every node."""
        own = {"num": num, "cat": cat}
        values: dict[str, Any] = {}
        for name, ingress in self.entries.items():
            values[name] = own[ingress] if ingress in own else columns[ingress]  # type: ignore[index]
        last = ""
        for last, module in self.nodes.items():
            values[last] = module(*(values[name] for name in self.reads[last]))
        output: Tensor = values[last]
        return output


def build_graph(graph: Graph, schema: Schema) -> GraphNetwork:
    """The network of a graph for a schema whose ingress is set.

    Raises: ParameterError naming the node, what it got and what it needs.
    """
    placed = place(graph, schema, tried)
    end = placed[-1].output
    if end.shape[1:] != (schema.n_outputs,):
        raise ParameterError(
            f"the graph ends in {placed[-1].name!r} with {end}, and the target needs [N, {schema.n_outputs}]: "
            "put nn.head() behind it"
        )
    return GraphNetwork(placed, schema)


def tried(layer: Layer, inputs: tuple[Sized, ...]) -> Sized:
    """What comes out of a layer, by running it on made-up tensors of two sizes. Raises: ShapeError."""
    module = getattr(layer, "function", None)
    if isinstance(module, nn.Module) and any(isinstance(each, UninitializedParameter) for each in module.parameters()):
        raise ShapeError("its module has parameters without a shape: say how many features come in, or use nn.linear()")
    own = copy.deepcopy(module).eval() if isinstance(module, nn.Module) else Function(module)  # type: ignore[arg-type]
    run: Callable[..., Any] = own
    samples = [[_sample(each, *sizes) for each in inputs] for sizes in _SAMPLES]
    before = [each.clone() for each in samples[0]]
    try:
        with torch.no_grad(), own_stream():
            one, other = (run(*sample) for sample in samples)
            again = run(*samples[0])
            alone = [run(*(each[i : i + 1] for each in samples[0])) for i in range(len(before[0]))]
            wild = [run(*(_times(each, factor) for each in samples[0])) for factor in (0, 100, -100)]
    except Exception as error:
        raise ShapeError(f"its function fails with {reason(error)}") from error
    if not isinstance(one, Tensor):
        raise ShapeError(f"its function has to give one tensor, and gives a {type(one).__name__}")
    if not all(map(torch.equal, before, samples[0])):
        raise ShapeError("its function changes the tensor that it is given, which others read too: x + 1, not x.add_(1)")
    if one.dtype not in (torch.float32, torch.int64):
        dtype = str(one.dtype).removeprefix("torch.")
        raise ShapeError(f"its function has to give numbers in float32, or codes in int64, and gives {dtype}")
    dims = [a if a == b else None for a, b in zip(one.shape, other.shape, strict=True)]
    if dims[:1] != [None]:
        raise ShapeError(f"its function has to keep the rows first, and gives {list(one.shape)} for {_SAMPLES[0][0]} rows")
    if not torch.equal(one, again):
        raise ShapeError("its function gives other numbers each time: nn.dropout() is random in training alone")
    if not torch.allclose(one.double(), torch.cat(alone).double(), rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ShapeError("what its function gives for a row depends on the other rows, which are others in each batch")
    if not all(bool(torch.isfinite(each).all()) for each in (one, *wild)):
        raise ShapeError("its function gives numbers that are not finite for zeros, or for numbers up to 100")
    return Sized(tuple(dims), "float32" if one.is_floating_point() else "int64")


def _times(x: Tensor, factor: int) -> Tensor:
    return x * factor if x.is_floating_point() else x


def _sample(x: Sized, n_rows: int, unknown: int) -> Tensor:
    sizes = [n_rows, *(unknown if size is None else size for size in x.row)]
    # Of codes there are at least two, unseen and missing ones.
    return torch.randint(2, sizes) if x.dtype == "int64" else torch.rand(sizes)
