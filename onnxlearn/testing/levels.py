"""How a model tells categories apart, as checks that raise AssertionError: the codes behind its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlearn.model import Model
from onnxlearn.schema import MISSING_INT64, Column, Level
from onnxlearn.task import Task
from onnxlearn.testing.parity import TOLERANCE, expect
from onnxlearn.wire.feeds import Feeds

Array = np.ndarray[Any, np.dtype[Any]]

# Levels with fewer rows may count as unseen.
MANY_ROWS = 8
N_ROWS = 4


def check_levels(model: Model, task: Task) -> None:
    """What is unseen or missing is no level, and what no row of the task has is predicted like what is unseen.

    ``task``: the rows that the model was trained on. Levels are told apart where the model makes something of them.
    """
    for column in task.schema.features:
        if column.kind == "categorical":
            _check_column(model, task, column)


def _check_column(model: Model, task: Task, column: Column) -> None:
    values = task.feeds()[column.name][:, 0].tolist()
    unseen = _outputs(model, task, column, _unseen(column))
    missing = _outputs(model, task, column, _missing(column))
    absent = [level for level in column.levels if level not in values]
    for level in absent[:2]:
        found = _outputs(model, task, column, level)
        expect(_same(found, unseen), f"level {level!r} of {column.name}, which no row has, is not predicted like an unseen one")
    if not column.has_missing:
        expect(_same(missing, unseen), f"{column.name}, never missing in training, is not predicted like unseen where it is")
    frequent = [level for level in column.levels if values.count(level) >= MANY_ROWS]
    by_level = {level: _outputs(model, task, column, level) for level in frequent}
    if all(np.array_equal(outputs, unseen) for outputs in by_level.values()):
        return
    for level, outputs in by_level.items():
        # Codes that are the same give the same to the last bit; others may come close.
        expect(not np.array_equal(outputs, unseen), f"an unseen level of {column.name} is predicted like level {level!r}")
        expect(not np.array_equal(outputs, missing), f"a missing {column.name} is predicted like level {level!r}")


def _outputs(model: Model, task: Task, column: Column, value: Level) -> Array:
    """What the model makes of a few rows of the task with this value in the column: probabilities, or numbers in their unit."""
    feeds: Feeds = {name: array[:N_ROWS].copy() for name, array in task.feeds().items()}
    feeds[column.name][:] = value
    outputs = model.predict_feeds(feeds)
    if "probabilities" in outputs:
        return np.asarray(outputs["probabilities"], np.float64)
    return np.asarray((outputs["prediction"] - task.truth().mean(axis=0)) / task.truth().std(axis=0))


def _same(first: Array, second: Array) -> bool:
    return bool(np.allclose(first, second, rtol=0, atol=TOLERANCE))


def _unseen(column: Column) -> Level:
    if column.onnx_type == "INT64":
        return max(int(level) for level in column.levels) + 1
    return "".join(str(level) for level in column.levels) + "?"


def _missing(column: Column) -> Level:
    return MISSING_INT64 if column.onnx_type == "INT64" else ""
