"""Graphs as plain data: to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from onnxlearn.errors import DataError, OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.named import named_object
from onnxlearn.networks.graph import INPUT, Graph, Node
from onnxlearn.networks.layer import Layer
from onnxlearn.networks.nn import LAYERS
from onnxlearn.params import read_by, to_json

OPEN = "input"
"""What the open end of a graph is called."""


@to_json.register(Graph)
def graph_to_dict(graph: Graph) -> dict[str, Any]:
    """Nodes with their names, kinds, settings and what they read, and the names of the last ones; functions by their names.

    >>> from onnxlearn.networks import ingress, nn
    >>> told = graph_to_dict(ingress.num() >> nn.head())
    >>> told["nodes"][1]
    {'id': 'head', 'kind': 'head', 'reads': ['num'], 'settings': {'bias': True}}
    >>> graph_to_dict(graph_from_dict(told)) == told
    True
    """
    names = {id(INPUT): OPEN, **{id(node): name for name, node in graph.nodes}}
    nodes = [
        {"id": name, "kind": node.layer.kind, "reads": [names[id(each)] for each in node.inputs],
         "settings": {key: to_json(value) for key, value in node.layer.settings.items()}}
        for name, node in graph.nodes
    ]  # fmt: skip
    return {"nodes": nodes, "ends": [names[id(node)] for node in graph.outputs]}


def graph_from_dict(told: Mapping[str, Any]) -> Graph:
    """Inverse of :func:`graph_to_dict`.

    Raises: ParameterError where it tells of no graph, naming the node.
    """
    if not isinstance(told, Mapping) or not (isinstance(told.get("nodes"), list) and isinstance(told.get("ends"), list)):
        raise ParameterError("a graph is told by an object with the lists 'nodes' and 'ends', and this is none")
    made: dict[str, Node] = {OPEN: INPUT}
    for i, node in enumerate(told["nodes"]):
        if not isinstance(node, Mapping) or not {"id", "kind", "reads", "settings"} <= node.keys():
            raise ParameterError(
                f"node {i + 1} of a graph is an object with 'id', 'kind', 'reads' and 'settings', and this is none"
            )
        try:
            made[node["id"]] = _node(node, made)
        except (OnnxlearnError, TypeError, AttributeError) as error:
            raise ParameterError(f"node {node['id']!r}: {error}") from error
    if unknown := [name for name in told["ends"] if not isinstance(name, str) or name not in made]:
        raise ParameterError(f"the graph ends in {unknown[0]!r}, which is none of its nodes")
    return Graph(tuple(made[name] for name in told["ends"]))


def _node(node: Mapping[str, Any], made: Mapping[str, Node]) -> Node:
    if unknown := [name for name in node["reads"] if name not in made]:
        raise ParameterError(f"it reads {unknown[0]!r}, which is none of the nodes before it")
    return Node(_layer(node["kind"], node["settings"]), tuple(made[name] for name in node["reads"]), node["id"])


def read_graph(path: str | os.PathLike[str]) -> Graph:
    """A graph from a JSON file. Raises: DataError, ParameterError."""
    try:
        return graph_from_dict(json.loads(Path(path).read_text("utf-8")))
    except OSError as error:
        raise DataError(f"cannot read a graph from {str(path)!r}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"cannot read a graph from {str(path)!r}: it holds no JSON ({error})") from error


@read_by(Graph)
def graph_of(told: str | os.PathLike[str] | Mapping[str, Any]) -> Graph:
    """The graph of a file, or of what one holds. Raises: DataError, ParameterError."""
    return graph_from_dict(told) if isinstance(told, Mapping) else read_graph(told)


def _layer(kind: str, settings: Mapping[str, Any]) -> Layer:
    if kind not in LAYERS:
        raise UnknownNameError.of("layer", kind, LAYERS)
    layer = LAYERS[kind]
    unknown = settings.keys() - {field.name for field in dataclasses.fields(layer)}
    if unknown:
        raise ParameterError(f"a layer {kind!r} has no setting {sorted(unknown)[0]!r}")
    hints = get_type_hints(layer)
    return layer(**{name: _value(hints[name], value) for name, value in settings.items()})


def _value(hint: Any, value: Any) -> Any:
    if hint is Graph:
        return graph_from_dict(value)
    if isinstance(value, Mapping) and all(isinstance(each, Mapping) for each in value.values()):
        return {name: graph_from_dict(each) for name, each in value.items()}
    if isinstance(value, str) and "Callable" in str(hint):
        return named_object(value)
    return value
