"""The target: what it is, and the truth it holds as arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError, DataTypeError, listing
from onnxlearn.processes import place
from onnxlearn.schema import MISSING_INT64, Column, Label, Schema, Target
from onnxlearn.tasks.contents import Contents, is_whole, look
from onnxlearn.tasks.infer import infer_column, slips, spelling
from onnxlearn.tasks.misfits import first_misfit
from onnxlearn.tasks.spellings import DECIMAL_POINT, is_number
from onnxlearn.wire.feeds import require_columns, unique_column
from onnxlearn.wire.frames import series_array
from onnxlearn.wire.values import Place, describe, row_place

if TYPE_CHECKING:
    import pandas as pd

MAX_INTEGER_CLASSES = 20
"""Integers with at most so many distinct values are classes, unless told."""
TYPES = ("auto", "classification", "regression")


def infer_target(
    frame: pd.DataFrame, names: tuple[str, ...], type: str, positive: Label | None, where: Place = row_place
) -> tuple[Target, list[str]]:
    """The target's description, and notes on what was noticed. ``where`` names a row in messages.

    Raises ``DataError`` where it is missing in any row, has one class only, or does not suit ``type``.
    """
    if type not in TYPES:
        raise DataError(f"there is no task type {type!r}; use one of {listing(TYPES)}")
    contents = [look(unique_column(frame, name), name, where) for name in names]
    for column in contents:
        _require_complete(column, len(frame))
    if _resolve_type(contents, type) == "classification":
        target, notes = _classes(contents[0], frame, positive)
        misfits = slips(contents[0], frame[names[0]]) if type == "auto" else None
        if misfits is not None:
            notes.append(f"target {names[0]!r}: {misfits.describe(where)}, so all are classes; {misfits.mending()}")
        elif type == "auto" and (odd := spelling(contents[0], target=True)) is not None:
            notes.append(f"target {names[0]!r}: {odd}")
        return target, notes
    if positive is not None:
        raise DataError(f"positive={positive!r} names a class, and the target is numbers; leave it out")
    return _numbers(contents, frame, where)


def _require_complete(contents: Contents, n_rows: int) -> None:
    n_missing = n_rows - len(contents.present)
    if n_missing == n_rows:
        raise DataError(f"target {contents.name!r} is missing in all {n_rows} rows; name another target column")
    if n_missing:
        raise DataError(
            f"target {contents.name!r} is missing in {n_missing} of {n_rows} rows; "
            f"remove them first, from the file or with df.dropna(subset=[{contents.name!r}])"
        )


def _resolve_type(contents: list[Contents], type: str) -> str:
    first = contents[0]
    if len(contents) > 1:
        if type == "classification":
            raise DataError("several target columns are for regression; name one target column of classes")
        return "regression"
    if type != "auto":
        return type
    if first.holds in ("str", "bool") or first.categories is not None:
        return "classification"
    if first.holds != "int64":
        return "regression"
    # Few integers are mostly codes of classes, sometimes counts: a guess, and so it is said.
    n_distinct = int(first.present.nunique())
    if n_distinct > MAX_INTEGER_CLASSES:
        return "regression"
    if place().is_first:
        sys.stderr.write(
            f"onnxlearn: target {first.name!r}: integers with {n_distinct} distinct values are taken as classes; "
            "for numbers say type='regression' (--task regression)\n"
        )
    return "classification"


def _classes(contents: Contents, frame: pd.DataFrame, positive: Label | None) -> tuple[Target, list[str]]:
    notes: list[str] = []
    dtype, classes = _levels(contents, frame, notes) if contents.holds != "bool" else ("bool", _booleans(contents))
    if len(classes) == 1:
        raise DataError(
            f"target {contents.name!r} has one class only, {classes[0]!r}; there is nothing to tell apart: "
            "add rows of another class or name another target"
        )
    chosen = _positive(classes, positive)
    return Target(names=(contents.name,), type="classification", dtype=dtype, classes=tuple(classes), positive=chosen), notes


def _booleans(contents: Contents) -> list[Label]:
    occurring = set(contents.present.tolist())
    return [value for value in (False, True) if value in occurring]


def _levels(contents: Contents, frame: pd.DataFrame, notes: list[str]) -> tuple[str, list[Label]]:
    is_float = contents.holds in ("float64", "float32")
    if not (contents.holds in ("str", "int64") or (is_float and is_whole(contents.present))):
        # Dates and durations are no numbers for a regression either.
        regression = ", or say type='regression' (--task regression)" if is_float or contents.holds == "decimal" else ""
        raise DataTypeError(
            f"target {contents.name!r} holds {describe(contents.present.iloc[0])}, which is no class; "
            f"classes are text, integers or booleans: convert it with .astype(str){regression}"
        )
    inferred = infer_column(unique_column(frame, contents.name), contents.name, kind="categorical")
    column = inferred.column
    notes += [note for note in inferred.notes if "whole numbers" in note]
    codes = np.unique(series_array(unique_column(frame, contents.name), column))
    occurring = set(codes.tolist())
    absent = [level for level in column.levels if level not in occurring]
    # A class that nothing was trained on would get an untrained probability.
    if absent:
        notes.append(f"target {contents.name!r}: classes without a row are left out: {listing(absent)}")
    return column.dtype, [level for level in column.levels if level in occurring]


def _positive(classes: list[Label], positive: Label | None) -> Label | None:
    if positive is None:
        return classes[1] if len(classes) == 2 else None
    if len(classes) != 2:
        raise DataError(f"positive={positive!r}: only one of two classes can be the positive one; there are {len(classes)}")
    for label in classes:
        # The command line only has text: there is no mistaking it among integers or booleans.
        if (type(label), label) == (type(positive), positive) or str(label) == positive:
            return label
    raise DataError(f"positive={positive!r} is no class; the classes are {listing(classes)}")


_TO_NUMBERS = {
    "str": "convert it with pandas.to_numeric",
    "bool": "convert it with .astype(int)",
    "naive": "convert it to days with (dates - dates.min()).dt.days",
    "utc": "convert it to days with (dates - dates.min()).dt.days",
    "duration": "convert it to numbers with .dt.total_seconds()",
}


def _numbers(contents: list[Contents], frame: pd.DataFrame, where: Place) -> tuple[Target, list[str]]:
    notes = []
    for column in contents:
        if column.holds == "str":
            _refuse_misfit(frame[column.name], column.name, where)
        if column.holds in _TO_NUMBERS:
            raise DataTypeError(
                f"target {column.name!r} holds {describe(column.present.iloc[0])}, and regression needs numbers; "
                + _TO_NUMBERS[column.holds]
            )
        if column.present.nunique() == 1:
            notes.append(f"target {column.name!r} has one value only, {column.present.iloc[0]}; there is nothing to learn")
    dtype = "int64" if all(column.holds == "int64" for column in contents) else "float64"
    return Target(names=tuple(column.name for column in contents), type="regression", dtype=dtype), notes


def _refuse_misfit(series: pd.Series[Any], name: str, where: Place) -> None:
    found = first_misfit(series.astype(object).tolist(), "numeric")
    if found is not None:
        way_out = DECIMAL_POINT if is_number(found[1]) else "mend the cell or remove the row, or name a target of numbers"
        raise DataTypeError(
            f"target {name!r}, {where(found[0])}: regression needs numbers, got {describe(found[1])}; {way_out}"
        )


def target_columns(target: Target) -> tuple[Column, ...]:
    """The target's columns, described like features, for reading them."""
    if target.type == "regression":
        return tuple(Column(name=name, kind="numeric", dtype=target.dtype) for name in target.names)
    if target.dtype == "bool":
        return (Column(name=target.name, kind="boolean", dtype="bool"),)
    levels = tuple(label for label in target.classes if not isinstance(label, bool))
    return (Column(name=target.name, kind="categorical", dtype=target.dtype, levels=levels),)


def target_truth(frame: pd.DataFrame, schema: Schema, *, where: Place = row_place) -> NDArray[Any]:
    """The truth of any frame: int64 ``[n]`` index into ``target.classes``, or float64 ``[n, T]``.

    Raises ``ColumnNotFoundError``, ``DataTypeError``, and ``DataError`` for a missing value or a class that was not trained on.
    """
    require_columns(schema.target.names, frame.columns, needed_by="the target", taken=schema.feature_names)
    return truth_of(lambda column: series_array(unique_column(frame, column.name), column, where), schema.target, where)


def truth_of(read: Callable[[Column], NDArray[Any]], target: Target, where: Place = row_place) -> NDArray[Any]:
    """The truth from a function that reads one column as a ``[n, 1]`` array; see :func:`target_truth`."""
    arrays = [read(column)[:, 0] for column in target_columns(target)]
    for name, array in zip(target.names, arrays, strict=True):
        _require_present(name, array, where)
    if target.type == "regression":
        return np.ascontiguousarray(np.stack(arrays, axis=1), dtype=np.float64)
    return _class_index(arrays[0], target, where)


def _require_present(name: str, array: NDArray[Any], where: Place) -> None:
    missing = np.isnan(array) if array.dtype.kind == "f" else array == (MISSING_INT64 if array.dtype.kind == "i" else "")
    if np.any(missing):
        row = int(np.argmax(missing))
        raise DataError(f"target {name!r}, {where(row)}: the true value is missing; leave out the rows without one")


def _class_index(labels: NDArray[Any], target: Target, where: Place) -> NDArray[np.int64]:
    index = {label: position for position, label in enumerate(target.classes)}
    known = [index.get(label, -1) for label in labels.tolist()]
    codes = np.array(known, dtype=np.int64)
    if np.any(codes < 0):
        row = int(np.argmin(codes))
        label: Any = bool(labels[row]) if target.dtype == "bool" else labels[row]
        raise DataError(
            f"target {target.name!r}, {where(row)}: class {str(label)!r} was not trained on; "
            f"the classes are {listing(target.classes)}"
        )
    return codes
