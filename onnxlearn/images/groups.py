"""Images of unequal sizes, run in batches of equal ones, with the results in the rows' order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from onnxlearn.session import chunk_rows_of

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def groups_by_size(sizes: Array) -> list[Array]:
    """Positions of rows whose images have the same sizes, each position in one group, ascending within it.

    ``sizes``: int ``[N, 2]``, height and width, or ``[N, 2 k]`` of k columns. Groups come in the order of their first rows.

    >>> [group.tolist() for group in groups_by_size(np.array([[2, 3], [4, 4], [2, 3]]))]
    [[0, 2], [1]]
    """
    unique, first, group_of = np.unique(sizes, axis=0, return_index=True, return_inverse=True)
    if len(unique) == 1:
        return [np.arange(len(sizes))]
    by_group = np.split(np.argsort(group_of.ravel(), kind="stable"), np.cumsum(np.bincount(group_of.ravel()))[:-1])
    return [by_group[i] for i in np.argsort(first)]


def cut(groups: Sequence[Array], sizes: Array, n_channels: int) -> list[Array]:
    """The groups in parts of as many rows as a session on a CPU runs quickest at a time.

    Resized as one batch, 64 images of 256 x 256 pixels take more than twice the time that they take by fours.

    >>> [part.tolist() for part in cut([np.arange(5)], np.full((5, 2), 400), 3)]
    [[0, 1], [2, 3], [4]]
    """
    parts = []
    for rows in groups:
        n = chunk_rows_of(n_channels * int(sizes[rows[0]].reshape(-1, 2).prod(axis=1).sum()))
        parts += [rows[start : start + n] for start in range(0, len(rows), n)]
    return parts


def in_row_order(groups: Sequence[Array], results: Sequence[Array]) -> Array:
    """The results of groups, ``[rows of the group, ...]`` each, as one array ``[N, ...]`` in the order of the rows.

    ``groups``: at least one, from :func:`groups_by_size` or :func:`cut`; without rows there is no group, and nothing to put
    in order.

    >>> groups = groups_by_size(np.array([[2, 3], [4, 4], [2, 3]]))
    >>> in_row_order(groups, [np.array([0.0, 2.0]), np.array([1.0])])
    array([0., 1., 2.])
    """
    together = np.concatenate(results)
    ordered = np.empty_like(together)
    ordered[np.concatenate(groups)] = together
    return ordered
