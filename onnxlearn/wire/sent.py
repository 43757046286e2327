"""Images as requests send them: the bytes of a file, as base64 text where text is all there is; never a path."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxlearn.errors import ImageReadError
from onnxlearn.images.feed import ImageFeed
from onnxlearn.images.reading import read_image
from onnxlearn.images.rules import USUAL_RULES
from onnxlearn.remarks import Remark, note
from onnxlearn.schema import Column, Schema
from onnxlearn.wire.form import image_shape
from onnxlearn.wire.values import Refused, describe

Array = np.ndarray[Any, np.dtype[Any]]

MOST_PIXELS = 25_000_000
"""Of all images of a request together: a small file may hold a picture that fills the memory."""

_RULE = re.compile(r",? or set the rule \S+ of images")
_DATA_URL = re.compile(r"data:image/[a-z.+-]+;base64,")


class SentImages:
    """Reads a column's images of requests, decoded at once: what cannot be read is refused before others wait for it."""

    def __init__(self, column: Column, schema: Schema) -> None:
        self.column = column
        self._config = USUAL_RULES.config(column.n_channels)
        self._size = image_shape(column, schema)[1:3]

    def read(self, value: object) -> Array | None:
        """One image as uint8 ``[H, W, C]``; ``None`` and an empty text are missing. Raises: Refused."""
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = base64.b64decode(_DATA_URL.sub("", value, count=1), validate=True)
            except (binascii.Error, ValueError):
                raise Refused("an image is sent as the base64 of its file's bytes, and this text is none") from None
        if not isinstance(value, bytes):
            raise Refused(f"an image is sent as the base64 of its file's bytes, not {describe(value)}")
        try:
            image = read_image(value, self._config, lost=self._lost)
        except ImageReadError as error:
            # Who sends it sets no rules.
            raise Refused(_RULE.sub("", str(error).removeprefix("bytes: "))) from error
        return self.fitting(image)

    def _lost(self, what: str) -> None:
        note([Remark(f"images that {what}", f"column {self.column.name!r} of a request")])

    def fitting(self, image: Array | None) -> Array | None:
        """The image, where the file takes such a size. Raises: Refused."""
        wanted = self._size
        if image is not None and any(isinstance(n, int) and n != side for n, side in zip(wanted, image.shape, strict=False)):
            height, width = image.shape[:2]
            raise Refused(f"the model takes images of {wanted[0]} x {wanted[1]} pixels, and this one has {height} x {width}")
        return image

    def feed(self, values: Sequence[object], read: Callable[[object], Array | None] | None = None) -> ImageFeed:
        """The rows' images. Raises: Refused."""
        read, n_pixels, images = read or self.read, 0, list[Array | None]()
        for value in values:
            images.append(image := read(value))
            n_pixels += 0 if image is None else image.shape[0] * image.shape[1]
            if n_pixels > MOST_PIXELS:
                raise Refused(f"the images of a request have at most {MOST_PIXELS} pixels together: send fewer rows at a time")
        return ImageFeed.of(images, self.column)


def sent_image(pixels: Array) -> str:
    """Pixels uint8 ``[H, W, C]`` as a request has them: a PNG file in base64. Raises: MissingExtraError without Pillow."""
    import io

    from onnxlearn.images.reading import require_pillow

    require_pillow()
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
