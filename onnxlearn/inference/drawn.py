"""Rows that fit a schema, drawn at random, for where there is no table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.measures import Array
from onnxlearn.prediction import class_array
from onnxlearn.schema import Column, Schema
from onnxlearn.wire.form import image_shape

if TYPE_CHECKING:
    import pandas as pd

_DAYS = 3650
# Different images, and the side of one of which nothing is known.
N_IMAGES, _SIDE = 16, 64


def drawn_frame(schema: Schema, n_rows: int, seed: int = 0) -> pd.DataFrame:
    """``n_rows`` rows with every feature and the target, of the types that training had and without missing values.

    Levels and classes are the schema's; numbers, of which it knows no range, are standard normal, whole ones below 100.
    The same seed draws the same rows.

    >>> from onnxlearn.schema import Target
    >>> column = Column(name="sex", kind="categorical", dtype="str", levels=("f",))
    >>> schema = Schema(name="t", features=(column,), target=Target(names=("y",), type="regression", dtype="float64"))
    >>> drawn_frame(schema, 2)["sex"].tolist()
    ['f', 'f']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    columns = {
        column.name: _images(column, schema, n_rows, rng) if column.kind == "image" else _values(column, n_rows, rng)
        for column in schema.features
    }
    if schema.target.type == "classification":
        # In turn, so that every class has rows.
        columns[schema.target.name] = np.resize(class_array(schema.target), n_rows)
    else:
        columns |= {name: rng.normal(size=n_rows) for name in schema.target.names}
    return pd.DataFrame(columns)


def _values(column: Column, n_rows: int, rng: np.random.Generator) -> Any:
    if column.kind == "datetime":
        return _dates(column, n_rows, rng)
    if column.kind == "boolean":
        bits = rng.random(n_rows) < 0.5
        return bits if column.dtype == "bool" else bits.astype(np.int64)
    if column.kind == "text":
        return [" ".join(f"word{i}" for i in rng.integers(0, 1000, rng.integers(1, 60))) for _ in range(n_rows)]
    if column.kind != "numeric":
        return _levels(column, n_rows, rng)
    if column.dtype == "duration":
        return rng.integers(0, 86_400, n_rows).astype("timedelta64[s]")
    if column.dtype == "int64":
        return rng.integers(0, 100, n_rows)
    return rng.normal(size=n_rows).astype(np.float32 if column.dtype == "float32" else np.float64)


def _images(column: Column, schema: Schema, n_rows: int, rng: np.random.Generator) -> pd.Series[Any]:
    """A few images again and again, of the size that the file takes or the network sees."""
    import pandas as pd

    shape = [side if isinstance(side, int) else _SIDE for side in image_shape(column, schema)[1:3]]
    if schema.ingress is not None:
        entered = schema.ingress.tensors.values()
        seen = [each.shape[1:] for each in entered if each.column == column.name and len(each.shape) == 3]
        shape = list(seen[0]) if seen else shape
    images = rng.integers(0, 256, (N_IMAGES, *shape, column.n_channels), np.uint8)
    return pd.Series([images[row % N_IMAGES] for row in range(n_rows)], dtype=object)


def _dates(column: Column, n_rows: int, rng: np.random.Generator) -> Any:
    import pandas as pd

    days = pd.Series(np.datetime64("2015-01-01", "us") + rng.integers(0, _DAYS, n_rows).astype("timedelta64[D]"))
    return days.dt.tz_localize("UTC") if column.dtype == "utc" else days


def _levels(column: Column, n_rows: int, rng: np.random.Generator) -> Array:
    levels = np.array(column.levels or (None,), dtype=np.int64 if column.levels and column.dtype == "int64" else object)
    return levels[rng.integers(0, len(levels), n_rows)]
