"""Folds of a task's rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.errors import ParameterError
from onnxlearn.task import Task
from onnxlearn.tasks.folds import fold_numbers
from onnxlearn.testing import example_frame

ROWS = st.integers(10, 80)


@settings(deadline=None, max_examples=40)
@given(ROWS, st.integers(2, 10), st.integers(0, 9))
def test_every_row_has_a_fold_and_folds_are_even(n_rows, n_folds, seed):
    numbers = fold_numbers(n_rows, n_folds, seed)
    sizes = np.bincount(numbers, minlength=n_folds)
    assert len(numbers) == n_rows
    assert len(sizes) == n_folds
    assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(numbers, fold_numbers(n_rows, n_folds, seed))


@settings(deadline=None, max_examples=40)
@given(ROWS, st.integers(2, 5), st.integers(0, 9))
def test_strata_are_spread(n_rows, n_folds, seed):
    strata = np.random.default_rng(seed).integers(0, 3, n_rows)
    numbers = fold_numbers(n_rows, n_folds, seed, strata=strata)
    for stratum in range(3):
        sizes = np.bincount(numbers[strata == stratum], minlength=n_folds)
        assert sizes.max() - sizes.min() <= 1


@settings(deadline=None, max_examples=40)
@given(ROWS, st.integers(2, 5), st.integers(0, 9), st.booleans(), st.booleans())
def test_groups_stay_whole(n_rows, n_folds, seed, stratified, ordered):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(8), rng.integers(0, 8, n_rows - 8)])
    strata = rng.integers(0, 2, n_rows) if stratified else None
    order = np.concatenate([np.arange(8), rng.integers(0, 20, n_rows - 8)]) if ordered else None
    numbers = fold_numbers(n_rows, n_folds, seed, strata=strata, groups=groups, order=order)
    assert all(len(np.unique(numbers[groups == group])) == 1 for group in np.unique(groups))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=10, max_size=60), st.integers(2, 5))
def test_folds_in_time_follow_each_other(order, n_folds):
    order = np.array([*order, *range(5)])
    numbers = fold_numbers(len(order), n_folds, 0, order=order)
    sorted_numbers = numbers[np.argsort(order, kind="stable")]
    assert np.all(np.diff(sorted_numbers) >= 0)
    assert sorted(set(numbers.tolist())) == list(range(n_folds))
    assert all(len(np.unique(numbers[order == value])) == 1 for value in np.unique(order))


def test_a_rare_class_is_no_obstacle():
    assert sorted(np.bincount(fold_numbers(10, 5, 0, strata=np.array([0] * 9 + [1])))) == [2] * 5
    assert sorted(np.bincount(fold_numbers(10, 5, 0, strata=np.arange(10)))) == [2] * 5


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "rows, there are 3: take fewer folds"),
        ({"groups": np.array([0, 0, 1])}, "groups, there are 2: take fewer folds"),
        ({"order": np.array([5, 5, 5])}, "points in time, there is 1: give more points in time"),
    ],
)
def test_too_many_folds_are_refused(options, what):
    with pytest.raises(ParameterError, match=f"4 folds need as many {what}"):
        fold_numbers(3, 4, 0, **options)


def test_a_task_gives_its_roles():
    frame = example_frame(60).assign(who=np.arange(60) % 12)
    task = Task.from_frame(frame, "two", group="who", ignore=["sort", "amount"])
    numbers = task.folds(4, seed=1)
    assert all(len(np.unique(numbers[task.groups() == group])) == 1 for group in range(12))
    positives = [task.truth()[numbers == fold].mean() for fold in range(4)]
    assert max(positives) - min(positives) < 0.35


def test_no_fold_is_left_without_a_group():
    # scikit-learn's StratifiedGroupKFold leaves one of these five folds empty for some seeds.
    groups = np.repeat(np.arange(5), [1, 8, 1, 1, 13])
    strata = np.repeat([0, 1], [1, 23])
    for seed in range(20):
        numbers = fold_numbers(24, 5, seed, strata=strata, groups=groups)
        assert sorted(set(numbers.tolist())) == [0, 1, 2, 3, 4]
        assert all(len(np.unique(numbers[groups == group])) == 1 for group in range(5))
