"""Running a session on feeds that hold images: read some, group them by size, run the groups, put the rows in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.images.feed import ImageFeed
from onnxlearn.images.groups import cut, groups_by_size, in_row_order, of_size
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.remarks import note

if TYPE_CHECKING:
    from onnxlearn.session import Session

Array = np.ndarray[Any, np.dtype[Any]]

# Numbers of decoded images that a thread holds at a time: about 50 MB of bytes.
MAX_VALUES = 50_000_000
# Rows of a chunk: enough for a session to be quick, few enough for threads to share the work evenly.
CHUNK_ROWS = 64
# As many are decoded before it is asked whether there is room for more.
STEP_ROWS = 8


def run_images(session: Session, names: Sequence[str], feeds: Mapping[str, Any]) -> list[Array]:
    """The outputs of these rows, of which some feeds are :class:`~onnxlearn.images.feed.ImageFeed`.

    Raises: ImageReadError where an image cannot be read, or has another size than the one that the session takes.
    """
    parts = []
    for batches in _batches(session, feeds):
        groups, found = zip(*[(rows, session.run(names, batch)) for rows, batch in batches], strict=True)
        parts.append([in_row_order(groups, outputs) for outputs in zip(*found, strict=True)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def batches_of_one_size(session: Session, feeds: Mapping[str, Any]) -> Iterator[dict[str, Array]]:
    """All rows as arrays that the session takes, those with images of one size together, in no order.

    Raises: ImageReadError where an image cannot be read, or has another size than the one that the session takes.
    """
    yield from (batch for batches in _batches(session, feeds) for _, batch in batches)


def _batches(session: Session, feeds: Mapping[str, Any]) -> Iterator[Iterator[tuple[Array, dict[str, Array]]]]:
    """Parts of the rows, each as its batches: their rows within the part, and the arrays."""
    sizes = {each.name: tuple(each.shape[1:]) for each in session.get_inputs()}
    return (_batches_of_part(session, part, sizes) for part in _parts(feeds))


def _parts(feeds: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Consecutive rows, as many as their images leave room for; at least one part."""
    n_rows, start = len(next(iter(feeds.values()))), 0
    while start < n_rows or not start:
        images: dict[str, list[Array]] = {name: [] for name, feed in feeds.items() if isinstance(feed, ImageFeed)}
        end = n_values = 0
        # How large an image is shows when it is decoded.
        while not end or (start + end < n_rows and end < CHUNK_ROWS and n_values < MAX_VALUES):
            for name, found in images.items():
                batch = feeds[name][start + end : start + end + STEP_ROWS].read()
                note(batch.remarks)
                found += batch.images
                n_values += sum(image.size for image in batch.images)
            end += STEP_ROWS
        part = {name: feed[start : start + end] for name, feed in feeds.items()}
        yield {name: _Decoded(feed, images[name]) if name in images else feed for name, feed in part.items()}
        start += end


class _Decoded:
    """Images of some rows."""

    def __init__(self, feed: ImageFeed, images: Sequence[Array]) -> None:
        self.feed, self.images = feed, images

    def __len__(self) -> int:
        return len(self.images)

    def sized(self, size: tuple[Any, ...]) -> list[Array]:
        """The images for an input of this shape of a row, ``[H, W, C]``, in which sizes may be free."""
        column, rows = self.feed.column, self.feed.rows
        return of_size(self.images, size, lambda position: column.place(int(rows[position])))


def _batches_of_part(
    session: Session, part: Mapping[str, Any], sizes: Mapping[str, Any]
) -> Iterator[tuple[Array, dict[str, Array]]]:
    images = {name: feed.sized(sizes[name]) for name, feed in part.items() if isinstance(feed, _Decoded)}
    if not len(next(iter(part.values()))):
        single = {name: [1 if isinstance(each, str) else each for each in sizes[name]] for name in images}
        empty = {name: np.zeros((0, *single[name]), np.uint8) if name in images else feed for name, feed in part.items()}
        yield np.arange(0), empty
        return
    shapes = np.hstack([[image.shape[:2] for image in column] for column in images.values()])
    groups = groups_by_size(shapes)
    if session.get_providers()[0] == CPU_PROVIDER:
        groups = cut(groups, shapes, max(size[2] for name, size in sizes.items() if name in images))
    for rows in groups:
        yield rows, {name: _of_rows(part[name], images.get(name), rows) for name in part}


def _of_rows(feed: Any, images: Sequence[Array] | None, rows: Array) -> Array:
    found: Array = feed[rows] if images is None else np.stack([images[row] for row in rows.tolist()])
    return found
