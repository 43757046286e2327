"""Learner ``graph``: a network put together of layers, whose settings are parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from onnxlearn.errors import DataError, ParameterError, did_you_mean, listing
from onnxlearn.networks.data import graph_to_dict
from onnxlearn.networks.draw import svg, told
from onnxlearn.networks.graph import Graph
from onnxlearn.networks.groups import grouped, require_columns, require_effect, steps_of
from onnxlearn.networks.layers.ingress import Cat, ColumnEntry, Num
from onnxlearn.networks.shapes import cat_encoding, has, place, unfold
from onnxlearn.networks.tensor import Tensor as Sized
from onnxlearn.params import param
from onnxlearn.preprocess.config import COLUMN_KINDS, ColumnsConfig, PreprocessConfig
from onnxlearn.preprocess.plan import numeric_feature, plan_ingress
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn.tuning.ranges import Domain, Size, require_size
from onnxlearn_models.graphs.network import build_graph, tried
from onnxlearn_models.network_learner import NetworkLearner, shared_with
from onnxlearn_models.spaces import space_of_graph
from onnxlearn_models.training.config import plain
from onnxlearn_models.training.objective import choose_head


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """The graph; the settings of its nodes stand beside it."""

    graph: Graph | None = param(None, "the network as a graph of layers, such as ingress.num() >> nn.linear(64) >> nn.head()")


def build_network(schema: Schema, config: GraphConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator.

    Raises: ParameterError naming the node that does not fit.
    """
    return build_graph(_graph_of(config), schema)


class GraphLearner(NetworkLearner):
    """Learner ``graph``."""

    name: ClassVar[str] = "graph"
    architecture = staticmethod(build_network)
    architecture_config = GraphConfig
    preprocess_config = ColumnsConfig

    def __init__(self, **params: Any) -> None:
        params = plain(params)
        graph = params.get("graph")
        if isinstance(graph, Graph):
            self.config_types = (_config_of(graph), *shared_with(ColumnsConfig))
            given = {name: value for name, value in params.items() if name in graph.settings}
            # What cannot be is refused with the other parameters.
            with contextlib.suppress(ParameterError):
                self.defaults = {"cat_encoding": cat_encoding(unfold(graph.replace(**given)))}
        super().__init__(**params)

    @property
    def graph(self) -> Graph:
        """The graph, with the settings that were given to its nodes. Raises: ParameterError without one."""
        return _graph_of(self.configs[0])

    def shapes(self, task: Task) -> dict[str, Sized]:
        """What comes out of each node that gives a tensor for a task, by the names of the unfolded graph.

        >>> import onnxlearn as ol
        >>> net = ol.learner(ol.ingress.num() >> ol.nn.linear(8) >> ol.nn.head())
        >>> {name: str(tensor) for name, tensor in net.shapes(ol.example_task("iris")).items()}
        {'num': '[N, 4]', 'linear': '[N, 8]', 'head': '[N, 3]'}

        Raises: ParameterError naming the node that does not fit, DataError.
        """
        config = self.choose_preprocessing(self.configs[1], task.schema, task.n_rows)
        schema = dataclasses.replace(task.schema, ingress=plan_ingress(task.schema, config))
        head = choose_head(task.schema.target, self.configs[3], self.configs[2])
        return {node.name: node.output for node in place(self.graph, schema.for_network(head.width), tried)}

    def told(self, task: Task) -> str:
        """The network for a task as text: a line for each node, with the shape or the columns that come out of it.

        >>> import onnxlearn as ol
        >>> print(ol.learner(ol.ingress.num() >> ol.nn.head()).told(ol.example_task("iris")))
        num   num   [N, 4]
        head  head  [N, 3]  < num

        Raises: as :meth:`shapes`.
        """
        return told(self.graph, task.schema, self.shapes(task))

    def svg(self, task: Task) -> str:
        """The network for a task as a picture, SVG. Raises: as :meth:`shapes`."""
        return svg(self.graph, task.schema, self.shapes(task))

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """As of every learner: of its nodes those settings that change no shape of what is merged."""
        require_size(size)
        return space_of_graph(self.graph, size)

    def to_dict(self) -> dict[str, Any]:
        """As of every learner; the graph has the settings that its nodes were given."""
        told = super().to_dict()
        if self.configs[0].graph is not None:
            told["params"]["graph"] = graph_to_dict(self.graph)
        return told

    def may_bring(self, name: str) -> bool:
        """Whether it may be a setting of another graph's nodes."""
        return "__" in name or super().may_bring(name)

    def choose_preprocessing(self, config: PreprocessConfig, schema: Schema, n_rows: int) -> PreprocessConfig:
        """Give columns the steps that the graph has for them; refuse those that enter by none of its ingresses."""
        del n_rows
        graph = unfold(self.graph)
        require_columns(graph)
        entries = [(name, node.layer) for name, node in graph.nodes if isinstance(node.layer, ColumnEntry)]
        for name, entry in entries:
            known = [column.name for column in schema.features if column.kind == entry.kind]
            if entry.column is not None and entry.column not in known:
                hint = did_you_mean(entry.column, known) or f" There are {listing(known)}."
                raise DataError(f"node {name!r}: the task has no column {entry.column!r} of kind {entry.kind}.{hint}")
        if steps_of(graph):
            usual = {each.name: each.default for each in self.params}
            require_effect(graph, {name: value for name, value in self.given.items() if value != usual[name]})
            return grouped(graph, config, schema)
        ingress = plan_ingress(schema, config)
        flags = {f"{column.name}:missing": column.kind for column in schema.of_kind(*COLUMN_KINDS)}
        if ingress.n_num and flags.keys() >= set(ingress.num_names) and not has(graph, Num):
            flag = ingress.num_names[0]
            raise DataError(
                f"the graph has no ingress.num(), by which {flag!r} would enter, that tells where the {flags[flag]} is "
                "missing: add it, or set missing_indicator=False"
            )
        for n, kind, name in ((ingress.n_num, Num, "num"), (ingress.n_cat, Cat, "cat")):
            if n and not has(graph, kind):
                column = numeric_feature(schema, ingress) if name == "num" else ingress.cat_names[0]
                raise DataError(
                    f"the graph has no ingress.{name}(), by which column {column!r} would enter: add it, or give the task "
                    f"ignore=[{column!r}]"
                )
        for own in ingress.columns:
            if not any(entry.kind == own.kind and entry.column in (None, own.column) for _, entry in entries):
                raise DataError(
                    f"the graph has no ingress.{own.kind}({own.column!r}), by which that column would enter: add it, or "
                    f"give the task ignore=[{own.column!r}]"
                )
        return config


def _graph_of(config: Any) -> Graph:
    """The graph with the settings that its nodes were given. Raises: ParameterError without one."""
    if config.graph is None:
        raise ParameterError("learner 'graph' needs a graph, such as ol.learner(ingress.num() >> nn.linear(64) >> nn.head())")
    graph: Graph = config.graph
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "graph"}
    return graph.replace(**values)


# Every learner makes one, also every copy of a learner.
@functools.lru_cache(maxsize=64)
def _config_of(graph: Graph) -> type:
    """A dataclass with a field for each setting of a graph."""
    fields = [setting.field for setting in graph.all_settings()]
    return dataclasses.make_dataclass("NodesConfig", fields, bases=(GraphConfig,), frozen=True, kw_only=True)
