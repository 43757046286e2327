"""What a client has to know of a model: its columns as values of a language, its outputs, rows to show."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.export.clients.words import listed
from onnxlearn.export.usual import usual_feeds
from onnxlearn.model import Model
from onnxlearn.schema import MISSING_INT64, Column
from onnxlearn.signature import Output
from onnxlearn.wire.feeds import Feeds

Role: TypeAlias = Literal["number", "number32", "text", "whole", "flag", "strict_flag", "wall_time", "instant"]
Form: TypeAlias = Literal["label", "classes", "set", "targets", "quantiles", "features", "plain"]

_MEANINGS: dict[Role, str] = {
    "number": "Number",
    "number32": "Number (float32)",
    "text": "Text",
    "whole": "Whole number",
    "flag": "True or false",
    "strict_flag": "True or false, never missing",
    "wall_time": "Date and time without zone",
    "instant": "Moment in time",
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """A column: what kind of value a client takes for it, and what a reader should know."""

    column: Column
    role: Role
    note: str

    @property
    def name(self) -> str:
        """Name of the model's input."""
        return self.column.name


@dataclass(frozen=True, kw_only=True)
class Result:
    """An output: the shape of a row, what its values stand for, and how many there are."""

    output: Output
    form: Form

    @property
    def name(self) -> str:
        """Name of the model's output."""
        return self.output.name

    @property
    def type(self) -> str:
        """Its ONNX element type."""
        return self.output.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return self.output.row_shape

    @property
    def size(self) -> int:
        """Values in a row."""
        return math.prod(self.output.row_shape)


def fields_of(model: Model) -> list[Field]:
    """The model's columns, in the order of its inputs."""
    return [Field(column=column, role=role_of(column), note=_note(column)) for column in model.schema.features]


def role_of(column: Column) -> Role:
    """What kind of value a client takes for a column.

    >>> role_of(Column(name="sex", kind="categorical", dtype="str", levels=("f", "m")))
    'text'
    """
    if column.kind == "numeric":
        return "number32" if column.onnx_type == "FLOAT" else "number"
    if column.kind == "boolean":
        return "strict_flag" if column.strict_bool else "flag"
    if column.kind == "datetime":
        return "instant" if column.dtype == "utc" else "wall_time"
    return "whole" if column.onnx_type == "INT64" else "text"


def _note(column: Column) -> str:
    meaning = "Seconds" if column.dtype == "duration" else _MEANINGS[role_of(column)]
    order = ", from low to high" if column.kind == "ordered" else ""
    return meaning + (f": {listed(column.levels)}{order}" if column.levels else "")


def results_of(model: Model) -> list[Result]:
    """The model's outputs, the main ones first."""
    return [Result(output=output, form=_form(output, model)) for output in model.outputs.values()]


def _form(output: Output, model: Model) -> Form:
    known: dict[str, Form] = {
        "label": "label",
        "probabilities": "classes",
        "set": "set",
        "quantiles": "quantiles",
        **dict.fromkeys(("prediction", "lower", "upper", "std"), "targets"),
    }
    of_features = output.axis == model.schema.feature_names and len(output.row_shape) == 1
    return known.get(output.name, "features" if of_features else "plain")


def sample_feeds(model: Model) -> Feeds:
    """Two rows to begin with where no table is given: one that is usual, and all missing."""
    usual = usual_feeds(model)
    return {
        column.name: np.concatenate([usual[column.name], np.array([[_missing(column)]], usual[column.name].dtype)])
        for column in model.schema.features
    }


def _missing(column: Column) -> Any:
    return {"STRING": "", "INT64": MISSING_INT64, "BOOL": False}.get(column.onnx_type, math.nan)


def table_feeds(model: Model, path: str, n: int) -> Feeds:
    """The first ``n`` rows of a table.

    Raises: DataError where the table does not fit the model; ParameterError where it has no rows.
    """
    from onnxlearn.files.tables import open_table

    with open_table(path) as reader:
        batch = next(iter(reader.batches(n)), None)
        if batch is None or not len(batch):
            raise ParameterError(f"data needs a row to show, {path!r} has none")
        feeds = batch.feeds(model.schema)
    return {name: array[:n] for name, array in feeds.items()}


def wire_values(field: Field, feeds: Mapping[str, Any]) -> list[Any]:
    """A column of feeds as Python values, ``None`` for missing: float, int, bool or str; dates as microseconds.

    >>> column = Column(name="paid", kind="boolean", dtype="bool")
    >>> wire_values(Field(column=column, role="flag", note=""), {"paid": np.array([[1.0], [np.nan]])})
    [True, None]
    """
    missing = {"STRING": "", "INT64": MISSING_INT64}.get(field.column.onnx_type)
    as_value = bool if field.role == "flag" else lambda value: value
    values = feeds[field.name][:, 0].tolist()
    return [None if value == missing or value != value else as_value(value) for value in values]


def moment(microseconds: int) -> dt.datetime:
    """A date in UTC. Raises: ParameterError beyond the years 1 to 9999, which few languages can write.

    >>> moment(-1).isoformat()
    '1969-12-31T23:59:59.999999+00:00'
    """
    try:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
    except OverflowError:
        raise ParameterError(
            f"a date of the example has to be in the years 1 to 9999, not {microseconds} microseconds from 1970: "
            "give data with other first rows"
        ) from None
