"""Nodes that hold graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxlearn.errors import ParameterError, listing
from onnxlearn.networks.graph import SEPARATOR, Graph
from onnxlearn.networks.layer import Layer
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
        super().__post_init__()
        if not self.graph.is_open:
            raise ParameterError("block: its graph begins with an ingress, so nothing can stand before it")

    def unfolded(self) -> list[tuple[str, Graph]]:
        """The copies."""
        return [(f"{i + 1}_", self._copy(i)) for i in range(self.n_blocks)]

    def _copy(self, i: int) -> Graph:
        if self.tweak is None:
            return self.graph
        changes = self.tweak(i)
        if not isinstance(changes, Mapping):
            raise ParameterError(f"block: tweak({i}) has to give a dict of settings, not {changes!r}")
        return self.graph.replace(**changes)


@dataclass(frozen=True)
class Choice(Structure):
    """One of several graphs, by name."""

    kind = "choice"

    options: Mapping[str, Any] = param(REQUIRED, "graphs by name")
    choose: str = param(REQUIRED, "the name of the one to take")

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := [name for name, graph in self.options.items() if not isinstance(graph, Graph)]:
            raise ParameterError(f"choice: option {wrong[0]!r} has to be a graph, not {self.options[wrong[0]]!r}")
        if len({(graph.begins, graph.gives_columns) for graph in self.options.values()}) > 1:
            raise ParameterError("choice: all of its options have to take columns, or all a tensor, and to give the same")
        if bad := [name for name in self.options if not name.isidentifier() or SEPARATOR in name or name.startswith("_")]:
            raise ParameterError(f"choice: an option cannot be called {bad[0]!r}: it has to be a name as in Python, without __")
        if self.choose not in self.options:
            raise ParameterError(f"choice: choose={self.choose!r} has to be one of its options, {listing(self.options)}")

        # What happens to the caller's own dict later must not change this.
        object.__setattr__(self, "options", dict(self.options))

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
