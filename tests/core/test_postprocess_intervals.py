"""Split-conformal intervals and sets: by hand, at their limits, and what they cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import betabinom

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.conformal import ROUNDING, Intervals, Sets, conformal_quantile
from onnxlearn.postprocess.heads import softmax
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.schema import Target
from tests.core.hand_tables import NUMBER, run_model

TWO = Target(names=("a", "b"), type="regression", dtype="float64")
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
CONFIGS = {
    "point": OutputConfig(coverage=0.8),
    "quantile": OutputConfig(coverage=0.8, head="quantile", quantiles=LEVELS),
    "normal": OutputConfig(coverage=0.8, head="normal"),
}


def simulate(kind, n, n_targets=2, seed=0):
    """Outputs of a head that is a bit wrong, and the truth: noise grows with the prediction, its tails are heavy."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0, 5, (n, n_targets))
    truth = mean + (0.2 + 0.3 * mean) * rng.standard_t(4, mean.shape)
    outputs = {"prediction": mean + 0.2}
    if kind == "quantile":
        offsets = np.array([-1.0, -0.3, 0.0, 0.4, 1.1])
        outputs["quantiles"] = (mean + 0.2)[..., None] + (0.2 + 0.2 * mean)[..., None] * offsets
    if kind == "normal":
        outputs["std"] = 0.1 + 0.2 * mean
    return outputs, truth


def emitted(post, outputs, target):
    g = GraphBuilder()
    values = {name: g.input(name + "_in", "DOUBLE", ["N", *array.shape[1:]]) for name, array in outputs.items()}
    post.emit(g, values, target)
    model = g.to_model()
    check(model)
    return run_model(model, {f"{name}_in": array for name, array in outputs.items()})


# The quantile


def by_definition(scores, weights, coverage):
    """The least score below or at which the asked share of the weight lies, a further row of weight 1 being above all."""
    for score in sorted(scores):
        if weights[scores <= score].sum() >= coverage * (weights.sum() + 1) - 1e-9:
            return score
    return None


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 30), st.sampled_from([0.1, 0.5, 0.75, 0.8, 0.9]), st.booleans(), st.integers(0, 10**6))
def test_the_quantile_is_that_of_its_definition(n, coverage, weighted, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, (n, 2)).astype(float)
    weights = rng.uniform(0.2, 2, n) if weighted else np.ones(n)
    expected = [by_definition(column, weights, coverage) for column in scores.T]
    if None in expected:
        with pytest.raises(ParameterError, match=f"coverage={coverage:g} needs at least"):
            conformal_quantile(scores, weights, coverage)
    else:
        assert conformal_quantile(scores, weights, coverage).tolist() == expected


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.999, 999)])
def test_how_many_rows_a_coverage_needs(coverage, needed):
    assert conformal_quantile(np.arange(float(needed))[:, None], np.ones(needed), coverage) == needed - 1
    with pytest.raises(ParameterError, match=rf"coverage={coverage:g} needs at least {needed} calibration rows, there are"):
        conformal_quantile(np.zeros((needed - 1, 1)), np.ones(needed - 1), coverage)


def test_the_coverage_that_the_rows_allow_is_told():
    with pytest.raises(ParameterError, match=r"there are 20: give more rows, a larger share .*, or a coverage up to 0.952$"):
        conformal_quantile(np.zeros((20, 1)), np.ones(20), 0.99)
    conformal_quantile(np.zeros((20, 1)), np.ones(20), 0.952)


# Intervals by hand


def fit(kind, outputs, truth, weights=None, target=TWO, **changes):
    config = CONFIGS[kind] if not changes else OutputConfig(**{"head": kind, **changes})
    return Postprocessing.fit(config, target, outputs, truth, weights)


def test_absolute_residuals():
    truth = np.array([[1.0, 10.0], [2.0, 30.0], [3.0, 20.0], [4.0, 50.0]])
    outputs = {"prediction": np.array([[1.5, 10.0], [2.0, 31.0], [2.0, 17.0], [4.25, 48.0]])}
    # The fourth of four residuals covers 4/5.
    post = fit("point", outputs, truth)
    slack = ROUNDING * truth.std(axis=0)
    found = post.apply({"prediction": np.array([[0.0, 100.0]])}, TWO)
    np.testing.assert_allclose(found["lower"], [[-1.0, 97.0]] - slack, rtol=1e-12)
    np.testing.assert_allclose(found["upper"], np.array([[1.0, 103.0]]) + slack, rtol=1e-12)
    assert post.to_dict() == {"coverage": 0.8, "margin": [1.0, 3.0]}


def test_residuals_in_standard_deviations():
    truth = np.array([[1.0], [2.0], [3.0], [4.0]])
    outputs = {"prediction": truth + np.array([[0.5], [1.0], [-3.0], [0.0]]), "std": np.array([[1.0], [0.5], [2.0], [1.0]])}
    post = fit("normal", outputs, truth, target=NUMBER)
    assert post.to_dict()["margin"] == [2.0]
    found = post.apply({"prediction": np.array([[7.0]]), "std": np.array([[3.0]])}, NUMBER)
    np.testing.assert_allclose([found["lower"], found["upper"]], [[[1.0]], [[13.0]]], rtol=1e-4)


def test_quantiles_are_widened_or_narrowed():
    truth = np.array([[1.0], [2.0], [3.0], [4.0]])
    median = np.full((4, 1), 2.5)
    for half, margin in ((0.5, 1.0), (2.0, -0.5)):
        outputs = {"prediction": median, "quantiles": median[..., None] + [-9, -half, 0.0, half, 9.0]}
        post = fit("quantile", outputs, truth, target=NUMBER, quantiles=(0.01, 0.3, 0.5, 0.7, 0.99), coverage=0.6)
        # The third of four rows: 0.6 of 5.
        assert post.to_dict()["margin"] == [margin]
        found = post.apply({"prediction": median[:1], "quantiles": outputs["quantiles"][:1]}, NUMBER)
        np.testing.assert_allclose([found["lower"], found["upper"]], [[[1.0]], [[4.0]]], atol=1e-4)


@pytest.mark.parametrize(("coverage", "band"), [(0.9, (0, 4)), (0.5, (1, 3)), (0.6, (1, 3)), (0.99, (0, 4)), (0.01, (2, 2))])
def test_the_band_is_that_of_the_nearest_quantiles(coverage, band):
    outputs, truth = simulate("quantile", 200)
    assert Intervals.fit(outputs, truth, np.ones(200), coverage, LEVELS).band == band


def test_an_interval_holds_the_prediction_also_where_the_band_is_far_too_wide():
    truth = np.zeros((9, 1)) + np.linspace(0, 1e-3, 9)[:, None]
    outputs = {"prediction": np.zeros((9, 1)), "quantiles": np.tile([-5.0, -1.0, 0.0, 0.1, 5.0], (9, 1, 1))}
    found = fit("quantile", outputs, truth, target=NUMBER).apply(outputs, NUMBER)
    assert (found["lower"] <= 0).all()
    assert (found["upper"] >= 0).all()
    assert (found["upper"] < 5).all()


def test_the_median_alone_gives_absolute_residuals():
    outputs, truth = simulate("point", 100)
    alone = {**outputs, "quantiles": outputs["prediction"][..., None]}
    median = fit("quantile", alone, truth, quantiles=(0.5,), coverage=0.8).apply(alone, TWO)
    point = fit("point", outputs, truth).apply(outputs, TWO)
    np.testing.assert_array_equal(median["lower"], point["lower"])


# Limits


def test_a_target_that_was_constant_in_training():
    truth = np.array([[4.0], [4.0], [4.0], [4.5]])
    outputs = {"prediction": np.full((4, 1), 4.0), "std": np.zeros((4, 1))}
    found = fit("normal", outputs, truth, target=NUMBER).apply(outputs, NUMBER)
    np.testing.assert_allclose(found["upper"], np.full((4, 1), 4.5), rtol=1e-4)
    np.testing.assert_array_equal(
        emitted(fit("normal", outputs, truth, target=NUMBER), outputs, NUMBER)["upper"], found["upper"]
    )
    exact = fit("point", {"prediction": truth[:3]}, truth[:3], target=NUMBER, coverage=0.7, head="point")
    assert exact.apply({"prediction": truth[:1]}, NUMBER)["lower"].tolist() == [[4.0]]


@pytest.mark.parametrize("kind", CONFIGS)
def test_truths_and_predictions_of_any_size_give_finite_intervals(kind):
    outputs, truth = simulate(kind, 50)
    truth[::2] = 1e250
    truth[1::4] = -1e250
    if kind == "normal":
        outputs["std"][:] = 1e-290
    post = fit(kind, outputs, truth)
    huge = {name: np.full_like(array[:3], 3e288) for name, array in outputs.items()}
    for rows in (outputs, huge):
        for made in (post.apply(rows, TWO), emitted(post, rows, TWO)):
            assert all(np.isfinite(array).all() for array in made.values())
            assert (made["lower"] <= made["prediction"]).all()
            assert (made["prediction"] <= made["upper"]).all()


@pytest.mark.parametrize("kind", CONFIGS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_the_graph_gives_what_numpy_gives(kind, data):
    outputs, truth = simulate(kind, 40)
    post = fit(kind, outputs, truth)
    n = data.draw(st.integers(0, 5))
    numbers = st.floats(-1e12, 1e12)
    rows = {name: data.draw(arrays(np.float64, (n, *array.shape[1:]), elements=numbers)) for name, array in outputs.items()}
    if kind == "quantile":
        rows["quantiles"].sort(axis=-1)
        rows["prediction"] = rows["quantiles"][..., 2].copy()
    if kind == "normal":
        rows["std"] = np.abs(rows["std"])
    expected, found = post.apply(rows, TWO), emitted(post, rows, TWO)
    assert set(found) == set(expected) == {*rows, "lower", "upper"}
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert post.certain(rows, TWO, 1e-5) == {}


def test_ties_are_covered_whatever_rounds():
    # Whole numbers of which one value is predicted: many rows lie exactly at the end of the interval.
    truth = np.repeat([[1.0], [2.0], [3.0], [7.0]], 25, axis=0)
    for rounding in (0.0, 1e-7, -1e-7):
        post = fit("point", {"prediction": np.full((100, 1), 2.0)}, truth, target=NUMBER, coverage=0.7, head="point")
        made = post.apply({"prediction": np.full((100, 1), 2.0 + rounding)}, NUMBER)
        assert ((made["lower"] <= truth) & (truth <= made["upper"])).mean() == 0.75


def test_heavy_rows_count_more():
    outputs, truth = simulate("point", 2000)
    far = np.abs(truth - outputs["prediction"]).max(axis=1) > 2
    plain = fit("point", outputs, truth)
    heavy = fit("point", outputs, truth, np.where(far, 4.0, 1.0))
    light = fit("point", outputs, truth, np.where(far, 0.0, 2.0))
    few = fit("point", {"prediction": outputs["prediction"][~far]}, truth[~far])
    assert (heavy.intervals.margin > plain.intervals.margin).all()
    np.testing.assert_array_equal(light.intervals.margin, few.intervals.margin)


# What they cover: split-conformal coverage of m rows after n calibration rows is beta-binomial (Vovk 2012, "Conditional
# validity of inductive conformal predictors"), exactly.

N_REPETITIONS, N_CALIBRATION, N_TEST = 200, 60, 50


def band(coverage, n_repetitions=N_REPETITIONS, n_calibration=N_CALIBRATION, n_test=N_TEST, error=1e-4):
    """Lowest and highest number of covered rows in all repetitions together, but for chance of ``error``."""
    k = int(np.ceil(coverage * (n_calibration + 1) - 1e-9))
    one = betabinom.pmf(np.arange(n_test + 1), n_test, k, n_calibration + 1 - k)
    size = n_test * n_repetitions + 1
    total = np.fft.irfft(np.fft.rfft(one, 2 * size) ** n_repetitions, 2 * size)[:size].cumsum()
    return np.searchsorted(total, error / 2), np.searchsorted(total, 1 - error / 2)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
@pytest.mark.parametrize("kind", CONFIGS)
def test_intervals_cover_what_they_promise_and_no_more(kind, coverage):
    covered = np.zeros(2)
    config = OutputConfig(head=kind, coverage=coverage, **({"quantiles": LEVELS} if kind == "quantile" else {}))
    for seed in range(N_REPETITIONS):
        outputs, truth = simulate(kind, N_CALIBRATION + N_TEST, seed=seed)
        first, rest = slice(N_CALIBRATION), slice(N_CALIBRATION, None)
        post = Postprocessing.fit(config, TWO, {name: array[first] for name, array in outputs.items()}, truth[first])
        made = post.apply({name: array[rest] for name, array in outputs.items()}, TWO)
        covered += ((made["lower"] <= truth[rest]) & (truth[rest] <= made["upper"])).sum(axis=0)
    low, high = band(coverage)
    assert ((low <= covered) & (covered <= high)).all(), (low, covered, high)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
@pytest.mark.parametrize("n_classes", [2, 6])
def test_sets_cover_what_they_promise_and_no_more(n_classes, coverage):
    covered = by_probability = 0
    target = Target(names=("y",), type="classification", dtype="int64", classes=tuple(range(n_classes)), positive=None)
    for seed in range(N_REPETITIONS):
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, 1.5, (N_CALIBRATION + N_TEST, n_classes))
        truth = (softmax(logits).cumsum(axis=1) > rng.random((len(logits), 1))).argmax(axis=1)
        probabilities = softmax(logits * 2.5)
        config = OutputConfig(coverage=coverage, temperature=True)
        post = Postprocessing.fit(config, target, {"probabilities": probabilities[:N_CALIBRATION]}, truth[:N_CALIBRATION])
        rest = probabilities[N_CALIBRATION:]
        made = post.apply({"probabilities": rest}, target)
        of_truth = np.arange(N_TEST), truth[N_CALIBRATION:]
        by_probability += post.sets.by_probability(rest)[of_truth].sum()
        covered += made["set"][of_truth].sum()
        assert made["set"][np.arange(N_TEST), made["label"]].all()
    low, high = band(coverage)
    assert low <= by_probability <= high, (low, by_probability, high)
    # What is predicted is in the set besides: for some rows too much.
    assert covered >= by_probability


def test_weighted_rows_cover_the_weighted_rows():
    # Calibration rows are drawn evenly, new ones by weight, and heavy rows are harder.
    rng = np.random.default_rng(0)
    covered, n_test = 0.0, 200
    for _ in range(300):
        easy = rng.random(400) < 0.7
        weights, noise = np.where(easy, 1.0, 3.0), np.where(easy, 1.0, 5.0)
        truth = (noise * rng.normal(size=400))[:, None]
        post = fit("point", {"prediction": np.zeros((400, 1))}, truth, weights, target=NUMBER)
        new_easy = rng.random(n_test) < 0.7 / (0.7 + 0.9)
        new = np.where(new_easy, 1.0, 5.0) * rng.normal(size=n_test)
        covered += (np.abs(new) <= post.intervals.margin + post.intervals.slack).mean() / 300
    assert 0.79 < covered < 0.815


# Rows of groups: those of a group resemble each other, and a new row is one of a new group.


def grouped(n_groups, n_rows, seed):
    """Group of each row, and residuals of which the group makes up most; small groups have larger ones."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, n_rows, n_groups)
    group = np.repeat(np.arange(n_groups), sizes)
    return group, ((rng.normal(size=n_groups)[group] + 0.3 * rng.normal(size=len(group))) / np.sqrt(sizes)[group])[:, None]


def coverage_of_new_groups(*, with_groups, n_groups=12, n_new=40):
    """Mean over repetitions and new groups of the share of a group's rows that are covered."""
    config, covered = OutputConfig(coverage=0.8), []
    for seed in range(N_REPETITIONS):
        group, truth = grouped(n_groups, 15, 2 * seed)
        outputs = {"prediction": np.zeros_like(truth)}
        post = Postprocessing.fit(config, NUMBER, outputs, truth, groups=group if with_groups else None)
        new, values = grouped(n_new, 15, 2 * seed + 1)
        inside = (np.abs(values) <= post.intervals.margin + post.intervals.slack)[:, 0]
        covered.append((np.bincount(new, inside) / np.bincount(new)).mean())
    return np.mean(covered)


def test_each_group_counts_as_one_row():
    assert coverage_of_new_groups(with_groups=False) < 0.75
    assert 0.8 <= coverage_of_new_groups(with_groups=True) < 0.9
    truth = np.array([[1.0]] * 8 + [[2.0], [3.0], [4.0]])
    group = np.array([5] * 8 + [1, 2, 3])
    zeros = {"prediction": np.zeros_like(truth)}
    fits = [Postprocessing.fit(OutputConfig(coverage=0.6), NUMBER, zeros, truth, groups=groups) for groups in (None, group)]
    # Of 11 rows the eighth of 12, of 4 groups the third of 5.
    assert [post.intervals.margin.tolist() for post in fits] == [[1.0], [3.0]]
    with pytest.raises(ParameterError, match=r"coverage=0.9 needs at least 9 calibration groups, there are 4 \(of 11 rows\): "):
        Postprocessing.fit(OutputConfig(coverage=0.9), NUMBER, zeros, truth, groups=group)


def test_groups_of_one_row_are_rows():
    outputs, truth = simulate("point", 30)
    weights = np.random.default_rng(0).uniform(0.2, 2, 30)
    for weighted in (None, weights):
        plain, grouped = (
            Postprocessing.fit(CONFIGS["point"], TWO, outputs, truth, weighted, groups=groups)
            for groups in (None, np.arange(30))
        )
        assert grouped.to_dict() == plain.to_dict()


def test_sets_by_probability_of_equal_rows_are_never_below_the_promise():
    # Few different probabilities: ties can only add.
    covered, rows = 0.0, 0
    for seed in range(N_REPETITIONS):
        rng = np.random.default_rng(seed)
        probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])[rng.integers(0, 2, 80)]
        truth = (probabilities.cumsum(axis=1) > rng.random((80, 1))).argmax(axis=1)
        sets = Sets.fit(probabilities[:40], truth[:40], np.ones(40), 0.8).by_probability(probabilities[40:].astype(np.float32))
        covered += sets[np.arange(40), truth[40:]].sum()
        rows += 40
    assert covered / rows > 0.8
