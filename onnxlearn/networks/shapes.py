"""The shapes of all tensors of a graph, from a task's schema, before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from onnxlearn.errors import ParameterError, listing
from onnxlearn.networks.graph import INPUT, Graph, Node, graphs_in
from onnxlearn.networks.groups import grouped, require_columns
from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.layers.ingress import Cat, Entry
from onnxlearn.networks.layers.structure import Shared, Structure
from onnxlearn.networks.tensor import Tensor
from onnxlearn.preprocess.config import ColumnsConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.schema import Schema

Tried = Callable[[Layer, tuple[Tensor, ...]], Tensor]
"""What comes out of a layer that only can be tried."""


@dataclass(frozen=True)
class Placed:
    """A node of a flat graph: its name, the names of the nodes that it reads, and what comes in and out.

    ``enters``: of an ingress the name of its tensor.
    """

    name: str
    layer: Layer
    reads: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    output: Tensor
    enters: str = ""


def unfold(graph: Graph) -> Graph:
    """The graph without nodes that hold graphs: these stand in their place, ``block_1_linear`` for ``linear`` of ``block``.

    Raises: ParameterError where a node stands both outside and inside of one that holds a graph.
    """
    _require_apart(graph)
    return _shared(_unfolded(graph), [node.id for _, node in graph.nodes if node.id is not None])


def _unfolded(graph: Graph) -> Graph:
    made: dict[int, tuple[Node, ...]] = {id(INPUT): (INPUT,)}
    for name, node in graph.nodes:
        inputs = tuple(new for old in node.inputs for new in made[id(old)])
        if isinstance(node.layer, Structure):
            n_first = len(inputs)
            for i, (start, inner) in enumerate(node.layer.unfolded()):
                if i and len(inputs) != n_first:
                    raise ParameterError(
                        f"node {name!r} ({node.layer.kind}): a copy takes {n_first} tensors and gives {len(inputs)}, so none "
                        "can stand behind it: let its graph read what every copy needs, by nn.shared('id')"
                    )
                part = _named(_unfolded(inner), f"{name}_{start}")
                inputs = part.behind(Graph(inputs)).outputs if inputs else part.outputs
            made[id(node)] = inputs
        else:
            made[id(node)] = (Node(node.layer, inputs, name),)
    return Graph(tuple(new for old in graph.outputs for new in made[id(old)]))


def _shared(graph: Graph, ids: Collection[str]) -> Graph:
    """The graph with the nodes themselves where their names stood."""
    nodes = dict(graph.nodes)
    if not any(isinstance(node.layer, Shared) for node in nodes.values()):
        return graph
    names, made, under_way = {id(node): name for name, node in nodes.items()}, dict[int, Node](), list[str]()

    def resolved(node: Node) -> Node:
        if node is INPUT or id(node) in made:
            return made.get(id(node), INPUT)
        name = names[id(node)]
        if name in under_way:
            raise ParameterError(f"node {name!r} reads itself, by nn.shared()")
        under_way.append(name)
        if isinstance(node.layer, Shared):
            if node.layer.node not in ids:
                raise ParameterError(f"node {name!r}: no node has the id {node.layer.node!r}; there are the ids {listing(ids)}")
            found = resolved(nodes[node.layer.node])
        else:
            found = Node(node.layer, tuple(map(resolved, node.inputs)), name)
        under_way.pop()
        made[id(node)] = found
        return found

    return Graph(tuple(map(resolved, graph.outputs)))


def _require_apart(graph: Graph) -> None:
    """What is shared has one copy: inside of a block or a branch it is read by its name."""
    outside = {id(node): name for name, node in graph.nodes if not (node.layer.gives_columns or isinstance(node.layer, Entry))}
    for name, node in graph.nodes:
        for inner in graphs_in(node.layer):
            if both := [outside[id(each)] for _, each in inner.nodes if id(each) in outside]:
                raise ParameterError(
                    f"node {name!r} ({node.layer.kind}) has {both[-1]!r} inside, which stands outside too, and would be made "
                    "anew: give that node an id, such as id='x', and read it inside by nn.shared('x')"
                )


def place(graph: Graph, schema: Schema, tried: Tried | None = None) -> list[Placed]:
    """Every node of the unfolded graph that gives a tensor, with its shapes, each behind those that it reads.

    ``schema``: without an ingress it gets that of preprocessing by default. ``tried``: for layers that are functions of the
    user's own.

    Raises: ParameterError naming the node, what it got and what it needs.
    """
    flat = unfold(graph)
    if schema.ingress is None:
        config = grouped(flat, ColumnsConfig(cat_encoding=cat_encoding(flat)), schema)
        schema = dataclasses.replace(schema, ingress=plan_ingress(schema, config))
    return list(_placed(flat, schema, tried))


def has(graph: Graph, kind: type[Entry]) -> bool:
    """Whether a graph without nodes that hold graphs begins with such an ingress."""
    return any(isinstance(node.layer, kind) for _, node in graph.nodes)


def cat_encoding(graph: Graph) -> Literal["embedding", "onehot"]:
    """How categories enter it: as codes where it asks for them, one-hot where not."""
    return "embedding" if has(graph, Cat) else "onehot"


def _placed(graph: Graph, schema: Schema, tried: Tried | None) -> Iterator[Placed]:
    names = {id(node): name for name, node in graph.nodes}
    require_columns(graph)
    if graph.is_open:
        raise ParameterError("the graph does not begin: put ingress.num() or ingress.cat() before it")
    if len(graph.outputs) != 1:
        raise ParameterError(f"the graph ends in {len(graph.outputs)} nodes: put them together, and nn.head() behind them")
    known: dict[int, Tensor] = {}
    for name, node in graph.nodes:
        if node.layer.gives_columns:
            continue
        there = [each for each in node.inputs if id(each) in known]
        reads = tuple(names[id(each)] for each in (there or node.inputs))
        inputs = tuple(known[id(each)] for each in there)
        try:
            if isinstance(node.layer, Entry):
                placed = _entering(name, node.layer, reads, schema)
            else:
                placed = _placed_layer(name, node, reads, inputs, schema, tried)
        except ShapeError as error:
            raise ParameterError(_told(name, node, reads if inputs else (), inputs, str(error))) from None
        if placed is not None:
            known[id(node)] = placed.output
            yield placed
    if id(graph.outputs[0]) not in known:
        raise ParameterError("the graph has no columns left for this task: every ingress is optional, and dropped out")


def _entering(name: str, entry: Entry, reads: tuple[str, ...], schema: Schema) -> Placed | None:
    """An ingress, of the columns that come out of the step that it reads; ``None`` for one that drops out."""
    assert schema.ingress is not None, "preprocessing is chosen before a network is made"
    ingress = schema.ingress.group(*reads or ("",))
    found = entry.entering(ingress)
    return None if found is None else Placed(name, entry, reads, (), found, entry.enters(ingress))


def _placed_layer(
    name: str, node: Node, reads: tuple[str, ...], inputs: tuple[Tensor, ...], schema: Schema, tried: Tried | None
) -> Placed | None:
    """Any other node; ``None`` where all that it reads drops out."""
    if not inputs:
        return None
    if len(inputs) < len(node.inputs) and node.layer.takes[1] is not None:
        raise ShapeError("it needs all its tensors, and one of them begins with an ingress that dropped out")
    made = tried(node.layer, inputs) if node.layer.kind == "fn" and tried else node.layer.tensor(inputs, schema)
    return Placed(name, node.layer, reads, inputs, made)


def _told(name: str, node: Node, reads: Sequence[str], inputs: Sequence[Tensor], error: str) -> str:
    got = ", ".join(f"{tensor} from {read!r}" for tensor, read in zip(inputs, reads, strict=True))
    kind = "" if name == node.layer.kind else f" ({node.layer.kind})"
    return f"node {name!r}{kind}: {error}{f'; it gets {got}' if got else ''}"


def _named(graph: Graph, start: str) -> Graph:
    """Names that tell the nodes of one copy from those of others."""
    names = {id(node): name for name, node in graph.nodes}
    made: dict[int, Node] = {id(INPUT): INPUT}
    for _, node in graph.nodes:
        made[id(node)] = Node(node.layer, tuple(made[id(each)] for each in node.inputs), start + names[id(node)])
    return Graph(tuple(made[id(node)] for node in graph.outputs))
