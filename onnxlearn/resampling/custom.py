"""Splits of one's own: rows by number, or a column that numbers the folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError, ParameterError, listing
from onnxlearn.params import param
from onnxlearn.resampling.resampling import Resampling
from onnxlearn.resampling.rows import Codes, Rows
from onnxlearn.resampling.splits import Iteration

_SHOWN_ROWS = 10


@dataclass(frozen=True, repr=False)
class Custom(Resampling):
    """The training and the test rows of each iteration by their numbers in the task, from 0.

    A training row may occur more than once, a test row not. ``overlap=True`` allows rows and groups that are in both sets of
    an iteration.

    >>> Custom(train=[[0, 1, 2], [2, 3]], test=[[3], [0, 1]])
    Custom(train=[[0, 1, 2], [2, 3]], test=[[3], [0, 1]])
    """

    name = "custom"

    train: Sequence[Sequence[int]]
    test: Sequence[Sequence[int]]
    _: KW_ONLY
    overlap: bool = False

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            object.__setattr__(self, part, _sets(part, getattr(self, part)))
        if len(self.train) != len(self.test):
            raise ParameterError(
                f"Custom needs as many sets of rows to train on as to test, got {len(self.train)} and {len(self.test)}: "
                "give one of each an iteration"
            )
        if not isinstance(self.overlap, bool):
            raise ParameterError(f"Custom: overlap has to be bool, not {self.overlap!r}")
        for i, (train, test) in enumerate(zip(self.train, self.test, strict=True)):
            _require_distinct(i, test)
            both = () if self.overlap else sorted(set(train) & set(test))
            if both:
                raise ParameterError(
                    f"Custom, iteration {i}: {_row_text(both)} to train on and to test, which flatters the scores; leave them "
                    "out of one, or say overlap=True"
                )

    def sets(self, rows: Rows) -> list[Iteration]:
        """The iterations. Raises: ParameterError where the task lacks a row, or a group is in both sets."""
        iterations = [
            Iteration(train=np.array(train, np.int64), test=np.array(test, np.int64), fold=i)
            for i, (train, test) in enumerate(zip(self.train, self.test, strict=True))
        ]
        for i, iteration in enumerate(iterations):
            for part, given in (("train", iteration.train), ("test", iteration.test)):
                if given is not None and given.max() >= len(rows):
                    raise ParameterError(
                        f"Custom, iteration {i}: {part} names row {given.max()}, and the task's rows are 0..{len(rows) - 1}"
                    )
            if rows.groups is not None and not self.overlap:
                _require_whole(rows, i, iteration)
        return iterations

    def __repr__(self) -> str:
        overlap = ", overlap=True" if self.overlap else ""
        return f"Custom(train={_sets_text(self.train)}, test={_sets_text(self.test)}{overlap})"


def _sets(part: str, given: Any) -> tuple[tuple[int, ...], ...]:
    example = f"{part}=[[0, 1, 2], [3, 4]]"
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise ParameterError(f"Custom: {part} has to be a list of sets of rows, one an iteration, not {given!r}: {example}")
    sets = tuple(_set(part, i, rows, example) for i, rows in enumerate(given))
    if not sets:
        raise ParameterError(f"Custom: {part} has no set of rows; give one an iteration: {example}")
    return sets


def _set(part: str, i: int, given: Any, example: str) -> tuple[int, ...]:
    rows = np.asarray(given)
    if rows.ndim != 1:
        raise ParameterError(f"Custom: {part} has to be a list of sets of rows, one an iteration; entry {i} is none: {example}")
    if not len(rows):
        raise ParameterError(f"Custom, iteration {i}: {part} is empty; an iteration needs rows to train on and to test")
    if rows.dtype.kind == "b":
        raise ParameterError(f"Custom, iteration {i}: {part} is a mask; give numbers of rows, as of np.flatnonzero(mask)")
    if rows.dtype.kind not in "iu" or rows.min() < 0:
        wrong = rows[0] if rows.dtype.kind not in "iu" else rows.min()
        raise ParameterError(f"Custom, iteration {i}: {part} has to hold numbers of rows from 0, not {wrong.item()!r}")
    return tuple(rows.tolist())


def _require_distinct(i: int, test: Sequence[int]) -> None:
    rows, counts = np.unique(test, return_counts=True)
    if counts.max() > 1:
        raise ParameterError(
            f"Custom, iteration {i}: test names {_row_text(rows[counts > 1].tolist())} more than once; name each once"
        )


def _row_text(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
    more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
    return f"row{'' if len(rows) == 1 else 's'} {shown}{more}"


def _sets_text(sets: Sequence[Sequence[int]]) -> str:
    if sum(map(len, sets)) <= 3 * _SHOWN_ROWS:
        return repr([list(rows) for rows in sets])
    return f"<{len(sets)} sets of {min(map(len, sets))} to {max(map(len, sets))} rows>"


def _require_whole(rows: Rows, i: int, iteration: Iteration) -> None:
    group, groups = rows.task.schema.group, rows.groups
    if group is None or groups is None or iteration.train is None:
        return
    torn = iteration.test[np.isin(groups[iteration.test], groups[iteration.train])]
    if len(torn):
        names = listing(dict.fromkeys(str(rows.value(group, row)) for row in torn))
        raise ParameterError(
            f"Custom, iteration {i}: groups stay together, and {names} of column {group!r} has rows to train on and to test; "
            "move them to one set, or say overlap=True"
        )


@dataclass(frozen=True, repr=False)
class CustomCV(Resampling):
    """Folds by a column of the table: the rows of each of its values are tested by a model trained on the others.

    The folds come in the order of the values. The column is best one that is no feature (``ignore=``, ``--ignore``); a warning
    says where it is one.

    >>> CustomCV("fold")
    CustomCV(column='fold')
    """

    name = "custom_cv"

    column: str = param("fold", "column that numbers the folds")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def sets(self, rows: Rows) -> list[Iteration]:
        """One iteration a value.

        Raises: ColumnNotFoundError; DataError where a value is missing, there is one only, or a group has several.
        """
        codes = rows.column(self.column)
        if not codes.any():
            value = rows.value(self.column, 0)
            raise DataError(f"column {self.column!r} has to tell at least 2 folds apart, all rows have {value!r}; name another")
        _require_one_fold(rows, codes, self.column)
        return [Iteration(test=np.flatnonzero(codes == fold), fold=fold) for fold in range(int(codes.max()) + 1)]

    def notes(self, rows: Rows, iterations: list[Iteration]) -> list[str]:
        """What to warn of: lost classes, and a column that models are trained on."""
        texts = super().notes(rows, iterations)
        if self.column not in rows.task.schema.feature_names:
            return texts
        text = (
            f"column {self.column!r} numbers the folds and is a feature, with values in the test rows that no model has met: "
            f"make the task with ignore={self.column!r} (--ignore {self.column})"
        )
        return [text, *texts]


def _require_one_fold(rows: Rows, codes: Codes, column: str) -> None:
    if rows.groups is None:
        return
    lowest = np.full(int(rows.groups.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, rows.groups, codes)
    torn: NDArray[np.int64] = np.flatnonzero(codes != lowest[rows.groups])
    group = rows.task.schema.group
    if len(torn) and group is not None:
        raise DataError(
            f"groups stay together, and {rows.value(group, int(torn[0]))!r} of column {group!r} has rows in several folds of "
            f"column {column!r}: give them one fold, or make the task without group= (--group)"
        )
