"""Images as the network takes them: what the image part of a model's graph makes of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxlearn.errors import ImageReadError
from onnxlearn.images.groups import Array, cut, groups_by_size, in_row_order
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.session import CHUNK_ROWS, Session, start_session


def make_ready(images: Sequence[Array], recipe: bytes, place: Callable[[int], str]) -> tuple[Array, Array]:
    """Pixels float32 ``[n, C, h, w]`` and ``missing`` bool ``[n]`` of n images uint8 ``[H, W, C]`` of any sizes.

    ``recipe``: an ONNX model of one input uint8 ``[N, H, W, C]`` and these two outputs, such as
    :func:`onnxlearn.images.emit.image_recipe` makes. ``place`` names the image at a position in messages.

    Raises: ModelFileError where it is none; ImageReadError for an image of another size than the recipe takes.
    """
    session = _session(recipe)
    if not images:
        return _nothing(session)
    entry = session.get_inputs()[0]
    images = of_size(images, entry.shape[1:], place)
    sizes = np.array([image.shape[:2] for image in images])
    groups = cut(groups_by_size(sizes), sizes, images[0].shape[2])
    found = [session.run(None, {entry.name: np.stack([images[i] for i in group])}) for group in groups]
    return in_row_order(groups, [pixels for pixels, _ in found]), in_row_order(groups, [missing for _, missing in found])


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
        f"{image.shape[1]}: resize it, or train with image_fit='stretch'"
    )


# A process reads several columns by turns.
@functools.lru_cache(maxsize=8)
def _session(recipe: bytes) -> Session:
    return start_session(recipe, [CPU_PROVIDER], 1, CHUNK_ROWS)


def _nothing(session: Session) -> tuple[Array, Array]:
    shape = session.get_outputs()[0].shape[1:]
    return np.empty((0, *shape), np.float32), np.empty(0, bool)
