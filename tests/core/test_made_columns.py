"""Bins, splines, products, principal components and selection: against scikit-learn, from the graph."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, SplineTransformer, StandardScaler

from onnxlearn.errors import ParameterError
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.pca import LONGEST_SUM
from onnxlearn.preprocess.plan import numeric_feature, plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Column
from onnxlearn.testing import check_step
from tests.core.hand_tables import CLASSES, NUMBER, feeds_of_matrix, numeric_columns, schema_of

PLAIN = {"num_scaler": "standard", "smooth_clip": False, "clip": 1e6}


def table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(size=n), rng.gamma(1.5, 1e3, n), 1e6 + rng.normal(size=n), rng.normal(size=n) ** 3])


def fitted(x, y=None, target=NUMBER, weights=None, **options):
    schema = schema_of(*numeric_columns(x.shape[1]), target=target)
    return Preprocessing.fit(schema, PreprocessConfig(**PLAIN | options), feeds_of_matrix(x), y, weights)


def made(steps, x, n_numbers=4):
    """What stands behind the numbers."""
    return steps.transform(feeds_of_matrix(x))["num"][:, n_numbers:]


def both_tables():
    train, new = table(), table(200, seed=1)
    # Far beyond the training rows too.
    new[:4] = [[-1e3] * 4, [1e4] * 4, [1e10] * 4, [-1e10] * 4]
    return train, (train, new)


@pytest.mark.parametrize("n_bins", [2, 5, 17])
def test_bins_are_those_of_scikit_learn(n_bins):
    train, tables = both_tables()
    for encoding, name in (("onehot", "onehot-dense"), ("ordinal", "ordinal")):
        steps = fitted(train, num_bins=n_bins, bin_encoding=encoding)
        oracle = KBinsDiscretizer(n_bins, encode=name, strategy="quantile", quantile_method="linear", subsample=None).fit(train)
        for x in tables:
            want = oracle.transform(x) / (n_bins - 1 if encoding == "ordinal" else 1)
            np.testing.assert_array_equal(made(steps, x), want.astype(np.float32))


def test_edges_that_fall_together_are_one():
    x = np.array([0.0] * 70 + list(range(1, 31))).reshape(-1, 1)
    oracle = KBinsDiscretizer(5, encode="onehot-dense", strategy="quantile", quantile_method="linear", subsample=None)
    with pytest.warns(UserWarning, match="Bins whose width are too small"):
        want = oracle.fit_transform(x)
    got = made(fitted(x, num_bins=5), x, 1)
    np.testing.assert_array_equal(got[:, : want.shape[1]], want)
    assert got.shape[1] == 5
    assert not got[:, want.shape[1] :].any()


@pytest.mark.parametrize("n_splines", [4, 5, 12])
def test_splines_are_those_of_scikit_learn(n_splines):
    train, tables = both_tables()
    steps = fitted(train, num_splines=n_splines)
    oracle = SplineTransformer(n_knots=n_splines - 2, degree=3, knots="quantile", extrapolation="constant").fit(train)
    for x in tables:
        np.testing.assert_allclose(made(steps, x), oracle.transform(x), rtol=1e-5, atol=1e-6)


def test_knots_that_fall_together_are_one():
    x = np.array([0.0] * 70 + list(range(1, 31))).reshape(-1, 1)
    splines = made(fitted(x, num_splines=8), np.array([[-5.0], [0.0], [0.3], [15.0], [30.0], [99.0]]), 1)
    np.testing.assert_allclose(splines.sum(axis=1), 1.0, rtol=1e-6)
    assert splines.min() >= 0
    np.testing.assert_array_equal(splines[0], splines[1])
    np.testing.assert_array_equal(splines[4], splines[5])


@pytest.mark.parametrize("near", [5e-324, 1e-309, 1e-300, 1e-280, 1e-20])
def test_knots_next_to_each_other_give_finite_numbers(near):
    x = np.array([0.0, near, 2 * near, 3 * near, 0.0, 2e5, 1e300]).reshape(-1, 1)
    for rows in (x, x[:5], x[:6]):
        splines = made(fitted(rows, num_splines=6), x, 1)
        assert np.isfinite(splines).all()
        assert np.all((np.abs(splines.sum(axis=1) - 1) < 1e-6) | ~splines.any())


@pytest.mark.parametrize(("degree", "only"), [(2, False), (3, False), (3, True), (4, True)])
def test_products_are_those_of_scikit_learn(degree, only):
    train, tables = both_tables()
    steps = fitted(train, num_polynomial=degree, interactions_only=only)
    scale = StandardScaler().fit(train)
    oracle = PolynomialFeatures(degree, interaction_only=only, include_bias=False).fit(train)
    names = [name.replace(" ", "*") for name in oracle.get_feature_names_out(["x0", "x1", "x2", "x3"])]
    assert list(steps.schema.ingress.num_names) == names
    for x in (tables[0], tables[1][4:]):
        want = oracle.transform(scale.transform(x))
        np.testing.assert_allclose(steps.transform(feeds_of_matrix(x))["num"], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_components_are_those_of_scikit_learn(k, whiten):
    train, tables = both_tables()
    steps = fitted(train, num_pca=k, pca_whiten=whiten)
    scale = StandardScaler().fit(train)
    oracle = PCA(k, whiten=whiten, svd_solver="full").fit(scale.transform(train))
    for x in (tables[0], tables[1][4:]):
        want = oracle.transform(scale.transform(x))
        np.testing.assert_allclose(steps.transform(feeds_of_matrix(x))["num"], want, rtol=1e-4, atol=1e-5)


def test_components_that_training_rows_do_not_have_are_0():
    x = table(3)
    num = fitted(x, num_pca=4, pca_whiten=True).transform(feeds_of_matrix(table(50, seed=2)))["num"]
    assert num[:, :2].any(axis=0).all()
    assert not num[:, 2:].any()


def test_sums_longer_than_a_block_give_the_same_in_every_batch():
    x = np.random.default_rng(0).normal(size=(300, 2 * LONGEST_SUM + 40))
    steps = fitted(x, num_pca=30)
    check_step(steps, feeds_of_matrix(x))
    want = PCA(30, svd_solver="full").fit(StandardScaler().fit_transform(x))
    got = steps.transform(feeds_of_matrix(x))["num"]
    np.testing.assert_allclose(np.abs(got), np.abs(want.transform(StandardScaler().fit_transform(x))), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("k", [1, 5, 13])
def test_the_columns_kept_are_those_of_scikit_learn(k):
    x = table()
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 2, len(x))
    numbers = x[:, 0] * x[:, 3] + rng.normal(size=len(x))
    for truth, target, score in ((classes, CLASSES, f_classif), (numbers.reshape(-1, 1), NUMBER, f_regression)):
        steps = fitted(x, truth, target, num_polynomial=2, num_select=k)
        every = fitted(x, num_polynomial=2).transform(feeds_of_matrix(x))["num"]
        oracle = SelectKBest(score, k=k).fit(every.astype(np.float64), truth.ravel())
        np.testing.assert_array_equal(steps.kept, oracle.get_support())
        num = steps.transform(feeds_of_matrix(x))["num"]
        np.testing.assert_array_equal(num, np.where(steps.kept, every, 0))


def test_rows_without_weight_do_not_count_for_selection():
    x = table()
    y = np.where(np.arange(300) < 150, x[:, 0], 1e3 * x[:, 1]).reshape(-1, 1)
    first = fitted(x, y, weights=(np.arange(300) < 150) * 3.0, num_select=1)
    np.testing.assert_array_equal(first.kept, [True, False, False, False])
    np.testing.assert_array_equal(fitted(x, y, num_select=1).kept, [False, True, False, False])


def test_what_is_too_much_is_refused():
    schema = schema_of(*numeric_columns(4))
    for options, message in (
        ({"num_pca": 5}, "num_pca=5 is more than the 4 scaled columns that there are, 'x0', 'x1', 'x2', 'x3': give at most 4"),
        ({"num_select": 5}, "num_select=5 is more than the 4 columns of num: give at most 4"),
    ):
        with pytest.raises(ParameterError, match=message):
            plan_ingress(schema, PreprocessConfig(**options))
    with pytest.raises(ParameterError, match="num_polynomial=4 makes 211830 columns of 45 numbers: at most 10000"):
        plan_ingress(schema_of(*numeric_columns(45)), PreprocessConfig(num_polynomial=4))


def test_names_kinds_and_sources_tell_what_columns_are_made_of():
    config = PreprocessConfig(num_polynomial=2, num_splines=4, num_bins=2, num_pca=1)
    ingress = plan_ingress(schema_of(*numeric_columns(2)), config)
    splines = [f"{name}:spline{i}" for name in ("x0", "x1") for i in (1, 2, 3, 4)]
    bins = ["x0:bin1", "x0:bin2", "x1:bin1", "x1:bin2"]
    assert list(ingress.num_names) == ["pca1", "x0^2", "x0*x1", "x1^2", *splines, *bins]
    assert list(ingress.num_sources) == ["", "x0", "", "x1", *["x0"] * 4, *["x1"] * 4, "x0", "x0", "x1", "x1"]
    assert list(ingress.num_kinds) == ["number"] * 12 + ["flag"] * 4


def test_components_have_features_that_can_be_named():
    schema = schema_of(Column(name="city", kind="categorical", dtype="str", levels=("a", "b")), *numeric_columns(2))
    config = PreprocessConfig(num_pca=2, cat_encoding="embedding")
    assert numeric_feature(schema, plan_ingress(schema, config)) == "x0"
