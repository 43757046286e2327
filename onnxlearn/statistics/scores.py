"""Scores of learners on tasks, iteration by iteration: the table that every statistic here starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from onnxlearn import measures
from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, ParameterError, UnknownNameError, listing

if TYPE_CHECKING:
    import pandas as pd

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# Significant digits by which scores are told apart: what rounding leaves of two equal ones would otherwise decide their ranks.
DIGITS = 12

_WAY_OUT = "score it again, give failed runs a fallback learner, or leave it out with scores.select(tasks=..., learners=...)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """Scores of one learner on one task, by ascending iteration.

    ``iterations`` ``[J]``; ``values`` float64 ``[J]``, NaN for a run that failed or a measure that is undefined; ``n_train``
    and ``n_test`` int64 ``[J]``, rows of each set, ``None`` where the table does not say.
    """

    iterations: tuple[Any, ...]
    values: Array
    n_train: Array | None
    n_test: Array | None

    @property
    def n_undefined(self) -> int:
        """How many scores are NaN or infinite."""
        return int((~np.isfinite(self.values)).sum())

    def ratio(self) -> float:
        """Test rows per training row, over all iterations.

        Raises: ColumnNotFoundError where the table does not say how many there were.
        """
        if self.n_train is None or self.n_test is None:
            raise ColumnNotFoundError(
                "the corrected standard error needs columns 'n_train', 'n_test', the rows that each iteration trained and "
                "tested on; the table of scores lacks them: add them before Scores.from_frame"
            )
        return float(self.n_test.sum() / self.n_train.sum())


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scores:
    """Scores of one measure. Made by :meth:`from_frame`.

    ``minimize``: whether less is better. ``cells``: by task and learner, in the order in which the table first names them.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": ["a", "a", "b", "b"], "learner": ["mlp", "linear"] * 2, "acc": [0.9, 0.8, 0.7, 0.6]})
    >>> scores = Scores.from_frame(frame, "acc")
    >>> scores
    <Scores of acc (more is better): 2 tasks x 2 learners, 4 scores>
    >>> scores.table().tolist()
    [[0.9, 0.8], [0.7, 0.6]]
    """

    measure: str
    minimize: bool
    cells: Mapping[tuple[str, str], Cell]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, measure: str | measures.Measure, *, minimize: bool | None = None) -> Self:
        """Read a table with a row for each task, learner and iteration.

        Columns: ``task`` and ``learner`` (text), ``iteration`` (may be left out where there is one), the measure's, and
        ``n_train`` and ``n_test``, which only the corrected standard errors and t-tests need. Others are not read.
        ``minimize``: whether less is better, by default what is known of the measure. Missing and infinite scores are kept:
        what cannot be computed with them is refused there.

        Raises: ColumnNotFoundError; DataTypeError for columns of another type; DataError for no rows or for two of the same
        task, learner and iteration; ParameterError where it is not known whether less is better.
        """
        name = measure if isinstance(measure, str) else measure.name
        direction = _direction(measure, minimize=minimize)
        _require_frame(frame)
        _require(frame, ["task", "learner", name])
        optional = [column for column in ("iteration", "n_train", "n_test") if column in frame.columns]
        table = frame[["task", "learner", name, *optional]].rename(columns={name: "score"})
        if "iteration" not in optional:
            table = table.assign(iteration=0)
        _check(table, name)
        groups = table.sort_values("iteration", kind="stable").groupby(["task", "learner"], sort=False, observed=True)
        read = {key: _cell(rows) for key, rows in groups}
        order = dict.fromkeys(zip(table["task"].tolist(), table["learner"].tolist(), strict=True))
        return cls(measure=name, minimize=direction, cells={key: read[key] for key in order})

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(dict.fromkeys(task for task, _ in self.cells))

    @property
    def learners(self) -> tuple[str, ...]:
        """Names of the learners."""
        return tuple(dict.fromkeys(learner for _, learner in self.cells))

    def __repr__(self) -> str:
        n = sum(len(cell.values) for cell in self.cells.values())
        better = "less" if self.minimize else "more"
        size = f"{_count(len(self.tasks), 'task')} x {_count(len(self.learners), 'learner')}, {_count(n, 'score')}"
        return f"<Scores of {self.measure} ({better} is better): {size}>"

    def select(self, *, tasks: Sequence[str] | None = None, learners: Sequence[str] | None = None) -> Scores:
        """The scores of these tasks and learners, by default all of them, in the order of the names given.

        Raises: UnknownNameError; ParameterError where nothing is left.
        """
        chosen_tasks = self.tasks if tasks is None else [self.known("task", name) for name in _names("tasks", tasks)]
        chosen = self.learners if learners is None else [self.known("learner", name) for name in _names("learners", learners)]
        keys = [(task, learner) for task in chosen_tasks for learner in chosen if (task, learner) in self.cells]
        if not keys:
            raise ParameterError(
                f"no score is left of tasks {listing(chosen_tasks)} and learners {listing(chosen)}: name others"
            )
        return Scores(measure=self.measure, minimize=self.minimize, cells={key: self.cells[key] for key in keys})

    def known(self, noun: str, name: str) -> str:
        """The name of this ``task`` or ``learner``. Raises: UnknownNameError with the nearest one."""
        names = self.tasks if noun == "task" else self.learners
        if name not in names:
            raise UnknownNameError.of(noun, name, names)
        return name

    def cell(self, task: str, learner: str) -> Cell:
        """Scores of this learner on this task, all of them finite.

        Raises: UnknownNameError; DataError where it was not run there, or where a score is NaN or infinite.
        """
        key = self.known("task", task), self.known("learner", learner)
        where = f"learner {learner!r} on task {task!r}"
        if key not in self.cells:
            raise DataError(f"every learner has to be scored on every task; {where} was not: {_WAY_OUT}")
        cell = self.cells[key]
        if cell.n_undefined:
            wrong = [pair for pair in zip(cell.iterations, cell.values.tolist(), strict=True) if not math.isfinite(pair[1])]
            raise DataError(
                f"every {self.measure} has to be a finite number; {where} has {wrong[0][1]} in iteration {wrong[0][0]}"
                f"{f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''}: {_WAY_OUT}"
            )
        return cell

    def pair(self, first: str, second: str, task: str | None = None) -> tuple[str, Cell, Cell]:
        """The task, by default the only one, and both learners' scores in the same iterations.

        Raises: as :meth:`cell`; ParameterError where the task has to be named or the learners are one; DataError where
        they were not run on the same splits.
        """
        require_two(first, second)
        if task is None and len(self.tasks) > 1:
            raise ParameterError(f"this compares two learners on one task, there are {len(self.tasks)}: task={self.tasks[0]!r}")
        name = self.tasks[0] if task is None else task
        one, other = self.cell(name, first), self.cell(name, second)
        if _splits(one) != _splits(other):
            raise DataError(
                f"learners {first!r} and {second!r} have to be scored on the same splits of task {name!r}, and their "
                "iterations or their numbers of rows differ: resample both with the same splits"
            )
        return name, one, other

    def table(self) -> Array:
        """Mean over the iterations of every task and learner: float64 ``[n_tasks, n_learners]``.

        Raises: DataError where a learner was not run on a task, or a score is NaN or infinite.
        """
        rows = [[settled(float(self.cell(task, learner).values.mean())) for learner in self.learners] for task in self.tasks]
        return np.array(rows, np.float64)


def settled(value: float, size: float | None = None) -> float:
    """The value to :data:`DIGITS` significant digits, of ``size`` if it is a difference of numbers of that size.

    >>> settled(0.1 + 0.2) == settled(0.3)
    True
    >>> settled(0.975 - 0.971, 0.975)
    0.004
    """
    scale = abs(value) if size is None else size
    return round(value, DIGITS - 1 - math.floor(math.log10(scale))) if scale > 0 else 0.0


def require_two(first: str, second: str) -> None:
    """Raise ``ParameterError`` for a learner that would be compared with itself."""
    if first == second:
        raise ParameterError(f"two learners are compared, and both are {first!r}: name another one")


def require_share(name: str, value: float) -> float:
    """The value, a number between 0 and 1; ``ParameterError`` for any other."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ParameterError(f"{name} has to lie between 0 and 1, both excluded, got {value!r}: {name}=0.05 or {name}=0.95")
    return float(value)


def _direction(measure: str | measures.Measure, *, minimize: bool | None) -> bool:
    if minimize is not None:
        return bool(minimize)
    known = {one.name: one for one in measures.all_measures()}
    found = known.get(measure) if isinstance(measure, str) else measure
    if found is None:
        raise ParameterError(
            f"{measure!r} is no measure known here: say whether less is better, minimize=True or minimize=False"
        )
    if found.minimize is None:
        raise ParameterError(
            f"measure {found.name!r} is best near 0 and has no better and worse end: put its absolute values into the column, "
            "minimize=True"
        )
    return found.minimize


def _require_frame(frame: Any) -> None:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataTypeError(f"a table of scores is a pandas.DataFrame, got {type(frame).__name__}: result.scores")
    if not len(frame):
        raise DataError("the table of scores has no rows: score at least one learner on one task")


def _require(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ColumnNotFoundError.of(missing, frame.columns, needed_by="a table of scores")
    twice = [name for name in names if list(frame.columns).count(name) > 1]
    if twice:
        raise DataError(f"a table of scores has one column {twice[0]!r}, this one has several: drop or rename them")


def _check(table: pd.DataFrame, measure: str) -> None:
    """Raise for columns of a wrong type, and for rows that name the same run twice."""
    import pandas as pd

    for column in ("task", "learner"):
        wrong = [value for value in table[column].tolist() if not isinstance(value, str)]
        if wrong:
            raise DataTypeError(f"column {column!r} holds names, which are text; got {wrong[0]!r}: convert it with astype(str)")
    for column, name in (("score", measure), ("n_train", "n_train"), ("n_test", "n_test")):
        types = pd.api.types
        if column in table.columns and not (types.is_float_dtype(table[column]) or types.is_integer_dtype(table[column])):
            raise DataTypeError(
                f"column {name!r} holds numbers; its type is {table[column].dtype}: convert it with pd.to_numeric"
            )
    if table["iteration"].isna().any():
        raise DataError("every row has an iteration; some are missing: number the splits of a task from 0")
    for column in ("n_train", "n_test"):
        counts = table[column].to_numpy(np.float64, na_value=np.nan) if column in table.columns else np.ones(0)
        wrong = counts[~((counts >= 1) & (counts % 1 == 0))]
        if len(wrong):
            raise DataError(
                f"column {column!r} counts rows, at least 1; got {wrong[0]}: drop the column or give the true number"
            )
    repeated = table.duplicated(["task", "learner", "iteration"])
    if repeated.any():
        row = table[repeated].iloc[0]
        raise DataError(
            f"a table of scores has one row for each task, learner and iteration; task {row['task']!r}, learner "
            f"{row['learner']!r}, iteration {row['iteration']} is there twice: keep the rows of one resampling, or name the "
            "learners apart"
        )


def _cell(rows: pd.DataFrame) -> Cell:
    def counts(name: str) -> Array | None:
        return rows[name].to_numpy(np.int64) if name in rows.columns else None

    return Cell(
        iterations=tuple(rows["iteration"].tolist()),
        values=rows["score"].to_numpy(np.float64, na_value=np.nan),
        n_train=counts("n_train"),
        n_test=counts("n_test"),
    )


def _splits(cell: Cell) -> tuple[object, ...]:
    """What two learners' scores have in common if they come from the same splits."""
    sizes = [None if count is None else tuple(count.tolist()) for count in (cell.n_train, cell.n_test)]
    return cell.iterations, *sizes


def _names(what: str, names: Sequence[str]) -> Sequence[str]:
    if isinstance(names, str):
        raise ParameterError(f"{what} is a list of names, got the text {names!r}: {what}=[{names!r}]")
    return names


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
