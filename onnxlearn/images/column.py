"""Reading a column of images by batches of rows, in processes of their own, never all at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, ImageReadError, ParameterError
from onnxlearn.images.readers import Readers
from onnxlearn.images.reading import USUAL, Array, ReadConfig, image_name, read_image
from onnxlearn.images.rules import POLICIES, Policy
from onnxlearn.remarks import Remark


@dataclass(frozen=True)
class Problem:
    """An image that could not be read: its row, and a message that names column, row, file, rule and way out."""

    row: int
    text: str


@dataclass(frozen=True)
class ImageBatch:
    """Images of some rows, in the order that they were asked for.

    ``rows``: int64 ``[n]``, without those that were skipped. ``images``: n arrays uint8 ``[H, W, C]``, of any sizes; all zeros
    where the image is missing. ``places``: what messages call each. ``problems``: the images that could not be read and were
    skipped or count as missing. ``remarks``: what there is to tell of these images.
    """

    rows: Array
    images: tuple[Array, ...]
    places: tuple[str, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[Remark, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> Array:
        """Height and width of each image, int64 ``[n, 2]``."""
        return np.array([image.shape[:2] for image in self.images], dtype=np.int64).reshape(-1, 2)

    @property
    def missing(self) -> Array:
        """Which images are all zeros, bool ``[n]``."""
        return np.array([not image.any() for image in self.images], dtype=bool)


@dataclass(frozen=True, kw_only=True)
class ImageColumn:
    """A column of images that are read when they are asked for.

    ``cells``: a sequence of what :func:`~onnxlearn.images.reading.read_image` takes: a list, a numpy or Arrow array; a pandas
    column is given as ``column.array``. ``folder``: where relative paths start. ``policy``: an image that cannot be read is an
    error, its row is left out (``skip``), or it counts as missing; a cell without an image is missing always.
    ``missing_size``: height and width of the zeros that stand for a missing image. ``where`` names a row in messages.

    >>> column = ImageColumn(name="photo", cells=[np.full((2, 2, 3), 9, np.uint8), None])
    >>> batch = column.read([1, 0])
    >>> batch.sizes.tolist(), batch.missing.tolist()
    ([[1, 1], [2, 2]], [True, False])
    """

    name: str
    cells: Sequence[Any]
    config: ReadConfig = USUAL
    folder: str | os.PathLike[str] | None = None
    policy: Policy = "error"
    missing_size: tuple[int, int] = (1, 1)
    where: Callable[[int], str] = "row {}".format

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ParameterError(f"policy is one of {', '.join(POLICIES)}, not {self.policy!r}")

    def __len__(self) -> int:
        return len(self.cells)

    def cell(self, row: int) -> Any:
        """A cell that tells where its image is, wherever that is looked for: relative paths with their folder."""
        return _located(self.cells[row], self.folder)

    def place(self, row: int) -> str:
        """What messages call an image."""
        return f"column {self.name!r}, {self.where(row)}"

    def read(self, rows: Iterable[int]) -> ImageBatch:
        """The images of these rows (numbers from 0), decoded in this process.

        Raises: ImageReadError naming column, row and file, with ``policy="error"``; DataError for a row that is not there.
        """
        return self._part(rows).read()

    def batches(
        self, rows: Iterable[Iterable[int]], *, n_jobs: int = 1, n_ahead: int = 2, readers: Readers | None = None
    ) -> Iterator[ImageBatch]:
        """One batch for each list of row numbers, in their order, decoded by ``n_jobs`` processes (1: this one).

        Lists are taken from ``rows`` as they are needed: at most ``n_jobs * n_ahead`` batches are read or wait at a time,
        however slowly they are taken. Leaving the loop early gives up those that were not begun. ``readers``: processes that
        read for several loops, in place of ``n_jobs`` that end with this one. The images of a batch may share memory, which
        is free when the last of them is.

        Raises: as :meth:`read`, when the batch's turn comes; ParameterError for numbers below 1.

        >>> column = ImageColumn(name="photo", cells=[np.full((2, 2, 3), i, np.uint8) for i in range(4)])
        >>> [batch.rows.tolist() for batch in column.batches([[0, 1], [3]])]
        [[0, 1], [3]]
        """
        parts = (self._part(some) for some in rows)
        own = readers or Readers(n_jobs, n_ahead=n_ahead)
        found = own.map(_Part.read, parts)
        return found if readers else own.closed_after(found)

    def _part(self, rows: Iterable[int]) -> _Part:
        numbers = [int(row) for row in rows]
        if wrong := [row for row in numbers if not 0 <= row < len(self.cells)]:
            raise DataError(f"column {self.name!r} has rows 0 to {len(self.cells) - 1}, not {wrong[0]}")
        return _Part(self, numbers)


def _located(cell: Any, folder: str | os.PathLike[str] | None) -> Any:
    is_path = isinstance(cell, str | os.PathLike) and cell != ""
    return Path(folder) / cell if is_path and folder is not None else cell


class _Part:
    """Some cells of a column: what a process is sent."""

    def __init__(self, column: ImageColumn, rows: list[int]) -> None:
        cells = [column.cells[row] for row in rows]
        self.rows = rows
        self.places = [column.place(row) for row in rows]
        self.cells = [cell.as_py() if hasattr(cell, "as_py") else cell for cell in cells]
        self.config, self.folder = column.config, column.folder
        self.policy, self.missing_size = column.policy, column.missing_size

    def read(self) -> ImageBatch:
        remarks: list[Remark] = []
        found = [self._read_one(*each, remarks) for each in zip(self.rows, self.places, self.cells, strict=True)]
        problems = tuple(image for image in found if isinstance(image, Problem))
        kept = [
            (row, place, image)
            for row, place, image in zip(self.rows, self.places, found, strict=True)
            if not (self.policy == "skip" and isinstance(image, Problem))
        ]
        return ImageBatch(
            rows=np.array([row for row, _, _ in kept], dtype=np.int64),
            images=tuple(image if isinstance(image, np.ndarray) else self._nothing() for _, _, image in kept),
            places=tuple(place for _, place, _ in kept),
            problems=problems,
            remarks=tuple(remarks),
        )

    def _read_one(self, row: int, place: str, cell: Any, remarks: list[Remark]) -> Array | Problem | None:
        def own() -> str:
            return f"{place}, {image_name(_located(cell, self.folder))}"

        def lost(what: str) -> None:
            remarks.append(Remark(f"images that {what}", f"{place}, {image_name(cell)}", own()))

        try:
            image = read_image(cell, self.config, folder=self.folder, lost=lost)
        except ImageReadError as error:
            text = f"{place}, {error}"
            if self.policy == "error":
                raise ImageReadError(text) from error
            if self.policy == "missing":
                remarks.append(
                    Remark("images that cannot be read, and count as missing (the rule policy=missing of images)", text, own())
                )
            return Problem(row, text)
        if image is not None and not image.any():
            lost("are black throughout, which counts as missing")
        return image

    def _nothing(self) -> Array:
        return np.zeros((*self.missing_size, self.config.channels), np.uint8)
