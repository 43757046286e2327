"""The schema: a task without its data. Torch-free, JSON, and all that an architecture may look at."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from onnxlearn.errors import DataError

Kind: TypeAlias = Literal["numeric", "categorical", "ordered", "boolean", "datetime", "text", "image"]
Level: TypeAlias = str | int
Label: TypeAlias = str | int | bool
NumKind: TypeAlias = Literal["number", "time", "flag"]

KINDS: tuple[Kind, ...] = get_args(Kind)

# Codes of every categorical and ordered column, in the file and in the tensors that the network sees.
UNSEEN_CODE = 0
MISSING_CODE = 1
FIRST_LEVEL_CODE = 2

# What stands for a missing value in an INT64 input; the other types have NaN and the empty string.
MISSING_INT64 = -(2**63)

OUTPUT_NAMES = (
    "label", "probabilities", "prediction", "lower", "upper", "quantiles", "std", "set", "unseen", "embedding", "masks",
)  # fmt: skip
"""Names of the file's outputs, which no feature may have."""

DEFAULT_NA = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Cells of a text file that mean missing: the empty field and the spellings that pandas reads so."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One feature column.

    ``dtype`` says what the training values were and so what is accepted later:

    =====================  ==================================================  ===============
    kind                   dtype                                               ONNX input
    =====================  ==================================================  ===============
    numeric                float64, int64, decimal, duration (in seconds)      DOUBLE
    numeric                float32                                             FLOAT
    categorical, ordered   str                                                 STRING
    categorical, ordered   int64                                               INT64
    boolean                bool, int64 (numbers 0 and 1, declared boolean)     DOUBLE (BOOL if ``strict_bool``)
    datetime               naive (UTC wall time), utc (had a zone)             INT64 (microseconds)
    text                   str                                                 STRING (any text; missing is empty)
    image                  uint8                                               UINT8 ``[N, H, W, C]``
    =====================  ==================================================  ===============

    ``levels`` are those of a categorical (sorted) or ordered column (in their order); code ``i + 2`` is level ``i``.
    ``has_missing`` tells whether the task's table had missing values here. ``n_channels`` of images: 3 for colour, 1 for grey.

    >>> Column(name="sex", kind="categorical", dtype="str", levels=("f", "m")).n_codes
    4
    """

    name: str
    kind: Kind
    dtype: str
    levels: tuple[Level, ...] = ()
    has_missing: bool = False
    strict_bool: bool = False
    n_channels: int = 0

    @property
    def n_codes(self) -> int:
        """Number of codes: unseen, missing and one a level."""
        return len(self.levels) + FIRST_LEVEL_CODE

    @property
    def onnx_type(self) -> str:
        """Name of the ONNX element type of the column's input."""
        if self.kind == "numeric":
            return "FLOAT" if self.dtype == "float32" else "DOUBLE"
        if self.kind == "boolean":
            return "BOOL" if self.strict_bool else "DOUBLE"
        if self.kind == "datetime" or self.dtype == "int64":
            return "INT64"
        if self.kind == "image":
            return "UINT8"
        return "STRING"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives the column back."""
        return {**dataclasses.asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Column:
        """Inverse of :meth:`to_dict`."""
        return cls(**{**_known(cls, data), "levels": tuple(data.get("levels", ()))})


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is predicted: one column of classes, or one or several columns of numbers.

    ``dtype`` is the training type: ``str``, ``int64`` or ``bool`` for classes; ``float64`` or ``int64`` for numbers.
    ``classes`` are in the order of the file's ``probabilities``; ``positive`` is one of two classes.
    """

    names: tuple[str, ...]
    type: Literal["classification", "regression"]
    dtype: str
    classes: tuple[Label, ...] = ()
    positive: Label | None = None

    @property
    def name(self) -> str:
        """Name of the first target column."""
        return self.names[0]

    @property
    def n_outputs(self) -> int:
        """Width of the network's output: number of classes, or of target columns."""
        return len(self.classes) if self.type == "classification" else len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives the target back."""
        return {**dataclasses.asdict(self), "names": list(self.names), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Target:
        """Inverse of :meth:`to_dict`."""
        return cls(**{**_known(cls, data), "names": tuple(data["names"]), "classes": tuple(data.get("classes", ()))})


@dataclass(frozen=True, kw_only=True)
class ColumnTensor:
    """What enters of one column of images or texts by itself: ``name`` is ``image_<column>`` or ``text_<column>``.

    ``shape``: that of a row. ``n_ids``: of an int64 tensor of ids of words, how many there may be; ``d_vectors``: numbers of
    the vectors that their embedding begins with, 0 where none are given. ``given_size``: height and width that images have to
    have, where not any will do.

    >>> ColumnTensor(name="text_review", column="review", dtype="int64", shape=(64,), n_ids=10_002).kind
    'text'
    """

    name: str
    column: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int, ...]
    n_ids: int = 0
    d_vectors: int = 0
    given_size: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """What kind of column it is made of: ``image`` or ``text``."""
        return self.name.partition("_")[0]

    @property
    def onnx_type(self) -> str:
        """Name of the ONNX element type."""
        return "FLOAT" if self.dtype == "float32" else "INT64"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives the tensor back."""
        return {**dataclasses.asdict(self), "shape": list(self.shape), "given_size": list(self.given_size)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ColumnTensor:
        """Inverse of :meth:`to_dict`."""
        lists = {name: tuple(data.get(name, ())) for name in ("shape", "given_size")}
        return cls(**{**_known(cls, data), **lists})


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """Widths of the tensors that enter the network: a pure function of schema and preprocessing settings.

    ``num_names`` names the columns of ``num`` (float32 ``[N, n_num]``), ``cat_names`` those of ``cat`` (int64
    ``[N, n_cat]``), whose codes are below ``cardinalities``. ``num_kinds`` tells the columns of ``num`` apart: numbers and
    ranks, parts of dates, and flags of two values; flags stand last. ``num_sources`` names the feature that each column of
    ``num`` is made from, empty where there are several; ``cat_names`` are features themselves. ``columns``: the tensors of
    images and texts, one a column. ``groups``: columns with preprocessing of their own, whose tensors are called by the
    ``name`` of the group too, ``small/num``.
    """

    num_names: tuple[str, ...] = ()
    num_kinds: tuple[NumKind, ...] = ()
    num_sources: tuple[str, ...] = ()
    cat_names: tuple[str, ...] = ()
    cardinalities: tuple[int, ...] = ()
    columns: tuple[ColumnTensor, ...] = ()
    name: str = ""
    groups: tuple[Ingress, ...] = ()

    @property
    def n_num(self) -> int:
        """Number of columns of ``num``."""
        return len(self.num_names)

    @property
    def n_cat(self) -> int:
        """Number of columns of ``cat``."""
        return len(self.cat_names)

    @property
    def prefix(self) -> str:
        """What the names of its tensors begin with."""
        return f"{self.name}/" if self.name else ""

    @property
    def every(self) -> tuple[Ingress, ...]:
        """The ingress itself and its groups."""
        return (self, *self.groups)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of every tensor that there is, by name."""
        found: dict[str, tuple[int, ...]] = {}
        for each in self.every:
            own = {"num": (each.n_num,), "cat": (each.n_cat,)}
            found |= {each.prefix + name: shape for name, shape in own.items() if shape[0]}
            found |= {each.prefix + column.name: column.shape for column in each.columns}
        return found

    @property
    def integral(self) -> dict[str, bool]:
        """Whether a tensor holds codes or ids, int64, and not numbers, float32, by name."""
        codes, tensors = self.codes, self.tensors
        return {name: name in codes or (name in tensors and tensors[name].dtype == "int64") for name in self.shapes}

    @property
    def tensors(self) -> dict[str, ColumnTensor]:
        """The tensors of images and texts by name."""
        return {each.prefix + column.name: column for each in self.every for column in each.columns}

    def given_size(self, column: str) -> tuple[int, ...]:
        """Height and width that the images of a column have to have; empty where any will do."""
        sizes = (tensor.given_size for tensor in self.tensors.values() if tensor.column == column)
        return next(filter(None, sizes), ())

    @property
    def codes(self) -> dict[str, tuple[int, ...]]:
        """The tensors of codes by name: how many codes each of their columns has."""
        return {f"{each.prefix}cat": each.cardinalities for each in self.every if each.n_cat}

    def has(self, group: str) -> bool:
        """Whether tensors of that group enter; of the empty name, such as have none."""
        return bool(dataclasses.replace(self.group(group), groups=()).shapes)

    def group(self, name: str) -> Ingress:
        """The group of that name; the ingress itself for the empty name."""
        return self if not name else next(group for group in self.groups if group.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives the ingress back. Without groups nothing is said of them."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        told = {name: list(value) for name, value in data.items() if name not in ("name", "groups")}
        told["columns"] = [column.to_dict() for column in self.columns]
        own = {"name": self.name} if self.name else {}
        return own | told | ({"groups": [group.to_dict() for group in self.groups]} if self.groups else {})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Ingress:
        """Inverse of :meth:`to_dict`."""
        apart = {"columns", "groups", "name"}
        known = {key: tuple(value) for key, value in _known(cls, data).items() if key not in apart}
        return cls(
            **known,
            name=data.get("name", ""),
            columns=tuple(map(ColumnTensor.from_dict, data.get("columns", ()))),
            groups=tuple(map(Ingress.from_dict, data.get("groups", ()))),
        )


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A task without its data: features, target and the columns that have another role.

    ``na`` are the cells of a text file that mean missing. ``ingress`` is set once preprocessing is chosen; ``d_out`` for an
    architecture whose output needs another width than the target, and nowhere else.
    """

    name: str
    features: tuple[Column, ...]
    target: Target
    group: str | None = None
    stratum: tuple[str, ...] = ()
    weight: str | None = None
    order: str | None = None
    id: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    na: tuple[str, ...] = DEFAULT_NA
    ingress: Ingress | None = None
    d_out: int | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the feature columns, in the order of the file's inputs."""
        return tuple(column.name for column in self.features)

    @property
    def n_outputs(self) -> int:
        """Width of the network's output."""
        return self.target.n_outputs if self.d_out is None else self.d_out

    def for_network(self, d_out: int) -> Schema:
        """The schema as an architecture sees it: ``n_outputs`` is ``d_out``."""
        return dataclasses.replace(self, d_out=d_out)

    def of_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        """The features of these kinds, in order."""
        return tuple(column for column in self.features if column.kind in kinds)

    def column(self, name: str) -> Column:
        """The feature of that name; ``DataError`` where there is none."""
        for column in self.features:
            if column.name == name:
                return column
        raise DataError(f"the schema has no feature {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives an equal schema back."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "d_out"}
        data |= {name: list(data[name]) for name in ("stratum", "id", "ignored", "na")}
        data["features"] = [column.to_dict() for column in self.features]
        data["target"] = self.target.to_dict()
        data["ingress"] = self.ingress.to_dict() if self.ingress else None
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Schema:
        """Inverse of :meth:`to_dict`."""
        data = _known(cls, data)
        data |= {name: tuple(data[name]) for name in ("stratum", "id", "ignored", "na") if name in data}
        data["features"] = tuple(Column.from_dict(column) for column in data["features"])
        data["target"] = Target.from_dict(data["target"])
        data["ingress"] = Ingress.from_dict(data["ingress"]) if data.get("ingress") else None
        return cls(**data)


def _known(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The entries that this version knows: a later one may have added others that can be passed over."""
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in data.items() if name in names}
