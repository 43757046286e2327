"""Imputing, clipping and scaling of numbers, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.params import build_configs
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.scaling import locate, standard_deviation
from onnxlearn.schema import Column
from tests.core.hand_tables import (
    AGE,
    FLOATS,
    OWNED,
    SIZE,
    STRICT,
    draw_feeds,
    feed,
    feeds_of_matrix,
    numeric_columns,
    run_model,
    schema_of,
)

SCALERS = ("standard", "robust", "minmax", "quantile", "yeo_johnson", "box_cox", "none")


def fit_matrix(x, **settings):
    return Preprocessing.fit(schema_of(*numeric_columns(x.shape[1])), PreprocessConfig(**settings), feeds_of_matrix(x))


def num_of(x, new=None, **settings):
    return fit_matrix(x, **settings).transform(feeds_of_matrix(x if new is None else new))["num"]


def table(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) * [1, 1e6, 1e-6, 1][:k] + [0, 1.7e9, 0, -5][:k]


@pytest.mark.parametrize(
    ("scaler", "oracle"),
    [("standard", StandardScaler()), ("robust", RobustScaler()), ("minmax", MinMaxScaler())],
)
def test_scaling_is_that_of_scikit_learn(scaler, oracle):
    x = table()
    new = table(seed=1)
    got = num_of(x, new, num_scaler=scaler, smooth_clip=False)
    np.testing.assert_allclose(got, oracle.fit(x).transform(new), rtol=1e-6, atol=1e-6)


def test_no_scaling_hands_numbers_on():
    x = table(k=1)
    np.testing.assert_array_equal(num_of(x, num_scaler="none"), x.astype(np.float32))


@pytest.mark.parametrize("scaler", ["standard", "robust"])
def test_smooth_clip_bends_scaled_numbers(scaler):
    x = table()
    plain = num_of(x, num_scaler=scaler, smooth_clip=False).astype(np.float64)
    np.testing.assert_allclose(num_of(x, num_scaler=scaler), plain / np.sqrt(1 + (plain / 3) ** 2), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scaler", ["minmax", "quantile", "none"])
def test_smooth_clip_leaves_other_scalings_alone(scaler):
    x = table()
    np.testing.assert_array_equal(num_of(x, num_scaler=scaler), num_of(x, num_scaler=scaler, smooth_clip=False))


@pytest.mark.parametrize("strategy", ["mean", "median", "constant"])
@pytest.mark.parametrize("scaler", ["standard", "robust", "minmax", "none"])
def test_missing_numbers_are_imputed_as_by_scikit_learn(strategy, scaler):
    x = table(k=1)
    holes = np.where(np.random.default_rng(2).random(x.shape) < 0.2, np.nan, x)
    settings = {"num_scaler": scaler, "smooth_clip": False}
    oracle = SimpleImputer(strategy=strategy, fill_value=0.25)
    filled = oracle.fit(holes).transform(holes)
    got = num_of(holes, num_impute=strategy, impute_value=0.25, **settings)
    # What is present decides the scale; what stands for a missing number is scaled like any number.
    np.testing.assert_allclose(got, num_of(holes, filled, **settings), rtol=1e-6, atol=1e-6)


def test_robust_scaling_of_equal_quartiles_takes_half_the_range():
    x = np.array([[0.0]] * 20 + [[4.0]])
    assert num_of(x, num_scaler="robust", smooth_clip=False)[-1, 0] == 2.0


def test_a_mean_of_billions_keeps_a_deviation_of_one():
    x = 1.7e9 + np.random.default_rng(0).normal(size=(500, 1))
    expected = (x - x.mean()) / x.std()
    np.testing.assert_allclose(num_of(x, num_scaler="standard", smooth_clip=False), expected, atol=1e-6)


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("value", [0.0, 3.25, -1.7e308, 5e-324, np.nan])
def test_a_constant_column_is_zero_for_every_input(scaler, value):
    x = np.column_stack([np.full(30, value), np.arange(30.0)])
    extreme = np.array([1.7e308, -1.7e308, np.inf, -np.inf, np.nan, 0.0, 1.0, 5e-324, value])
    got = num_of(x, np.column_stack([extreme, np.zeros(len(extreme))]), num_scaler=scaler)
    np.testing.assert_array_equal(got[:, 0], np.zeros(len(extreme)))


@pytest.mark.parametrize("scaler", SCALERS)
def test_a_constant_with_holes_is_zero_and_its_indicator_tells(scaler):
    column = feed(AGE, [5.0, np.nan] * 10)
    got = Preprocessing.fit(schema_of(AGE), PreprocessConfig(num_scaler=scaler), {"age": column}).transform({"age": column})
    np.testing.assert_array_equal(got["num"], [[0.0, 0.0], [0.0, 1.0]] * 10)


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, -1.7e308, 0.0],
        [5e-324, 0.0, 1e-323],
        [1e-308, 3e-308, 2e-307],
        [1.7e9, 1.7e9 + 1, 1.7e9 + 2],
        [1.0, np.nextafter(1.0, 2.0), 1.0],
        [1e300, 1e299, 2.0],
        [3e38, 4e38, -4e38],
    ],
)
def test_every_input_gives_a_finite_number(scaler, values):
    x = np.array(values).reshape(-1, 1)
    hostile = np.array([*values, 1.7e308, -1.7e308, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 0.0]).reshape(-1, 1)
    with np.errstate(all="raise", under="ignore"):
        got = num_of(x, hostile, num_scaler=scaler)
    assert np.isfinite(got).all()
    if scaler != "none":
        assert np.abs(got).max() <= 100.001


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=FLOATS), st.sampled_from(SCALERS))
def test_drawn_numbers_stay_finite_and_in_order(x, scaler):
    new = np.sort(np.concatenate([x, [[1.7e308] * 2, [-1.7e308] * 2, [0.5] * 2]]), axis=0)
    got = num_of(x, new, num_scaler=scaler)
    assert np.isfinite(got).all()
    for column, given_ in zip(got.T, new.T, strict=True):
        assert (np.diff(column[~np.isnan(given_)]) >= 0).all()


@pytest.mark.parametrize("scaler", ["standard", "robust", "minmax"])
def test_clip_is_in_scaled_units(scaler):
    got = num_of(table(k=1), np.array([[1e9], [-1e9]]), num_scaler=scaler, clip=7.0, smooth_clip=False)
    np.testing.assert_allclose(got[:, 0], [7.0, -7.0], rtol=1e-6)


def test_unscaled_numbers_end_where_float32_can_square_them():
    got = num_of(np.array([[0.0], [1e30], [5.0]]), np.array([[1e300]]), num_scaler="none")
    assert got[0, 0] == np.float32(1e18)


def test_booleans_are_minus_one_and_one_and_missing_is_between():
    column = feed(OWNED, [0, 1, np.nan, 1])
    got = Preprocessing.fit(schema_of(OWNED), PreprocessConfig(), {"owned": column}).transform({"owned": column})
    np.testing.assert_array_equal(got["num"], [[-1, 0], [1, 0], [0, 1], [1, 0]])


@pytest.mark.parametrize("scaler", SCALERS)
def test_strict_booleans_enter_alike_whatever_the_scaling(scaler):
    column = feed(STRICT, [False, True, True])
    got = Preprocessing.fit(schema_of(STRICT), PreprocessConfig(num_scaler=scaler), {"strict": column})
    np.testing.assert_array_equal(got.transform({"strict": column})["num"], [[-1], [1], [1]])


def test_float32_columns_are_scaled_like_the_doubles_they_are():
    values = np.random.default_rng(0).normal(1e6, 1, 100).astype(np.float32)
    feeds, config = {"size": feed(SIZE, values)}, PreprocessConfig(num_scaler="standard", smooth_clip=False)
    got = Preprocessing.fit(schema_of(SIZE), config, feeds).transform(feeds)["num"][:, 0]
    doubles = values.astype(np.float64)
    np.testing.assert_allclose(got, (doubles - doubles.mean()) / doubles.std(), atol=1e-6)


def test_indicators_are_there_only_where_the_schema_has_missing_values():
    schema = schema_of(AGE, SIZE, OWNED)
    feeds = draw_feeds(schema, 50)
    fitted = Preprocessing.fit(schema, PreprocessConfig(), feeds)
    assert fitted.schema.ingress.num_names == ("age", "size", "owned", "age:missing", "owned:missing")
    np.testing.assert_array_equal(fitted.transform(feeds)["num"][:, 3], np.isnan(feeds["age"][:, 0]))
    without = Preprocessing.fit(schema, PreprocessConfig(missing_indicator=False), feeds)
    assert without.schema.ingress.num_names == ("age", "size", "owned")


@pytest.mark.parametrize("training", [[1.0, 2.0, 3.0], [np.nan, np.nan, np.nan]])
def test_an_indicator_that_never_varied_is_always_zero(training):
    fitted = Preprocessing.fit(schema_of(AGE), PreprocessConfig(), {"age": feed(AGE, training)})
    np.testing.assert_array_equal(fitted.transform({"age": feed(AGE, [np.nan, 1.0])})["num"][:, 1], [0, 0])


@pytest.mark.parametrize(
    ("n_missing", "params", "trained"),
    [
        (3, {}, True),
        (2, {}, False),
        (397, {}, False),
        (396, {}, True),
        (2, {"min_level_rows": 2}, True),
        (4, {"min_level_rows": 5}, False),
    ],
)
def test_an_indicator_has_rows_enough_on_either_side_or_is_always_zero(n_missing, params, trained):
    """Of 399 rows, whose hundredth is 3: a weight trained on a row or two is noise."""
    values = np.r_[np.full(n_missing, np.nan), np.arange(399.0 - n_missing)]
    fitted = Preprocessing.fit(schema_of(AGE), PreprocessConfig(**params), {"age": feed(AGE, values)})
    np.testing.assert_array_equal(fitted.transform({"age": feed(AGE, [np.nan, 1.0])})["num"][:, 1], [trained, 0])


def test_only_training_rows_are_looked_at():
    x = table()
    fitted = fit_matrix(x)
    before = fitted.to_model().SerializeToString(deterministic=True)
    fitted.transform(feeds_of_matrix(x * 100))
    assert fitted.to_model().SerializeToString(deterministic=True) == before


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e150, 1e150, width=64)))
def test_the_standard_deviation_is_that_of_numpy(values):
    if np.ptp(values) < 1e-140:
        return
    assert standard_deviation(values) == pytest.approx(values.std(), rel=1e-9)


def test_the_standard_deviation_neither_overflows_nor_vanishes():
    assert standard_deviation(np.array([-1e300, 1e300])) == pytest.approx(1e300)
    assert standard_deviation(np.array([-1e-300, 1e-300])) == pytest.approx(1e-300)


def test_no_values_have_a_location():
    assert locate(np.empty(0), "standard") == (0.0, 0.0)


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="at least one row, not on an empty table"):
        fit_matrix(np.empty((0, 2)))


def test_wide_tables_take_a_handful_of_nodes():
    x = np.random.default_rng(0).normal(size=(20, 500))
    model = fit_matrix(x).to_model()
    assert len(model.graph.node) <= 16
    assert run_model(model, feeds_of_matrix(x))["prep/num"].shape == (20, 500)


def test_parameters_are_checked_like_those_of_a_learner():
    with pytest.raises(ParameterError, match=r"n_quantiles has to be int \| None >= 2, <= 10000, not 1"):
        build_configs([PreprocessConfig], {"n_quantiles": 1}, owner="preprocessing")
    with pytest.raises(ParameterError, match="clip has to be float > 0, <= 1e"):
        build_configs([PreprocessConfig], {"clip": 0}, owner="preprocessing")
    with pytest.raises(ParameterError, match="names a part twice: year, year; name each once"):
        PreprocessConfig(datetime_parts=("year", "year"))


def test_a_column_may_be_called_like_an_ingress():
    columns = [Column(name=name, kind="numeric", dtype="float64") for name in ("num", "cat", "Gather_0")]
    feeds = {name: np.array([[1.0], [2.0]]) for name in ("num", "cat", "Gather_0")}
    assert Preprocessing.fit(schema_of(*columns), PreprocessConfig(), feeds).transform(feeds)["num"].shape == (2, 3)
