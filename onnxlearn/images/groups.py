"""Images of unequal sizes, run in batches of equal ones, with the results in the rows' order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from onnxlearn.errors import ImageReadError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Numbers in the images that a session on a CPU runs quickest at a time.
AT_ONCE = 1_000_000


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
        n = max(1, AT_ONCE // int(n_channels * sizes[rows[0]].reshape(-1, 2).prod(axis=1).sum()))
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


def of_size(images: Sequence[Array], shape: Sequence[Any], place: Callable[[int], str]) -> list[Array]:
    """The images for an input of this shape of a row, ``[H, W, C]``, in which sizes may be free; missing ones get its size.

    Raises: ImageReadError for an image of another size, which ``place`` names by its position.
    """
    if any(isinstance(side, str) for side in shape[:2]):
        return list(images)
    return [_of_size(image, tuple(shape), place, i) for i, image in enumerate(images)]


def _of_size(image: Array, shape: tuple[int, ...], place: Callable[[int], str], position: int) -> Array:
    if image.shape[:2] == shape[:2]:
        return image
    if not image.any():
        return np.zeros(shape, np.uint8)
    raise ImageReadError(
        f"{place(position)}: images of this column have {shape[0]} x {shape[1]} pixels, this one {image.shape[0]} x "
        f"{image.shape[1]}: resize it, or train with image_fit='stretch', or for images of its size (image_height, image_width)"
    )
