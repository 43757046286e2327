"""Images of unequal sizes, run in batches of equal ones, with the results in the rows' order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def groups_by_size(sizes: Array, *, max_pixels: int | None = None) -> list[Array]:
    """Positions of rows whose images have the same size, each position in one group, ascending within it.

    ``sizes``: int ``[N, 2]``, height and width. Groups come in the order of their first rows. ``max_pixels``: a group of more
    pixels (rows times height times width) is cut into several, of one row at least.

    >>> [group.tolist() for group in groups_by_size(np.array([[2, 3], [4, 4], [2, 3]]))]
    [[0, 2], [1]]
    >>> [group.tolist() for group in groups_by_size(np.array([[2, 3], [4, 4], [2, 3]]), max_pixels=6)]
    [[0], [2], [1]]
    """
    sizes = np.asarray(sizes, dtype=np.int64).reshape(-1, 2)
    unique, first, group_of = np.unique(sizes, axis=0, return_index=True, return_inverse=True)
    by_group = np.split(np.argsort(group_of.ravel(), kind="stable"), np.cumsum(np.bincount(group_of.ravel()))[:-1])
    groups = []
    for i in np.argsort(first):
        n_rows = len(by_group[i]) if max_pixels is None else max(1, max_pixels // int(max(1, unique[i].prod())))
        groups += [by_group[i][start : start + n_rows] for start in range(0, len(by_group[i]), n_rows)]
    return groups


def in_row_order(groups: Sequence[Array], results: Sequence[Array]) -> Array:
    """The results of groups, ``[rows of the group, ...]`` each, as one array ``[N, ...]`` in the order of the rows.

    ``groups``: at least one, from :func:`groups_by_size`; without rows there is no group, and nothing to put in order.

    >>> groups = groups_by_size(np.array([[2, 3], [4, 4], [2, 3]]))
    >>> in_row_order(groups, [np.array([0.0, 2.0]), np.array([1.0])])
    array([0., 1., 2.])
    """
    together = np.concatenate(results)
    ordered = np.empty_like(together)
    ordered[np.concatenate(groups)] = together
    return ordered
