"""Columns of images in a task: how many channels they have, and the rows whose images can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError
from onnxlearn.images.feed import ImageFeed
from onnxlearn.images.reading import is_grey, is_missing
from onnxlearn.images.rules import ImageRules
from onnxlearn.images.skipping import problems_of
from onnxlearn.schema import Column

# Images that tell whether a column is grey: opened, not decoded.
N_LOOKED_AT = 32
N_TOLD = 8


def image_column(name: str, cells: Sequence[Any], rules: ImageRules) -> Column:
    """The column of these cells: missing ones among them, colour or grey."""
    present = [cell for cell in cells if not is_missing(cell)]
    channels = rules.channels
    if channels == "auto":
        looked = present[:N_LOOKED_AT]
        channels = 1 if looked and all(is_grey(cell, folder=rules.folder) for cell in looked) else 3
    has_missing = len(present) < len(cells) or rules.policy == "missing"
    return Column(name=name, kind="image", dtype="uint8", has_missing=has_missing, n_channels=channels)


class Readable(NamedTuple):
    """The numbers of the rows whose images can all be read, int64 ``[n]``, and what there is to say of the others."""

    rows: NDArray[np.int64]
    notes: list[str]


def readable_rows(columns: Sequence[ImageFeed]) -> Readable:
    """Decode every image once, in several processes. Raises: DataError where no row is left."""
    n_rows = len(columns[0])
    problems = [problem for feed in columns for problem in problems_of(feed)]
    lost = {problem.row for problem in problems}
    rows = np.array([row for row in range(n_rows) if row not in lost], np.int64)
    if not len(rows):
        raise DataError(f"no image can be read, and the rule policy=skip of images leaves no row: {problems[0].text}")
    return Readable(rows, _told([problem.text for problem in problems]))


def _told(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    rest = [f"and {len(texts) - N_TOLD} more images"] if len(texts) > N_TOLD else []
    return [
        f"{len(texts)} images cannot be read, and their rows are left out (the rule policy=skip of images)",
        *texts[:N_TOLD],
        *rest,
    ]
