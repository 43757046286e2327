"""Measures of numbers, intervals, quantiles and normal distributions against scikit-learn and scipy."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import LEVELS, NUMBER, draw_numbers, names_of
from scipy import integrate, stats

from onnxlearn import measures
from onnxlearn.errors import MissingExtraError
from onnxlearn.measures import Outcome

EPS = np.finfo(float).eps


def by_target(value):
    """The mean over targets of ``value(truth, response, weights)``."""
    return lambda o, w: np.mean([value(o.truth[:, i], o.response[:, i], w) for i in range(o.truth.shape[1])])


def by_repetition(value):
    """Like it, where weights are not taken: rows are repeated instead."""
    return by_target(lambda t, r, w: value(np.repeat(t, w.astype(int)), np.repeat(r, w.astype(int))))


def plain(metric, **settings):
    return lambda o, w: metric(o.truth, o.response, sample_weight=w, **settings)


def each(metric, **settings):
    return by_target(lambda t, r, w: metric(t, r, sample_weight=w, **settings))


def mean(values):
    """The weighted mean of what ``values(outcome)`` gives each row and target."""
    return lambda o, w: np.average(values(o), axis=0, weights=w).mean()


def interval_score(o, coverage):
    score = o.upper - o.lower
    for outside in (np.where(o.truth < o.lower, o.lower - o.truth, 0), np.where(o.truth > o.upper, o.truth - o.upper, 0)):
        score = score + outside * 2 / (1 - coverage)
    return score


def quantile_loss(level):
    q = LEVELS.index(level)
    return lambda o, w: sk.mean_pinball_loss(o.truth, o.quantiles[..., q], sample_weight=w, alpha=level)


def crps(o, w):
    # Each level stands for the levels nearer to it than to others: 0 to 0.15 for 0.05, and so on.
    shares = {0.05: 0.15, 0.25: 0.225, 0.5: 0.325, 0.9: 0.3}
    return 2 * sum(share * quantile_loss(level)(o, w) for level, share in shares.items())


def qce(o, w):
    shares = [np.average(o.truth <= o.quantiles[..., q], axis=0, weights=w) for q in range(len(LEVELS))]
    return np.mean([np.abs(share - level) for share, level in zip(shares, LEVELS, strict=True)])


ORACLES = {
    "rmse": plain(sk.root_mean_squared_error),
    "mse": plain(sk.mean_squared_error),
    "mae": plain(sk.mean_absolute_error),
    "medae": plain(sk.median_absolute_error),
    "medse": by_repetition(lambda t, r: np.median((t - r) ** 2)),
    "maxae": by_target(lambda t, r, _: sk.max_error(t, r)),
    "sse": by_target(lambda t, r, w: sum(w * (t - r) ** 2)),
    "sae": by_target(lambda t, r, w: sum(w * abs(t - r))),
    "mape": plain(sk.mean_absolute_percentage_error),
    "smape": mean(lambda o: 2 * abs(o.truth - o.response) / (abs(o.truth) + abs(o.response))),
    "msle": plain(sk.mean_squared_log_error),
    "rmsle": plain(sk.root_mean_squared_log_error),
    "bias": mean(lambda o: o.response - o.truth),
    "pbias": mean(lambda o: (o.response - o.truth) / np.maximum(abs(o.truth), EPS)),
    **dict.fromkeys(("r2", "rsq"), plain(sk.r2_score)),
    "explained_variance": plain(sk.explained_variance_score),
    "rqr": plain(sk.d2_absolute_error_score),
    "poisson_deviance": each(sk.mean_poisson_deviance),
    "gamma_deviance": each(sk.mean_gamma_deviance),
    **{f"tweedie_{power:g}": each(sk.mean_tweedie_deviance, power=power) for power in (-1.5, 0, 1, 1.5, 2, 3)},
    "srho": by_repetition(lambda t, r: stats.spearmanr(t, r).statistic),
    "ktau": by_repetition(lambda t, r: stats.kendalltau(t, r).statistic),
    "coverage": mean(lambda o: (o.truth >= o.lower) & (o.truth <= o.upper)),
    "width": mean(lambda o: o.upper - o.lower),
    "winkler": mean(lambda o: interval_score(o, 0.9)),
    "winkler_0.8": mean(lambda o: interval_score(o, 0.8)),
    "pinball": lambda o, w: np.mean([quantile_loss(level)(o, w) for level in LEVELS]),
    **{f"pinball_{level:g}": quantile_loss(level) for level in LEVELS},
    "crps": crps,
    "qce": qce,
    "nll": mean(lambda o: -stats.norm.logpdf(o.truth, o.response, o.std)),
    "crps_normal": mean(lambda o: np.vectorize(crps_by_integration)(o.truth, o.response, o.std)),
}

POSITIVE = (
    "msle",
    "rmsle",
    "poisson_deviance",
    "gamma_deviance",
    "tweedie_1",
    "tweedie_1.5",
    "tweedie_2",
    "tweedie_3",
    "tweedie_-1.5",
)


def crps_by_integration(truth, mean, std):
    """The definition: the integral of the squared distance of the distribution functions."""

    def squared(x):
        return (stats.norm.cdf(x, mean, std) - (x >= truth)) ** 2

    low, high = min(truth, mean) - 9 * std, max(truth, mean) + 9 * std
    return sum(integrate.quad(squared, *ends, limit=200)[0] for ends in ((low, truth), (truth, high)))


def test_every_measure_has_an_oracle():
    assert set(ORACLES) >= set(names_of("regression"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", list(ORACLES))
def test_as_in_scikit_learn(name, weighted):
    for seed in range(1 if name == "crps_normal" else 3):
        n = 30 if name == "crps_normal" else 101
        outcome = draw_numbers(seed, n=n, weighted=weighted, positive=name in POSITIVE)
        expected = ORACLES[name](outcome, outcome.weights)
        rel = 1e-6 if name == "crps_normal" else 1e-11
        assert measures.get(name)(outcome) == pytest.approx(expected, rel=rel)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=40))
def test_correlations_with_ties(rows):
    truth, response, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    times = weights.astype(int)
    if not times.any():
        return
    outcome = Outcome.of(NUMBER, truth[:, None], response[:, None], None, weights)
    x, y = np.repeat(truth, times), np.repeat(response, times)
    constant = x.min() == x.max() or y.min() == y.max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        for name, oracle in (("srho", stats.spearmanr), ("ktau", stats.kendalltau)):
            expected = np.nan if constant else oracle(x, y).statistic
            assert measures.get(name)(outcome) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_the_order_of_many_rows_in_little_time():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=100_000)
    response = truth + rng.normal(size=100_000)
    outcome = Outcome.of(NUMBER, truth[:, None], response[:, None], None, None)
    assert measures.get("ktau")(outcome) == pytest.approx(stats.kendalltau(truth, response).statistic, rel=1e-12)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("weighted", [False, True])
def test_quantile_r2_is_against_the_best_constant(level, weighted):
    outcome = draw_numbers(2, weighted=weighted, n=40)
    values = []
    for truth, response in zip(outcome.truth.T, outcome.response.T, strict=True):
        candidates = [response, *(np.full(40, constant) for constant in truth)]
        losses = [sk.mean_pinball_loss(truth, q, sample_weight=outcome.weights, alpha=level) for q in candidates]
        values.append(1 - losses[0] / min(losses[1:]))
    assert measures.rqr(level)(outcome) == pytest.approx(np.mean(values))


@pytest.mark.parametrize("weighted", [False, True])
def test_values_stay_in_their_range_and_direction(weighted):
    bad = draw_numbers(1, weighted=weighted)
    points = bad.truth[..., None] + np.array(LEVELS) * 0
    good = replace(bad, response=bad.truth, lower=bad.truth, upper=bad.truth, std=bad.std * 0 + 0.01, quantiles=points)
    for name in names_of("regression"):
        measure = measures.get(name)
        if name in POSITIVE:
            positive = draw_numbers(1, weighted=weighted, positive=True)
            values = measure(replace(positive, response=positive.truth)), measure(positive)
        else:
            values = measure(good), measure(bad)
        assert all(measure.low <= value <= measure.high for value in values)
        if measure.minimize is None:
            assert abs(values[0]) < abs(values[1])
        elif name != "qce":  # all quantiles at the truth: no level is right
            assert (values[0] < values[1]) is measure.minimize
        if np.isfinite(measure.low if measure.minimize else measure.high) and name not in ("qce", "crps_normal"):
            assert values[0] == pytest.approx(measure.low if measure.minimize else measure.high, abs=1e-9)


def of_one_target(truth, response, **more):
    return Outcome.of(NUMBER, np.array(truth, float)[:, None], np.array(response, float)[:, None], None, None, **more)


def test_constant_truth():
    for name in ("r2", "explained_variance", "rqr"):
        assert measures.get(name)(of_one_target([2, 2, 2], [2, 2, 2])) == 1
        assert measures.get(name)(of_one_target([2, 2, 2], [2, 2, 3])) == 0
        assert np.isnan(measures.get(name)(of_one_target([2], [3])))
    # scikit-learn, too, explains all of it where the error is constant.
    assert measures.get("explained_variance")(of_one_target([2, 2], [3, 3])) == sk.explained_variance_score([2, 2], [3, 3]) == 1
    for name in ("srho", "ktau"):
        assert np.isnan(measures.get(name)(of_one_target([2, 2], [1, 3])))
        assert np.isnan(measures.get(name)(of_one_target([2, 3], [0.1, 0.1])))


@pytest.mark.parametrize(
    ("name", "truth", "response"),
    [
        ("msle", [-1, 1], [1, 1]),
        ("rmsle", [1, 1], [1, -2]),
        ("poisson_deviance", [1, 1], [0, 1]),
        ("poisson_deviance", [-1, 1], [1, 1]),
        ("gamma_deviance", [0, 1], [1, 1]),
        ("gamma_deviance", [1, 1], [-1, 1]),
    ],
)
def test_values_outside_of_the_range_of_a_distribution(name, truth, response):
    assert np.isnan(measures.get(name)(of_one_target(truth, response)))
    assert measures.get(name).undefined


def test_a_poisson_deviance_of_zero_counts():
    assert measures.get("poisson_deviance")(of_one_target([0, 3], [1, 3])) == pytest.approx(
        sk.mean_poisson_deviance([0, 3], [1, 3])
    )


def test_truth_and_prediction_of_zero():
    outcome = of_one_target([0, 1], [0, 1])
    assert [measures.get(name)(outcome) for name in ("smape", "mape", "pbias")] == [0, 0, 0]


def test_no_spread_has_no_density():
    outcome = of_one_target([1, 2], [1, 2], std=np.array([[1.0], [0.0]]))
    assert np.isnan(measures.get("nll")(outcome))
    assert np.isnan(measures.get("crps_normal")(outcome))


def test_many_quantiles_give_the_score_of_the_distribution():
    outcome = draw_numbers(3)
    levels = (np.arange(500) + 0.5) / 500
    quantiles = outcome.response[..., None] + outcome.std[..., None] * stats.norm.ppf(levels)
    many = replace(outcome, quantiles=quantiles, levels=tuple(levels))
    assert measures.get("crps")(many) == pytest.approx(measures.get("crps_normal")(outcome), rel=1e-3)
    assert measures.get("crps")(many) == pytest.approx(2 * measures.get("pinball")(many))


def test_scipy_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(
        MissingExtraError, match=r"measure 'crps_normal' needs the package scikit-learn: pip install 'onnxlearn\[eval\]'"
    ):
        measures.get("crps_normal")(draw_numbers(0))


def of_numbers(truth, response):
    outcome = Outcome.of(NUMBER, truth, response, None, None)
    return {name: measures.get(name)(outcome) for name in ("rmse", "r2", "mae", "maxae", "mse")}


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200, 1e250])
def test_no_square_overflows_or_vanishes(size):
    truth, error = np.array([[1.0], [2.0], [4.0], [3.0]]), np.array([[0.5], [-1.0], [0.25], [0.0]])
    base, scaled = (of_numbers(truth * factor, (truth + error) * factor) for factor in (1.0, size))
    assert scaled["r2"] == pytest.approx(base["r2"], rel=1e-12)
    for name in ("rmse", "mae", "maxae"):
        assert scaled[name] == pytest.approx(base[name] * size, rel=1e-12, abs=0)
    # What is beyond float64 is infinite.
    assert scaled["mse"] == (np.inf if size > 1 else pytest.approx(base["mse"] * size * size))
    assert of_numbers(truth, truth + 1e200)["r2"] == -np.inf
