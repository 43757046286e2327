"""Scaling of regression targets and its inverse in the graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.preprocess.target import LARGEST_TARGET, TargetScaling
from tests.core.hand_tables import run_model

ORACLES = {"standard": StandardScaler(), "robust": RobustScaler(), "minmax": MinMaxScaler()}


def emitted_inverse(scaling, z):
    g = GraphBuilder()
    value = g.input("z", "FLOAT", ["N", z.shape[1]])
    g.output(scaling.emit_inverse(g, value), "y", "DOUBLE", ["N", z.shape[1]])
    return run_model(g.to_model(), {"z": z})["y"]


@pytest.mark.parametrize("kind", ORACLES)
def test_scaling_is_that_of_scikit_learn(kind):
    y = np.random.default_rng(0).normal([5.0, -1e6], [1.0, 300.0], (200, 2))
    scaling = TargetScaling.fit(y, kind)
    np.testing.assert_allclose(scaling.transform(y), ORACLES[kind].fit_transform(y), rtol=1e-5, atol=1e-6)
    assert scaling.transform(y).dtype == np.float32


def test_none_leaves_the_target_alone():
    y = np.array([[1.5], [2.5]])
    scaling = TargetScaling.fit(y, "none")
    np.testing.assert_array_equal(scaling.transform(y), y)
    np.testing.assert_array_equal(emitted_inverse(scaling, y.astype(np.float32)), y)


@pytest.mark.parametrize("kind", [*ORACLES, "none"])
def test_the_graph_inverts_like_numpy(kind):
    y = np.random.default_rng(0).normal([5.0, -1e6], [1.0, 300.0], (200, 2))
    scaling = TargetScaling.fit(y, kind)
    z = scaling.transform(y)
    got = emitted_inverse(scaling, z)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, scaling.inverse(z))
    np.testing.assert_allclose(got, y, rtol=1e-6, atol=1e-5)


def test_a_mean_of_billions_keeps_its_digits():
    y = 1.7e9 + np.random.default_rng(0).normal(size=(500, 1))
    scaling = TargetScaling.fit(y, "standard")
    assert np.abs(emitted_inverse(scaling, scaling.transform(y)) - y).max() < 1e-6


@pytest.mark.parametrize("kind", [*ORACLES, "none"])
@pytest.mark.parametrize("value", [0.0, 7.5, -1e250])
def test_a_constant_target_is_predicted_as_it_is(kind, value):
    scaling = TargetScaling.fit(np.full((9, 1), value), kind)
    z = np.float32(0.3) if kind != "none" else np.float32(value if abs(value) < 1e30 else 0)
    expected = value if kind != "none" or abs(value) < 1e30 else 0.0
    # Whatever the network says.
    np.testing.assert_array_equal(scaling.inverse(np.array([[z]])), [[expected]])
    np.testing.assert_array_equal(emitted_inverse(scaling, np.array([[z]])), [[expected]])
    assert (scaling.unit > 0).all()


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    y, times = rng.normal(3, 2, (40, 2)), rng.integers(1, 4, 40)
    weighted = TargetScaling.fit(y, "standard", times.astype(float))
    repeated = TargetScaling.fit(np.repeat(y, times, axis=0), "standard")
    np.testing.assert_allclose([weighted.center, weighted.scale], [repeated.center, repeated.scale])


@pytest.mark.parametrize("kind", ORACLES)
def test_rows_of_weight_zero_do_not_count(kind):
    y = np.array([[1.0], [2.0], [4.0], [1e9]])
    got = TargetScaling.fit(y, kind, np.array([1.0, 1.0, 1.0, 0.0]))
    want = TargetScaling.fit(y[:3], kind)
    np.testing.assert_allclose([got.center, got.scale], [want.center, want.scale])


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 2)), elements=st.floats(-1e250, 1e250)),
    st.sampled_from(["standard", "robust", "minmax"]),
)
def test_drawn_targets_come_back(y, kind):
    scaling = TargetScaling.fit(y, kind)
    z = scaling.transform(y)
    assert np.isfinite(z).all()
    difference = np.abs(scaling.inverse(z) - y) / scaling.unit
    assert (difference <= 1e-5 * np.maximum(1, np.abs(z)))[np.abs(z) < 1e17].all()


def test_targets_that_cannot_be_scaled_are_refused():
    with pytest.raises(DataError, match=r"a target has to lie within ±1e\+250, not -1.5e\+308: divide it by a constant"):
        TargetScaling.fit(np.array([[1.0], [-1.5e308]]), "standard")


@pytest.mark.parametrize("kind", ORACLES)
def test_every_output_of_a_network_is_a_finite_prediction(kind):
    scaling = TargetScaling.fit(np.array([[-LARGEST_TARGET], [0.0], [LARGEST_TARGET]]), kind)
    largest = np.finfo(np.float32).max
    assert np.isfinite(scaling.inverse(np.array([[largest], [-largest]]))).all()


def test_clipped_predictions_keep_within_the_range_of_the_rows_that_count():
    y, weights = np.array([[1.0, 10.0], [3.0, 30.0], [99.0, 50.0]]), np.array([1.0, 1.0, 0.0])
    scaling = TargetScaling.fit(y, "standard", weights, clip=True)
    z = np.array([[-9.0, -9.0], [0.0, 0.0], [9.0, 9.0]], np.float32)
    assert scaling.inverse(z).tolist() == [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]
    np.testing.assert_array_equal(emitted_inverse(scaling, z), scaling.inverse(z))
