"""Tensors of the Open Inference Protocol as feeds: what servers of others hand over, held against the schema.

The protocol (https://github.com/kserve/open-inference-protocol) has a name, a datatype, a shape and values for each tensor. A
value means what it means in the file (``docs/file-format.md``): a date is microseconds, a missing one the smallest int64. Where
the protocol's JSON has a null, the value is missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError, DataTypeError, listing
from onnxlearn.images.feed import ImageFeed
from onnxlearn.schema import MISSING_INT64, Column, Schema
from onnxlearn.wire.feeds import Feeds, require_columns
from onnxlearn.wire.plain import plain_feeds
from onnxlearn.wire.sent import MOST_PIXELS, SentImages
from onnxlearn.wire.values import Converter, Refused, converter, describe, first_refusal, row_place, wire_array

DATATYPES = {"DOUBLE": "FP64", "FLOAT": "FP32", "INT64": "INT64", "BOOL": "BOOL", "STRING": "BYTES", "UINT8": "BYTES"}
"""The protocol's name of each ONNX element type that a file has; images are the bytes of their files."""

_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
_NUMBERS = ("FP64", "FP32", "FP16", *_INTEGERS)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a request: ``values`` flat or nested in rows, ``None`` where one is missing."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Iterable[Any]


def tensors_feeds(tensors: Sequence[Tensor], schema: Schema) -> Feeds:
    """Feeds of a request's tensors: see :class:`TensorReader`, which is prepared once for many requests.

    >>> from onnxlearn.schema import Target
    >>> column = Column(name="age", kind="numeric", dtype="float64")
    >>> schema = Schema(name="t", features=(column,), target=Target(names=("y",), type="regression", dtype="float64"))
    >>> tensors_feeds([Tensor(name="age", datatype="FP64", shape=[2, 1], values=[31, None])], schema)["age"].tolist()
    [[31.0], [nan]]
    """
    return TensorReader(schema).feeds(tensors)


class TensorReader:
    """Reads the tensors of requests for one model.

    A datatype that holds fewer numbers than the column's own (FP32, INT32 where the file has FP64) is as good.
    """

    def __init__(self, schema: Schema) -> None:
        self._columns = {column.name: column for column in schema.features}
        self._images = {column.name: SentImages(column, schema) for column in schema.of_kind("image")}
        self._targets = schema.target.names
        # What accepts a column's values in a datatype, made when it is first asked for.
        self._taken: dict[tuple[str, str], tuple[Column, Converter]] = {}

    def feeds(self, tensors: Sequence[Tensor]) -> Feeds:
        """Feeds of a request's tensors, one of shape ``[N, 1]`` or ``[N]`` a feature, in any order.

        Images are BYTES, the bytes of a file or their base64 text, or UINT8 ``[N, H, W, C]``, their pixels.

        Raises: DataError where a tensor is given twice, is none of the model's, or has another number of rows than the others;
        ColumnNotFoundError for an absent one; DataTypeError with column, row and value for what does not fit.
        """
        by_name = {tensor.name: tensor for tensor in tensors}
        if len(by_name) < len(tensors) or by_name.keys() != self._columns.keys():
            self._complain([tensor.name for tensor in tensors])
        images = {name: self._read_images(by_name[name], reader) for name, reader in self._images.items()}
        columns = {name: column for name, column in self._columns.items() if name not in images}
        taken = {name: self._reader(column, by_name[name].datatype) for name, column in columns.items()}
        values: dict[str, Any] = images | {name: _values(by_name[name]) for name in columns}
        first = next(iter(values))
        other = next((name for name in values if len(values[name]) != len(values[first])), None)
        if other is not None:
            n_first, n_other = len(values[first]), len(values[other])
            raise DataError(f"all inputs have equally many rows, but {first!r} has {n_first} and {other!r} {n_other}")
        plain = plain_feeds([column for column, _ in taken.values()], values)
        return {
            name: images[name]
            if name in images
            else plain[name]
            if name in plain
            else _array(values[name], column, *taken[name])
            for name, column in self._columns.items()
        }

    def _read_images(self, tensor: Tensor, reader: SentImages) -> ImageFeed:
        if tensor.datatype == "UINT8":
            pixels = _pixels(tensor, reader.column.n_channels)
            return _placed(tensor.name, pixels, reader, reader.fitting)
        if tensor.datatype != "BYTES":
            raise DataTypeError(
                f"column {tensor.name!r}: the model takes BYTES, the files of images, or UINT8, their pixels; the request says "
                f"{tensor.datatype}"
            )
        return _placed(tensor.name, _values(tensor), reader, reader.read)

    def _complain(self, names: list[str]) -> None:
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise DataError(f"the request has the input {twice!r} more than once; give each input once")
        require_columns(list(self._columns), names, source="the request", taken=self._targets)
        unknown = next(name for name in names if name not in self._columns)
        raise DataError(f"the model has no input {unknown!r}; it has {listing(self._columns)}; leave the others out")

    def _reader(self, column: Column, datatype: str) -> tuple[Column, Converter]:
        found = self._taken.get((column.name, datatype))
        if found is None:
            taken = _stand_in(column, datatype)
            if taken is None:
                raise DataTypeError(
                    f"column {column.name!r}: the model takes {DATATYPES[column.onnx_type]}, the request says {datatype}; "
                    f"send it as {DATATYPES[column.onnx_type]}"
                )
            found = self._taken[column.name, datatype] = (taken, converter(taken))
        return found


def _placed(name: str, values: Any, reader: SentImages, read: Any) -> ImageFeed:
    """The feed of images, whose refusals name the row."""
    row = 0

    def read_next(value: Any) -> Any:
        nonlocal row
        try:
            found = read(value)
        except Refused as reason:
            raise DataTypeError(f"column {name!r}, {row_place(row)}: {reason}") from None
        row += 1
        return found

    try:
        return reader.feed(values, read_next)
    except Refused as reason:
        raise DataTypeError(f"column {name!r}: {reason}") from None


def _pixels(tensor: Tensor, n_channels: int) -> NDArray[np.uint8]:
    """The pixels of images of one size, uint8 ``[N, H, W, C]``."""
    shape = list(tensor.shape)
    if len(shape) != 4 or min(shape) < 0 or shape[3] != n_channels or 0 in shape[1:]:
        raise DataTypeError(f"column {tensor.name!r}: expected pixels of the shape [N, H, W, {n_channels}], got {shape}")
    if math.prod(shape[:3]) > MOST_PIXELS:
        raise DataTypeError(f"column {tensor.name!r}: a request has at most {MOST_PIXELS} pixels: send fewer rows at a time")
    n_values = math.prod(shape)
    try:
        values = np.array(tensor.values if isinstance(tensor.values, np.ndarray) else list(tensor.values)).ravel()
    except ValueError:
        values = np.empty(0)
    fits = values.dtype.kind in "iu" and bool(((values >= 0) & (values <= 255)).all())
    if len(values) != n_values or (n_values and not fits):
        raise DataTypeError(f"column {tensor.name!r}: the shape {shape} is one of {n_values} whole numbers of 0 to 255")
    return values.astype(np.uint8).reshape(shape)


def _values(tensor: Tensor) -> list[Any]:
    """A tensor's values, one a row."""
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise DataTypeError(f"column {tensor.name!r}: expected the shape [N, 1] or [N], got {shape}; one value a row")
    values = _flat(tensor.values)
    if len(values) != shape[0]:
        raise DataTypeError(f"column {tensor.name!r}: the shape {shape} is one of {shape[0]} values, there are {len(values)}")
    return values


def _array(values: list[Any], column: Column, taken: Column, convert: Converter) -> NDArray[Any]:
    values = [_plain(value, column, row) for row, value in enumerate(values)]
    try:
        converted = [convert(value) for value in values]
    except Refused:
        raise first_refusal(values, taken, row_place, convert) from None
    # A boolean that was sent as a number or the other way round has the file's type here.
    return wire_array(converted, column)


def _stand_in(column: Column, datatype: str) -> Column | None:
    """A column that accepts what this one means in the file, ``None`` where no tensor of that type does.

    In the file a duration is seconds, a date microseconds, a boolean 0 or 1.
    """
    if column.kind == "boolean":
        dtype = "bool" if datatype == "BOOL" else "int64" if datatype in _NUMBERS else None
        return None if dtype is None else dataclasses.replace(column, dtype=dtype)
    if column.onnx_type == "STRING":
        return column if datatype == "BYTES" else None
    if column.onnx_type == "INT64":
        return dataclasses.replace(column, kind="categorical", dtype="int64") if datatype in _INTEGERS else None
    dtype = "float32" if column.onnx_type == "FLOAT" else "float64"
    return dataclasses.replace(column, kind="numeric", dtype=dtype) if datatype in _NUMBERS else None


def _flat(values: Iterable[Any]) -> list[Any]:
    flat = list(values)
    if not {list, tuple} & set(map(type, flat)):
        return flat
    return [inner for value in flat for inner in (value if isinstance(value, list | tuple) else [value])]


def _plain(value: Any, column: Column, row: int) -> Any:
    """A value as the converters know it: text decoded, the file's own spelling of missing as ``None``."""
    if isinstance(value, bytes) and column.onnx_type == "STRING":
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise DataTypeError(
                f"column {column.name!r}, {row_place(row)}: {describe(value)} are no UTF-8; encode the text so"
            ) from None
    if column.onnx_type == "INT64" and value == MISSING_INT64:
        return None
    return value


def array_tensor(name: str, array: NDArray[Any]) -> Tensor:
    """An output as a tensor: its values flat, as Python values.

    >>> import numpy as np
    >>> array_tensor("label", np.array(["a", "b"], object))
    Tensor(name='label', datatype='BYTES', shape=(2,), values=['a', 'b'])
    """
    return Tensor(name=name, datatype=_datatype(array), shape=array.shape, values=array.ravel().tolist())


def _datatype(array: NDArray[Any]) -> str:
    """The protocol's name for the type of an array of outputs."""
    if array.dtype.kind in "OU":
        return "BYTES"
    if array.dtype.kind == "b":
        return "BOOL"
    family = {"f": "FP", "i": "INT", "u": "UINT"}[array.dtype.kind]
    return f"{family}{8 * array.dtype.itemsize}"
