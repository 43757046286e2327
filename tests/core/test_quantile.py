"""Quantile scaling in the graph, against scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.quantile import Quantiles, emit_normal_quantile
from onnxlearn.testing import run_reference
from tests.core.hand_tables import feeds_of_matrix, numeric_columns, run_model, schema_of


def scores(x, new, n_quantiles):
    """Normal scores in DOUBLE, of numbers brought within the training range."""
    fitted = Quantiles.fit(x, n_quantiles)
    g = GraphBuilder()
    value = g.input("x", "DOUBLE", ["N", x.shape[1]])
    within = g.op("Min", g.op("Max", value, g.const(fitted.lowest)), g.const(fitted.highest))
    g.output(fitted.emit(g, within), "y", "DOUBLE", ["N", x.shape[1]])
    return g.to_model(), {"x": new}


def oracle(x, new, n_quantiles):
    n_quantiles = min(n_quantiles, len(x))
    transformer = QuantileTransformer(n_quantiles=n_quantiles, output_distribution="normal", subsample=None)
    return transformer.fit(x).transform(new)


def mixed(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=n),
        np.round(rng.normal(size=n), 1),
        rng.integers(0, 3, n).astype(float),
        np.exp(3 * rng.normal(size=n)),
        np.where(rng.random(n) < 0.5, 0, rng.random(n)),
        1e9 + rng.normal(size=n),
    ]
    return np.column_stack(columns)


@pytest.mark.parametrize("n_quantiles", [2, 3, 10, 257, 1000, 2000, 10_000])
def test_scores_are_those_of_scikit_learn(n_quantiles):
    x = mixed()
    lowest, highest = x.min(axis=0, keepdims=True), x.max(axis=0, keepdims=True)
    new = np.concatenate([x, mixed(300, seed=1), x * 1.001, lowest - 1, highest + 1])
    # Numbers within 1e-7 of an extreme are scikit-learn's extremes, in whatever unit; ours are the extremes alone.
    new = np.where((np.abs(new - lowest) < 2e-7) | (np.abs(new - highest) < 2e-7), lowest, new)
    got = run_model(*scores(x, new, n_quantiles))["y"]
    np.testing.assert_allclose(got, oracle(x, new, n_quantiles), rtol=0, atol=1e-7)


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, st.tuples(st.integers(2, 30), st.just(1)), elements=st.integers(-5, 5).map(float)),
    st.integers(2, 30),
    arrays(np.float64, (8, 1), elements=st.floats(-6, 6)),
)
def test_ties_are_those_of_scikit_learn(x, n_quantiles, new):
    # Numbers within 1e-7 of an extreme but not on it are scikit-learn's extremes and not ours.
    edges = np.array([x.min(), x.max()])
    new = new[(np.abs(new - edges) > 1e-6).all(axis=1)]
    new = np.concatenate([new, x])
    got = run_model(*scores(x, new, n_quantiles))["y"]
    expected = np.zeros_like(got) if x.min() == x.max() else oracle(x, new, n_quantiles)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-7)


def test_the_reference_implementation_agrees():
    x = mixed(200)
    model, feeds = scores(x, mixed(50, seed=1), 100)
    second = run_reference(model.SerializeToString(), feeds)["y"]
    np.testing.assert_allclose(run_model(model, feeds)["y"], second, rtol=0, atol=1e-12)


def test_small_units_do_not_matter():
    x = mixed(500)[:, :2]
    want = run_model(*scores(x, x, 200))["y"]
    np.testing.assert_allclose(run_model(*scores(x * 2.0**-60, x * 2.0**-60, 200))["y"], want, atol=1e-9)
    np.testing.assert_allclose(run_model(*scores(x * 2.0**300, x * 2.0**300, 200))["y"], want, atol=1e-9)


def test_missing_numbers_do_not_count():
    x = mixed(400)[:, :1]
    holes = np.concatenate([x, np.full((100, 1), np.nan)])
    np.testing.assert_array_equal(run_model(*scores(holes, x, 300))["y"], run_model(*scores(x, x, 300))["y"])


def test_the_inverse_of_the_normal_distribution_is_exact_to_ten_digits():
    share = np.concatenate([np.geomspace(1e-7, 0.5, 5000), 1 - np.geomspace(1e-7, 0.5, 5000), [0.0, 1.0, 0.075, 0.925]])
    g = GraphBuilder()
    g.output(emit_normal_quantile(g, g.input("p", "DOUBLE", ["N"])), "z", "DOUBLE", ["N"])
    got = run_model(g.to_model(), {"p": share})["z"]
    np.testing.assert_allclose(got, norm.ppf(np.clip(share, 1e-7, 1 - 1e-7)), rtol=1e-9, atol=1e-12)


def test_few_distinct_values_make_a_small_table():
    x = np.random.default_rng(0).integers(0, 3, (5000, 4)).astype(float)
    assert Quantiles.fit(x, 1000).knots.shape == (4, 4)


def test_ranks_fit_their_type():
    x = np.arange(12_000.0).reshape(-1, 1)
    assert Quantiles.fit(x, 10_000).last.max() == 9_999


def test_in_the_ingress_medians_stand_for_missing_numbers_and_extremes_are_kept():
    x = mixed(999)[:, :1]
    fitted = Preprocessing.fit(schema_of(*numeric_columns(1)), PreprocessConfig(num_scaler="quantile"), feeds_of_matrix(x))
    got = fitted.transform({"x0": np.array([[np.nan], [1.7e308], [-1.7e308], [np.inf]])})["num"][:, 0]
    np.testing.assert_allclose(got, [0.0, 5.19933758, -5.19933758, 5.19933758], atol=1e-6)


def test_a_spread_below_what_processors_agree_on_is_constant():
    x = np.array([[0.0], [5e-324], [1e-301]])
    fitted = Preprocessing.fit(schema_of(*numeric_columns(1)), PreprocessConfig(num_scaler="quantile"), feeds_of_matrix(x))
    np.testing.assert_array_equal(fitted.transform(feeds_of_matrix(x))["num"], np.zeros((3, 1)))


def test_frequent_extremes_are_parted_as_a_little_noise_would_part_them():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.where(rng.random(3000) < 0.5, 0, rng.random(3000)), np.minimum(rng.normal(size=3000), 0.2)])
    fitted = Quantiles.fit(x, None, extreme=False)
    assert fitted.n_ranks == 100
    g = GraphBuilder()
    g.output(fitted.emit(g, g.input("x", "DOUBLE", ["N", 2])), "y", "DOUBLE", ["N", 2])
    got = run_model(g.to_model(), {"x": x})["y"]
    noisy = x + rng.normal(0, 1e-5, x.shape)
    wanted = QuantileTransformer(n_quantiles=100, output_distribution="normal", subsample=None).fit(noisy).transform(x)
    # Noise moves the two ends themselves, and a middle by half a rank.
    assert np.quantile(np.abs(got - wanted), 0.999) < 0.05
    assert np.abs(got[x[:, 0] == 0, 0] - norm.ppf(0.25)).max() < 0.05
    assert got[:, 0].max() == pytest.approx(5.2, abs=0.01)


@pytest.mark.parametrize(("n_rows", "n_ranks"), [(5, 5), (100, 10), (900, 30), (60_000, 1000)])
def test_the_usual_number_of_quantiles(n_rows, n_ranks):
    assert Quantiles.fit(np.arange(n_rows, dtype=np.float64)[:, None], None).n_ranks == n_ranks
