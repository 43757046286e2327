"""Resamplings: what scikit-learn promises of its splitters, ours keep."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import model_selection
from split_tasks import DRAWN, classes_of, numbers_of, quietly, task_of, tasks

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
    Subsampling,
    TimeSeriesSplit,
)

SEEDS = st.integers(0, 2**40)


def given_tasks(*strategies, **options):
    def decorate(function):
        return settings(deadline=None, max_examples=25)(given(tasks(**options), *strategies)(function))

    return decorate


# What holds for all


@given_tasks(st.sampled_from(DRAWN))
def test_training_and_test_rows_are_apart_and_in_order(task, resampling):
    splits = quietly(resampling, task)
    for train, test in splits:
        assert len(train) > 0
        assert len(test) > 0
        assert not np.intersect1d(train, test).size
        assert train.dtype == test.dtype == np.int64
        assert np.all(np.diff(train) >= 0)
        assert np.all(np.diff(test) > 0)
        assert set(train.tolist()) | set(test.tolist()) == set(range(task.n_rows))


@given_tasks(st.sampled_from(DRAWN), groups=True)
def test_groups_are_never_split(task, resampling):
    groups = task.groups()
    for train, test in quietly(resampling, task):
        assert not np.intersect1d(groups[train], groups[test]).size
        assert np.array_equal(test, np.flatnonzero(np.isin(groups, groups[test])))


@given_tasks(st.sampled_from(DRAWN))
def test_the_same_seed_gives_the_same_splits_whatever_else_draws(task, resampling):
    first = quietly(resampling, task)
    np.random.seed(7)  # noqa: NPY002  the global state is the point
    assert quietly(resampling, task) == first


@pytest.mark.parametrize("kind", [Holdout, CV, Subsampling, Bootstrap])
def test_another_seed_gives_other_splits(kind):
    task = classes_of([0, 1] * 20)
    assert kind(seed=0).split(task) != kind(seed=1).split(task)


@pytest.mark.parametrize("kind", [CV, Subsampling, Bootstrap])
def test_repetitions_differ_and_do_not_depend_on_their_number(kind):
    task = classes_of([0, 1] * 20)
    few, many = kind(repeats=2).split(task), kind(repeats=4).split(task)
    tests = [test.tolist() for _, test in many]
    assert [test.tolist() for _, test in few] == tests[: len(few)]
    assert len({tuple(test) for test in tests}) == len(tests)


def test_splits_do_not_depend_on_how_a_column_is_written():
    import pandas as pd

    who, kind = [f"p{i % 9}" for i in range(45)], ["a", "b", "c"] * 15
    levels = [f"p{i}" for i in (4, 8, 0, 1, 7, 2, 3, 6, 5)]
    plain = task_of(kind, group=who)
    other = task_of(pd.Categorical(kind, ["c", "a", "b"]), group=pd.Categorical(who, levels))
    site = ["n", "s", "s"] * 15
    pairs = [(plain, other), (classes_of([0, 1] * 20), task_of(pd.Categorical(["a", "b"] * 20, ["b", "a"])))]
    pairs.append((numbers_of(45, stratum=site), numbers_of(45, stratum=pd.Categorical(site, ["s", "n"]))))
    for one, same in pairs:
        for resampling in DRAWN:
            assert quietly(resampling, one) == quietly(resampling, same)


def test_another_process_makes_the_same_splits():
    code = (
        "from split_tasks import DRAWN, classes_of, quietly\n"
        "from test_resampling import DRAWN\n"
        "task = classes_of([0, 1, 1] * 12, group=[f'g{i % 9}' for i in range(36)], stratum=['n', 's'] * 18)\n"
        "print(*(quietly(resampling, task).to_dict() for resampling in DRAWN), sep='\\n')"
    )
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    task = classes_of([0, 1, 1] * 12, group=[f"g{i % 9}" for i in range(36)], stratum=["n", "s"] * 18)
    here = [str(quietly(resampling, task).to_dict()) for resampling in DRAWN]
    env = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines() == here


# Holdout, subsampling


@given_tasks(SEEDS, st.sampled_from([0.5, 2 / 3, 0.8]), groups=False, strata=False)
def test_holdout_keeps_the_classes_to_the_row(task, seed, ratio):
    (_, test), *others = quietly(Holdout(ratio, seed=seed), task)
    assert not others
    assert len(test) == round(task.n_rows * (1 - ratio))
    share = len(test) / task.n_rows
    counts = np.bincount(task.truth())
    if counts.min() > 10:
        assert np.all(np.abs(np.bincount(task.truth()[test], minlength=len(counts)) - counts * share) <= 1)


def test_a_holdout_of_numbers_needs_no_strata():
    assert [len(rows) for rows in next(iter(Holdout(0.75).split(numbers_of(40))))] == [30, 10]


def test_a_holdout_in_time_tests_the_latest_rows():
    task = numbers_of(9, order=[5, 3, 8, 1, 9, 2, 7, 4, 6])
    assert Holdout(2 / 3).split(task).test(0).tolist() == [2, 4, 6]


def test_the_first_subsample_is_the_holdout():
    task = classes_of([0, 1, 2] * 9)
    assert np.array_equal(Subsampling(0.7, seed=3).split(task).test(0), Holdout(0.7, seed=3).split(task).test(0))


def test_without_stratify_classes_fall_as_they_may_and_strata_do_not():
    codes, site = [0, 1] * 20, ["n"] * 20 + ["s"] * 20
    task = classes_of(codes, stratum=site)
    splits = Subsampling(0.5, repeats=40, stratify=False).split(task)
    assert len({int(np.sum(task.truth()[test])) for _, test in splits}) > 3
    assert all(np.bincount(task.strata()[test]).tolist() == [10, 10] for _, test in splits)


# Cross-validation


@given_tasks(st.integers(2, 6), st.integers(1, 3), SEEDS)
def test_every_row_is_tested_once_a_repetition(task, folds, repeats, seed):
    splits = quietly(CV(folds, repeats=repeats, seed=seed), task)
    numbers = [(splits.repeat(i), splits.fold(i)) for i in range(len(splits))]
    assert numbers == [(repeat, fold) for repeat in range(repeats) for fold in range(folds)]
    for repeat in range(repeats):
        tested = np.concatenate([splits.test(i) for i in range(len(splits)) if splits.repeat(i) == repeat])
        assert np.array_equal(np.sort(tested), np.arange(task.n_rows))


@given_tasks(st.integers(2, 6), SEEDS, groups=False)
def test_strata_are_spread_as_by_scikit_learn(task, folds, seed):
    strata = task.truth() if task.strata() is None else task.truth() * 2 + task.strata()
    sizes = np.array([np.bincount(strata[test], minlength=6) for _, test in quietly(CV(folds, seed=seed), task)])
    assert np.all(sizes.max(axis=0) - sizes.min(axis=0) <= 1)
    assert np.ptp(sizes.sum(axis=1)) <= 1
    if np.bincount(strata)[np.unique(strata)].min() >= folds:
        peer = model_selection.StratifiedKFold(folds, shuffle=True, random_state=0).split(strata, strata)
        theirs = np.array([np.bincount(strata[test], minlength=6) for _, test in peer])
        assert np.array_equal(np.sort(sizes, axis=0), np.sort(theirs, axis=0))


def test_folds_in_time_follow_each_other():
    task = classes_of([0, 0, 1, 1, 0, 1], order=[6, 1, 5, 2, 4, 3])
    assert [test.tolist() for _, test in CV(3).split(task)] == [[1, 3], [4, 5], [0, 2]]


def test_groups_are_balanced_by_class():
    codes, groups = np.repeat([0, 1], 60), np.arange(120) // 5
    splits = CV(4).split(classes_of(codes, group=groups))
    assert [np.bincount(codes[test]).tolist() for _, test in splits] == [[15, 15]] * 4


# Leave one out, in sample


def test_leave_one_out_is_that_of_scikit_learn():
    task, x = numbers_of(7), np.zeros((7, 1))
    assert as_lists(LeaveOneOut().split(task)) == as_lists(model_selection.LeaveOneOut().split(x))


def test_leave_one_group_out_is_that_of_scikit_learn():
    groups = np.array([0, 1, 0, 2, 1, 3, 3, 0])
    theirs = model_selection.LeaveOneGroupOut().split(np.zeros((8, 1)), groups=groups)
    assert as_lists(LeaveOneOut().split(numbers_of(8, group=groups))) == as_lists(theirs)


def as_lists(pairs):
    return [(train.tolist(), test.tolist()) for train, test in pairs]


def test_leaving_one_of_many_rows_out_needs_no_more_memory_than_they_do():
    splits = LeaveOneOut().split(numbers_of(5000))
    assert sum(iteration.test.size for iteration in splits.iterations) == 5000
    assert all(iteration.train is None for iteration in splits.iterations)
    assert len(splits.train(4999)) == 4999


def test_in_sample_is_everything():
    assert as_lists(InSample().split(numbers_of(3))) == [([0, 1, 2], [0, 1, 2])]


# Bootstrap


@given_tasks(SEEDS, st.sampled_from([0.3, 1.0]), groups=False)
def test_a_bootstrap_tests_what_it_did_not_draw(task, seed, ratio):
    strata = task.truth() if task.strata() is None else task.truth() * 2 + task.strata()
    counts = np.bincount(strata)
    for train, test in quietly(Bootstrap(ratio, repeats=3, seed=seed), task):
        assert np.array_equal(np.setdiff1d(np.arange(task.n_rows), train), test)
        wanted = [max(round(ratio * count), 1) if count else 0 for count in counts]
        assert np.bincount(strata[train], minlength=len(counts)).tolist() == wanted


def test_a_bootstrap_leaves_out_about_as_many_as_it_should():
    # (1 - 1/n)^n of the rows of each of the two strata on average, n = 100; 400 draws, deviation of the mean below 0.003.
    splits = Bootstrap(repeats=400).split(classes_of([0, 1] * 100))
    assert np.mean([len(test) / 200 for _, test in splits]) == pytest.approx(0.99**100, abs=0.01)


def test_a_bootstrap_draws_whole_groups_of_each_stratum():
    codes, groups = np.repeat([0, 1], [40, 20]), np.arange(60) // 4
    task = classes_of(codes, group=groups)
    for train, _ in quietly(Bootstrap(repeats=10), task):
        drawn = np.bincount(groups[train], minlength=15)
        assert np.all(drawn % 4 == 0)
        assert (drawn[:10].sum(), drawn[10:].sum()) == (40, 20)


@pytest.mark.parametrize("n_rows", [2, 3])
def test_a_bootstrap_of_few_rows_always_leaves_one_to_test(n_rows):
    assert all(len(test) for _, test in Bootstrap(repeats=50).split(numbers_of(n_rows)))


# By hand


def test_custom_sets_are_taken_as_they_are():
    custom = Custom(train=[np.array([2, 0, 2]), [1]], test=[np.array([4]), [3, 0]])
    splits = custom.split(numbers_of(5))
    assert as_lists(splits) == [([0, 2, 2], [4]), ([1], [0, 3])]
    assert [splits.fold(i) for i in range(2)] == [0, 1]


def test_folds_by_a_column_are_those_of_scikit_learn():
    fold = np.array([2, 0, 1, 1, 0, 2, 2])
    theirs = model_selection.PredefinedSplit(fold).split()
    assert as_lists(CustomCV("site").split(numbers_of(7, site=fold))) == as_lists(theirs)
    assert as_lists(CustomCV("site").split(numbers_of(7, site=np.array(["a", "b", "c"])[fold]))) == as_lists(
        model_selection.PredefinedSplit(fold).split()
    )


# Time


@settings(deadline=None, max_examples=60)
@given(
    st.integers(8, 40),
    st.integers(1, 5),
    st.integers(0, 4),
    st.none() | st.integers(1, 9),
    st.none() | st.integers(1, 4),
    SEEDS,
)
def test_folds_in_time_are_those_of_scikit_learn(n_rows, folds, gap, max_train_size, test_size, seed):
    size = test_size or n_rows // (folds + 1)
    if n_rows - gap - size * folds <= 0 or folds == 1:
        return
    options = {"gap": gap, "max_train_size": max_train_size, "test_size": test_size}
    theirs = model_selection.TimeSeriesSplit(folds, **options).split(np.zeros((n_rows, 1)))
    order = np.random.default_rng(seed).permutation(n_rows)
    splits = TimeSeriesSplit(folds, **options).split(numbers_of(n_rows, order=order))
    by_rank = [(np.sort(order[train]).tolist(), np.sort(order[test]).tolist()) for train, test in splits]
    assert by_rank == as_lists(theirs)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=10, max_size=60), st.integers(1, 4), st.booleans())
def test_rows_of_one_moment_and_one_group_stay_together(order, folds, grouped):
    order = np.array([*order, *range(5)])
    groups = {"group": np.random.default_rng(0).integers(0, 30, len(order))} if grouped else {}
    if grouped and len(np.unique(groups["group"])) <= folds:
        return
    task = numbers_of(len(order), order=order, **groups)
    splits = TimeSeriesSplit(folds).split(task)
    assert len(splits) == folds
    tested = np.concatenate([splits.test(i) for i in range(folds)])
    assert len(np.unique(tested)) == len(tested)
    for train, test in splits:
        assert len(train) > 0
        assert len(test) > 0
        if grouped:
            ends = np.array([order[groups["group"] == group].max() for group in groups["group"]])
            assert not np.intersect1d(groups["group"][train], groups["group"][test]).size
            assert ends[train].max() <= ends[test].min()
        else:
            assert order[train].max() < order[test].min()


def test_cuts_in_time_are_the_nearest_and_gaps_at_least_as_asked():
    task = numbers_of(12, order=[0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4])
    assert as_lists(TimeSeriesSplit(2).split(task)) == [
        (list(range(5)), list(range(5, 9))),
        (list(range(9)), list(range(9, 12))),
    ]
    gapped = TimeSeriesSplit(1, test_size=2, gap=3, max_train_size=4).split(task)
    assert as_lists(gapped) == [([2, 3, 4], [10, 11])]


@pytest.mark.parametrize("order", [[0, *[1] * 8, 2, 3], [0, 1, 2, *[3] * 8], [*[0] * 8, 1, 2, 3]])
def test_a_moment_of_many_rows_takes_no_fold_from_the_others(order):
    # Four moments for the first training rows and three folds: each fold is one moment.
    splits = TimeSeriesSplit(3).split(numbers_of(11, order=order))
    assert [sorted({order[row] for row in test}) for _, test in splits] == [[1], [2], [3]]
    assert [sorted({order[row] for row in train}) for train, _ in splits] == [[0], [0, 1], [0, 1, 2]]


# Nested


@given_tasks(
    st.sampled_from([Holdout(), CV(3), Bootstrap(repeats=2), CV(2, repeats=2)]), st.sampled_from([CV(3), Holdout(0.5)])
)
def test_inner_splits_are_those_of_the_training_rows(task, outer, inner):
    splits = quietly(Nested(outer, inner), task)
    assert as_lists(splits) == as_lists(quietly(outer, task))
    for i, (train, test) in enumerate(splits):
        nested = splits.inner(i)
        assert nested.n_rows == task.n_rows
        assert not np.intersect1d(np.concatenate([np.concatenate(pair) for pair in nested]), test).size
        if not isinstance(outer, Bootstrap):
            alone = quietly(inner, task.select(train))
            assert as_lists(nested) == [(train[a].tolist(), train[b].tolist()) for a, b in alone]


def test_copies_of_a_row_are_never_on_both_sides():
    task = classes_of([0, 1] * 20)
    splits = quietly(Nested(Bootstrap(repeats=5), CV(4)), task)
    for i, (train, _) in enumerate(splits):
        tested = []
        for inner_train, inner_test in splits.inner(i):
            assert not np.intersect1d(inner_train, inner_test).size
            assert np.array_equal(np.sort(np.concatenate([inner_train, inner_test])), train)
            tested.append(inner_test)
        assert np.array_equal(np.sort(np.concatenate(tested)), train)


# Descriptions

EVERY = [
    *DRAWN,
    Holdout(0.9, seed=3, stratify=False),
    InSample(),
    Custom(train=[[0, 1], [1]], test=[[2], [0]]),
    Custom(train=[[0]], test=[[0]], overlap=True),
    CustomCV("site"),
    TimeSeriesSplit(3, gap=1, max_train_size=4, test_size=2),
    Nested(CV(3), Holdout(0.8)),
]


@pytest.mark.parametrize("resampling", EVERY, ids=repr)
def test_a_resampling_is_plain_json_and_back(resampling):
    import json

    again = Resampling.from_dict(json.loads(json.dumps(resampling.to_dict())))
    assert again == resampling
    assert hash(again) == hash(resampling)
    assert eval(repr(resampling)) == resampling


def test_a_resampling_reads_as_it_was_called():
    assert repr(CV(10)) == "CV(folds=10)"
    assert repr(CV(folds=5, repeats=2, seed=7)) == "CV(folds=5, repeats=2, seed=7)"
    assert repr(Nested(CV(3), Holdout(0.8))) == "Nested(outer=CV(folds=3), inner=Holdout(ratio=0.8))"
    long = Custom(train=[range(100), range(50)], test=[[100], [100]])
    assert repr(long) == "Custom(train=<2 sets of 50 to 100 rows>, test=[[100], [100]])"


def test_rows_may_not_be_changed_behind_the_back_of_others():
    splits = Bootstrap(repeats=1).split(numbers_of(9))
    with pytest.raises(ValueError, match="read-only"):
        splits.train(0)[0] = 3
