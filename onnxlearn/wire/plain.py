"""Columns of the commonest values, finite numbers and text, as feeds: all at once, where nothing in them wants a closer look.

What is accepted here, the converters of :mod:`onnxlearn.wire.values` accept with the same outcome; the rest is left to them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlearn.schema import Column
from onnxlearn.wire.feeds import Feeds
from onnxlearn.wire.values import MAX_EXACT, WIRE_TYPES, wire_array

_NUMBERS = {float, int, type(None)}


def plain_feeds(columns: Sequence[Column], values: Mapping[str, Sequence[object]]) -> Feeds:
    """Feeds of those columns that hold nothing but plain values, of equally many rows: numbers and ``None``, or text.

    >>> age, sex = Column(name="age", kind="numeric", dtype="float64"), Column(name="sex", kind="categorical", dtype="str")
    >>> feeds = plain_feeds([age, sex], {"age": [31, None], "sex": ["f", None]})
    >>> {name: array.tolist() for name, array in feeds.items()}
    {'age': [[31.0], [nan]]}
    """
    feeds = _numbers([column for column in columns if column.kind == "numeric" and column.dtype != "duration"], values)
    for column in columns:
        if column.onnx_type == "STRING" and _is_text(values[column.name]):
            feeds[column.name] = wire_array(values[column.name], column)
    return feeds


def _numbers(columns: Sequence[Column], values: Mapping[str, Sequence[Any]]) -> Feeds:
    given = [values[column.name] for column in columns]
    if not set(map(type, itertools.chain.from_iterable(given))) <= _NUMBERS:
        return {}
    try:
        # None becomes NaN.
        matrix = np.array(given, dtype=np.float64)
    except OverflowError:
        return {}
    # Integers this large may not be exact; infinity is one of them.
    if np.any(np.abs(matrix) >= MAX_EXACT):
        return {}
    return {
        column.name: row.reshape(-1, 1).astype(WIRE_TYPES[column.onnx_type], copy=False)
        for column, row in zip(columns, matrix, strict=True)
    }


def _is_text(values: Sequence[Any]) -> bool:
    if set(map(type, values)) != {str}:
        return False
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True
