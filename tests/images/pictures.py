"""Pictures made on the fly, whole and broken ones, as bytes of files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def pixels(height: int, width: int, *, n_channels: int = 3, seed: int = 0) -> np.ndarray[Any, np.dtype[Any]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, n_channels), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def png(array: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    return encoded(Image.fromarray(array))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says to be so large."""
    return raw_png(width, height, depth=8, colour=2, rows=b"")


def raw_png(width: int, height: int, *, depth: int, colour: int, rows: bytes, key: bytes = b"") -> bytes:
    """``key``: the level or colour that stands for what is transparent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    transparent = chunk(b"tRNS", key) if key else b""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparent + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(pixels(4, 5, seed=i)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])
