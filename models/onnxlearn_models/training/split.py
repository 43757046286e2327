"""Setting rows aside that choose the epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.task import Task


def hold_out(
    task: Task, validation: float | str | tuple[int, ...] | pd.DataFrame | Task | None, seed: int, test: Task | None = None
) -> tuple[Task, Task | None]:
    """The rows to train on, and those that choose the epoch.

    ``validation``: a share (of every class and stratum, or of whole groups, or the latest rows, by the task's roles), the
    positions of rows in the task, a table or a task of further rows, which are read by the task's schema, ``"test"`` for the
    rows ``test``, or ``None``.

    Raises: ParameterError for positions that are not in the task or leave nothing, and where there are no test rows; DataError
    for a table that does not fit.
    """
    if isinstance(validation, str):
        if test is None:
            raise ParameterError(
                f"validation={validation!r} takes the test rows of a resampling or of a fit, and there are none here: give "
                "some (test=, or --test), or a share"
            )
        return task, test
    if validation is None:
        return task, None
    if isinstance(validation, float):
        return task.split(validation, seed)
    if isinstance(validation, pd.DataFrame | Task):
        # A task knows where its images are.
        frame, images = (validation.frame, validation.images) if isinstance(validation, Task) else (validation, task.images)
        if not len(frame):
            raise DataError("the validation table has no rows: give some, or validation=None to train without")
        return task, type(task)(frame, task.schema, images=images)
    return _by_position(task, np.unique(validation))


def _by_position(task: Task, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[Task, Task]:
    if not len(rows):
        raise ParameterError("validation=() names no rows: give positions, a share, or None to train without")
    if rows[0] < 0 or rows[-1] >= task.n_rows:
        wrong = rows[0] if rows[0] < 0 else rows[-1]
        raise ParameterError(f"validation rows have to lie in 0..{task.n_rows - 1}, the task's rows; {wrong} does not")
    if len(rows) == task.n_rows:
        raise ParameterError(f"validation takes all {task.n_rows} rows: leave some to train on")
    return task.select(np.setdiff1d(np.arange(task.n_rows), rows)), task.select(rows)
