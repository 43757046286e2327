"""Where a graph begins: the tensors that preprocessing makes of a task's columns.

>>> from onnxlearn.networks import ingress, nn
>>> ingress.num() >> nn.linear(8) >> nn.head()
Graph(num linear head)
"""

from __future__ import annotations

from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layers.ingress import Cat, Image, Num, Text


def num(*, optional: bool = False, id: str | None = None) -> Graph:
    """Numbers float32 ``[N, n_num]``: numeric columns, parts of dates, flags, ranks and one-hot columns.

    ``optional``: where a task has none it drops out, with all nodes that read it alone; merges take what is left.
    """
    return Graph.of(Num(optional), id)


def cat(*, optional: bool = False, id: str | None = None) -> Graph:
    """Codes of categorical columns int64 ``[N, n_cat]``; ``optional`` as in :func:`num`."""
    return Graph.of(Cat(optional), id)


def image(column: str | None = None, *, optional: bool = False, id: str | None = None) -> Graph:
    """A column of images float32 ``[N, C, h, w]``: resized, cut and scaled as ``image_height`` and its kin say.

    ``column``: its name, not needed where the task has one such column. With a frozen network in front of it
    (``image_extractor``) it is what that gives, ``[N, d]``. ``optional`` as in :func:`num`.
    """
    return Graph.of(Image(optional, column), id)


def text(column: str | None = None, *, optional: bool = False, id: str | None = None) -> Graph:
    """A column of texts: ids of words int64 ``[N, L]``, or with ``text_form="tfidf"`` float32 ``[N, V]``.

    ``column``: its name, not needed where the task has one such column. ``optional`` as in :func:`num`.
    """
    return Graph.of(Text(optional, column), id)
