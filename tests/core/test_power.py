"""Yeo-Johnson and Box-Cox: against scikit-learn, and the graph against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import PowerTransformer

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.power import Power
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.testing import run_reference
from tests.core.hand_tables import FLOATS, feeds_of_matrix, numeric_columns, run_model, schema_of

METHODS = {"yeo_johnson": "yeo-johnson", "box_cox": "box-cox"}
PLAIN = {"smooth_clip": False, "clip": 1e6}
HOSTILE = [1.7e308, -1.7e308, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 0.0, -0.0, 1e-300, 1.0, -1.0, 1e300]


def fitted(x, scaler, **options):
    return Preprocessing.fit(
        schema_of(*numeric_columns(x.shape[1])), PreprocessConfig(num_scaler=scaler, **options), feeds_of_matrix(x)
    )


def positive(n=400, seed=0):
    rng = np.random.default_rng(seed)
    columns = [
        np.exp(rng.normal(size=n)),
        rng.gamma(2.0, 1e-3, n),
        rng.gamma(0.5, 1e4, n),
        10 - 9.9 * rng.beta(1, 4, n),
        1 + rng.poisson(3, n),
        rng.normal(50, 4, n),
    ]
    return np.column_stack(columns)


def of_both_signs(n=400, seed=0):
    x = positive(n, seed)
    return np.column_stack([x, -x, x - np.median(x, axis=0), np.random.default_rng(seed).normal(size=n)])


def graph_of(power, k):
    g = GraphBuilder()
    x = g.input("x", "DOUBLE", ["N", k])
    within = g.op("Min", g.op("Max", x, g.const(power.low)), g.const(power.high))
    g.output(power.emit(g, within), "y", "DOUBLE", ["N", k])
    return g.to_model()


@pytest.mark.parametrize(
    ("scaler", "table"), [("box_cox", positive), ("yeo_johnson", positive), ("yeo_johnson", of_both_signs)]
)
def test_scores_and_exponents_are_those_of_scikit_learn(scaler, table):
    x, new = table(), table(100, seed=1)
    if scaler == "yeo_johnson":
        # Numbers of the other sign than those of training, too.
        new = np.concatenate([new, -new])
    oracle = PowerTransformer(method=METHODS[scaler]).fit(x)
    steps = fitted(x, scaler, **PLAIN)
    power = steps.power
    np.testing.assert_allclose(power.rate[1], oracle.lambdas_, rtol=1e-6, atol=1e-6)
    want = np.clip(oracle.transform(new), -1e6, 1e6)
    np.testing.assert_allclose(steps.transform(feeds_of_matrix(new))["num"], want, rtol=2e-6, atol=2e-6)


def test_missing_numbers_do_not_count():
    x = of_both_signs(100)[:, :2]
    holes = np.concatenate([x, np.full((30, 2), np.nan)])
    np.testing.assert_array_equal(Power.fit(holes, box_cox=True).rate, Power.fit(x, box_cox=True).rate)


def test_box_cox_takes_yeo_johnson_where_a_number_is_not_positive():
    x = np.column_stack([positive(100)[:, 0]] * 3)
    x[0, 1], x[0, 2] = 0.0, -1.0
    box_cox, yeo_johnson = Power.fit(x, box_cox=True), Power.fit(x, box_cox=False)
    assert box_cox.shift.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(box_cox.rate[:, 1:], yeo_johnson.rate[:, 1:])


@pytest.mark.parametrize("smooth_clip", [False, True])
def test_numbers_that_box_cox_does_not_know_count_as_the_smallest(smooth_clip):
    steps = fitted(positive()[:, :1], "box_cox", smooth_clip=smooth_clip)
    got = steps.transform({"x0": np.array([[-np.inf], [-1e9], [0.0], [1e-310], [1e-3], [1.0]])})["num"][:, 0]
    assert (got[:4] == got[0]).all()
    assert got[0] < got[4] < got[5]
    assert got[0] >= (-3 if smooth_clip else -100.001)


def test_numbers_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(0)
    near = np.exp(rng.normal(size=(500, 1)) / 2)
    far = [1.7e9 + np.round(near * 2**20) / 2**20, -1.7e9 + np.round(near * 2**20) / 2**20]
    for x in far:
        for scaler in METHODS:
            steps = fitted(x, scaler, smooth_clip=False)
            shown = np.sort(steps.transform(feeds_of_matrix(np.sort(x, axis=0)))["num"][:, 0])
            # No two become one, and half of them lie on either side of 0, as of a normal distribution.
            assert len(np.unique(shown)) == len(np.unique(x))
            assert abs(np.median(shown)) < 0.1


def test_the_reference_implementation_agrees():
    x = of_both_signs(200)
    power = Power.fit(x, box_cox=True)
    model, feeds = graph_of(power, x.shape[1]), {"x": of_both_signs(50, seed=1)}
    second = run_reference(model.SerializeToString(), feeds)["y"]
    np.testing.assert_allclose(run_model(model, feeds)["y"], second, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=80)
@given(arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=FLOATS), st.booleans(), st.booleans())
def test_the_graph_gives_what_numpy_gives_and_inverts(x, box_cox, as_positive):
    x = np.abs(x) if as_positive else x
    with np.errstate(all="raise", under="ignore"):
        power = Power.fit(x, box_cox=box_cox)
        new = np.concatenate([x, np.column_stack([HOSTILE, HOSTILE])])
        new = np.clip(np.where(np.isnan(new), 0.5, new), -1e300, 1e300)
        want = np.column_stack([power.column(i).transform(new[:, i]) for i in range(2)])
        back = np.column_stack([power.column(i).inverse(want[:, i]) for i in range(2)])
    assert np.isfinite(want).all()
    assert ((back >= power.low) & (back <= power.high)).all()
    got = run_model(graph_of(power, 2), {"x": new})["y"]
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-300)


def test_the_inverse_gives_the_numbers_back():
    x = of_both_signs()
    power = Power.fit(x, box_cox=True)
    for i in range(x.shape[1]):
        column = power.column(i)
        np.testing.assert_allclose(column.inverse(column.transform(x[:, i])), x[:, i], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scaler", METHODS)
@pytest.mark.parametrize("n_rows", [1, 2])
def test_few_rows(scaler, n_rows):
    x = positive(n_rows)
    got = fitted(x, scaler).transform(feeds_of_matrix(np.concatenate([x, x * 3])))["num"]
    assert np.isfinite(got).all()
    assert fitted(x, scaler).transform(feeds_of_matrix(np.empty((0, x.shape[1]))))["num"].shape == (0, x.shape[1])
