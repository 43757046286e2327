"""Rows that show what a model takes: made from its schema alone, so that no row of a training table leaves with a file."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import numpy as np

from onnxlearn.images.feed import ImageFeed
from onnxlearn.schema import Column, Schema
from onnxlearn.wire.feeds import Feeds, values_feeds
from onnxlearn.wire.form import image_shape
from onnxlearn.wire.sent import sent_image
from onnxlearn.wire.tensors import Tensor, array_tensor

_DATES = ("2024-02-29T12:30:00", "1999-12-31T23:59:59")
_NUMBERS = (1.0, 2.5)
# Pixels a side of a picture.
_SIDE = 16
_TEXTS = ("Good value, and it works.", "Not what I had hoped for: it broke at once!")


def example_rows(schema: Schema, n: int = 2) -> list[dict[str, Any]]:
    """``n`` rows as JSON writes them: dates as text, durations in seconds.

    Categories are levels that the schema knows; numbers and dates mean nothing, the schema tells no range.

    >>> from onnxlearn.schema import Target
    >>> sex = Column(name="sex", kind="categorical", dtype="str", levels=("f", "m"))
    >>> paid = Column(name="paid", kind="boolean", dtype="bool")
    >>> schema = Schema(name="t", features=(sex, paid), target=Target(names=("y",), type="regression", dtype="float64"))
    >>> example_rows(schema)
    [{'sex': 'f', 'paid': True}, {'sex': 'm', 'paid': False}]
    """
    return [
        {
            column.name: sent_image(_picture(column, schema, i)) if column.kind == "image" else _example(column, i)
            for column in schema.features
        }
        for i in range(n)
    ]


def _example(column: Column, i: int) -> Any:
    if column.kind in ("categorical", "ordered"):
        return column.levels[i % len(column.levels)] if column.levels else None
    if column.kind == "boolean":
        return (1 - i % 2) if column.dtype == "int64" else i % 2 == 0
    if column.kind == "datetime":
        return _DATES[i % 2] + ("Z" if column.dtype == "utc" else "")
    if column.kind == "text":
        return _TEXTS[i % 2]
    number = _NUMBERS[i % 2]
    return int(number) if column.dtype == "int64" else number


def _picture(column: Column, schema: Schema, i: int) -> Any:
    """A small picture that gets brighter, of the size that the file takes where it takes one alone."""
    height, width = (side if isinstance(side, int) else _SIDE for side in image_shape(column, schema)[1:3])
    row = np.linspace(0, 200, width).astype(np.uint8) + np.uint8(40 * (i % 2))
    return np.broadcast_to(row[None, :, None], (height, width, column.n_channels)).copy()


def example_feeds(schema: Schema, n: int = 2) -> Feeds:
    """The same rows as feeds."""
    rows = example_rows(schema, n)
    images = {column.name for column in schema.of_kind("image")}
    values = {
        name: [base64.b64decode(row[name]) if name in images else row[name] for row in rows] for name in schema.feature_names
    }
    return values_feeds(values, in_seconds(schema))


def example_request(schema: Schema, n: int = 2) -> dict[str, Any]:
    """The same rows as a request of the Open Inference Protocol: plain values for JSON."""
    return request_of(example_feeds(schema, n))


def request_of(feeds: Feeds) -> dict[str, Any]:
    """Feeds as such a request."""
    return {"inputs": [_request_tensor(_tensor(name, feed)) for name, feed in feeds.items()]}


def _tensor(name: str, feed: Any) -> Tensor:
    if not isinstance(feed, ImageFeed):
        return array_tensor(name, feed)
    images = [None if image is None else sent_image(image) for image in feed.decoded()]
    return Tensor(name=name, datatype="BYTES", shape=(len(images), 1), values=images)


def _request_tensor(tensor: Tensor) -> dict[str, Any]:
    # JSON has no NaN; null is what MLServer and others take for missing.
    values = [None if value != value else value for value in tensor.values]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "data": values}


def in_seconds(schema: Schema) -> Schema:
    """The schema with durations as the numbers that the file takes: what JSON and MLflow have for them."""
    features = tuple(
        dataclasses.replace(column, dtype="float64") if column.dtype == "duration" else column for column in schema.features
    )
    return dataclasses.replace(schema, features=features)
