"""Where a graph begins: the tensors that preprocessing makes of a task's columns.

>>> from onnxlearn.networks import ingress, nn
>>> ingress.num() >> nn.linear(8) >> nn.head()
Graph(num linear head)
"""

from __future__ import annotations

from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layers.ingress import Cat, Num


def num(*, id: str | None = None) -> Graph:
    """Numbers float32 ``[N, n_num]``: numeric columns, parts of dates, flags, ranks and one-hot columns."""
    return Graph.of(Num(), id)


def cat(*, id: str | None = None) -> Graph:
    """Codes of categorical columns int64 ``[N, n_cat]``."""
    return Graph.of(Cat(), id)
