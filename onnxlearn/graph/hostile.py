"""Rows that are missing, unseen or extreme in every column, to try a model on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onnxlearn.images.feed import ImageFeed
from onnxlearn.schema import MISSING_INT64, Column, Schema

Array = np.ndarray[Any, np.dtype[Any]]

NUMBERS = (np.nan, 0.0, -0.0, 1.0, -1.0, 1.7e308, -1.7e308, 5e-324, -5e-324, 1e-30, 1e9, 2.0**53, -(2.0**53), 1e-308, 3.5e38)
BOOLEANS = (np.nan, 0.0, 1.0)
STRINGS = ("", "nan", "None", "unseen", " ", "naïve", "Köln", "東京", "🦜", "a" * 300, "line\nbreak", "NaN", "1.0")
TEXTS = (
    "", "nan", "unseen", " ", "naïve Köln", "東京", "🦜", "a" * 2000, "tab\tnew\nline\rno\u00a0break", "...", " a.b,c ",
    "The the THE tHe", "word " * 600, "," * 600, "İstanbul ß ǆ\u200b\ufeff",
)  # fmt: skip
INTEGERS = (MISSING_INT64, 0, 1, -1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, MISSING_INT64 + 1)
# Microseconds of 0001-01-01, 9999-12-31 23:59:59.999999, 1900-02-28, 2000-02-29, and the moment before 1970.
DATES = (
    MISSING_INT64, 0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999, -2_203_977_600_000_000, 951_782_400_000_000,
    2**63 - 1, MISSING_INT64 + 1,
)  # fmt: skip


EVERY_KIND = max(map(len, (NUMBERS, BOOLEANS, STRINGS, TEXTS, INTEGERS, DATES)))
"""Rows in which each of these values occurs, in every column."""


def hostile_feeds(schema: Schema, n: int = 64) -> dict[str, Any]:
    """``n`` rows (at least 1) of feeds, the same at every call; all missing in the first row.

    The columns go through all their values in different orders, so that many combinations occur; no value comes again
    before every other one was there.

    >>> from onnxlearn.schema import Target
    >>> column = Column(name="sex", kind="categorical", dtype="str", levels=("f",))
    >>> schema = Schema(name="t", features=(column,), target=Target(names=("y",), type="regression", dtype="float64"))
    >>> hostile_feeds(schema, 3)["sex"].tolist()
    [[''], ['nan'], ['None']]
    """
    return {
        column.name: _hostile_images(column, n, () if schema.ingress is None else schema.ingress.given_size(column.name))
        if column.kind == "image"
        else _hostile_column(column, i, n)
        for i, column in enumerate(schema.features)
    }


def tried_feeds(schema: Schema, chunk_rows: int) -> dict[str, Any]:
    """Hostile rows to hold one file against another on: the more a row costs, the fewer, but each value once.

    ``chunk_rows``: as many rows as the model is best run on at a time, which tells what a row costs.

    >>> from onnxlearn.schema import Target
    >>> column = Column(name="x", kind="numeric", dtype="float64")
    >>> schema = Schema(name="t", features=(column,), target=Target(names=("y",), type="regression", dtype="float64"))
    >>> [len(tried_feeds(schema, chunk_rows)["x"]) for chunk_rows in (1000, 20, 1)]
    [60, 20, 15]
    """
    return hostile_feeds(schema, max(EVERY_KIND, min(4 * EVERY_KIND, chunk_rows)))


def _hostile_images(column: Column, n: int, size: tuple[int, ...]) -> ImageFeed:
    """Missing, of one pixel, thin, white, black but for one pixel, and of random pixels; of one size where that is given."""
    random = np.random.default_rng(0)
    sizes = [size] * 5 if size else [(1, 1), (1, 9), (9, 1), (8, 8), (7, 5)]
    images: list[Any] = [None, *(random.integers(0, 256, (*each, column.n_channels), np.uint8) for each in sizes)]
    images[-2][...], images[-1][...] = 255, 0
    images[-1][0, 0] = 1
    return ImageFeed.of([images[i % len(images)] for i in range(n)], column)


def _hostile_column(column: Column, position: int, n: int) -> Array:
    values, dtype = _values(column)
    # The levels stand last: those that there are no rows for stay out.
    m = min(len(values), n)
    strides = np.array([stride for stride in range(1, m + 1) if math.gcd(stride, m) == 1])
    turn, place = np.divmod(np.arange(n), m)
    # Strides change from turn to turn, so that columns that go side by side once do not do so again.
    round_of_columns = position // len(strides)
    stride = strides[(position + turn * (1 + round_of_columns)) % len(strides)]
    at = (place * stride + turn * round_of_columns) % m
    return np.ascontiguousarray(np.array(values, dtype)[at].reshape(n, 1))


def _values(column: Column) -> tuple[list[Any], Any]:
    """Hostile values of a column and the type of its feed."""
    if column.kind == "boolean":
        return ([False, True], np.bool_) if column.strict_bool else (list(BOOLEANS), np.float64)
    if column.kind == "datetime":
        return list(DATES), np.int64
    if column.onnx_type == "INT64":
        return [*INTEGERS, *column.levels], np.int64
    if column.kind == "text":
        return list(TEXTS), object
    if column.onnx_type == "STRING":
        return [*STRINGS, *column.levels], object
    if column.onnx_type == "FLOAT":
        largest = float(np.finfo(np.float32).max)
        return [value if np.isnan(value) else min(max(value, -largest), largest) for value in NUMBERS], np.float32
    return list(NUMBERS), np.float64
