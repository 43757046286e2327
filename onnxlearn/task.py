"""The task: a table, its target and the roles of its columns."""

from __future__ import annotations

import copy
import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError, listing
from onnxlearn.images.feed import ruled
from onnxlearn.images.rules import USUAL_RULES, ImageRules, beside, rules_of
from onnxlearn.params import to_json
from onnxlearn.schema import KINDS, Column, Label, Level, Schema
from onnxlearn.tasks.folds import fold_numbers
from onnxlearn.tasks.holdout import holdout_rows
from onnxlearn.tasks.images import image_column, readable_rows
from onnxlearn.tasks.roles import Roles, TaskWarning, check_mapping, column_codes, make_schema, require_frame, row_weights
from onnxlearn.tasks.targets import target_truth
from onnxlearn.wire.feeds import Feeds, frame_feeds, require_columns, unique_column
from onnxlearn.wire.frames import series_array
from onnxlearn.wire.values import Place, describe, row_place

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClassificationTask", "RegressionTask", "Task", "TaskWarning", "require_tasks", "target_truth"]

Rows = NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]

MAX_SHOWN_NOTES = 12


@dataclass(frozen=True, kw_only=True)
class _Arrays:
    """All that training reads, row by row.

    ``copies``: where some rows are there more than once, as in a bootstrap, the number of the row that each is a copy of.
    """

    feeds: Feeds
    truth: NDArray[Any]
    weights: NDArray[np.float64] | None
    groups: NDArray[np.int64] | None
    strata: NDArray[np.int64] | None
    order: NDArray[np.int64] | None
    copies: NDArray[np.int64] | None = None

    @classmethod
    def read(cls, frame: pd.DataFrame, schema: Schema, where: Place = row_place, images: ImageRules = USUAL_RULES) -> _Arrays:
        def codes(names: Sequence[str], role: str) -> NDArray[np.int64] | None:
            require_columns(names, frame.columns, needed_by=f"the role {role!r}")
            return column_codes(frame, names, role, where) if names else None

        def weights(name: str) -> NDArray[np.float64]:
            require_columns([name], frame.columns, needed_by="the role 'weight'")
            return row_weights(unique_column(frame, name), name, where)

        return cls(
            # Copies, because columns may lie in the frame's own memory, which its owner may write to.
            feeds={
                name: array.copy() for name, array in ruled(frame_feeds(frame, schema, where=where), images, schema).items()
            },
            truth=target_truth(frame, schema, where=where),
            weights=weights(schema.weight) if schema.weight else None,
            groups=codes([schema.group] if schema.group else [], "group"),
            strata=codes(schema.stratum, "stratum"),
            order=codes([schema.order] if schema.order else [], "order"),
        )

    def take(self, rows: NDArray[np.int64]) -> _Arrays:
        def some(array: Any) -> Any:
            return None if array is None else array[rows]

        return _Arrays(
            feeds={name: array[rows] for name, array in self.feeds.items()},
            truth=self.truth[rows],
            weights=some(self.weights),
            groups=some(self.groups),
            strata=some(self.strata),
            order=some(self.order),
            copies=self._copies(rows),
        )

    def _copies(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        originals = rows if self.copies is None else self.copies[rows]
        return originals if np.bincount(originals).max(initial=0) > 1 else None


class Task:
    """A table with a target. Made by :meth:`from_frame` and :meth:`from_file`, which infer the schema.

    ``schema`` describes it without its data, ``frame`` is the table, ``notes`` say what was noticed. ``Task(frame, schema)``
    puts another table under a schema that is already there. ``images``: how its images are read.

    >>> import pandas as pd
    >>> task = Task.from_frame(pd.DataFrame({"x": [1.5, None, 2.0], "y": ["a", "b", "a"]}), target="y")
    >>> task
    ClassificationTask('y', 3 rows, 1 feature (1 numeric), target 'y' with 2 classes)
    >>> task.truth().tolist(), task.feeds()["x"].shape
    ([0, 1, 0], (3, 1))
    """

    _type = "auto"

    def __init__(
        self,
        frame: pd.DataFrame,
        schema: Schema,
        notes: Sequence[str] = (),
        *,
        images: ImageRules = USUAL_RULES,
        _arrays: _Arrays | None = None,
    ) -> None:
        require_frame(frame)
        if not isinstance(schema, Schema):
            raise DataError(
                f"Task(frame, schema) takes the schema of another task, task.schema, got {describe(schema)}; "
                "use Task.from_frame(df, target=...) to infer one"
            )
        # The table, and the rows of it that are the task's where they are not all.
        self._table: tuple[pd.DataFrame, NDArray[np.int64] | None] = frame.copy(deep=False), None
        self.schema = schema
        self.notes = tuple(notes)
        self.images = images
        self._arrays = _arrays or _Arrays.read(frame, schema, images=images)

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        target: str | Sequence[str],
        *,
        name: str | None = None,
        type: str = "auto",
        positive: Label | None = None,
        kinds: Mapping[str, str] | None = None,
        levels: Mapping[str, Sequence[Level]] | None = None,
        group: str | None = None,
        stratum: str | Sequence[str] | None = None,
        weight: str | None = None,
        order: str | None = None,
        id: str | Sequence[str] | None = None,
        ignore: str | Sequence[str] = (),
        strict_bool: str | Sequence[str] = (),
        images: ImageRules | Mapping[str, Any] | None = None,
    ) -> Task:
        """Make a task of a data frame.

        ``target``: a column, or several columns of numbers. ``type``: ``auto``, ``classification`` or ``regression``; ``auto``
        takes text, categoricals, booleans and integers with at most 20 distinct values for classes. ``positive``: one of two
        classes, by default the second. ``kinds`` and ``levels`` override what is inferred, column by column; texts and
        images are the columns that ``kinds`` names so (``"text"``, ``"image"``). A column with a
        role (``group``: rows that stay together, ``stratum``: shares that splits keep, ``weight``: of each row, >= 0,
        ``order``: splits set the latest rows aside, ``id``: names the row, ``ignore``) is no feature. ``strict_bool``: boolean
        columns that enter the file as BOOL and may not be missing. ``images``: how columns of kind
        ``image`` are read, an :class:`onnxlearn.ImageRules`, or those of its settings that differ by name.

        Raises ``ColumnNotFoundError`` for a column that is not there, ``DataTypeError`` for values that cannot be used,
        ``DataError`` for a table that makes no task. Warns with ``TaskWarning`` where a column is taken for an identifier.
        """
        _require_images(images, kinds)
        roles = Roles.of(target, group=group, stratum=stratum, weight=weight, order=order, id=id, ignore=ignore)
        return cls._make(
            df, roles, name=name, type=type, positive=positive, kinds=kinds, levels=levels, strict_bool=strict_bool,
            images=rules_of(images),
        )  # fmt: skip

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        target: str | Sequence[str],
        *,
        format: str | None = None,
        na: Sequence[str] | None = None,
        name: str | None = None,
        type: str = "auto",
        positive: Label | None = None,
        kinds: Mapping[str, str] | None = None,
        levels: Mapping[str, Sequence[Level]] | None = None,
        group: str | None = None,
        stratum: str | Sequence[str] | None = None,
        weight: str | None = None,
        order: str | None = None,
        id: str | Sequence[str] | None = None,
        ignore: str | Sequence[str] = (),
        strict_bool: str | Sequence[str] = (),
        images: ImageRules | Mapping[str, Any] | None = None,
    ) -> Task:
        """Make a task of a file: CSV, TSV, Parquet, Feather, Arrow or JSON lines by suffix (text also ``.gz``).

        ``format`` overrides the suffix and is needed for ``-``, standard input. ``na``: cells of a text file that mean missing,
        besides the empty one, in place of the usual spellings. The rest as in :meth:`from_frame`; ``name`` is by default
        the file's, and relative paths of images start in its folder.
        """
        from onnxlearn.files.tables import na_cells, read_whole, table_name

        _require_images(images, kinds)
        roles = Roles.of(target, group=group, stratum=stratum, weight=weight, order=order, id=id, ignore=ignore)
        check_mapping("kinds", kinds)
        numeric = [column for column, kind in (kinds or {}).items() if kind == "numeric"]
        table = read_whole(path, format=format, na=na, numeric=numeric)
        return cls._make(
            table.frame,
            roles,
            where=table.where,
            na=na_cells(na),
            notes=table.notes,
            name=name or table_name(path),
            type=type,
            positive=positive,
            kinds=kinds,
            levels=levels,
            strict_bool=strict_bool,
            images=beside(images, path),
        )

    @classmethod
    def _make(
        cls,
        df: pd.DataFrame,
        roles: Roles,
        *,
        images: ImageRules,
        type: str = "auto",
        where: Place = row_place,
        notes: Sequence[str] = (),
        **options: Any,
    ) -> Task:
        if cls._type != "auto" and type not in ("auto", cls._type):
            raise DataError(f"{cls.__name__} makes tasks of type {cls._type!r}, not {type!r}; use Task.from_frame")
        options |= {"type": cls._type if type == "auto" else type, "images": images}
        skipped: list[str] = []
        if images.policy == "skip" and "image" in (options["kinds"] or {}).values():
            df, where, skipped = _readable(df, images, where, options["kinds"] or {})
            notes = [*notes, *skipped]
        schema, all_notes, warned = make_schema(df, roles, where=where, notes=notes, **options)
        warned = [*skipped[:1], *warned]
        images = dataclasses.replace(images, policy="error") if images.policy == "skip" else images
        arrays = _Arrays.read(df, schema, where, images)
        task = _TASK_TYPES[schema.target.type](df, schema, all_notes, images=images, _arrays=arrays)
        for text in warned:
            warnings.warn(text, TaskWarning, stacklevel=3)
        return task

    @property
    def name(self) -> str:
        """The task's name."""
        return self.schema.name

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """The table. Of selected rows it is made when it is asked for: training and predicting read arrays alone."""
        whole, rows = self._table
        return whole if rows is None else whole.iloc[rows]

    @property
    def row_ids(self) -> NDArray[Any]:
        """The data frame's index ``[n]``."""
        whole, rows = self._table
        return (whole.index if rows is None else whole.index[rows]).to_numpy()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._arrays.truth)

    def feeds(self) -> Feeds:
        """All rows as the model's inputs: arrays ``[n, 1]`` by feature name."""
        return self._arrays.feeds

    def truth(self) -> NDArray[Any]:
        """Classification: int64 ``[n]``, index into ``schema.target.classes``. Regression: float64 ``[n, T]``."""
        return self._arrays.truth

    def weights(self) -> NDArray[np.float64] | None:
        """Weights of the rows, float64 ``[n]``, finite and >= 0; ``None`` without a weight column."""
        return self._arrays.weights

    def groups(self) -> NDArray[np.int64] | None:
        """Group of each row, int64 ``[n]``; ``None`` without a group column.

        Where :meth:`select` took some rows more than once, the copies of a row are a group if there is no such column.
        """
        return self._arrays.copies if self._arrays.groups is None else self._arrays.groups

    def strata(self) -> NDArray[np.int64] | None:
        """Stratum of each row (combination of the stratum columns), int64 ``[n]``; ``None`` without one."""
        return self._arrays.strata

    def order(self) -> NDArray[np.int64] | None:
        """Rank of each row's order value, int64 ``[n]``, equal where equal; ``None`` without an order column."""
        return self._arrays.order

    def select(self, rows: Rows) -> Self:
        """The task of some rows (numbers from 0, or a mask), with the same schema. Raises ``ParameterError`` for others."""
        index = _row_index(np.asarray(rows), self.n_rows)
        some, (whole, before) = copy.copy(self), self._table
        some.__dict__.pop("frame", None)
        some._table = whole, index if before is None else before[index]
        some._arrays = self._arrays.take(index)
        return some

    def split(self, share: float, seed: int = 0) -> tuple[Self, Self]:
        """Part the rows: the larger rest, and about ``share`` of them set aside.

        The latest rows where there is an order; whole groups where there are groups; else a share of every class and stratum.
        Copies of a row stay together.
        """
        different, copies = self._different()
        aside = holdout_rows(different.n_rows, share, seed, **different._roles())[copies]
        return self.select(np.flatnonzero(~aside)), self.select(np.flatnonzero(aside))

    def folds(self, n_folds: int, seed: int = 0) -> NDArray[np.int64]:
        """The fold 0.. of each row, int64 ``[n]``.

        Consecutive in time where there is an order; groups whole; else every class and stratum in equal shares. Copies of a row
        stay together.
        """
        different, copies = self._different()
        return fold_numbers(different.n_rows, n_folds, seed, **different._roles())[copies]

    def _different(self) -> tuple[Self, NDArray[np.int64]]:
        """The task with every row once, and which of its rows each row is a copy of."""
        if self._arrays.copies is None:
            return self, np.arange(self.n_rows)
        _, first, copies = np.unique(self._arrays.copies, return_index=True, return_inverse=True)
        return self.select(first), copies.reshape(-1)

    def _roles(self) -> dict[str, NDArray[np.int64] | None]:
        """What decides on who may come apart."""
        return {"strata": self._strata_and_classes(), "groups": self.groups(), "order": self.order()}

    def _strata_and_classes(self) -> NDArray[np.int64] | None:
        parts = [
            part for part in (self.strata(), self.truth() if isinstance(self, ClassificationTask) else None) if part is not None
        ]
        if not parts:
            return None
        return np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1].reshape(-1)

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        target, n_features = self.schema.target, len(self.schema.features)
        what = f" with {len(target.classes)} classes" if target.classes else ""
        names = ", ".join(repr(name) for name in target.names)
        plural = "" if n_features == 1 else "s"
        kinds = ", ".join(f"{len(columns)} {kind}" for kind in KINDS if (columns := self.schema.of_kind(kind)))
        features = f"{n_features} feature{plural} ({kinds})"
        head = f"{type(self).__name__}({self.name!r}, {self.n_rows} rows, {features}, target {names}{what})"
        more = len(self.notes) - MAX_SHOWN_NOTES
        rest = [f"and {more} more in .notes"] if more > 0 else []
        return "\n  ".join([head, *self.notes[:MAX_SHOWN_NOTES], *rest])


class ClassificationTask(Task):
    """A task whose target is a column of classes."""

    _type = "classification"

    @property
    def classes(self) -> tuple[Label, ...]:
        """The classes, in the order of the model's probabilities."""
        return self.schema.target.classes

    @property
    def positive(self) -> Label | None:
        """The positive one of two classes; ``None`` for more."""
        return self.schema.target.positive


class RegressionTask(Task):
    """A task whose target is one column of numbers, or several."""

    _type = "regression"


_TASK_TYPES: dict[str, type[Task]] = {"classification": ClassificationTask, "regression": RegressionTask}


@to_json.register(Task)
def _digest(task: Task) -> Any:
    """Of a task that is a parameter its table."""
    return to_json(task.frame)


def _require_images(rules: object, kinds: Mapping[str, str] | None) -> None:
    """Raise ``ParameterError`` where rules of images are given and no column is one."""
    if rules is not None and isinstance(kinds, Mapping | None) and "image" not in (kinds or {}).values():
        raise ParameterError(
            "images= (--images) says how images are read, and no column is one: say which, kinds={'photo': 'image'} "
            "(--kind photo=image), or leave it out"
        )


def _readable(
    frame: pd.DataFrame, images: ImageRules, where: Place, kinds: Mapping[str, str]
) -> tuple[pd.DataFrame, Place, list[str]]:
    """The rows whose images can be read, with what names them, and what there is to say of the others."""
    names = [name for name, kind in kinds.items() if kind == "image" and name in frame.columns]
    if not names or not len(frame):
        return frame, where, []
    columns = [image_column(name, unique_column(frame, name).array, images) for name in names]
    feeds = [series_array(unique_column(frame, column.name), column, where).ruled(images) for column in columns]
    kept = readable_rows(feeds)
    return frame.iloc[kept.rows], functools.partial(_moved, where, kept.rows), kept.notes


def _moved(where: Place, rows: NDArray[np.int64], row: int) -> str:
    return where(int(rows[row]))


def _row_index(rows: NDArray[Any], n_rows: int) -> NDArray[np.int64]:
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "biu"):
        raise ParameterError(f"rows are numbers from 0 or a mask of booleans; got an array {rows.dtype} {list(rows.shape)}")
    if rows.dtype.kind == "b":
        if len(rows) != n_rows:
            raise ParameterError(f"a mask has an entry for each of the task's {n_rows} rows; this one has {len(rows)}")
        return np.flatnonzero(rows)
    wrong = rows[(rows < 0) | (rows >= n_rows)] if rows.size else rows
    if len(wrong):
        raise ParameterError(f"rows have to lie in 0..{n_rows - 1}, the task's rows; {wrong[0]} does not")
    return rows.astype(np.int64)


# Columns of numbers that go on the wire alike.
_SAME_NUMBERS = frozenset({"float64", "int64", "decimal"})


def require_tasks(task: object, test: object = None) -> None:
    """Raise ``DataError`` unless a learner can fit ``task`` and score on ``test``, which may be ``None``.

    A test task has every feature of the task, of the same type, and the same target, classes and weight column.
    """
    if not isinstance(task, Task):
        raise DataError(f"fit takes a Task, got {describe(task)}; make one with ol.Task.from_frame(df, target=...)")
    if test is None:
        return
    if not isinstance(test, Task):
        raise DataError(f"test= takes a Task, got {describe(test)}; make one with ol.Task(test_df, task.schema)")
    _require_same(task.schema, test.schema)


def _require_same(schema: Schema, other: Schema) -> None:
    way_out = "put its table under the task's schema with ol.Task(test.frame, task.schema)"
    there = {column.name: column for column in other.features}
    missing = [name for name in schema.feature_names if name not in there]
    if missing:
        error = ColumnNotFoundError.of(missing, there, needed_by="the test task", taken=schema.feature_names)
        raise ColumnNotFoundError(f"{error} Or {way_out}")
    for column in schema.features:
        mine, its = _type_of(column), _type_of(there[column.name])
        if mine != its:
            raise DataError(f"column {column.name!r} is {mine} in the task and {its} in the test task; {way_out}")
    if _target_type(schema) != _target_type(other):
        raise DataError(f"the task's target is {_target_text(schema)}, the test task's {_target_text(other)}; {way_out}")
    # Scores of unweighted rows would stand beside weighted ones without a word.
    if schema.weight != other.weight:
        mine = f"the task's weight column is {schema.weight!r}" if schema.weight else "the task has no weight column"
        its = f"the test task's is {other.weight!r}" if other.weight else "the test task has none"
        raise DataError(f"{mine}, {its}; {way_out}")


def _type_of(column: Column) -> str:
    """What tells columns apart that a model cannot read alike; levels need not be the same."""
    if column.kind == "numeric" and column.dtype in _SAME_NUMBERS:
        return column.kind
    return f"{column.kind} ({column.dtype}{', strict_bool' if column.strict_bool else ''})"


def _target_type(schema: Schema) -> tuple[object, ...]:
    target = schema.target
    return target.names, target.type, target.classes, target.dtype if target.classes else None


def _target_text(schema: Schema) -> str:
    target = schema.target
    classes = f" with the classes {listing(target.classes)}" if target.classes else " of numbers"
    return f"{listing(target.names)}{classes}"
