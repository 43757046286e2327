"""Resamplings that cannot be, and splits that lose something: what is said of them."""

import re

import numpy as np
import pandas as pd
import pytest
from split_tasks import classes_of, numbers_of, task_of

from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError, UnknownNameError
from onnxlearn.resampling import (
    CV,
    Bootstrap,
    Custom,
    CustomCV,
    Holdout,
    InSample,
    LeaveOneOut,
    Nested,
    Resampling,
    ResamplingWarning,
    Subsampling,
    TimeSeriesSplit,
)

# Parameters


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: CV(1), r"CV: folds has to be int >= 2, not 1 \(number of folds\)"),
        (lambda: CV(2.5), "CV: folds has to be int >= 2, not 2.5"),
        (lambda: CV(folds=True), "CV: folds has to be int >= 2, not True"),
        (lambda: CV(repeats=0), "CV: repeats has to be int >= 1, not 0"),
        (lambda: CV(seed=-1), "CV: seed has to be int >= 0, not -1"),
        (lambda: CV(seed=None), "CV: seed has to be int >= 0, not None"),
        (lambda: CV(stratify="y"), "CV: stratify has to be bool, not 'y'"),
        (lambda: Holdout(0), "Holdout: ratio has to be float > 0, < 1, not 0"),
        (lambda: Holdout(1.0), "Holdout: ratio has to be float > 0, < 1, not 1.0"),
        (lambda: Holdout(float("nan")), "Holdout: ratio has to be float > 0, < 1, not nan"),
        (lambda: Subsampling(80), "Subsampling: ratio has to be float > 0, < 1, not 80"),
        (lambda: Bootstrap(1.5), "Bootstrap: ratio has to be float > 0, <= 1, not 1.5"),
        (lambda: TimeSeriesSplit(gap=-1), "TimeSeriesSplit: gap has to be int >= 0, not -1"),
        (lambda: TimeSeriesSplit(test_size=0), r"TimeSeriesSplit: test_size has to be int \| None >= 1, not 0"),
        (lambda: CustomCV(3), "CustomCV: column has to be str, not 3"),
        (lambda: Nested(CV(), 3), "Nested: inner has to be Resampling, not 3"),
        (
            lambda: Nested(Nested(CV(), CV()), CV()),
            r"Nested: outer is nested itself; give a plain resampling such as ol\.CV\(\)",
        ),
        (lambda: Nested(CV(), Custom(train=[[0]], test=[[1]])), "names rows of the whole task.*use ol.CustomCV"),
        (
            lambda: Custom(train=[], test=[]),
            r"Custom: train has no set of rows; give one an iteration: train=\[\[0, 1, 2\], \[3, 4\]\]",
        ),
        (
            lambda: Custom(train=[0, 1], test=[2, 3]),
            "train has to be a list of sets of rows, one an iteration; entry 0 is none",
        ),
        (lambda: Custom(train="rows", test=[[2]]), "train has to be a list of sets of rows, one an iteration, not 'rows'"),
        (lambda: Custom(train=[[0]], test=[[]]), "Custom, iteration 0: test is empty"),
        (lambda: Custom(train=[[0], [1]], test=[[2]]), "as many sets of rows to train on as to test, got 2 and 1"),
        (lambda: Custom(train=[[True, False]], test=[[1]]), r"iteration 0: train is a mask; give .* np\.flatnonzero\(mask\)"),
        (lambda: Custom(train=[[0.5]], test=[[1]]), r"train has to hold numbers of rows from 0, not 0\.5"),
        (lambda: Custom(train=[[0, -1]], test=[[1]]), "train has to hold numbers of rows from 0, not -1"),
        (lambda: Custom(train=[[0]], test=[[1, 2, 1]]), "iteration 0: test names row 1 more than once"),
        (
            lambda: Custom(train=[[0], [0, 1, 2]], test=[[1], [1, 2]]),
            "iteration 1: rows 1, 2 to train on and to test.*overlap=True",
        ),
        (lambda: Custom(train=[[0]], test=[[1]], overlap=1), "Custom: overlap has to be bool, not 1"),
    ],
)
def test_parameters_out_of_their_range(make, why):
    with pytest.raises(ParameterError, match=why):
        make()


@pytest.mark.parametrize(
    ("data", "error", "why"),
    [
        ({"name": "cvs"}, UnknownNameError, "there is no resampling 'cvs'; there are .* Did you mean 'cv'?"),
        (
            {"name": "cv", "params": {"fold": 3}},
            ParameterError,
            "resampling 'cv' has no parameter 'fold'. Did you mean 'folds'?",
        ),
        ({"name": "cv", "params": {"folds": "3"}}, ParameterError, "CV: folds has to be int >= 2, not '3'"),
        ({"name": "nested", "params": {"outer": {"name": "cv"}, "inner": {"name": "no"}}}, UnknownNameError, "resampling 'no'"),
        ({"name": "custom", "params": {"train": [[0]]}}, ParameterError, "resampling 'custom' needs the parameter 'test'"),
        ({"name": "nested"}, ParameterError, "Nested: outer has to be Resampling, not None"),
        ({"folds": 3}, ParameterError, "a resampling is described by its name and params"),
        ("cv", ParameterError, "a resampling is described by its name and params, got 'cv'"),
    ],
)
def test_descriptions_with_mistakes(data, error, why):
    with pytest.raises(error, match=why):
        Resampling.from_dict(data)


# Too little of something


@pytest.mark.parametrize(
    ("resampling", "task", "why"),
    [
        (CV(5), numbers_of(4), r"CV\(folds=5\) needs at least 5 rows, there are 4: give more, or take fewer folds"),
        (CV(5), numbers_of(9, group=[0, 1, 2] * 3), r"needs at least 5 groups \(column 'group'\), there are 3: give more"),
        (CV(3), numbers_of(9, order=[0, 1, 1] * 3), r"needs at least 3 points in time \(column 'order'\), there are 2"),
        (CV(2, repeats=2), numbers_of(9, order=range(9)), "order column 'order' are always the same: use repeats=1"),
        (Holdout(), numbers_of(1), "Holdout needs at least 2 rows, there is 1: give more"),
        (Holdout(), numbers_of(3, group=[1, 1, 1]), r"Holdout needs at least 2 groups \(column 'group'\), there is 1"),
        (Bootstrap(), numbers_of(3, group=[1, 1, 1]), r"Bootstrap needs at least 2 groups \(column 'group'\), there is 1"),
        (LeaveOneOut(), numbers_of(3, group=[1, 1, 1]), r"LeaveOneOut needs at least 2 groups \(column 'group'\), there is 1"),
        (Subsampling(), numbers_of(5, order=range(5)), "draws rows by chance, and the task has the order column 'order'"),
        (Bootstrap(), numbers_of(5, order=range(5)), r"Bootstrap draws .* use ol\.TimeSeriesSplit\(\) or ol\.Holdout\(\)"),
        (CV(3), classes_of([0, 0, 1, 1]), "of at least 3 rows, and none has so many: the stratum y='a' has 2"),
        (Holdout(), classes_of(range(9)), "Holdout sets .* each has 1 row only, like y='a': give more rows"),
        (Bootstrap(), classes_of(range(9)), "Bootstrap sets .* stratify=False, another stratum or target"),
        (TimeSeriesSplit(), numbers_of(9), "order column, and it has none: make it with order='date'"),
        (TimeSeriesSplit(4), numbers_of(9, order=[0, 1, 2] * 3), r"needs at least 5 points in time \(column 'order'\)"),
        (TimeSeriesSplit(2, test_size=5), numbers_of(9, order=range(9)), "2 test sets of 5 rows and a gap of 0 leave none"),
        (TimeSeriesSplit(2, gap=3), numbers_of(9, order=range(9)), "test sets of 3 rows and a gap of 3 leave none of 9 rows"),
        (
            TimeSeriesSplit(1, max_train_size=2, test_size=2),
            numbers_of(6, order=[0, 0, 0, 0, 1, 1]),
            "no rows are left to train on before row 4 in time: rows of one moment stay together",
        ),
        (Custom(train=[[0], [0, 3]], test=[[1], [2]]), numbers_of(3), r"train names row 3, and .* rows are 0\.\.2"),
        (Nested(CV(2), CV(5)), numbers_of(8), r"inner splits of iteration 0: CV\(folds=5\) needs at least 5 rows, there are 4"),
        (Custom(train=[[0]], test=[[7]]), numbers_of(3), r"iteration 0: test names row 7, and the task's rows are 0\.\.2"),
        (
            Custom(train=[[0, 1]], test=[[2]]),
            numbers_of(3, group=["x", "u", "x"]),
            "groups stay together, and 'x' of column 'group' has rows to train on and to test.*overlap=True",
        ),
    ],
)  # fmt: skip
def test_too_little_to_split(resampling, task, why):
    with pytest.raises(ParameterError, match=why):
        resampling.split(task)


@pytest.mark.parametrize(
    ("task", "error", "why"),
    [
        (numbers_of(3, folds=[0, 1, 1]), ColumnNotFoundError, "CustomCV needs column 'fold'; .* Did you mean 'folds'?"),
        (numbers_of(3, fold=["a", None, "b"]), DataError, "fold column 'fold', row 1: the value is missing"),
        (numbers_of(3, fold=[7, 7, 7]), DataError, "column 'fold' has to tell at least 2 folds apart, all rows have 7"),
        (
            numbers_of(4, fold=[0, 1, 1, 0], group=["u", "u", "v", "v"]),
            DataError,
            "'u' of column 'group' has rows in several folds of column 'fold': give them one fold, or",
        ),
    ],
)
def test_columns_that_number_no_folds(task, error, why):
    with pytest.raises(error, match=why):
        CustomCV().split(task)


def test_overlap_is_allowed_where_it_is_asked_for():
    task = numbers_of(3, group=["x", "u", "x"])
    splits = Custom(train=[[0, 1]], test=[[1, 2]], overlap=True).split(task)
    assert [rows.tolist() for rows in next(iter(splits))] == [[0, 1], [1, 2]]


# What is lost

RARE = classes_of([0] * 10 + [1] * 2)
LAST = classes_of([0] * 8 + [1, 2] * 2, order=range(12))


@pytest.mark.parametrize(
    ("resampling", "task", "said"),
    [
        (CV(3), RARE, ["column 'y': the test rows of 1 of 3 iterations have none of class 'b'; measures"]),
        (Holdout(0.9), RARE, ["the test rows of 1 of 1 iterations have none of class 'b'"]),
        (LeaveOneOut(), RARE, []),
        (InSample(), RARE, []),
        (LeaveOneOut(), classes_of([0] * 9 + [1]), ["the training rows of 1 of 10 iterations have none of class 'b'"]),
        (
            TimeSeriesSplit(2),
            LAST,
            ["the training rows of 2 of 2 iterations have none of class 'b', 'c'", "the test rows of 2 of 2 iterations"],
        ),
        (Custom(train=[[0, 1]], test=[[10, 2]]), RARE, ["the training rows of 1 of 1 iterations have none of class 'b'"]),
        (
            CV(3),
            numbers_of(9, stratum=["n"] * 7 + ["s"] * 2),
            ["the stratum stratum='s' has 2 rows, fewer than the 3 folds: the test rows of some folds have none of it"],
        ),
        (
            CV(4),
            classes_of([0, 1, 1] * 5, stratum=["n"] * 12 + [None] * 3),
            ["the stratum stratum=nan, y='a' has 1 row, fewer than the 4 folds .and 1 more like it.: the test"],
        ),
        (
            Nested(CV(2), CV(2)),
            RARE,
            [f"inner splits of iteration 0: column 'y': the {part} rows of 1 of 2" for part in ("training", "test")],
        ),
        (
            CustomCV("x"),
            task_of(["a", "b"] * 3, z=[0] * 6),
            ["column 'x' numbers the folds and is a feature, .* ignore='x' \\(--ignore x\\)", "the test rows"],
        ),
    ],
)  # fmt: skip
def test_what_is_lost_is_said(resampling, task, said):
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resampling.split(task)
    assert all(warning.category is ResamplingWarning for warning in caught)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == len(said)
    assert all(re.search(want, text) for want, text in zip(said, texts, strict=True)), texts
    assert all(warning.filename == __file__ for warning in caught)


def test_groups_that_hold_a_class_alone():
    groups = np.repeat([0, 1, 2, 3], 3)
    with pytest.warns(ResamplingWarning, match="the (training|test) rows of . of 2 iterations have none of class") as caught:
        CV(2).split(classes_of((groups == 0).astype(int), group=groups))
    assert len(caught) == 2


def test_a_class_that_no_row_has_is_not_lost():
    frame = pd.DataFrame({"x": np.arange(9.0) * 1.5, "y": pd.Categorical(["a", "b", "a"] * 3, ["a", "b", "never"])})
    from onnxlearn.task import Task

    assert len(CV(3).split(Task.from_frame(frame, "y"))) == 3
