"""The task: a table, its target and the roles of its columns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError
from onnxlearn.feeds import Feeds, frame_feeds, unique_column
from onnxlearn.holdout import holdout_rows
from onnxlearn.roles import Roles, TaskWarning, column_codes, make_schema, row_weights
from onnxlearn.schema import Label, Level, Schema
from onnxlearn.targets import target_truth

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClassificationTask", "RegressionTask", "Task", "TaskWarning", "target_truth"]

Rows = NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class _Arrays:
    """All that training reads, row by row."""

    feeds: Feeds
    truth: NDArray[Any]
    weights: NDArray[np.float64] | None
    groups: NDArray[np.int64] | None
    strata: NDArray[np.int64] | None
    order: NDArray[np.int64] | None

    @classmethod
    def read(cls, frame: pd.DataFrame, schema: Schema) -> _Arrays:
        def codes(names: Sequence[str], role: str) -> NDArray[np.int64] | None:
            return column_codes(frame, names, role) if names else None

        return cls(
            # Copies, because columns may lie in the frame's own memory, which its owner may write to.
            feeds={name: array.copy() for name, array in frame_feeds(frame, schema).items()},
            truth=target_truth(frame, schema),
            weights=row_weights(unique_column(frame, schema.weight), schema.weight) if schema.weight else None,
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
        )


class Task:
    """A table with a target. Made by :meth:`from_frame` and :meth:`from_file`, which infer the schema.

    ``schema`` describes it without its data, ``frame`` is the table, ``notes`` say what was noticed. ``Task(frame, schema)``
    puts another table under a schema that is already there.

    >>> import pandas as pd
    >>> task = Task.from_frame(pd.DataFrame({"x": [1.5, None, 2.0], "y": ["a", "b", "a"]}), target="y")
    >>> task
    ClassificationTask('y', 3 rows, 1 feature, target 'y' with 2 classes)
    >>> task.truth().tolist(), task.feeds()["x"].shape
    ([0, 1, 0], (3, 1))
    """

    _type = "auto"

    def __init__(
        self, frame: pd.DataFrame, schema: Schema, notes: Sequence[str] = (), *, _arrays: _Arrays | None = None
    ) -> None:
        self.frame = frame.copy(deep=False)
        self.schema = schema
        self.notes = tuple(notes)
        self._arrays = _arrays or _Arrays.read(frame, schema)

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
    ) -> Task:
        """Make a task of a data frame.

        ``target``: a column, or several columns of numbers. ``type``: ``auto``, ``classification`` or ``regression``; ``auto``
        takes text, categoricals, booleans and integers with at most 20 distinct values for classes. ``positive``: one of two
        classes, by default the second. ``kinds`` and ``levels`` override what is inferred, column by column. A column with a
        role (``group``: rows that stay together, ``stratum``: shares that splits keep, ``weight``: of each row, >= 0,
        ``order``: splits set the latest rows aside, ``id``: names the row, ``ignore``) is no feature. ``strict_bool``: boolean
        columns that enter the file as BOOL and may not be missing.

        Raises ``ColumnNotFoundError`` for a column that is not there, ``DataTypeError`` for values that cannot be used,
        ``DataError`` for a table that makes no task. Warns with ``TaskWarning`` where a column is taken for an identifier.
        """
        roles = Roles.of(target, group=group, stratum=stratum, weight=weight, order=order, id=id, ignore=ignore)
        return cls._make(
            df, roles, name=name, type=type, positive=positive, kinds=kinds, levels=levels, strict_bool=strict_bool
        )

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        target: str | Sequence[str],
        *,
        format: str | None = None,
        na: Sequence[str] | None = None,
        **same: Any,
    ) -> Task:
        """Make a task of a file: CSV, TSV, Parquet, Feather, Arrow or JSON lines by suffix (text also ``.gz``).

        ``format`` overrides the suffix and is needed for ``-``, standard input. ``na``: cells of a text file that mean missing,
        besides the empty one, in place of the usual spellings. The rest as in :meth:`from_frame`; ``name`` is the file's.
        """
        from onnxlearn.tables import na_cells, read_frame, table_name

        frame, notes = read_frame(path, format=format, na=na)
        roles = {key: same.pop(key) for key in ("group", "stratum", "weight", "order", "id", "ignore") if key in same}
        same.setdefault("name", table_name(path))
        return cls._make(frame, Roles.of(target, **roles), na=na_cells(na), notes=notes, **same)

    @classmethod
    def _make(cls, df: pd.DataFrame, roles: Roles, *, type: str = "auto", **options: Any) -> Task:
        if cls._type != "auto" and type not in ("auto", cls._type):
            raise DataError(f"{cls.__name__} makes tasks of type {cls._type!r}, not {type!r}; use Task.from_frame")
        schema, notes, warned = make_schema(df, roles, type=cls._type if type == "auto" else type, **options)
        task = _TASK_TYPES[schema.target.type](df, schema, notes)
        for text in warned:
            warnings.warn(text, TaskWarning, stacklevel=3)
        return task

    @property
    def name(self) -> str:
        """The task's name."""
        return self.schema.name

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

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
        """Group of each row, int64 ``[n]``; ``None`` without a group column."""
        return self._arrays.groups

    def strata(self) -> NDArray[np.int64] | None:
        """Stratum of each row (combination of the stratum columns), int64 ``[n]``; ``None`` without one."""
        return self._arrays.strata

    def order(self) -> NDArray[np.int64] | None:
        """Rank of each row's order value, int64 ``[n]``, equal where equal; ``None`` without an order column."""
        return self._arrays.order

    def select(self, rows: Rows) -> Self:
        """The task of some rows (indices or a mask), with the same schema."""
        index = np.arange(self.n_rows)[np.asarray(rows)] if len(rows) else np.zeros(0, dtype=np.int64)
        return type(self)(self.frame.iloc[index], self.schema, self.notes, _arrays=self._arrays.take(index))

    def split(self, share: float, seed: int) -> tuple[Self, Self]:
        """Part the rows: the larger rest, and about ``share`` of them set aside.

        The latest rows where there is an order; whole groups where there are groups; else a share of every class and stratum.
        """
        aside = holdout_rows(
            self.n_rows, share, seed, strata=self._strata_and_classes(), groups=self.groups(), order=self.order()
        )  # fmt: skip
        return self.select(np.flatnonzero(~aside)), self.select(np.flatnonzero(aside))

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
        return f"{type(self).__name__}({self.name!r}, {self.n_rows} rows, {n_features} feature{plural}, target {names}{what})"


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
