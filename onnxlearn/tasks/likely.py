"""Columns of text that may be meant as something else than categories: what they look like, and how to say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxlearn.files.formats import IMAGE_ENDINGS

# Prose, unlike names and codes: texts of several words of which hardly any comes again.
MIN_WORDS = 5
MIN_DISTINCT = 0.5
N_LOOKED_AT = 1000
IMAGE_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class ReadsLike:
    """A kind of column by its cells: ``what`` they seem to be, and whether a column ``holds`` such."""

    kind: str
    what: str
    meant: str
    holds: Callable[[Sequence[str]], bool]

    def suggest(self, name: str) -> str:
        """How to have a column read so."""
        return f"if it holds {self.meant}, say kinds={{{name!r}: {self.kind!r}}} (--kind {name}={self.kind})"


def is_prose(texts: Sequence[str]) -> bool:
    """Whether texts that are not missing read like sentences: half of them differ and have several words.

    >>> is_prose(["the food was good and cheap", "we shall not come here again"]), is_prose(["New York", "Rio de Janeiro"])
    (True, False)
    """
    looked = texts[:N_LOOKED_AT]
    distinct = set(looked)
    long = [text for text in distinct if text.count(" ") >= MIN_WORDS - 1]
    return bool(looked) and len(distinct) >= MIN_DISTINCT * len(looked) and 2 * len(long) >= len(distinct)


def are_paths_of_images(texts: Sequence[str]) -> bool:
    """Whether texts that are not missing end like the names of image files, nine of ten of them.

    >>> are_paths_of_images(["a.png", "b/c.JPG"]), are_paths_of_images(["png", "a.txt"])
    (True, False)
    """
    looked = texts[:N_LOOKED_AT]
    return bool(looked) and sum(text.lower().endswith(IMAGE_ENDINGS) for text in looked) >= 0.9 * len(looked)


READS_LIKE = (
    ReadsLike("image", "names of image files", "paths of images", are_paths_of_images),
    ReadsLike("text", "texts of several words", "texts to be read word by word", is_prose),
)


def looks_like_image(value: object) -> bool:
    r"""Whether a cell that is no text, number or date looks like an image: the bytes of a file, an array, a picture.

    >>> looks_like_image(b"\x89PNG..."), looks_like_image({"bytes": b"", "path": None}), looks_like_image(b"abc")
    (True, True, False)
    """
    if isinstance(value, Mapping):
        return {"bytes", "path"} == set(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value[:4]).startswith(IMAGE_BEGINNINGS)
    if isinstance(value, np.ndarray):
        return value.dtype == np.uint8 and value.ndim in (2, 3)
    # A picture of Pillow.
    return hasattr(value, "__array_interface__") and hasattr(value, "getbands")
