"""In what form the columns of a file's rows enter it: each by itself, or packed by type.

What learners write is the standard form, one ``[N, 1]`` a column. A file that was rewritten for another runtime says its form
in the metadata's ``inputs``; feeds are made in the standard form everywhere and arranged for the file at last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import ModelFileError
from onnxlearn.schema import Column, Schema

if TYPE_CHECKING:
    from onnxlearn.wire.feeds import Feeds

Layout: TypeAlias = Literal["columns", "packed"]
FloatType: TypeAlias = Literal["float64", "float32"]

ROWS = "N"
KEY = "inputs"

# Of a packed file: the tensors by name, and the types of the columns that stand in each.
PACKS: Mapping[str, tuple[str, ...]] = {
    "numbers": ("DOUBLE", "FLOAT", "BOOL"),
    "integers": ("INT64",),
    "strings": ("STRING",),
}
_PACK_TYPES = {"numbers": "DOUBLE", "integers": "INT64", "strings": "STRING"}
_FLOAT_TYPES = {"float64": "DOUBLE", "float32": "FLOAT"}
_ARRAY_TYPES: Mapping[str, Any] = {"DOUBLE": np.float64, "FLOAT": np.float32}
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Form:
    """The inputs of a file.

    ``layout``: ``columns``, or ``packed``: up to three tensors ``[N, K]`` with the columns in the schema's order, ``numbers``,
    ``integers`` and ``strings``. ``rank``: of a column by itself, ``[N]`` or ``[N, 1]``. ``float_type``: of all that are
    floating point numbers; ``None``, as each column's type says (packed: float64).

    >>> from onnxlearn.schema import Target
    >>> columns = (Column(name="x", kind="numeric", dtype="float64"), Column(name="day", kind="datetime", dtype="naive"))
    >>> schema = Schema(name="t", features=columns, target=Target(names=("y",), type="regression", dtype="float64"))
    >>> Form(rank=1, float_type="float32").inputs(schema)
    {'x': ('FLOAT', ('N',)), 'day': ('INT64', ('N',))}
    >>> Form(layout="packed").inputs(schema)
    {'numbers': ('DOUBLE', ('N', 1)), 'integers': ('INT64', ('N', 1))}
    """

    layout: Layout = "columns"
    rank: Literal[1, 2] = 2
    float_type: FloatType | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any], *, source: str = "the file") -> Form:
        """The form that a metadata document tells, the standard one where it does not.

        Raises: ModelFileError.
        """
        told = document.get(KEY, {})
        known = {"layout": get_args(Layout), "rank": (1, 2), "float_type": (None, *get_args(FloatType))}
        form = {name: told[name] for name in known if name in told} if isinstance(told, dict) else {"layout": [told]}
        for name, value in form.items():
            if not any(type(value) is type(choice) and value == choice for choice in known[name]):
                raise ModelFileError(
                    f"{source} has inputs in a form that this onnxlearn does not know ({name} {value!r}): "
                    "pip install -U onnxlearn"
                )
        return cls(**form)

    def to_dict(self, schema: Schema) -> dict[str, Any]:
        """For the metadata: nothing of the standard form; of a packed one also which columns stand in which tensor."""
        if self == Form():
            return {}
        told: dict[str, Any] = {"layout": self.layout, "rank": self.rank, "float_type": self.float_type}
        if self.layout == "packed":
            told["tensors"] = {name: [column.name for column in columns] for name, columns in packs(schema).items()}
        return {KEY: told}

    def inputs(self, schema: Schema) -> dict[str, tuple[str, tuple[str | int, ...]]]:
        """Element type and shape of each input by name; images stand by themselves in every form."""
        if self.layout == "packed":
            packed = {name: (self._pack_type(name), (ROWS, len(columns))) for name, columns in packs(schema).items()}
            return packed | {column.name: ("UINT8", image_shape(column, schema)) for column in schema.of_kind("image")}
        shape: tuple[str | int, ...] = (ROWS,) if self.rank == 1 else (ROWS, 1)
        return {
            column.name: (self._column_type(column), image_shape(column, schema) if column.kind == "image" else shape)
            for column in schema.features
        }

    def arrange(self, feeds: Feeds, schema: Schema) -> Feeds:
        """Feeds of the file from those of the standard form; numbers beyond the range of float32 become its largest."""
        if self == Form():
            return feeds
        images = {column.name: feeds[column.name] for column in schema.of_kind("image")}
        if self.layout == "packed":
            return {name: self._pack(name, columns, feeds) for name, columns in packs(schema).items()} | images
        table = [column for column in schema.features if column.name not in images]
        typed = {column.name: _cast(feeds[column.name], self._column_type(column)) for column in table}
        return (typed if self.rank == 2 else {name: array[:, 0] for name, array in typed.items()}) | images

    def rounded(self, feeds: Feeds, schema: Schema) -> Feeds:
        """Feeds in the standard form with the numbers that the file sees: those that its float type can hold."""
        if self.float_type != "float32":
            return feeds
        doubles = {column.name for column in schema.features if column.onnx_type == "DOUBLE"}
        return {name: _cast(_cast(array, "FLOAT"), "DOUBLE") if name in doubles else array for name, array in feeds.items()}

    def _column_type(self, column: Column) -> str:
        is_float = column.onnx_type in _ARRAY_TYPES and self.float_type is not None
        return _FLOAT_TYPES[str(self.float_type)] if is_float else column.onnx_type

    def _pack_type(self, name: str) -> str:
        return _FLOAT_TYPES[self.float_type or "float64"] if name == "numbers" else _PACK_TYPES[name]

    def _pack(self, name: str, columns: tuple[Column, ...], feeds: Feeds) -> NDArray[Any]:
        onnx_type = self._pack_type(name)
        return np.hstack([_cast(feeds[column.name], onnx_type) for column in columns])


def image_shape(column: Column, schema: Schema) -> tuple[str | int, ...]:
    """The shape of a column of images: of any height and width, but where the network takes images as they are."""
    given = () if schema.ingress is None else schema.ingress.given_size(column.name)
    return ROWS, *(given or (f"{column.name}_height", f"{column.name}_width")), column.n_channels


def packs(schema: Schema) -> dict[str, tuple[Column, ...]]:
    """The tensors of a packed file by name, with the columns in each; those without columns do not exist."""
    found = {name: tuple(column for column in schema.features if column.onnx_type in types) for name, types in PACKS.items()}
    return {name: columns for name, columns in found.items() if columns}


def _cast(array: NDArray[Any], onnx_type: str) -> NDArray[Any]:
    """Numbers as another floating point type; what is none of these stays as it is."""
    wanted = _ARRAY_TYPES.get(onnx_type)
    if wanted is None or array.dtype == wanted:
        return array
    return array.clip(-_LARGEST, _LARGEST).astype(wanted) if wanted is np.float32 else array.astype(wanted)
