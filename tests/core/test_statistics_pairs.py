"""Statistics of learners on one task: means, the corrected t-test and its Bayesian counterpart."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import long

from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError
from onnxlearn.statistics import Scores, bayes_t_test, means, t_test

A = [0.81, 0.84, 0.79, 0.86, 0.83, 0.80, 0.85, 0.82, 0.78, 0.84]
B = [0.80, 0.81, 0.80, 0.83, 0.82, 0.78, 0.84, 0.79, 0.78, 0.82]


def scores_of(n_test=10, n_train=90, **learners):
    return Scores.from_frame(long(learners, n_train=n_train, n_test=n_test), "acc")


def draws(seed, n):
    rng = np.random.default_rng(seed)
    return rng.normal(0.8, 0.05, n), rng.normal(0.79, 0.05, n)


# Means


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), n_test=st.integers(1, 90), confidence=st.floats(0.5, 0.999))
def test_intervals_are_scipys_stretched_by_the_overlap_of_the_training_sets(seed, n, n_test, confidence):
    values, _ = draws(seed, n)
    mean = means(scores_of(a=values, n_test=n_test), confidence=confidence).means[0]
    # Nadeau and Bengio (2003): 1 / n + n_test / n_train in place of 1 / n.
    se = scipy.stats.sem(values) * math.sqrt(1 + n * n_test / 90)
    low, high = scipy.stats.t.interval(confidence, n - 1, values.mean(), se)
    assert (mean.se, mean.lower, mean.upper) == pytest.approx((se, low, high))
    assert (mean.n, mean.mean, mean.std) == (n, values.mean(), pytest.approx(values.std(ddof=1)))


def test_folds_of_different_sizes_count_by_their_sums():
    # 5 folds of 11 rows: together they test every row once and train on each four times.
    frame = long({"a": [0.8, 0.9, 0.7, 0.8, 0.6]}, n_test=[3, 2, 2, 2, 2], n_train=[8, 9, 9, 9, 9])
    mean = means(Scores.from_frame(frame, "acc")).means[0]
    assert mean.se == pytest.approx(math.sqrt((1 / 5 + 1 / 4) * np.var([0.8, 0.9, 0.7, 0.8, 0.6], ddof=1)))


def test_failed_runs_are_counted_and_make_the_mean_undefined():
    found = means(scores_of(a=[0.8, np.nan, np.inf], b=[0.7, 0.8, 0.9]))
    a, b = found.means
    assert (a.n, a.n_undefined, b.n, b.n_undefined) == (3, 2, 3, 0)
    assert all(math.isnan(value) for value in (a.mean, a.std, a.se, a.lower, a.upper))
    assert b.mean == pytest.approx(0.8)
    assert found.to_dict()["means"][0]["mean"] is None


def test_one_iteration_has_a_mean_and_no_error():
    mean = means(Scores.from_frame(long({"a": [0.8]}).drop(columns=["n_train", "n_test"]), "acc")).means[0]
    assert mean.mean == 0.8
    assert all(math.isnan(value) for value in (mean.std, mean.se, mean.lower, mean.upper))


def test_without_the_sizes_of_the_sets_there_is_no_standard_error():
    scores = Scores.from_frame(long({"a": A, "b": B}).drop(columns="n_test"), "acc")
    for statistic in (means, lambda s: t_test(s, "a", "b"), lambda s: bayes_t_test(s, "a", "b", rope=0.01)):
        with pytest.raises(ColumnNotFoundError, match="the corrected standard error needs columns 'n_train', 'n_test'"):
            statistic(scores)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, True, "0.95", float("nan")])
def test_a_confidence_lies_between_0_and_1(confidence):
    with pytest.raises(ParameterError, match="confidence has to lie between 0 and 1"):
        means(scores_of(a=A), confidence=confidence)


# The corrected t-test


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), n_test=st.integers(1, 90))
def test_the_t_test_is_scipys_paired_one_with_the_corrected_variance(seed, n, n_test):
    a, b = draws(seed, n)
    found = t_test(scores_of(a=a, b=b, n_test=n_test), "a", "b")
    t = scipy.stats.ttest_rel(a, b).statistic / math.sqrt(1 + n * n_test / 90)
    assert (found.statistic, found.df) == (pytest.approx(t), n - 1)
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(t), n - 1))
    assert found.difference == pytest.approx(np.mean(a - b))


def test_with_next_to_no_test_rows_it_is_the_plain_paired_t_test():
    found = t_test(scores_of(a=A, b=B, n_train=10**12, n_test=1), "a", "b")
    plain = scipy.stats.ttest_rel(A, B)
    interval = plain.confidence_interval(0.95)
    assert (found.p_value, found.lower, found.upper) == pytest.approx((plain.pvalue, interval.low, interval.high))


def test_swapping_the_learners_turns_the_difference_round():
    one, other = t_test(scores_of(a=A, b=B), "a", "b"), t_test(scores_of(a=A, b=B), "b", "a")
    assert (one.difference, one.statistic, one.lower) == pytest.approx((-other.difference, -other.statistic, -other.upper))
    assert one.p_value == other.p_value


def test_the_interval_holds_zero_exactly_where_the_p_value_says_so():
    scores = scores_of(a=A, b=B)
    p = t_test(scores, "a", "b").p_value
    assert t_test(scores, "a", "b", confidence=1 - p).lower == pytest.approx(0, abs=1e-12)


# The Bayesian correlated t-test


@pytest.mark.parametrize(
    ("n_folds", "rope", "expected"),
    [
        # two_on_single of baycomp 1.0.3 on A and B, with runs=1 (10 folds) and runs=2 (2 x 5 folds).
        (10, 0.01, (0.7788601781449412, 0.21962737358570705, 0.0015124482693517072)),
        (5, 0.01, (0.7260010999170767, 0.26784890149617824, 0.006149998586745031)),
        (10, 0, (0.9804108150955698, 0, 0.01958918490443018)),
    ],
)
def test_the_three_probabilities_are_those_of_baycomp(n_folds, rope, expected):
    scores = scores_of(a=A, b=B, n_test=1, n_train=n_folds - 1)
    found = bayes_t_test(scores, "a", "b", rope=rope)
    assert (found.first_better, found.equivalent, found.second_better) == pytest.approx(expected)
    turned = bayes_t_test(scores, "b", "a", rope=rope)
    assert (turned.second_better, turned.equivalent, turned.first_better) == pytest.approx(expected)


def test_less_is_better_where_the_measure_says_so():
    scores = Scores.from_frame(long({"a": A, "b": B}), "acc", minimize=True)
    more = bayes_t_test(scores_of(a=A, b=B), "a", "b", rope=0.01)
    less = bayes_t_test(scores, "a", "b", rope=0.01)
    assert (less.first_better, less.second_better) == (more.second_better, more.first_better)
    assert less.difference == more.difference


def test_half_the_two_sided_p_value_is_the_probability_without_a_rope():
    # The posterior and the sampling distribution are the same Student's t.
    found = bayes_t_test(scores_of(a=A, b=B), "a", "b", rope=0)
    assert found.second_better == pytest.approx(t_test(scores_of(a=A, b=B), "a", "b").p_value / 2)


@pytest.mark.parametrize("rope", [-0.01, float("nan"), float("inf"), "0.01", True, None])
def test_a_rope_is_a_number_from_0(rope):
    with pytest.raises(ParameterError, match="rope is a finite number >= 0"):
        bayes_t_test(scores_of(a=A, b=B), "a", "b", rope=rope)


# What cannot be computed


def bayes(scores, first, second, **options):
    return bayes_t_test(scores, first, second, rope=0.01, **options)


@pytest.mark.parametrize("test", [t_test, bayes])
class TestRefusals:
    def test_one_iteration(self, test):
        with pytest.raises(DataError, match="needs two iterations or more, task 'iris' has 1"):
            test(scores_of(a=[0.8], b=[0.7]), "a", "b")

    @pytest.mark.parametrize("gap", [0, 0.1, 1e-3])
    def test_differences_that_do_not_vary(self, test, gap):
        # The sums round differently, so that the differences are equal but for their last digits.
        values = np.array(A)
        with pytest.raises(DataError, match=r"needs differences that vary .* all 10 are"):
            test(scores_of(a=values, b=values - gap), "a", "b")

    def test_other_splits(self, test):
        frame = long({"a": A, "b": B})
        with pytest.raises(DataError, match="same splits of task 'iris'"):
            test(Scores.from_frame(frame.iloc[:-1], "acc"), "a", "b")
        frame.loc[frame.index[-1], "n_test"] = 11
        with pytest.raises(DataError, match="same splits of task 'iris'"):
            test(Scores.from_frame(frame, "acc"), "a", "b")

    def test_one_learner(self, test):
        with pytest.raises(ParameterError, match="two learners are compared, and both are 'a'"):
            test(scores_of(a=A, b=B), "a", "a")

    def test_several_tasks_without_a_name(self, test):
        frame = pd.concat([long({"a": A, "b": B}, task=task) for task in ("iris", "wine")])
        scores = Scores.from_frame(frame, "acc")
        with pytest.raises(ParameterError, match="on one task, there are 2: task='iris'"):
            test(scores, "a", "b")
        assert test(scores, "a", "b", task="wine").task == "wine"


# Results


@pytest.mark.parametrize(
    "result", [means(scores_of(a=A, b=B)), t_test(scores_of(a=A, b=B), "a", "b"), bayes(scores_of(a=A, b=B), "a", "b")]
)
def test_results_are_frozen_tell_themselves_and_are_plain_json(result):
    text = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(text) == set(result.__dataclass_fields__)
    lines = repr(result).splitlines()
    assert len(lines) == 2 + len(result.to_frame())
    assert max(map(len, lines)) <= 120
    with pytest.raises(AttributeError):
        result.measure = "other"
