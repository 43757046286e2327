"""What chooses the epoch: a share, rows, a table or nothing."""

import json

import numpy as np
import pandas as pd
import pytest

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.task import Task
from onnxlearn_models.mlp import MLP
from onnxlearn_models.training.split import hold_out


def make_task(n=40, **roles):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "g": np.arange(n) // 4,
            "t": np.arange(n)[::-1],
            "w": np.ones(n),
            "y": ["a", "a", "a", "b"] * (n // 4),
        }
    )
    return Task.from_frame(frame, "y", ignore=[name for name in "gtw" if name not in roles.values()], **roles)


def test_a_share_keeps_the_classes():
    train, valid = hold_out(make_task(), 0.2, 0)
    assert (train.n_rows, valid.n_rows) == (32, 8)
    assert np.bincount(valid.truth()).tolist() == [6, 2]


def test_groups_stay_together():
    train, valid = hold_out(make_task(group="g"), 0.2, 0)
    assert not set(train.frame["g"]) & set(valid.frame["g"])


def test_the_latest_rows_by_order():
    train, valid = hold_out(make_task(order="t"), 0.2, 0)
    assert valid.frame["t"].min() > train.frame["t"].max()


def test_rows_by_position():
    train, valid = hold_out(make_task(), (3, 1, 1), 0)
    assert valid.frame.index.tolist() == [1, 3]
    assert train.n_rows == 38


def test_a_table():
    task = make_task()
    train, valid = hold_out(task, task.frame.head(7), 0)
    assert train is task
    assert valid.n_rows == 7
    assert valid.schema is task.schema


def test_nothing():
    task = make_task()
    assert hold_out(task, None, 0) == (task, None)


def test_a_task_stands_for_its_table():
    task, other = make_task().split(0.3)
    of_task, of_table = (MLP(validation=each, max_epochs=1, seed=0) for each in (other, other.frame))
    assert of_task.to_dict() == of_table.to_dict()
    assert of_task.fit(task, progress=False).to_bytes() == of_table.fit(task, progress=False).to_bytes()


def test_an_error_that_quotes_a_task_is_one_line():
    task = Task.from_frame(pd.DataFrame({"x": [1, 2, 3], "c": [1, 1, 1], "y": ["a", "b", "a"]}), "y")
    assert "\n" in repr(task)
    with pytest.raises(ParameterError, match=r"seed has to be int .*, not ClassificationTask\('y', .* \.\.\. \(") as caught:
        MLP(seed=task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        ((), ParameterError, r"validation=\(\) names no rows"),
        ((1, 40), ParameterError, r"have to lie in 0\.\.39, the task's rows; 40 does not"),
        ((-1, 4), ParameterError, r"have to lie in 0\.\.39, the task's rows; -1 does not"),
        (tuple(range(40)), ParameterError, "takes all 40 rows: leave some to train on"),
        (pd.DataFrame({"x": [], "y": []}), DataError, "the validation table has no rows"),
        (pd.DataFrame({"x": [1.0]}), DataError, "y"),
        (pd.DataFrame({"x": [1.0], "y": ["a"]}), DataError, "the role 'weight' needs column 'w'; the table has 'x', 'y'"),
    ],
)
def test_what_is_refused(validation, error, message):
    with pytest.raises(error, match=message):
        hold_out(make_task(weight="w"), validation, 0)


@pytest.mark.parametrize("rows", [np.array([3, 1]), np.array([3, 1], dtype=np.uint8), pd.Series([3, 1]), pd.Index([3, 1])])
def test_row_numbers_as_arrays(rows):
    learner = MLP(validation=rows, seed=1)
    assert learner == MLP(validation=[3, 1], seed=1)
    assert json.loads(json.dumps(learner.to_dict()))["params"]["validation"] == [3, 1]
    assert learner.replace(lr=0.1).values["validation"] == (3, 1)
    assert learner.replace(validation=rows[:1]).values["validation"] == (3,)


def test_arrays_that_are_no_row_numbers():
    with pytest.raises(ParameterError, match=r"got an array bool \[2\]: numpy\.flatnonzero gives those of a mask"):
        MLP(validation=np.array([True, False]))
    with pytest.raises(ParameterError, match=r"got an array float64 \[1\]: give integers from 0"):
        MLP(validation=pd.Series([0.2]))
