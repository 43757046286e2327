"""Splits: saved, loaded, and held against the task that they are used with."""

import json

import numpy as np
import pandas as pd
import pytest
from split_tasks import classes_of, numbers_of, quietly, task_of

from onnxlearn.errors import ColumnNotFoundError, DataError, OutputError, ParameterError
from onnxlearn.resampling import CV, Bootstrap, Custom, CustomCV, Holdout, LeaveOneOut, Nested, Resampling, Splits
from onnxlearn.task import Task

CODES = [0, 1, 2] * 8
RESAMPLINGS = [
    CV(3, repeats=2),
    Bootstrap(repeats=3),
    LeaveOneOut(),
    Custom(train=[[0, 1]], test=[[3, 2]]),
    CustomCV("site"),
    Nested(CV(3), Holdout(0.5)),
    Nested(Bootstrap(repeats=2), CV(2)),
]


@pytest.mark.parametrize("resampling", RESAMPLINGS, ids=repr)
def test_saved_splits_come_back_as_they_were(resampling, tmp_path):
    task = classes_of(CODES, site=["n", "s"] * 12)
    splits = quietly(resampling, task)
    splits.save(tmp_path / "splits.json")
    loaded = Splits.load(tmp_path / "splits.json")
    loaded.require(task)
    assert loaded == splits
    assert repr(loaded) == repr(splits)
    assert Resampling.from_dict(loaded.resampling) == resampling
    pd.testing.assert_frame_equal(loaded.to_frame(), splits.to_frame())
    if isinstance(resampling, Nested):
        for i in range(len(splits)):
            assert loaded.inner(i) == splits.inner(i)
            pd.testing.assert_frame_equal(loaded.inner(i).to_frame(), splits.inner(i).to_frame())


def test_the_file_is_read_without_us(tmp_path):
    task = classes_of(CODES)
    splits = CV(3, seed=4).split(task)
    splits.save(tmp_path / "splits.json")
    data = json.loads((tmp_path / "splits.json").read_text(encoding="utf-8"))
    assert data["resampling"] == {"name": "cv", "params": {"folds": 3, "repeats": 1, "seed": 4, "stratify": True}}
    assert (data["task"]["name"], data["task"]["n_rows"], data["task"]["columns"]) == ("y", 24, {"target": ["y"]})
    for iteration, (train, test) in zip(data["iterations"], splits, strict=True):
        assert iteration["test"] == test.tolist()
        assert iteration["train"] == "rest"
        assert sorted({*range(24)} - {*iteration["test"]}) == train.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]


def test_a_file_of_many_rows_stays_small(tmp_path):
    LeaveOneOut().split(numbers_of(2000)).save(tmp_path / "splits.json")
    assert (tmp_path / "splits.json").stat().st_size < 150_000


def test_splits_as_a_table():
    frame = Custom(train=[[0, 1], [2]], test=[[2], [0]]).split(numbers_of(3)).to_frame()
    assert frame.to_dict("list") == {
        "iteration": [0, 0, 0, 1, 1],
        "set": ["train", "train", "test", "train", "test"],
        "row": [0, 1, 2, 2, 0],
    }


def test_a_file_cannot_be_written_where_there_is_no_folder(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        Holdout().split(numbers_of(5)).save(tmp_path / "none" / "splits.json")


# The task that they are of


def test_splits_go_with_other_features_and_another_name():
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.5, 4.5], "b": [2.5, 1.5, 0.5, 9.5], "y": ["no", "no", "yes", "yes"]})
    splits = CV(2).split(Task.from_frame(frame, "y"))
    splits.require(Task.from_frame(frame[["b", "y"]], "y", name="other"))
    # Classes in another order of theirs, and groups that are told apart by other words.
    splits.require(Task.from_frame(frame.assign(y=pd.Categorical(frame["y"], ["yes", "no"])), "y"))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (numbers_of(4, group=[0, 0, 1, 1], order=[3, 1, 2, 4]), "it had 5 rows and 'y' has 4"),
        (numbers_of(5, order=[3, 1, 2, 4, 5]), "its group was 'group' and that of 'y' is nothing"),
        (
            numbers_of(5, group=[0, 0, 1, 1, 1], order=[3, 1, 2, 4, 5], stratum=list("ababa")),
            "its stratum was nothing and that of",
        ),
        (numbers_of(5, group=[0, 1, 1, 1, 0], order=[3, 1, 2, 4, 5]), "other values, or the same rows in another order"),
        (numbers_of(5, group=[0, 0, 1, 1, 1], order=[3, 1, 2, 5, 4]), "in 'y', 'group', 'order'; use them with"),
        (task_of([0.0, 0.25, 0.5, 1.0, 0.75], group=[0, 0, 1, 1, 1], order=[3, 1, 2, 4, 5]), "other values, or"),
    ],
)
def test_splits_of_another_task_are_refused(other, why, tmp_path):
    task = numbers_of(5, group=[0, 0, 1, 1, 1], order=[3, 1, 2, 4, 5])
    path = tmp_path / "splits.json"
    Holdout(0.5).split(task).save(path)
    splits = Splits.load(path)
    splits.require(numbers_of(5, group=["x", "x", "k", "k", "k"], order=[30, 10, 20, 40, 50]))
    with pytest.raises(DataError, match=f"the splits are of another task, 'y': .*{why}"):
        splits.require(other)


def test_the_column_of_folds_belongs_to_the_task():
    splits = CustomCV("site").split(numbers_of(4, site=["n", "s", "n", "s"]))
    with pytest.raises(DataError, match="in 'y', 'site'"):
        splits.require(numbers_of(4, site=["n", "n", "s", "s"]))
    with pytest.raises(ColumnNotFoundError, match="CustomCV needs column 'site'"):
        splits.require(numbers_of(4))


# Bad input


@pytest.mark.parametrize("i", [-1, 3])
def test_there_are_no_other_iterations(i):
    splits = CV(3).split(numbers_of(9))
    for ask in (splits.train, splits.test, splits.repeat, splits.fold, splits.inner):
        with pytest.raises(ParameterError, match=rf"iterations are numbered 0\.\.2, there is no {i}"):
            ask(i)


def test_plain_splits_have_no_inner_ones():
    with pytest.raises(ParameterError, match=r"resampling 'cv' has no inner splits: make them with ol\.Nested\(outer, inner\)"):
        CV(3).split(numbers_of(9)).inner(0)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text[:-20], "is no file of splits, or damaged"),
        (lambda text: "[1, 2]", "is no file of splits: it lacks"),
        (lambda text: text.replace("onnxlearn splits", "splits"), "is no file of splits: it lacks"),
        (
            lambda text: text.replace('"format_version": 1', '"format_version": 2'),
            "has splits of format 2, .* reads 1: upgrade",
        ),
        (lambda text: text.replace('"n_rows": 9', '"n_rows": 8'), r"damaged splits \(rows have to lie in 0\.\.7\)"),
        (lambda text: text.replace('"test":[', '"test":[-1,'), r"damaged splits \(rows have to lie in 0\.\.8\)"),
        (lambda text: text.replace('"test":[', '"test":[0.5,'), "damaged splits"),
        (lambda text: text.replace('"test"', '"tset"'), r"damaged splits \('test'\)"),
        (lambda text: text.replace('"rest"', "null"), "damaged splits"),
        (lambda text: text.replace('"rest"', "[]"), "damaged splits"),
    ],
)
def test_a_damaged_file_is_no_splits(damage, why, tmp_path):
    path = tmp_path / "splits.json"
    CV(3).split(numbers_of(9)).save(path)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DataError, match=why):
        Splits.load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the splits in .*none\.json': No such file"):
        Splits.load(tmp_path / "none.json")


def test_what_is_no_task_is_not_split():
    with pytest.raises(DataError, match=r"split takes a Task, got DataFrame; make one with ol\.Task\.from_frame"):
        CV().split(pd.DataFrame({"x": np.arange(3)}))
