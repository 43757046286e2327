"""A column of images as a feed: cells that become pixels when a session runs them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from onnxlearn.errors import DataTypeError
from onnxlearn.images.column import ImageBatch, ImageColumn
from onnxlearn.images.reading import Array, is_missing
from onnxlearn.images.remarks import Remark, note
from onnxlearn.images.rules import USUAL_RULES, ImageRules
from onnxlearn.schema import Column, Schema

# Of a file so much is looked at to tell it from another one of its size.
HEAD_BYTES = 65_536


@dataclass(frozen=True, eq=False)
class ImageFeed:
    """Rows of a column of images, in place of an array ``[n, 1]``: it is cut, indexed and joined as one, and read at last.

    ``column``: where they are read from; ``rows``: the numbers of its rows, int64 ``[n]``.

    >>> photo = Column(name="photo", kind="image", dtype="uint8", n_channels=3)
    >>> feed = ImageFeed.of([np.full((2, 2, 3), 9, np.uint8), None], photo)
    >>> len(feed), feed[[1, 0, 0]].n_missing, feed[:1].read().sizes.tolist()
    (2, 1, [[2, 2]])
    """

    column: ImageColumn
    rows: Array

    @classmethod
    def of(cls, cells: Sequence[Any], column: Column, where: Callable[[int], str] = "row {}".format) -> Self:
        """The feed of all cells of a column, ``where`` naming a row. Raises: DataTypeError for what cannot be an image."""
        require_images(cells, column.name, where)
        config = USUAL_RULES.config(column.n_channels)
        return cls(ImageColumn(name=column.name, cells=cells, config=config, where=where), np.arange(len(cells)))

    def ruled(self, rules: ImageRules) -> Self:
        """The same rows, read by these rules, whose ``policy`` is not ``skip``; without a folder there, in its own."""
        config, folder = rules.config(self.column.config.channels), self.column.folder if rules.folder is None else rules.folder
        return dataclasses.replace(
            self, column=dataclasses.replace(self.column, config=config, folder=folder, policy=rules.policy)
        )

    def within(self, folder: str | os.PathLike[str]) -> Self:
        """The same rows, whose relative paths start in a folder."""
        return dataclasses.replace(self, column=dataclasses.replace(self.column, folder=folder))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """As of an array of one cell a row."""
        return len(self), 1

    def __getitem__(self, rows: Any) -> Self:
        """Some of the rows: a slice, numbers or a mask."""
        return dataclasses.replace(self, rows=self.rows[rows])

    def copy(self) -> Self:
        """Itself: nothing in it changes."""
        return self

    @property
    def n_missing(self) -> int:
        """Rows without an image."""
        return sum(is_missing(self.column.cells[row]) for row in self.rows.tolist())

    def missing_places(self) -> Iterator[str]:
        """What messages call the cells without an image."""
        return (self.column.place(row) for row in self.rows.tolist() if is_missing(self.column.cells[row]))

    def read(self) -> ImageBatch:
        """Decode the images of all rows."""
        return self.column.read(self.rows.tolist())

    def decoded(self) -> list[Array | None]:
        """The images of all rows, ``None`` where one is missing."""
        missing = [is_missing(self.column.cells[row]) for row in self.rows.tolist()]
        return [None if no else image for no, image in zip(missing, self.read().images, strict=True)]

    def packed(self) -> Self:
        """The same rows with nothing of the others: what a process is sent."""
        rows = self.rows.tolist()
        column = dataclasses.replace(
            self.column,
            cells=[self.column.cells[row] for row in rows],
            where=[self.column.where(row) for row in rows].__getitem__,
        )
        return dataclasses.replace(self, column=column, rows=np.arange(len(rows)))

    def joined(self, *others: ImageFeed) -> ImageFeed:
        """The rows of all, one after the other; read by the rules of this one."""
        if all(other.column is self.column for other in others):
            return dataclasses.replace(self, rows=np.concatenate([self.rows, *(other.rows for other in others)]))
        rows = [(feed.column, row) for feed in (self, *others) for row in feed.rows.tolist()]
        # The cells tell their folder themselves.
        column = dataclasses.replace(
            self.column,
            cells=[column.cell(row) for column, row in rows],
            where=[column.where(row) for column, row in rows].__getitem__,
            folder=None,
        )
        return dataclasses.replace(self, column=column, rows=np.arange(len(rows)))

    def content(self) -> bytes:
        """What tells these rows from others: bytes and pixels, of files the path, the size and the beginning."""
        digest = hashlib.sha256()
        for row in self.rows.tolist():
            for part in _content(self.column.cells[row], self.column.folder):
                digest.update(len(part).to_bytes(8) + part)
        return digest.digest()


def require_images(cells: Sequence[Any], name: str, where: Callable[[int], str]) -> None:
    """Raise ``DataTypeError`` for the first cell of a column that cannot be an image; ``where`` names its row."""
    for row, cell in enumerate(cells):
        if not (is_missing(cell) or _may_be_image(cell)):
            raise DataTypeError(
                f"column {name!r}, {where(row)}: an image is a path, bytes, a dictionary with 'bytes' or 'path', or a uint8 "
                f"array, not a value of type {type(cell).__name__}{_way_out(cell)}"
            )


def _way_out(cell: Any) -> str:
    """How a picture in the memory of another library becomes an array."""
    return ": give np.asarray(image)" if hasattr(cell, "__array_interface__") else ""


def _may_be_image(cell: Any) -> bool:
    # What Arrow hands out is looked at when it is read.
    return isinstance(cell, str | os.PathLike | bytes | bytearray | memoryview | dict | np.ndarray) or hasattr(cell, "as_py")


def _content(cell: Any, folder: str | os.PathLike[str] | None) -> list[bytes]:
    cell = cell.as_py() if hasattr(cell, "as_py") else cell
    if isinstance(cell, dict):
        cell = cell.get("path") if is_missing(cell.get("bytes")) else cell["bytes"]
    if is_missing(cell):
        return [b""]
    if isinstance(cell, np.ndarray):
        return [repr(cell.shape).encode(), np.ascontiguousarray(cell).tobytes()]
    if not isinstance(cell, str | os.PathLike):
        return [bytes(cell)]
    path = Path(folder or "") / os.fspath(cell)
    try:
        with path.open("rb") as file:
            return [str(cell).encode("utf-8", "surrogateescape"), str(path.stat().st_size).encode(), file.read(HEAD_BYTES)]
    except OSError:
        # Whoever reads it says so.
        return [str(cell).encode("utf-8", "surrogateescape"), b"no file"]


def ruled(feeds: dict[str, Any], rules: ImageRules, schema: Schema) -> dict[str, Any]:
    """The same feeds of rows to predict, with their images read by these rules.

    It is told of missing ones where no training row missed an image: the network has not learned what that means.
    """
    found = {name: feed.ruled(rules) if isinstance(feed, ImageFeed) else feed for name, feed in feeds.items()}
    for column in schema.of_kind("image"):
        feed = found.get(column.name)
        if isinstance(feed, ImageFeed) and not column.has_missing:
            note(Remark("are missing, as none was in training", place) for place in feed.missing_places())
    return found
