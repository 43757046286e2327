"""Images as the network takes them: what the image part of a model's graph makes of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from onnxlearn.images.groups import Array, groups_by_size, in_row_order
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.session import CHUNK_ROWS, CHUNK_VALUES, Session, start_session


def make_ready(images: Sequence[Array], recipe: bytes) -> tuple[Array, Array]:
    """Pixels float32 ``[n, C, h, w]`` and ``missing`` bool ``[n]`` of n images uint8 ``[H, W, C]`` of any sizes.

    ``recipe``: an ONNX model of one input uint8 ``[N, H, W, C]`` and these two outputs, such as
    :func:`onnxlearn.images.emit.image_recipe` makes.

    Raises: ModelFileError where it is none.
    """
    session = _session(recipe)
    if not images:
        return _nothing(session)
    groups = groups_by_size(np.array([image.shape[:2] for image in images]), max_pixels=CHUNK_VALUES // images[0].shape[2])
    name = session.get_inputs()[0].name
    found = [session.run(None, {name: np.stack([images[i] for i in group])}) for group in groups]
    return in_row_order(groups, [pixels for pixels, _ in found]), in_row_order(groups, [missing for _, missing in found])


# A process reads several columns by turns.
@functools.lru_cache(maxsize=8)
def _session(recipe: bytes) -> Session:
    return start_session(recipe, [CPU_PROVIDER], 1, CHUNK_ROWS)


def _nothing(session: Session) -> tuple[Array, Array]:
    shape = session.get_outputs()[0].shape[1:]
    return np.empty((0, *shape), np.float32), np.empty(0, bool)
