"""A few rows with the outputs that a file gave where it was made, to be run again elsewhere.

The rows are made from the schema, so nothing of the training data is in them. ``docs/file-format.md`` tells how they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import ModelFileError
from onnxlearn.images.feed import ImageFeed
from onnxlearn.remarks import kept
from onnxlearn.schema import MISSING_INT64, Column, Schema
from onnxlearn.wire.feeds import Feeds
from onnxlearn.wire.form import image_shape

KEY = "self_test"
N_ROWS = 4
# Wide tables and many classes have fewer rows, but two, so that the document stays small: about 10 kB of cells.
MIN_ROWS, MAX_CELLS = 2, 2000
# Pixels that are told of an image; the rest repeats them.
TILE = 64
MAX_SIDE = 4096

TOLERANCE = 1e-5
"""What machines may differ by, as everywhere in the file format."""

CONVERTED_TOLERANCE = 1e-2
"""The same of networks with numbers of 16 or 8 bits: what lies between two of their steps may go to either side elsewhere."""

GPU_TIE = 1e-4
"""As close two probabilities may be on a GPU for either class to be the label; elsewhere as close as numbers may differ."""

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Feeds], Mapping[str, Array]]
TEXTS = ("It was good, and the people were nice.", "Not bad at all!", "I do not know what to say: never again.", "...")
_TYPES: Mapping[str, Any] = {
    "DOUBLE": np.float64, "FLOAT": np.float32, "INT64": np.int64, "BOOL": np.bool_, "STRING": object,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What :meth:`onnxlearn.Model.verify` found.

    ``n_rows``: rows that were run. ``differences``: for each output the largest difference of its numbers, those of a
    regression as a share of the largest that is expected for the target; of labels and sets the share of values that differ.
    ``tolerance``: what is allowed of numbers; of others nothing.

    >>> Verification(n_rows=4, differences={"probabilities": 0.0, "label": 0.0}, failed=(), tolerance=1e-5).ok
    True
    """

    n_rows: int
    differences: Mapping[str, float]
    failed: tuple[str, ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether every output is what it was."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; a difference that is no number (a NaN, another shape) is ``None``."""
        told = {name: value if np.isfinite(value) else None for name, value in self.differences.items()}
        return {
            "ok": self.ok, "n_rows": self.n_rows, "tolerance": self.tolerance, "differences": told, "failed": list(self.failed),
        }  # fmt: skip


def record(schema: Schema, predict: Predict) -> dict[str, Any]:
    """For the metadata: rows and what ``predict`` gives for them, in the feeds and outputs of the standard form."""
    feeds = rows_of(schema)
    outputs = predict(feeds)
    return {
        "inputs": {column.name: _told(feeds[column.name], column) for column in schema.features},
        "outputs": {name: _cells(array) for name, array in outputs.items()},
    }


def rows_of(schema: Schema) -> Feeds:
    """The rows, the same at every call: an ordinary one, a missing value everywhere, then others that change.

    Numbers are small, so that runtimes which round differently stay within the tolerance; ``graph/hostile.py`` has the rest.
    """
    n = max(MIN_ROWS, min(N_ROWS, MAX_CELLS // max(1, len(schema.features), schema.target.n_outputs)))
    return {
        column.name: _images(column, schema, n) if column.kind == "image" else _column(column, i, n)
        for i, column in enumerate(schema.features)
    }


def _told(feed: Any, column: Column) -> list[Any]:
    """The cells of a feed: of an image its shape, and pixels that are repeated to fill it."""
    if column.kind == "image":
        return [{"shape": list(image.shape), "tile": image.ravel()[:TILE].tolist()} for image in feed.read().images]
    return _cells(feed[:, 0])


def _images(column: Column, schema: Schema, n: int) -> ImageFeed:
    size = next((each for each in image_shape(column, schema)[1:3] if isinstance(each, int)), None)
    shapes = [image_shape(column, schema)[1:]] * n if size else [(8, 6 + row, column.n_channels) for row in range(n)]
    tile = np.arange(TILE, dtype=np.uint8) * 3 + 20
    images = [np.resize(tile + 7 * row, shape).astype(np.uint8) for row, shape in enumerate(shapes)]  # type: ignore[arg-type]
    return ImageFeed.of([None if row == 1 else image for row, image in enumerate(images)], column)


def verify(
    document: Mapping[str, Any], schema: Schema, predict: Predict, *, tolerance: float | None, source: str, on_gpu: bool = False
) -> Verification:
    """Run the rows of a document again; ``tolerance``: ``None`` is that of its kind of file.

    ``on_gpu``: where they run; labels may be others where the two best probabilities are closer than :data:`GPU_TIE` there.

    Raises: ModelFileError where it has none, or none that fit the schema.
    """
    if tolerance is None:
        tolerance = CONVERTED_TOLERANCE if "conversion" in document else max(TOLERANCE, _proven(document))
    told = document.get(KEY)
    if told is None:
        raise ModelFileError(f"{source} has no rows to verify it with: it was made by another program or an older onnxlearn")
    feeds, expected = _read(told, schema, source)
    # Of rows that are none of the user's.
    with kept():
        outputs = predict(feeds)
    missing = [name for name in expected if name not in outputs]
    if missing:
        raise ModelFileError(f"{source} is damaged: its self-test has output {missing[0]!r}, which its graph does not give")
    sure = _sure(expected.get("probabilities"), max(tolerance, GPU_TIE if on_gpu else TOLERANCE))
    differences = {
        name: _difference(outputs[name], values, sure if name == "label" else None) for name, values in expected.items()
    }
    failed = tuple(name for name, gap in differences.items() if not gap <= (tolerance if _numbers(outputs[name]) else 0.0))
    return Verification(n_rows=len(next(iter(expected.values()))), differences=differences, failed=failed, tolerance=tolerance)


def _proven(document: Mapping[str, Any]) -> float:
    """What was allowed when the file was compared with its network: more where float32 does not determine the outputs."""
    tolerance = document.get("parity", {}).get("tolerance")
    return min(float(tolerance), CONVERTED_TOLERANCE) if isinstance(tolerance, int | float) else 0.0


def _column(column: Column, position: int, n: int) -> Array:
    values = _values(column)
    picked = [values[(position + row) % len(values)] for row in range(n)]
    if n > 1:
        picked[1] = _missing(column)
    return np.array(picked, _TYPES[column.onnx_type]).reshape(n, 1)


def _values(column: Column) -> list[Any]:
    if column.kind == "boolean":
        return [False, True] if column.strict_bool else [0.0, 1.0]
    if column.kind == "datetime":
        return [1_600_000_000_000_000, 951_782_400_000_000, -1]
    if column.kind == "text":
        return list(TEXTS)
    if column.levels:
        return [*column.levels[:3], "unseen" if column.dtype == "str" else -1]
    return [""] if column.onnx_type == "STRING" else [0] if column.onnx_type == "INT64" else [1.0, 0.0, -2.5, 40.0]


def _missing(column: Column) -> Any:
    missing: Mapping[str, Any] = {"BOOL": False, "STRING": "", "INT64": MISSING_INT64}
    return missing.get(column.onnx_type, np.nan)


def _cells(array: Array) -> list[Any]:
    """Plain JSON: numbers of float32 as they are in float64, which is exact; what is not finite is null."""
    if array.dtype.kind != "f":
        cells: list[Any] = array.tolist()
        return cells
    doubles = array.astype(np.float64)
    objects = doubles.astype(object)
    objects[~np.isfinite(doubles)] = None
    finite: list[Any] = objects.tolist()
    return finite


def _read(told: Any, schema: Schema, source: str) -> tuple[Feeds, dict[str, Array]]:
    """Feeds and outputs of a document's rows."""
    try:
        inputs, outputs = told["inputs"], told["outputs"]
        feeds = {column.name: _feed(inputs[column.name], column) for column in schema.features}
        expected = {str(name): _array(values) for name, values in outputs.items()}
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ModelFileError(f"{source} is damaged: its self-test cannot be read ({type(error).__name__}: {error})") from error
    counts = {len(array) for array in (*feeds.values(), *expected.values()) if len(array.shape)} or {0}
    if len(counts) != 1 or not 1 <= min(counts) <= 1000 or not expected or any(array.ndim == 0 for array in expected.values()):
        raise ModelFileError(f"{source} is damaged: the inputs and outputs of its self-test have to have 1 to 1000 rows alike")
    return feeds, expected


def _feed(cells: Any, column: Column) -> Any:
    if column.kind == "image":
        return ImageFeed.of([_image(cell, column) for cell in cells], column)
    wanted = {"STRING": str, "INT64": int, "BOOL": bool}.get(column.onnx_type)
    if not isinstance(cells, list) or (wanted and any(type(cell) is not wanted for cell in cells)):
        raise ValueError(f"column {column.name!r} has values of another type")
    values = cells if wanted else [np.nan if cell is None else float(cell) for cell in cells]
    with np.errstate(over="raise"):
        return np.array(values, _TYPES[column.onnx_type]).reshape(-1, 1)


def _image(told: Any, column: Column) -> Array:
    height, width, n_channels = told["shape"]
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and n_channels == column.n_channels):
        raise ValueError(f"column {column.name!r} has an image of shape {told['shape']}")
    return np.resize(np.array(told["tile"], np.uint8), (height, width, n_channels))


def _array(cells: Any) -> Array:
    """Outputs: null is NaN among numbers."""
    if not isinstance(cells, list):
        raise TypeError(f"an output is a list, not {type(cells).__name__}")
    array = np.array(cells)
    return np.array(cells, np.float64) if array.dtype.kind in "Of" else array


def _numbers(array: Array) -> bool:
    return array.dtype.kind == "f"


def _sure(probabilities: Array | None, tie: float) -> Array | None:
    """Rows ``[N]`` whose best class is one alone, where that is known."""
    if probabilities is None or probabilities.dtype.kind != "f" or probabilities.ndim != 2 or probabilities.shape[1] < 2:
        return None
    best = np.sort(probabilities.astype(np.float64), axis=1)[:, -2:]
    sure: Array = best[:, 1] - best[:, 0] > tie
    return sure


def _difference(got: Array, expected: Array, rows: Array | None = None) -> float:
    """``rows``: those that count, of values that are no numbers."""
    if got.shape != expected.shape:
        return float("inf")
    if not _numbers(got):
        others = got.astype(str) != expected.astype(str)
        return float(np.mean(others if rows is None or rows.shape != others.shape else others & rows)) if got.size else 0.0
    if expected.dtype.kind not in "fiu":
        return float("inf")
    doubles = expected.astype(np.float64)
    # Probabilities and masks are parts of 1; numbers have a unit of their own.
    scale = _scale(doubles) if got.dtype == np.float64 else 1.0
    with np.errstate(all="ignore"):
        gap = np.abs(got - doubles) / scale
    gap[(got == doubles) | (np.isnan(got) & np.isnan(doubles))] = 0.0
    return float(gap.max(initial=0.0))


def _scale(expected: Array) -> Array:
    """The largest size of a number, for each target."""
    others = tuple(axis for axis in range(expected.ndim) if axis != 1)
    sizes = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    largest: Array = sizes.max(axis=others, keepdims=True, initial=np.finfo(np.float64).tiny)
    return largest
