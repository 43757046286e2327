"""Images as the network takes them: what the image part of a model's graph makes of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from onnxlearn.images.column import ImageBatch, ImageColumn, Problem
from onnxlearn.images.groups import Array, cut, groups_by_size, in_row_order, of_size
from onnxlearn.images.readers import Readers
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.session import CHUNK_ROWS, Session, start_session


@dataclass(frozen=True)
class ReadyBatch:
    """Images of some rows as the network takes them.

    ``rows``, ``problems`` and ``black`` as :class:`~onnxlearn.images.column.ImageBatch` has them; ``pixels``: float32
    ``[n, C, h, w]``, 0 throughout where ``missing``, bool ``[n]``.
    """

    rows: Array
    pixels: Array
    missing: Array
    problems: tuple[Problem, ...]
    black: tuple[int, ...]


def read_ready(
    column: ImageColumn,
    rows: Iterable[Iterable[int]],
    recipe: bytes,
    *,
    n_jobs: int = 1,
    n_ahead: int = 2,
    readers: Readers | None = None,
) -> Iterator[ReadyBatch]:
    """As ``column.batches``, and the processes that read also make of the images what the network takes.

    ``recipe``: an ONNX model of one input uint8 ``[N, H, W, C]`` and two outputs, FLOAT ``[N, C, h, w]`` and missing BOOL
    ``[N]``, such as :func:`onnxlearn.images.emit.image_recipe` makes.

    Raises: as ``column.batches``; ModelFileError where the recipe is none; ImageReadError for an image of another size than the
    one it takes.

    >>> from onnxlearn.images.config import ImageConfig
    >>> from onnxlearn.images.emit import image_recipe
    >>> column = ImageColumn(name="photo", cells=[np.full((9, 9, 3), 255, np.uint8), None])
    >>> recipe = image_recipe(ImageConfig(image_height=4, image_width=4), n_channels=3)
    >>> [(batch.pixels.shape, batch.missing.tolist()) for batch in read_ready(column, [[0, 1]], recipe)]
    [((2, 3, 4, 4), [False, True])]
    """
    return column.map(functools.partial(_ready, recipe), rows, n_jobs=n_jobs, n_ahead=n_ahead, readers=readers)


def _ready(recipe: bytes, batch: ImageBatch) -> ReadyBatch:
    session = _session(recipe)
    pixels, missing = _run(session, batch) if len(batch) else _nothing(session)
    return ReadyBatch(batch.rows, pixels, missing, batch.problems, batch.black)


def _run(session: Session, batch: ImageBatch) -> tuple[Array, Array]:
    entry = session.get_inputs()[0]
    images = of_size(batch.images, entry.shape[1:], batch.places.__getitem__)
    sizes = np.array([image.shape[:2] for image in images])
    groups = cut(groups_by_size(sizes), sizes, images[0].shape[2])
    found = [session.run(None, {entry.name: np.stack([images[i] for i in group])}) for group in groups]
    return in_row_order(groups, [pixels for pixels, _ in found]), in_row_order(groups, [missing for _, missing in found])


# A process reads several columns by turns.
@functools.lru_cache(maxsize=8)
def _session(recipe: bytes) -> Session:
    return start_session(recipe, [CPU_PROVIDER], 1, CHUNK_ROWS)


def _nothing(session: Session) -> tuple[Array, Array]:
    shape = session.get_outputs()[0].shape[1:]
    return np.empty((0, *shape), np.float32), np.empty(0, bool)
