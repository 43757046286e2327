"""Nodes that hold graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxlearn.errors import ParameterError, listing
from onnxlearn.named import reason
from onnxlearn.networks.graph import Graph, as_graph, require_name
from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import REQUIRED, param


class Structure(Layer):
    """A node that graphs stand in the place of."""

    takes = (1, None)

    def unfolded(self) -> list[tuple[str, Graph]]:
        """The graphs, one behind the other, each with what stands before the names of its nodes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Block(Structure):
    """A graph several times, one behind the other.

    ``tweak``: a function of a copy's number, from 0, that gives the settings in which this copy differs, by their addresses.
    """

    kind = "block"

    graph: Graph = param(REQUIRED, "the graph")
    n_blocks: int = param(1, "how often", low=0)
    tweak: Callable[..., Any] | None = param(None, "what is different in each copy: a function of its number, from 0")

    def __post_init__(self) -> None:
        given: Any = self.graph
        if given is not REQUIRED:
            object.__setattr__(self, "graph", as_graph(given))
        super().__post_init__()
        if not self.graph.is_open:
            raise ParameterError("block: its graph begins with columns, and has to take tensors: put these before the block")

    def unfolded(self) -> list[tuple[str, Graph]]:
        """The copies."""
        return [(f"{i + 1}_", self._copy(i)) for i in range(self.n_blocks)]

    def _copy(self, i: int) -> Graph:
        if self.tweak is None:
            return self.graph
        try:
            changes = self.tweak(i)
            if not isinstance(changes, Mapping):
                raise ParameterError(f"it has to give a dict of settings, not {changes!r}")
            return self.graph.replace(**changes)
        except ParameterError as error:
            raise ParameterError(f"block: tweak({i}): {error}") from None
        except Exception as error:
            raise ParameterError(f"block: tweak({i}) fails with {reason(error)}") from error


def _option(name: str, what: Any) -> Graph:
    try:
        return as_graph(what)
    except ParameterError:
        raise ParameterError(f"choice: option {name!r} has to be a graph, a list or a function, not {what!r}") from None


@dataclass(frozen=True)
class Choice(Structure):
    """One of several graphs, by name."""

    kind = "choice"

    options: Mapping[str, Any] = param(REQUIRED, "graphs by name")
    choose: str = param(REQUIRED, "the name of the one to take")

    def __post_init__(self) -> None:
        if isinstance(self.options, Mapping):
            # What happens to the caller's own dict later must not change this.
            object.__setattr__(self, "options", {name: _option(name, graph) for name, graph in self.options.items()})
        super().__post_init__()
        if len({(graph.begins, graph.gives_columns) for graph in self.options.values()}) > 1:
            raise ParameterError(
                "choice: all of its options have to take columns, or all a tensor, and to give the same; the option that does "
                "nothing is prep.select() for columns, nn.identity() for tensors"
            )
        for name in self.options:
            require_name(name, "an option of a choice")
        if self.choose not in self.options:
            raise ParameterError(f"choice: choose={self.choose!r} has to be one of its options, {listing(self.options)}")

    def choices(self, setting: str) -> tuple[str, ...]:
        """Its options."""
        return tuple(self.options) if setting == "choose" else ()

    @property
    def begins(self) -> bool:
        """Whether its options begin with columns."""
        return self._chosen.begins

    @property
    def gives_columns(self) -> bool:
        """Whether columns come out of its options."""
        return self._chosen.gives_columns

    @property
    def _chosen(self) -> Graph:
        found: Graph = self.options[self.choose]
        return found

    def unfolded(self) -> list[tuple[str, Graph]]:
        """The one that is chosen."""
        return [(f"{self.choose}_", self._chosen)]


@dataclass(frozen=True)
class Shared(Layer):
    """What comes out of another node of the graph, by the name that it was given: read inside of a block or a branch."""

    kind = "shared"
    takes = (0, 0)

    node: str = param(REQUIRED, "the id of the node, which stands outside of blocks and branches")

    @property
    def begins(self) -> bool:
        """It reads nothing that stands before it."""
        return True

    def shape(self, *inputs: Tensor) -> Tensor:
        """The node that it stands for takes its place before shapes are asked for."""
        del inputs
        raise ShapeError(f"there is no node {self.node!r}")
