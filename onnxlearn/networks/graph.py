"""Graphs of layers, put together by ``>>``: values that can be shared, changed by address, and told as data."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, get_type_hints

from onnxlearn.errors import ParameterError, did_you_mean, listing
from onnxlearn.networks.layer import Layer
from onnxlearn.networks.layers.function import Fn
from onnxlearn.params import REQUIRED, Param, check_value, param
from onnxlearn.registry import learner_info

if TYPE_CHECKING:
    from onnxlearn.learner import Learner

SEPARATOR = "__"
"""Stands between the name of a node and that of its setting, as in scikit-learn's pipelines."""

Operand: TypeAlias = "Graph | Sequence[Graph] | Callable[..., Any]"


@dataclass(frozen=True, eq=False)
class Node:
    """A layer at its place: ``inputs`` are the nodes that it reads. Two nodes are never the same one, whatever they hold."""

    layer: Layer
    inputs: tuple[Node, ...] = ()
    id: str | None = None

    def __reduce__(self) -> Any:
        # What is pickled or copied keeps the one open end that there is.
        return "INPUT" if self is INPUT else (Node, (self.layer, self.inputs, self.id))


@dataclass(frozen=True)
class Open(Layer):
    """The place of what a graph is put behind."""

    kind = "input"
    takes = (0, 0)


# One for all: what a graph is put behind stands in its place everywhere.
INPUT = Node(Open())


@dataclass(frozen=True)
class Setting:
    """A setting of a node: its address in the graph, the kind of layer, what it is called there, and its value.

    ``choices``: the values that this node can have; none: what its type says. ``within``: other settings, by their addresses,
    with the values beside which this one counts: it may be of a branch.
    """

    address: str
    layer: type[Layer]
    name: str
    value: Any
    choices: tuple[str, ...] = ()
    within: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def below(self, name: str, within: Mapping[str, str] | None = None) -> Setting:
        """The same with an address that begins with a name; ``within`` stands where that name does."""
        inner = {f"{name}{SEPARATOR}{key}": value for key, value in self.within.items()}
        return dataclasses.replace(self, address=f"{name}{SEPARATOR}{self.address}", within={**(within or {}), **inner})

    @property
    def param(self) -> Param:
        """Type, value as the default, range and meaning."""
        found = next(param for param in self.layer.params() if param.name == self.name)
        told = " | ".join(self.choices) or found.type
        return dataclasses.replace(found, name=self.address, default=self.value, type=told, when=self._when)

    @property
    def field(self) -> tuple[str, Any, Any]:
        """Name, type and field of a dataclass that holds it."""
        field = next(field for field in dataclasses.fields(self.layer) if field.name == self.name)
        about = {**field.metadata, "when": self._when}
        about |= {"choices": dict.fromkeys(self.choices)} if self.choices else {}
        return self.address, get_type_hints(self.layer)[self.name], param(self.value, **about)

    @property
    def _when(self) -> Sequence[Mapping[str, Any]]:
        """Where it counts, by addresses."""
        when = next(field.metadata["when"] for field in dataclasses.fields(self.layer) if field.name == self.name)
        start = self.address.removesuffix(self.name)
        sets = [when] if isinstance(when, Mapping) else when
        beside = [{**self.within, **{start + name: value for name, value in each.items()}} for each in sets or [{}]]
        return beside if any(beside) else ()


@dataclass(frozen=True, eq=False)
class Graph:
    """One or more nodes that give tensors, with all that they read.

    ``a >> b`` puts ``b`` behind ``a``; ``[a, b] >> c`` gives ``c`` what both give; ``a >> [b, c]`` gives both what ``a`` gives.
    A function of tensors may stand for a graph behind another one. A graph that begins with an ingress is whole; others are
    parts, to be put behind something, as often as wanted.

    >>> from onnxlearn.networks import ingress, nn
    >>> x = ingress.num() >> nn.linear(8)
    >>> net = [x, x >> nn.relu() >> nn.linear(8)] >> nn.merge_sum() >> nn.head()
    >>> [name for name, _ in net.nodes]
    ['num', 'linear', 'relu', 'linear_2', 'merge_sum', 'head']
    >>> net.replace(linear_2__bias=False).settings["linear_2__bias"]
    False
    """

    outputs: tuple[Node, ...]

    @classmethod
    def of(cls, layer: Layer, id: str | None = None) -> Graph:
        """A layer behind an open end, or by itself where it takes nothing.

        Raises: ParameterError for a name that a node cannot have.
        """
        if id is not None:
            require_name(id, "a node")
        return cls((Node(layer, () if layer.begins else (INPUT,), id),))

    @property
    def is_open(self) -> bool:
        """Whether something has to stand before it."""
        return INPUT in self._walk()

    @property
    def nodes(self) -> list[tuple[str, Node]]:
        """Every node with its name, each behind those that it reads.

        Raises: ParameterError where two were given the same name.
        """
        nodes = [node for node in self._walk() if node is not INPUT]
        given = Counter(node.id for node in nodes if node.id is not None)
        if twice := [name for name, count in given.items() if count > 1]:
            raise ParameterError(f"two nodes are called {twice[0]!r}: give one of them another id")
        return list(zip(_names(nodes, given), nodes, strict=True))

    @property
    def begins(self) -> bool:
        """Whether it begins with columns, of the task or of steps of preprocessing that it is put behind."""
        return not self.is_open

    @property
    def gives_columns(self) -> bool:
        """Whether columns come out of it, which an ingress makes tensors of."""
        return any(node.layer.gives_columns for node in self.outputs)

    def behind(self, before: Graph) -> Graph:
        """The graph with another one at its open end, or with steps of preprocessing before what it begins with.

        Raises: ParameterError where it has none.
        """
        if self.begins and not before.gives_columns:
            first = next(node.layer.kind for node in self._walk())
            raise ParameterError(
                f"only steps of preprocessing can stand before a graph that begins with {first}, not "
                f"{before.outputs[0].layer.kind}"
            )
        at_start = before.outputs if self.begins else ()
        return self._rebuilt(lambda node: node.layer, at_input=before.outputs, at_start=at_start)

    def __rshift__(self, other: Operand) -> Graph:
        return as_graph(other).behind(self)

    def __rrshift__(self, other: Operand) -> Graph:
        return self.behind(as_graph(other))

    @property
    def settings(self) -> dict[str, Any]:
        """The values of all settings by their addresses: ``node__setting``, inside of a block ``block__node__setting``."""
        return {setting.address: setting.value for setting in self.all_settings()}

    @property
    def params(self) -> tuple[Param, ...]:
        """Every setting by its address, with its type, its value here as the default, range and meaning."""
        return tuple(setting.param for setting in self.all_settings())

    def replace(self, **settings: Any) -> Graph:
        """A copy with other values of some settings.

        Raises: ParameterError for an address or a value that cannot be.
        """
        known = self.settings
        for address in settings:
            if address not in known:
                hint = did_you_mean(address, known, likeness=0.6) or f" It has {listing(sorted(known), 40)}."
                raise ParameterError(f"the graph has no setting {address!r}.{hint}")
        names = {id(node): name for name, node in self.nodes}

        def changed(node: Node) -> Layer:
            start = names.get(id(node), "") + SEPARATOR
            mine = {key.removeprefix(start): value for key, value in settings.items() if key.startswith(start)}
            return replaced(node.layer, mine) if mine else node.layer

        return self._rebuilt(changed, at_input=(INPUT,))

    def all_settings(self) -> Iterator[Setting]:
        """Every setting of every node, also of those in graphs that nodes hold."""
        for name, node in self.nodes:
            for inner in settings_of(node.layer):
                yield inner.below(name)

    def as_learner(self, **params: Any) -> Learner:
        """Learner ``graph`` around this graph, which :func:`onnxlearn.learner` asks for."""
        return learner_info("graph").load()(graph=self, **params)

    def _walk(self) -> list[Node]:
        """All nodes once, each behind its inputs, in the order in which they were put together."""
        seen: dict[int, Node] = {}

        def visit(node: Node) -> None:
            if id(node) not in seen:
                for each in node.inputs:
                    visit(each)
                seen[id(node)] = node

        for node in self.outputs:
            visit(node)
        return list(seen.values())

    def _rebuilt(self, layer_of: Callable[[Node], Layer], at_input: tuple[Node, ...], at_start: tuple[Node, ...] = ()) -> Graph:
        made: dict[int, tuple[Node, ...]] = {id(INPUT): at_input}
        for node in self._walk():
            if node is INPUT:
                continue
            begins = at_start if node.layer.takes != (0, 0) else ()
            inputs = tuple(new for old in node.inputs for new in made[id(old)]) if node.inputs else begins
            layer = layer_of(node)
            _require_count(layer, inputs)
            made[id(node)] = (node,) if inputs == node.inputs and layer is node.layer else (Node(layer, inputs, node.id),)
        return Graph(tuple(new for old in self.outputs for new in made[id(old)]))

    def __repr__(self) -> str:
        return f"Graph({' '.join(name for name, _ in self.nodes)})"

    def __str__(self) -> str:
        """A line for each node: its name, its kind and settings, what it reads."""
        names = {id(INPUT): "...", **{id(node): name for name, node in self.nodes}}
        reads = {name: ", ".join(names[id(each)] for each in node.inputs) for name, node in self.nodes}
        return table([name, call_of(node.layer), f"< {reads[name]}" if reads[name] else ""] for name, node in self.nodes)


def require_name(name: str, what: str) -> None:
    """Raise ParameterError where something cannot be called so."""
    if not name.isidentifier() or SEPARATOR in name or name.startswith("_") or name.endswith("_"):
        raise ParameterError(
            f"{what} cannot be called {name!r}: it has to be a name as in Python, without __ and without _ at an end"
        )


def call_of(layer: Layer) -> str:
    """A layer's kind, with the settings that are not its defaults."""
    told = ", ".join(given_of(layer))
    return f"{layer.kind}({told})" if told else layer.kind


def given_of(layer: Layer) -> list[str]:
    """The settings of a layer that are not its defaults, each with its value."""
    defaults = {param.name: param.default for param in layer.params()}
    given = {name: value for name, value in layer.settings.items() if defaults[name] is REQUIRED or value != defaults[name]}
    return [f"{name}={_short(value)}" for name, value in given.items()]


def graphs_in(layer: Layer) -> list[Graph]:
    """The graphs that a layer holds."""
    values = layer.settings.values()
    return [graph for value in values for graph in ([value] if isinstance(value, Graph) else graphs_of(value).values())]


def graphs_of(value: Any) -> Mapping[str, Graph]:
    """The graphs that a setting holds by name; none of another setting."""
    return value if isinstance(value, Mapping) and all(isinstance(each, Graph) for each in value.values()) else {}


def _expression(node: Node) -> str:
    """What makes a node, as it is written."""
    call = call_of(node.layer)
    before = [_expression(each) for each in node.inputs if each is not INPUT]
    if len(node.inputs) > 1:
        return f"[{', '.join(_expression(each) if each is not INPUT else 'nn.identity()' for each in node.inputs)}] >> {call}"
    return f"{before[0]} >> {call}" if before else call


def _short(value: Any) -> str:
    if isinstance(value, Graph):
        return ", ".join(_expression(node) for node in value.outputs)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_short(each)}" for name, each in value.items()) + "}"
    return str(getattr(value, "__qualname__", None) or repr(value))


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of equally many cells, below each other."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed)


def as_graph(what: Operand) -> Graph:
    """A graph as it is, a list of graphs side by side, a layer by itself, a function as a node.

    Raises: ParameterError.
    """
    if isinstance(what, Graph):
        return what
    if isinstance(what, list | tuple):
        if not what:
            raise ParameterError("an empty list gives nothing: give it graphs that stand side by side")
        return Graph(tuple(node for part in what for node in as_graph(part).outputs))
    if isinstance(what, Layer):
        return Graph.of(what)
    if callable(what):
        return Graph.of(Fn(what))
    raise ParameterError(f"only graphs, lists of graphs and functions stand around >>, not {what!r}")


def settings_of(layer: Layer) -> Iterator[Setting]:
    """The settings of a layer, and of graphs that it holds."""
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, Graph):
            yield from value.all_settings()
        elif graphs := graphs_of(value):
            for name, graph in graphs.items():
                for inner in graph.all_settings():
                    yield inner.below(name, {"choose": name} if layer.choices("choose") else {})
        else:
            yield Setting(field.name, type(layer), field.name, value, layer.choices(field.name))


def replaced(layer: Layer, settings: Mapping[str, Any]) -> Layer:
    """A layer with other values of some settings, by the addresses of :func:`settings_of`."""
    own = {field.name for field in dataclasses.fields(layer)}
    changes: dict[str, Any] = {name: check_value(type(layer), name, value) for name, value in settings.items() if name in own}
    inner = {name: value for name, value in settings.items() if name not in own}
    for name, value in layer.settings.items():
        if inner and isinstance(value, Graph):
            changes[name] = value.replace(**inner)
        elif inner and (graphs := graphs_of(value)):
            changes[name] = {key: _inside(graph, key, inner) for key, graph in graphs.items()}
    return dataclasses.replace(layer, **changes)


def _inside(graph: Graph, name: str, settings: Mapping[str, Any]) -> Graph:
    start = name + SEPARATOR
    mine = {key.removeprefix(start): value for key, value in settings.items() if key.startswith(start)}
    return graph.replace(**mine) if mine else graph


def _names(nodes: Sequence[Node], given: Mapping[str, int]) -> Iterator[str]:
    """Of each node: the name that it was given, or its kind with a number from the second one on."""
    counts: Counter[str] = Counter()
    for node in nodes:
        if node.id is not None:
            yield node.id
            continue
        kind = node.layer.kind
        counts[kind] += 1
        while (name := kind if counts[kind] == 1 else f"{kind}_{counts[kind]}") in given:
            counts[kind] += 1
        yield name


def _require_count(layer: Layer, inputs: Sequence[Node]) -> None:
    least, most = (0, 1) if layer.begins else layer.takes
    if len(inputs) < least or (most is not None and len(inputs) > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise ParameterError(
            f"{layer.kind} takes {wanted} tensor{'' if wanted == '1' else 's'}, and {len(inputs)} come from before it: "
            "put them together by nn.merge_sum(), nn.merge_prod() or nn.merge_cat()"
        )
