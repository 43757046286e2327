"""What tells whether splits belong to a task."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import DataError, listing
from onnxlearn.resampling.rows import by_appearance, by_rank, fold_codes

if TYPE_CHECKING:
    from onnxlearn.task import Task


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A task as far as it decides on splits, row by row: its target, strata, groups, order and columns of folds.

    ``columns`` names those columns by role. ``sha256`` is over their values, of the target as classes or float64, of strata,
    groups and folds as which rows have the same, of the order as ranks. Features are not in it, and neither is the task's
    ``name``, which is for people: tasks with other features of the same rows may share their splits.
    """

    name: str
    n_rows: int
    columns: Mapping[str, tuple[str, ...]]
    sha256: str

    @classmethod
    def of(cls, task: Task, folds: Sequence[str] = ()) -> Fingerprint:
        """That of a task, of which the columns ``folds`` number folds.

        Raises: ColumnNotFoundError; DataError where such a column has missing values.
        """
        schema = task.schema
        named = {
            "target": schema.target.names,
            "stratum": schema.stratum,
            "group": (schema.group,) if schema.group else (),
            "order": (schema.order,) if schema.order else (),
            "fold": tuple(folds),
        }
        digest = hashlib.sha256()
        for role, values in _contents(task, folds):
            digest.update(f"{role}:{len(values)}\n".encode() + values)
        columns = {role: names for role, names in named.items() if names}
        return cls(name=task.name, n_rows=task.n_rows, columns=columns, sha256=digest.hexdigest())

    def require(self, task: Task) -> None:
        """Raise ``DataError`` unless the task has the same rows as far as they decide on splits."""
        if task.n_rows != self.n_rows:
            self._refuse(f"it had {self.n_rows} rows and {task.name!r} has {task.n_rows}")
        its = Fingerprint.of(task, self.columns.get("fold", ()))
        for role in sorted({*self.columns, *its.columns}):
            mine, theirs = (listing(columns.get(role, ())) for columns in (self.columns, its.columns))
            if role not in self.columns or role not in its.columns:
                self._refuse(f"its {role} was {mine} and that of {task.name!r} is {theirs}")
        if its.sha256 != self.sha256:
            names = listing(name for columns in self.columns.values() for name in columns)
            self._refuse(f"{task.name!r} has other values, or the same rows in another order, in {names}")

    def _refuse(self, why: str) -> None:
        raise DataError(
            f"the splits are of another task, {self.name!r}: {why}; use them with the rows that they were made of, or split "
            "this task anew with resampling.split(task)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives the fingerprint back."""
        return {**dataclasses.asdict(self), "columns": {role: list(names) for role, names in self.columns.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """Inverse of :meth:`to_dict`."""
        columns = {role: tuple(names) for role, names in data["columns"].items()}
        return cls(name=data["name"], n_rows=data["n_rows"], columns=columns, sha256=data["sha256"])


def _contents(task: Task, folds: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The bytes of each role, the same on every machine."""
    truth, classes = task.truth(), task.schema.target.classes
    if classes:
        codes, first = by_appearance(truth), np.unique(truth, return_index=True)[1]
        names = [classes[truth[row]] for row in np.sort(first)]
        yield "classes", json.dumps(names).encode()
        yield "target", _bytes(codes)
    else:
        yield "target", truth.astype("<f8").tobytes()
    strata, groups, order = task.strata(), task.groups(), task.order()
    if strata is not None:
        yield "stratum", _bytes(by_appearance(strata))
    if groups is not None:
        yield "group", _bytes(by_appearance(groups))
    if order is not None:
        yield "order", _bytes(by_rank(order))
    for name in folds:
        yield "fold", _bytes(by_appearance(fold_codes(task, name)))


def _bytes(codes: np.ndarray[Any, np.dtype[np.int64]]) -> bytes:
    return codes.astype("<i8").tobytes()
