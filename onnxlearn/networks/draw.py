"""Graphs as text, as Mermaid's text, and as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TypeAlias

from onnxlearn.networks.graph import INPUT, Graph, call_of, given_of, table
from onnxlearn.networks.groups import columns_at, steps_of
from onnxlearn.networks.layer import Layer
from onnxlearn.networks.shapes import place, unfold
from onnxlearn.networks.tensor import Tensor
from onnxlearn.schema import Schema

FONT = 'font-family="system-ui, sans-serif" font-size="13"'
END = (
    '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>'
)
# Pixels of a box, and between boxes.
WIDTH, HEIGHT, GAP_X, GAP_Y = 190, 46, 28, 34


def told(graph: Graph, schema: Schema, shapes: Mapping[str, Tensor] | None = None) -> str:
    """A line for each node of the unfolded graph: name, kind and settings, the shape or columns that come out, what it reads.

    ``shapes``: those of a learner (``learner.shapes(task)``), which knows its own settings and the user's functions; without
    them they are those of the settings by default.

    >>> import onnxlearn as ol
    >>> net = ol.ingress.num() >> ol.nn.linear(8, id="wide") >> ol.nn.head()
    >>> print(told(net, ol.example_task("iris").schema))
    num   num              [N, 4]
    wide  linear(d_out=8)  [N, 8]  < num
    head  head             [N, 3]  < wide
    """
    return table(
        [name, call_of(node.layer), node.gives, f"< {', '.join(node.reads)}" if node.reads else ""]
        for name, node in _seen(graph, schema, shapes).items()
    )


@dataclass(frozen=True)
class Seen:
    """A node of the unfolded graph: what it reads, and what it gives, as text."""

    layer: Layer
    reads: tuple[str, ...]
    gives: str


def _seen(graph: Graph, schema: Schema, shapes: Mapping[str, Tensor] | None) -> dict[str, Seen]:
    """Steps of preprocessing and tensors by name, in the order of the graph."""
    flat = unfold(graph)
    names = {id(node): name for name, node in flat.nodes}
    if shapes is None:
        placed = {node.name: Seen(node.layer, node.reads, str(node.output)) for node in place(graph, schema)}
    else:
        layers = {name: node.layer for name, node in flat.nodes}
        there = {name for name, layer in layers.items() if name in shapes or layer.gives_columns}
        reads = {name: tuple(each for old in node.inputs if (each := names[id(old)]) in there) for name, node in flat.nodes}
        placed = {name: Seen(layers[name], reads[name], str(tensor)) for name, tensor in shapes.items()}
    steps = {
        name: Seen(node.layer, tuple(names[id(each)] for each in node.inputs), _columns(flat, name, schema))
        for name, node in steps_of(flat)
    }
    return {name: steps[name] if name in steps else placed[name] for name in names.values() if name in (steps | placed)}


def _columns(graph: Graph, step: str, schema: Schema) -> str:
    """How many columns come out of a step, or which, where it selects a few."""
    columns = [column.name for column in columns_at(graph, step, schema)]
    selects = dict(graph.nodes)[step].layer.kind == "select"
    return ", ".join(columns) if selects and len(columns) < 4 else f"{len(columns)} column{'s' * (len(columns) != 1)}"


def mermaid(graph: Graph) -> str:
    """The graph as a flowchart in Mermaid's language.

    >>> import onnxlearn as ol
    >>> print(mermaid(ol.ingress.num() >> ol.nn.head()))
    flowchart TD
        n_num["num"]
        n_head["head"]
        n_num --> n_head
    """
    # Some names, such as end, are words of Mermaid's.
    names = {key: f"n_{name}" for key, name in _names(graph).items()}
    boxes = [f'    {names[id(node)]}["{_quoted(_title(name, node.layer))}"]' for name, node in graph.nodes]
    if graph.is_open:
        boxes.insert(0, f'    {names[id(INPUT)]}(["..."])')
    arrows = [f"    {names[id(each)]} --> {names[id(node)]}" for _, node in graph.nodes for each in node.inputs]
    return "\n".join(["flowchart TD", *boxes, *arrows])


def svg(graph: Graph, schema: Schema | None = None, shapes: Mapping[str, Tensor] | None = None) -> str:
    """The graph as a picture, inputs at the top; with a schema each box tells the shape that comes out.

    ``shapes``: as of :func:`told`.
    """
    reads, lines = _boxes(graph, schema, shapes)
    places, ways = _places(*_levels(reads))
    width = max(x for x, _ in places.values()) + WIDTH + GAP_X
    height = max(y for _, y in places.values()) + HEIGHT + GAP_Y
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" {FONT}>',
        END,
        *(_arrow([places[each] for each in way]) for way in ways),
        *(_box(places[name], *lines[name]) for name in reads),
        "</svg>",
    ])  # fmt: skip


def _names(graph: Graph) -> dict[int, str]:
    return {id(INPUT): "input", **{id(node): name for name, node in graph.nodes}}


def _title(name: str, layer: Layer) -> str:
    call = call_of(layer)
    return call if name == layer.kind else f"{name}: {call}"


def _quoted(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _boxes(
    graph: Graph, schema: Schema | None, shapes: Mapping[str, Tensor] | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, str]]]:
    """What each box reads, and its two lines of text."""
    if schema is not None:
        seen = _seen(graph, schema, shapes)
        # What does not fit is cut off at the end.
        called = {name: _called(name, node.layer) for name, node in seen.items()}
        lines = {name: (called[name], " ".join([node.gives, *given_of(node.layer)])) for name, node in seen.items()}
        return {name: node.reads for name, node in seen.items()}, lines
    names = _names(graph)
    reads: dict[str, tuple[str, ...]] = {names[id(INPUT)]: ()} if graph.is_open else {}
    reads |= {name: tuple(names[id(each)] for each in node.inputs) for name, node in graph.nodes}
    lines = {name: (_called(name, node.layer), " ".join(given_of(node.layer))) for name, node in graph.nodes}
    return reads, {names[id(INPUT)]: ("...", ""), **lines}


def _called(name: str, layer: Layer) -> str:
    return name if layer.kind in name else f"{name} ({layer.kind})"


Levels: TypeAlias = list[list[str]]
Ways: TypeAlias = list[list[str]]


def _levels(reads: Mapping[str, Sequence[str]]) -> tuple[Levels, Ways]:
    """Names by how many boxes stand above at least, and the way from each box to each that reads it.

    A way that passes levels has a place of its own on each of them, so that it goes around boxes.
    """
    depth: dict[str, int] = {}
    for name, above in reads.items():
        depth[name] = 1 + max((depth[each] for each in above), default=-1)
    levels: Levels = [[name for name in reads if depth[name] == level] for level in range(max(depth.values()) + 1)]
    ways: Ways = []
    for name, above in reads.items():
        for each in dict.fromkeys(above):
            passed = [f"{each} to {name} at {level}" for level in range(depth[each] + 1, depth[name])]
            for level, at in enumerate(passed, depth[each] + 1):
                levels[level].append(at)
            ways.append([each, *passed, name])
    return levels, ways


def _places(levels: Levels, ways: Ways) -> tuple[dict[str, tuple[int, int]], Ways]:
    """Corners: each level in the middle, its boxes in the order of those that they read; and the ways as they were."""
    widest = max(map(len, levels))
    above: dict[str, list[str]] = {}
    for way in ways:
        for start, end in pairwise(way):
            above.setdefault(end, []).append(start)
    column: dict[str, float] = {}
    places = {}
    for i, level in enumerate(levels):
        middles = {name: _mean([column[each] for each in above.get(name, [])]) for name in level}
        for j, name in enumerate(sorted(level, key=middles.__getitem__)):
            column[name] = j + (widest - len(level)) / 2
            places[name] = (round(GAP_X + column[name] * (WIDTH + GAP_X)), GAP_Y + i * (HEIGHT + GAP_Y))
    return places, ways


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _arrow(corners: Sequence[tuple[int, int]]) -> str:
    """From the lower edge of the first place to the upper edge of the last, straight through those between."""
    (x, y), *rest = [(x + WIDTH // 2, y) for x, y in corners]
    y += HEIGHT
    path = f"M{x} {y}"
    for u, v in rest:
        path += f" C{x} {y + GAP_Y // 2} {u} {v - GAP_Y // 2} {u} {v}"
        x, y = u, v + HEIGHT
        path += f" L{x} {y}" if (u, v) != rest[-1] else ""
    return f'<path d="{path}" fill="none" stroke="#667" stroke-width="1.4" marker-end="url(#end)"/>'


def _box(corner: tuple[int, int], first: str, second: str) -> str:
    x, y = corner
    middle = x + WIDTH // 2
    return (
        f"<g><title>{escape(f'{first} {second}')}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="#eef3fb" stroke="#5b7db1"/>'
        f'<text x="{middle}" y="{y + (20 if second else 28)}" text-anchor="middle" fill="#123">{escape(_cut(first, 26))}</text>'
        f'<text x="{middle}" y="{y + 37}" text-anchor="middle" fill="#456" font-size="11">{escape(_cut(second, 31))}</text></g>'
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
