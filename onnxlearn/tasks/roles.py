"""From a table and the roles of its columns to a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, listing
from onnxlearn.images.rules import USUAL_RULES, ImageRules
from onnxlearn.schema import DEFAULT_NA, OUTPUT_NAMES, Column, Label, Level, Schema
from onnxlearn.tasks.contents import look
from onnxlearn.tasks.infer import Inferred, infer_column
from onnxlearn.tasks.misfits import first_misfit
from onnxlearn.tasks.targets import infer_target
from onnxlearn.wire.feeds import require_columns, unique_column
from onnxlearn.wire.frames import series_array
from onnxlearn.wire.values import Place, describe, is_missing, row_place

if TYPE_CHECKING:
    import pandas as pd

RESERVED_PREFIXES = ("prep/", "net/", "post/")


class TaskWarning(UserWarning):
    """A column was taken for an identifier of the rows, or may well be one."""


def as_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name, several or none, as a tuple."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which columns are not features, and what they are instead."""

    target: tuple[str, ...]
    group: tuple[str, ...] = ()
    stratum: tuple[str, ...] = ()
    weight: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @classmethod
    def of(cls, target: str | Sequence[str], **roles: str | Sequence[str] | None) -> Roles:
        """Roles from single names or lists of them."""
        return cls(target=as_names(target), **{role: as_names(names) for role, names in roles.items()})

    def items(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every role with its columns."""
        return [(role, getattr(self, role)) for role in self.__dataclass_fields__]

    def check(self, frame: pd.DataFrame) -> None:
        """Every column is there, and has one role."""
        if not self.target:
            raise DataError("a task needs a target; name the column to predict")
        role_of: dict[str, str] = {}
        for role, names in self.items():
            require_columns(names, frame.columns, needed_by=f"the role {role!r}", taken=self.target)
            for name in names:
                if name in role_of:
                    raise DataError(
                        f"column {name!r} is both {role_of[name]} and {role}; a column has one role: give it one of them"
                    )
                role_of[name] = role
        for role in ("group", "weight", "order"):
            if len(getattr(self, role)) > 1:
                raise DataError(f"{role}={list(getattr(self, role))!r}: only one column can have this role; name one")


def make_schema(
    frame: pd.DataFrame,
    roles: Roles,
    *,
    name: str | None = None,
    type: str = "auto",
    positive: Label | None = None,
    kinds: Mapping[str, str] | None = None,
    levels: Mapping[str, Sequence[Level]] | None = None,
    strict_bool: str | Sequence[str] = (),
    na: Sequence[str] = DEFAULT_NA,
    notes: Sequence[str] = (),
    where: Place = row_place,
    images: ImageRules = USUAL_RULES,
) -> tuple[Schema, list[str], list[str]]:
    """Infer the schema; returns it with all notes, and those among them that deserve a warning.

    ``where`` names a row in messages. Raises as :meth:`onnxlearn.task.Task.from_frame` says.
    """
    # What is cheap to check comes first: a typing error should not cost a look through the whole table.
    _check_table(frame)
    roles.check(frame)
    features = _feature_names(frame, roles)
    check_mapping("kinds", kinds)
    check_mapping("levels", levels)
    kinds, levels, strict = kinds or {}, levels or {}, as_names(strict_bool)
    for option, names in (("kinds", kinds), ("levels", levels), ("strict_bool", strict)):
        _check_option(option, names, frame, features)
    target, target_notes = infer_target(frame, roles.target, type, positive, where)
    inferred = [
        infer_column(
            unique_column(frame, feature),
            feature,
            kind=kinds.get(feature),
            levels=levels.get(feature),
            strict_bool=feature in strict,
            where=where,
            images=images,
        )
        for feature in features
    ]
    columns = [found.column for found in inferred if not found.is_id]
    identifiers = [found.column for found in inferred if found.is_id]
    if not columns:
        likely = [found.reads_like.suggest(found.column.name) for found in inferred if found.reads_like]
        raise DataError(
            f"no feature is left to train on beside {_taken(roles, identifiers)}; "
            f"{likely[0] if likely else 'add columns, or give fewer of them a role'}"
        )
    all_notes = [*notes, *target_notes, *(note for found in inferred for note in found.notes)]
    warned = [_identifier_note(found) for found in inferred if found.is_id] + [
        text for found in inferred for text in found.warned
    ]
    schema = Schema(
        name=name or roles.target[0],
        features=tuple(columns),
        target=target,
        group=next(iter(roles.group), None),
        stratum=roles.stratum,
        weight=next(iter(roles.weight), None),
        order=next(iter(roles.order), None),
        id=(*roles.id, *(column.name for column in identifiers)),
        ignored=roles.ignore,
        na=_na_without_levels(na, columns, target.classes, all_notes),
    )
    return schema, [*all_notes, *warned], warned


def require_frame(frame: object) -> None:
    """Raise ``DataError`` unless it is a data frame."""
    if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
        raise DataError(
            f"a task is made of a pandas DataFrame, got {type(frame).__name__}; make one with pandas.DataFrame(...)"
        )


def _check_table(frame: pd.DataFrame) -> None:
    require_frame(frame)
    names = frame.columns.tolist()
    # Names become names of the file's inputs and keys of its JSON, where 1 and "1" would be the same.
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise DataError(f"column names must be text, got {odd[0]!r}; rename with df.columns = df.columns.astype(str)")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"column names must differ; {listing(twice)} occur more than once: rename or drop all but one")
    if not len(frame):
        raise DataError("the table has no rows; a task needs some")


def _feature_names(frame: pd.DataFrame, roles: Roles) -> list[str]:
    taken = {name for _, names in roles.items() for name in names}
    features = [name for name in frame.columns if name not in taken]
    for name in features:
        _check_feature_name(name)
    return features


def _check_feature_name(name: str) -> None:
    if not name:
        raise DataError(
            "a column without a name cannot be a feature; rename it, for instance with df.rename(columns={'': 'row'}), "
            "or leave it out with ignore='' (--ignore \"\")"
        )
    rename = f"rename it, for instance with df.rename(columns={{{name!r}: 'x_{name.split('/', 1)[-1]}'}}), or ignore it"
    if name in OUTPUT_NAMES:
        raise DataError(f"column {name!r} has the name of one of the model's outputs; {rename}")
    if name.startswith(RESERVED_PREFIXES):
        raise DataError(
            f"column {name!r} starts with {name.split('/')[0] + '/'!r}, which is reserved inside the model; {rename}"
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"column name {name!a} is no Unicode text; rename the column, or ignore it") from None


_EXAMPLES = {"kinds": "{'age': 'numeric'}", "levels": "{'size': ['small', 'large']}"}


def check_mapping(option: str, given: object) -> None:
    """Raise ``DataError`` unless ``kinds`` or ``levels`` is a mapping or ``None``."""
    if given is not None and not isinstance(given, Mapping):
        raise DataError(f"{option} takes a mapping from column names, like {_EXAMPLES[option]}; got {describe(given)}")


def _check_option(option: str, names: Mapping[str, Any] | Sequence[str], frame: pd.DataFrame, features: list[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        taken = {*names, *(name for name in frame.columns if name not in features)}
        raise ColumnNotFoundError.of(missing, frame.columns, needed_by=option, taken=taken)
    for name in names:
        if name not in features:
            raise DataError(
                f"{option} names column {name!r}, which has another role and is no feature; leave it out of one of the two"
            )


def _identifier_note(found: Inferred) -> str:
    column = found.column
    as_is = f"to train on it say kinds={{{column.name!r}: {column.kind!r}}} (--kind {column.name}={column.kind})"
    what = "text that never repeats" if column.dtype == "str" else "row numbers (integers without a gap or repetition)"
    return (
        f"column {column.name!r} holds {what}: taken for an identifier of the rows (id) and not trained on; "
        f"{as_is if found.reads_like is None else found.reads_like.suggest(column.name)}"
    )


def _taken(roles: Roles, identifiers: list[Column]) -> str:
    parts = [f"{role} {listing(names)}" for role, names in roles.items() if names]
    found = [f"identifier {listing(column.name for column in identifiers)}"] if identifiers else []
    return ", ".join(parts + found)


def _na_without_levels(na: Sequence[str], columns: list[Column], classes: Sequence[Label], notes: list[str]) -> tuple[str, ...]:
    """The cells that mean missing, without those that are a level: a text file must be able to say them."""
    levels = {level for column in columns for level in column.levels} | set(classes)
    taken = [cell for cell in na if cell in levels]
    if taken:
        notes.append(f"{listing(taken)} occur as values and so do not mean missing in text files")
    return tuple(cell for cell in na if cell not in levels)


def row_weights(series: pd.Series[Any], name: str, where: Place = row_place) -> NDArray[np.float64]:
    """Weights as float64 ``[n]``: finite, >= 0, none missing, not all zero; ``DataError`` otherwise."""
    _require_numbers(series, name, where)
    column = Column(name=name, kind="numeric", dtype="float64")
    weights: NDArray[np.float64] = series_array(series, column, where)[:, 0].copy()
    bad = ~(weights >= 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"weight column {name!r}, {where(row)}: a weight must be a number >= 0, got {weights[row]}")
    if not weights.any():
        raise DataError(f"weight column {name!r}: all weights are 0; give some row a positive weight")
    return weights


def _require_numbers(series: pd.Series[Any], name: str, where: Place) -> None:
    contents = look(series, name, where)
    if contents.holds == "str":
        found = first_misfit(series.astype(object).tolist(), "numeric")
        if found is not None:
            place, text = where(found[0]), describe(found[1])
            raise DataTypeError(f"weight column {name!r}, {place}: a weight must be a number >= 0, got {text}; mend the cell")
    way_out = {"str": "pandas.to_numeric", "bool": ".astype(int)", "duration": ".dt.total_seconds()"}.get(contents.holds)
    if way_out or contents.holds in ("naive", "utc"):
        raise DataTypeError(
            f"weight column {name!r} holds {describe(contents.present.iloc[0])}, and a weight must be a number >= 0; "
            + (f"convert it with {way_out}" if way_out else "name another column")
        )


def column_codes(frame: pd.DataFrame, names: Sequence[str], role: str, where: Place = row_place) -> NDArray[np.int64]:
    """Values of one or several columns as int64 codes ``[n]``, in the order of the values.

    Missing values are refused for a group or an order; for a stratum they are one of their own.
    """
    codes = [_codes(unique_column(frame, name), name, role, where) for name in names]
    if len(codes) == 1:
        return codes[0]
    return np.asarray(np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _codes(series: pd.Series[Any], name: str, role: str, where: Place) -> NDArray[np.int64]:
    import pandas as pd

    contents = look(series, name, where)
    if contents.has_missing and role != "stratum":
        row = int(np.argmax(_missing_rows(series)))
        raise DataError(f"{role} column {name!r}, {where(row)}: the value is missing; fill it or remove the row")
    codes = np.full(len(series), -1, dtype=np.int64)
    if contents.categories is not None:
        codes[:] = series.cat.codes
    else:
        column = infer_column(series, name).column
        is_date = column.kind == "datetime"
        present = series_array(contents.present, column)[:, 0] if is_date else contents.present.to_numpy()
        # Dates written in different zones compare by the moment, not by their text.
        codes[~_missing_rows(series)] = pd.factorize(present, sort=True)[0]
    # Missing is a stratum of its own, after the others.
    return np.where(codes < 0, codes.max(initial=-1) + 1, codes)


def _missing_rows(series: pd.Series[Any]) -> NDArray[np.bool_]:
    return np.array([is_missing(value) for value in series.astype(object).tolist()], dtype=bool)
