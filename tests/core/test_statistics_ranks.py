"""Statistics of learners over several tasks, against Demšar (2006), SciPy and other packages."""

import itertools
import json
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from score_tables import DEMSAR, DEMSAR_LEARNERS, demsar, wide

from onnxlearn.errors import DataError, ParameterError, UnknownNameError
from onnxlearn.statistics import (
    bayes_signed_rank,
    bonferroni_dunn,
    friedman,
    holm,
    means,
    nemenyi,
    ranks,
    wilcoxon,
)


def draw(seed, n, k, *, ties):
    table = np.random.default_rng(seed).uniform(0.5, 1, (n, k))
    return np.round(table, 1) if ties else table


TABLES = {"seed": st.integers(0, 10**6), "n": st.integers(2, 15), "k": st.integers(3, 7), "ties": st.booleans()}
several = settings(max_examples=25, deadline=None)


# Ranks


def test_mean_ranks_are_those_of_the_paper():
    # Demšar (2006), table 6, last line.
    assert ranks(demsar()).mean == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)


@several
@given(**TABLES)
def test_ranks_are_scipys_and_turn_round_with_the_direction(seed, n, k, ties):
    table = draw(seed, n, k, ties=ties)
    found = ranks(wide(table))
    assert np.array_equal(found.by_task, scipy.stats.rankdata(-table, axis=1))
    assert found.mean == pytest.approx(tuple(np.mean(found.by_task, axis=0)))
    turned = ranks(wide(table, minimize=True))
    assert np.allclose(np.add(found.by_task, turned.by_task), k + 1)
    assert ranks(wide(-table, minimize=True)).by_task == found.by_task


def test_means_that_differ_by_rounding_only_are_ties():
    # 0.1 + 0.2 is not 0.3 in floating point.
    assert ranks(wide([[0.1 + 0.2, 0.3, 0.2]])).by_task == ((1.5, 1.5, 3.0),)
    assert ranks(wide([[0.1 + 0.2, 0.3, 0.2]])).n_best == (1, 1, 0)


def test_ranks_list_the_best_first():
    assert ranks(demsar()).to_frame()["learner"].tolist() == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]


# Friedman


def test_friedman_is_the_papers_example():
    found = friedman(demsar())
    # The paper gives 9.28 without the correction for ties, which divides by 1 - sum(t^3 - t) / (N k (k^2 - 1)): here three
    # pairs (6 each) and one of all four (60), over 14 * 4 * 15.
    uncorrected = found.statistic * (1 - 78 / 840)
    assert uncorrected == pytest.approx(9.28, abs=0.01)
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=0.01)
    assert (found.df, found.f_df) == (3, (3, 39))


@several
@given(**TABLES)
def test_friedman_is_scipys(seed, n, k, ties):
    table = draw(seed, n, k, ties=ties)
    found, reference = friedman(wide(table)), scipy.stats.friedmanchisquare(*table.T)
    assert (found.statistic, found.p_value) == pytest.approx((reference.statistic, reference.pvalue))


@several
@given(**TABLES)
def test_iman_davenport_is_the_analysis_of_variance_of_the_ranks(seed, n, k, ties):
    table = draw(seed, n, k, ties=ties)
    found = friedman(wide(table))
    rank = scipy.stats.rankdata(-table, axis=1)
    # Two ways without interaction: learners against what tasks and learners leave. All tasks have the same mean rank.
    between = n * ((rank.mean(axis=0) - rank.mean()) ** 2).sum() / (k - 1)
    left = ((rank - rank.mean(axis=0)) ** 2).sum() / ((k - 1) * (n - 1))
    if left < 1e-12:
        assert found.f_statistic == math.inf
        return
    assert found.f_statistic == pytest.approx(between / left)
    assert found.f_p_value == pytest.approx(scipy.stats.f.sf(between / left, k - 1, (k - 1) * (n - 1)))


@pytest.mark.parametrize(
    ("row", "arrangements"), [([0.9, 0.8, 0.7], 6), ([0.9, 0.8, 0.8], 3), ([0.9, 0.9, 0.8, 0.8], 6), ([0.4, 0.3, 0.2, 0.1], 24)]
)
def test_where_all_tasks_agree_the_p_value_is_the_exact_one(row, arrangements):
    # By chance each further task repeats the first one's order once in as many as there are.
    assert len(set(itertools.permutations(row))) == arrangements
    found = friedman(wide([row] * 3))
    assert (found.f_statistic, found.f_p_value) == (math.inf, pytest.approx(arrangements**-2))
    assert found.to_dict()["f_statistic"] is None


def test_friedman_of_learners_that_are_all_equal_is_refused():
    with pytest.raises(DataError, match="all 3 have the same auc on each of the 4 tasks"):
        friedman(wide(np.full((4, 3), 0.7)))


@pytest.mark.parametrize("statistic", [friedman, nemenyi, lambda scores: bonferroni_dunn(scores, "l0")])
def test_too_few_tasks_or_learners_are_refused_with_another_test(statistic):
    with pytest.raises(DataError, match=r"two tasks or more, there is 1: add tasks, or .* t_test"):
        statistic(wide([[0.9, 0.8, 0.7]]))
    with pytest.raises(DataError, match="three learners or more, there are 2: compare two with wilcoxon"):
        statistic(wide([[0.9, 0.8], [0.7, 0.6]]))


# Nemenyi and Bonferroni-Dunn

# Demšar (2006), table 5: critical values for 2 to 10 learners, cut after the third digit here and there.
NEMENYI = {
    0.05: (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
    0.10: (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920),
}
DUNN = {
    # For 9 learners the paper has 2.724; the normal table, at 0.05 / 16, has 2.734.
    0.05: (1.960, 2.241, 2.394, 2.498, 2.576, 2.638, 2.690, 2.734, 2.773),
    0.10: (1.645, 1.960, 2.128, 2.241, 2.326, 2.394, 2.450, 2.498, 2.539),
}


@pytest.mark.parametrize("k", range(3, 11))
@pytest.mark.parametrize("alpha", [0.05, 0.10])
def test_critical_differences_follow_the_papers_table(k, alpha):
    n = 12
    scores = wide(draw(0, n, k, ties=False))
    error = math.sqrt(k * (k + 1) / (6 * n))
    assert nemenyi(scores, alpha=alpha).critical_difference / error == pytest.approx(NEMENYI[alpha][k - 2], abs=1.2e-3)
    dunn = bonferroni_dunn(scores, "l0", alpha=alpha).critical_difference
    assert dunn / error == pytest.approx(DUNN[alpha][k - 2], abs=6e-4)


def differing(result):
    return {frozenset((pair.first, pair.second)) for pair in result.pairs if pair.differ}


def test_nemenyi_finds_in_the_papers_example_what_the_paper_finds():
    # Section 3.2.2: nothing at 0.05 (critical difference 1.25); at 0.10 (1.12) C4.5 is worse than the two with m.
    five, ten = nemenyi(demsar()), nemenyi(demsar(), alpha=0.1)
    assert (five.critical_difference, ten.critical_difference) == pytest.approx((1.25, 1.12), abs=0.005)
    assert differing(five) == set()
    assert differing(ten) == {frozenset(("C4.5", "C4.5+m")), frozenset(("C4.5", "C4.5+m+cf"))}
    assert five.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)
    assert ten.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


def test_bonferroni_dunn_finds_in_the_papers_example_what_the_paper_finds():
    # Section 3.2.2, against C4.5: at 0.05 the difference of 1.179 is enough and 1.143 is not; at 0.10 both are.
    five, ten = bonferroni_dunn(demsar(), "C4.5"), bonferroni_dunn(demsar(), "C4.5", alpha=0.1)
    assert differing(five) == {frozenset(("C4.5", "C4.5+m+cf"))}
    assert differing(ten) == {frozenset(("C4.5", "C4.5+m")), frozenset(("C4.5", "C4.5+m+cf"))}
    assert five.groups == (("C4.5+m", "C4.5+cf", "C4.5"),)
    assert [pair.difference for pair in five.pairs] == pytest.approx([1.179, 1.143, 0.25], abs=5e-4)


def test_nemenyis_p_values_are_those_of_scikit_posthocs():
    # posthoc_nemenyi_friedman of scikit-posthocs 0.17.1 on the paper's table.
    expected = {
        ("C4.5", "C4.5+m"): 0.08867270928888271,
        ("C4.5", "C4.5+cf"): 0.9561771752218107,
        ("C4.5", "C4.5+m+cf"): 0.07418479506874454,
        ("C4.5+m", "C4.5+cf"): 0.2592280701547286,
        ("C4.5+m", "C4.5+m+cf"): 0.999859449385133,
        ("C4.5+cf", "C4.5+m+cf"): 0.22669688602641525,
    }
    found = {frozenset((pair.first, pair.second)): pair.p_value for pair in nemenyi(demsar()).pairs}
    assert found == pytest.approx({frozenset(names): p for names, p in expected.items()})


def test_bonferroni_dunns_p_values_are_the_normal_ones_times_their_number():
    found = {pair.second: pair.p_value for pair in bonferroni_dunn(demsar(), "C4.5").pairs}
    z = (3.142857 - 2.0) / math.sqrt(4 * 5 / (6 * 14))
    assert found["C4.5+m"] == pytest.approx(3 * math.erfc(z / math.sqrt(2)), rel=1e-5)
    assert found["C4.5+cf"] == 1


@several
@given(alpha=st.sampled_from([0.01, 0.05, 0.1, 0.3]), **TABLES)
def test_p_values_critical_difference_and_groups_say_the_same(seed, n, k, ties, alpha):
    scores = wide(draw(seed, n, k, ties=ties))
    found = nemenyi(scores, alpha=alpha)
    assert len(found.pairs) == k * (k - 1) // 2
    for pair in [*found.pairs, *bonferroni_dunn(scores, "l0", alpha=alpha).pairs]:
        assert pair.differ == (pair.p_value <= alpha) or pair.p_value == pytest.approx(alpha)
    same = {frozenset((pair.first, pair.second)) for pair in found.pairs if not pair.differ}
    joined = {frozenset(names) for group in found.groups for names in itertools.combinations(group, 2)}
    assert joined == same
    assert not any(set(one) <= set(other) for one, other in itertools.permutations(found.groups, 2))


def test_the_control_is_known_and_the_level_a_share():
    with pytest.raises(UnknownNameError, match=r"no learner 'C4\.6'.*Did you mean"):
        bonferroni_dunn(demsar(), "C4.6")
    for test in (nemenyi, lambda scores, alpha: bonferroni_dunn(scores, "C4.5", alpha=alpha)):
        with pytest.raises(ParameterError, match="alpha has to lie between 0 and 1"):
            test(demsar(), alpha=5)


# Wilcoxon


def test_wilcoxon_is_the_papers_example():
    # Section 3.1.3, C4.5 against C4.5+m: the rank sums are 93 and 12; ten wins of the latter, two ties.
    found = wilcoxon(demsar().select(learners=["C4.5", "C4.5+m"])).pairs[0]
    assert (found.wins, found.ties, found.losses, found.statistic) == (2, 2, 10, 12)
    assert found.p_value < 0.05
    assert found.median == pytest.approx(np.median(DEMSAR[:, 0] - DEMSAR[:, 1]))


def exact_p(differences):
    """Two-sided p value by all signs of the ranks, where ties between learners have none."""
    rank = scipy.stats.rankdata(np.abs(differences)) * (differences != 0)
    sums = [np.dot(signs, rank) for signs in itertools.product([-1, 1], repeat=len(rank))]
    return np.mean(np.abs(sums) >= abs(np.dot(np.sign(differences), rank)) - 1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 9), ties=st.booleans())
def test_wilcoxon_counts_all_signs_of_the_ranks(seed, n, ties):
    table = draw(seed, n, 2, ties=ties)
    # To the tenth: in floating point, equal differences of rounded scores are not quite equal.
    differences = np.round(table[:, 0] - table[:, 1], 1 if ties else 15)
    if not differences.any():
        return
    found = wilcoxon(wide(table)).pairs[0]
    assert found.p_value == pytest.approx(exact_p(differences))
    assert (found.wins, found.losses) == ((differences > 0).sum(), (differences < 0).sum())


def test_equal_differences_of_rounded_scores_share_their_rank():
    # In floating point 0.9 - 0.8, 0.8 - 0.7 and 0.6 - 0.5 are three numbers.
    table = [[0.9, 0.8], [0.7, 0.8], [0.6, 0.5], [0.5, 0.1]]
    assert wilcoxon(wide(table)).pairs[0].statistic == 2


def test_less_is_better_in_wins_where_the_measure_says_so():
    more, less = wilcoxon(demsar()).pairs, wilcoxon(wide(DEMSAR, DEMSAR_LEARNERS, minimize=True)).pairs
    assert [(pair.wins, pair.losses) for pair in more] == [(pair.losses, pair.wins) for pair in less]
    assert [pair.p_value for pair in more] == [pair.p_value for pair in less]


def test_with_a_control_only_its_pairs_are_adjusted():
    every, some = wilcoxon(demsar()), wilcoxon(demsar(), control="C4.5")
    assert [(pair.first, pair.second) for pair in some.pairs] == [("C4.5", other) for other in DEMSAR_LEARNERS[1:]]
    assert [pair.p_value for pair in some.pairs] == [pair.p_value for pair in every.pairs[:3]]
    assert [pair.p_holm for pair in some.pairs] == holm([pair.p_value for pair in some.pairs])


def test_learners_that_are_equal_on_all_tasks_are_refused():
    table = np.c_[[0.9, 0.8, 0.7], [0.5, 0.9, 0.6], [0.9, 0.8, 0.7]]
    with pytest.raises(DataError, match=r"'l0' and 'l2' have the same auc on all 3 tasks.*leave one of them out"):
        wilcoxon(wide(table))


@pytest.mark.parametrize("statistic", [wilcoxon, lambda scores: bayes_signed_rank(scores, "l0", "l1", rope=0.01)])
def test_one_task_is_refused(statistic):
    with pytest.raises(DataError, match="signed ranks compare over two tasks or more, there is 't0' only"):
        statistic(wide([[0.9, 0.8]]))


def test_one_learner_is_refused():
    with pytest.raises(DataError, match="two learners or more are compared, there is 'l0' only"):
        wilcoxon(wide([[0.9], [0.8]]))


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        # multipletests(method="holm") of statsmodels 0.15.0.
        ([0.01, 0.04, 0.03, 0.005, 0.3, 0.04], [0.05, 0.12, 0.12, 0.03, 0.3, 0.12]),
        ([0.6, 0.7], [1, 1]),
        ([0.02], [0.02]),
    ],
)
def test_holm_is_that_of_statsmodels(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


@several
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_of_every_set_that_holds_the_hypothesis(p):
    # The closed test: a hypothesis falls when every set of hypotheses with it does, by its least p value times its size.
    for i, adjusted in enumerate(holm(p)):
        others = [q for j, q in enumerate(p) if j != i]
        sets = [(p[i], *some) for size in range(len(p)) for some in itertools.combinations(others, size)]
        assert adjusted == pytest.approx(min(1, max(len(one) * min(one) for one in sets)))


# The Bayesian signed-rank test


@pytest.mark.parametrize(
    ("first", "rope", "expected"),
    [
        # SignedRankTest.probs of baycomp 1.0.3, 400,000 draws, C4.5 or C4.5+m+cf against C4.5+m; on the paper's table in
        # ten-thousandths, as in floating point it takes some differences that meet the rope for larger ones.
        ("C4.5", 0.01, (0.0, 0.329785, 0.670215)),
        ("C4.5", 0.001, (0.00099, 5.75e-05, 0.9989525)),
        ("C4.5+m+cf", 0.01, (0.2380175, 0.7597225, 0.00226)),
        ("C4.5+m+cf", 0.001, (0.801115, 0.0019, 0.196985)),
        ("C4.5+m+cf", 0, (0.7867825, 0, 0.2132175)),
    ],
)
def test_the_probabilities_over_tasks_are_those_of_baycomp(first, rope, expected):
    found = bayes_signed_rank(demsar(), first, "C4.5+m", rope=rope)
    # Five standard deviations of a share of 50,000 draws.
    assert (found.first_better, found.equivalent, found.second_better) == pytest.approx(
        expected, abs=5 * 0.5 / math.sqrt(50_000)
    )


def test_differences_that_meet_the_rope_count_half_in_any_unit():
    exact = wide(np.round(DEMSAR * 10_000), DEMSAR_LEARNERS)
    for rope in (0.01, 0.005, 0.001):
        one = bayes_signed_rank(demsar(), "C4.5+m+cf", "C4.5+m", rope=rope, n_samples=5000)
        other = bayes_signed_rank(exact, "C4.5+m+cf", "C4.5+m", rope=round(rope * 10_000), n_samples=5000)
        assert (one.first_better, one.equivalent) == (other.first_better, other.equivalent)


def test_the_same_seed_gives_the_same_probabilities_and_swapping_turns_them_round():
    one = bayes_signed_rank(demsar(), "C4.5", "C4.5+m", rope=0.01, n_samples=5000, seed=3)
    assert bayes_signed_rank(demsar(), "C4.5", "C4.5+m", rope=0.01, n_samples=5000, seed=3) == one
    assert bayes_signed_rank(demsar(), "C4.5", "C4.5+m", rope=0.01, n_samples=5000, seed=4) != one
    other = bayes_signed_rank(demsar(), "C4.5+m", "C4.5", rope=0.01, n_samples=5000, seed=3)
    assert (other.first_better, other.equivalent) == (one.second_better, one.equivalent)
    turned = bayes_signed_rank(
        wide(DEMSAR, DEMSAR_LEARNERS, minimize=True), "C4.5", "C4.5+m", rope=0.01, n_samples=5000, seed=3
    )
    assert (turned.first_better, turned.second_better) == (one.second_better, one.first_better)


def test_equal_learners_are_equivalent_and_a_strong_prior_draws_to_it():
    same = wide(np.c_[[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]])
    assert bayes_signed_rank(same, "l0", "l1", rope=0.01, n_samples=100).equivalent == 1
    strong = bayes_signed_rank(demsar(), "C4.5", "C4.5+m", rope=0.01, prior=1000, n_samples=1000)
    assert strong.equivalent == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rope": -1}, "rope is a finite number >= 0"),
        ({"prior": 0}, "prior is a finite number > 0"),
        ({"n_samples": 0}, "n_samples is a whole number >= 1"),
        ({"n_samples": 10.0}, "n_samples is a whole number >= 1"),
        ({"second": "C4.5"}, "both are 'C4.5'"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        bayes_signed_rank(demsar(), "C4.5", **{"second": "C4.5+m", "rope": 0.01, **options})


# Results


@pytest.mark.parametrize(
    "result",
    [
        ranks(demsar()),
        friedman(demsar()),
        nemenyi(demsar()),
        bonferroni_dunn(demsar(), "C4.5"),
        wilcoxon(demsar()),
        bayes_signed_rank(demsar(), "C4.5", "C4.5+m", rope=0.01, n_samples=100),
        means(demsar()),
    ],
    ids=lambda result: type(result).__name__,
)
def test_results_are_frozen_tell_themselves_and_are_plain_json(result):
    text = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(text) == set(result.__dataclass_fields__)
    lines = repr(result).splitlines()
    assert len(lines) == 1 + 1 + len(result.to_frame())
    assert max(map(len, lines)) <= 120
    with pytest.raises(AttributeError):
        result.measure = "other"
