"""What a resampling sees of a task's rows: which belong together, which are alike, which come first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.task import Task
from onnxlearn.tasks.roles import column_codes
from onnxlearn.wire.feeds import require_columns

Codes: TypeAlias = NDArray[np.int64]


def by_appearance(codes: NDArray[Any]) -> Codes:
    """Codes 0.. in the order in which values first appear, so that nothing depends on how a table numbers its levels.

    >>> by_appearance(np.array([7, 2, 7, 5])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse.reshape(-1)])


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a task, ``index`` int64 ``[n]`` their positions in it, which may repeat.

    What it gives is of these rows: codes int64 ``[n]``, or ``None`` where the task lacks the role.
    """

    task: Task
    index: Codes

    @classmethod
    def of(cls, task: Task) -> Rows:
        """All rows of the task. Raises ``DataError`` for what is no task."""
        if not isinstance(task, Task):
            raise DataError(f"split takes a Task, got {type(task).__name__}; make one with ol.Task.from_frame(df, target=...)")
        return cls(task, np.arange(task.n_rows))

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Codes) -> Rows:
        """Those at these positions among the task's rows."""
        return Rows(self.task, positions)

    @cached_property
    def groups(self) -> Codes | None:
        """The group column; without one, the copies of a row are a group where a row occurs more than once."""
        groups = self.task.groups()
        if groups is not None:
            return by_appearance(groups[self.index])
        has_copies = np.bincount(self.index).max(initial=0) > 1
        return by_appearance(self.index) if has_copies else None

    @cached_property
    def order(self) -> Codes | None:
        """Rank in time, equal where equal."""
        order = self.task.order()
        return None if order is None else np.asarray(np.unique(order[self.index], return_inverse=True)[1].reshape(-1))

    @cached_property
    def classes(self) -> Codes | None:
        """Positions in the target's classes; ``None`` for numbers."""
        is_classes = self.task.schema.target.type == "classification"
        return self.task.truth()[self.index] if is_classes else None

    def strata(self, *, classes: bool) -> Codes | None:
        """The combinations of the stratum columns and, if asked for, the classes."""
        strata = self.task.strata()
        parts = [] if strata is None else [strata[self.index]]
        parts += [] if self.classes is None or not classes else [self.classes]
        if not parts:
            return None
        combined = parts[0] if len(parts) == 1 else parts[0] * (parts[1].max() + 1) + parts[1]
        return by_appearance(combined)

    def column(self, name: str) -> Codes:
        """Any column of the table, codes in the order of its values.

        Raises: ColumnNotFoundError; DataError where a value is missing.
        """
        return by_rank(fold_codes(self.task, name)[self.index])

    def units(self) -> list[tuple[int, str]]:
        """How many parts there are that can come apart, and what they are: rows, groups, points in time."""
        schema, units = self.task.schema, [(len(self), "rows")]
        if self.groups is not None:
            what = "different rows" if schema.group is None else f"groups (column {schema.group!r})"
            units.append((int(self.groups.max(initial=-1)) + 1, what))
        if self.order is not None:
            units.append((int(self.order.max(initial=-1)) + 1, f"points in time (column {schema.order!r})"))
        return units

    def require_units(self, n: int, needed_by: str, way_out: str = "") -> None:
        """Raise ``ParameterError`` where fewer than ``n`` parts can come apart."""
        count, what = min(self.units())
        if count < n:
            there = "is" if count == 1 else "are"
            ways = f"give more{f', or {way_out}' if way_out else ''}"
            raise ParameterError(f"{needed_by} needs at least {n} {what}, there {there} {count}: {ways}")

    def require_no_order(self, what: str) -> None:
        """Raise ``ParameterError`` where the task has an order, which chance would not respect."""
        if self.order is not None:
            raise ParameterError(
                f"{what} draws rows by chance, and the task has the order column {self.task.schema.order!r}: rows would be "
                "predicted from their neighbours in time; use ol.TimeSeriesSplit() or ol.Holdout(), or make the task "
                "without order= (--order)"
            )

    def value(self, column: str, row: int) -> object:
        """The value of a column in a row of these, for messages."""
        value = self.task.frame[column].iloc[int(self.index[row])]
        return value.item() if isinstance(value, np.generic) else value

    def stratum_text(self, row: int, *, classes: bool) -> str:
        """The stratum of a row in words, e.g. ``site='x', species='a'``."""
        schema = self.task.schema
        names = [*schema.stratum, *(schema.target.names if classes and self.classes is not None else ())]
        return ", ".join(f"{name}={self.value(name, row)!r}" for name in names)


def fold_codes(task: Task, name: str) -> Codes:
    """A column of the table that numbers folds, as codes ``[n_rows]``.

    Raises: ColumnNotFoundError; DataError where a value is missing.
    """
    require_columns([name], task.frame.columns, needed_by="CustomCV")
    return column_codes(task.frame, [name], "fold")


def by_rank(codes: Codes) -> Codes:
    """Codes 0.. without gaps, in the same order."""
    return np.asarray(np.unique(codes, return_inverse=True)[1].reshape(-1))
