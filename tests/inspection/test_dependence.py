"""Partial dependence: as scikit-learn's on the same values; every kind of column, missing, two columns, bad input."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import partial_dependence

import onnxlearn as ol
from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, ParameterError
from onnxlearn.inspection import copies
from onnxlearn.inspection.grid import automatic_grid, given_grid
from onnxlearn.schema import MISSING_INT64, Column


def table(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.lognormal(size=n),
            "count": rng.poisson(2, n),
            "city": rng.choice(["Bonn", "Köln", "Ulm"], n),
            "size": pd.Categorical.from_codes(rng.integers(0, 3, n), ["S", "M", "L"], ordered=True),
            "flag": rng.random(n) < 0.4,
            "day": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 2000, n), "D"),
            "took": pd.to_timedelta(rng.integers(1, 5000, n), "s"),
            "w": rng.random(n) + 0.1,
        }
    )
    y = np.log(frame["x"]) + frame["count"] * frame["flag"] + (frame["city"] == "Bonn") + frame["day"].dt.month / 6
    frame.loc[::9, "x"] = np.nan
    frame.loc[::11, "day"] = pd.NaT
    frame.loc[::13, "city"] = None
    return frame.assign(y=y + rng.normal(size=n) / 10)


@pytest.fixture(scope="module")
def task() -> ol.Task:
    return ol.Task.from_frame(table(), "y", weight="w")


@pytest.fixture(scope="module")
def model(task) -> ol.Model:
    return ol.learner("mlp", max_epochs=8, seed=0).fit(task, progress=False)


@pytest.fixture(scope="module")
def penguins() -> ol.Model:
    return ol.learner("linear", max_epochs=10, seed=0).fit(ol.example_task("penguins"), progress=False)


class Regressor(RegressorMixin, BaseEstimator):
    def __init__(self, model=None) -> None:
        self.model = model

    def fit(self, table, truth):
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, table):
        return self.model.predict(table).response


class Classifier(ClassifierMixin, Regressor):
    @property
    def classes_(self):
        return np.array(self.model.schema.target.classes)

    def predict_proba(self, table):
        return self.model.predict(table).prob


@pytest.mark.parametrize(("column", "values"), [("x", [0.1, 0.5, 1.0, 5.0]), ("count", [0.0, 3.0]), ("city", ["Bonn", "Ulm"])])
def test_the_numbers_are_those_of_scikit_learn(model, task, column, values) -> None:
    ours = ol.partial_dependence(model, task, column, grid=values, kind="both")
    frame = task.frame.assign(count=task.frame["count"].astype(float))
    theirs = partial_dependence(
        Regressor(model), frame, [column], custom_values={column: np.array(values, object if column == "city" else float)},
        categorical_features=["city"], kind="both",
    )  # fmt: skip
    np.testing.assert_allclose(ours.individual[:, :, 0], theirs["individual"][0], rtol=1e-5)
    weighted = np.average(theirs["individual"][0], axis=0, weights=task.frame["w"])
    np.testing.assert_allclose(ours.average[:, 0], weighted, rtol=1e-5)
    assert ours.to_frame()[column].tolist() == values


def test_classes_are_those_of_scikit_learn(penguins) -> None:
    task = ol.example_task("penguins")
    frame = task.frame.dropna()
    values = np.quantile(frame["bill_length_mm"], [0.1, 0.5, 0.9])
    ours = ol.partial_dependence(penguins, frame, "bill_length_mm", grid=values)
    theirs = partial_dependence(
        Classifier(penguins), frame, ["bill_length_mm"], custom_values={"bill_length_mm": values}, method="brute",
        response_method="predict_proba", kind="average",
    )  # fmt: skip
    np.testing.assert_allclose(ours.average.T, theirs["average"], rtol=1e-5)
    assert ours.outputs == ("Adelie", "Chinstrap", "Gentoo")


def test_a_point_is_the_mean_prediction_of_rows_that_all_have_its_value(model, task) -> None:
    """The definition, for every kind of column and for missing."""
    for column in ("x", "count", "city", "size", "flag", "day", "took"):
        found = ol.partial_dependence(model, task, column, n_points=3)
        (grid,) = found.grids
        for i in (0, len(grid) - 1):
            frame = task.frame.copy()
            value = pd.to_timedelta(grid.shown[i], "s") if column == "took" else grid.shown[i]
            frame[column] = [value] * len(frame)
            mean = np.average(model.predict(frame).response, weights=frame["w"])
            assert found.average[i, 0] == pytest.approx(mean, rel=1e-5), (column, value)


def test_two_columns_are_a_surface(model, task) -> None:
    found = ol.partial_dependence(model, task, ["count", "city"], grid={"count": [0, 4]})
    assert [len(grid) for grid in found.grids] == [2, 4]
    assert found.average.shape == (2, 4, 1)
    frame = task.frame.assign(count=4, city="Köln")
    assert found.average[1, 1, 0] == pytest.approx(np.average(model.predict(frame).response, weights=frame["w"]), rel=1e-5)
    rows = found.to_frame()
    assert rows.columns.tolist() == ["count", "city", "prediction"]
    assert rows.query("count == 4 and city == 'Köln'")["prediction"].item() == found.average[1, 1, 0]


def test_memory_and_stacks_change_nothing(model, task, monkeypatch) -> None:
    whole = ol.partial_dependence(model, task, "x", kind="both")
    monkeypatch.setattr(copies, "BLOCK_ROWS", 1)
    parts = ol.partial_dependence(model, task, "x", kind="both")
    np.testing.assert_allclose(parts.individual, whole.individual, rtol=1e-5)


def test_curves_of_rows_come_in_a_long_table(penguins) -> None:
    frame = ol.example_task("penguins").frame.head(3)
    found = ol.partial_dependence(penguins, frame, "island", kind="individual", of=["Gentoo"])
    assert found.average is None
    curves = found.to_frame()
    assert curves.index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert curves.columns.tolist() == ["island", "prob_Gentoo"]
    expected = penguins.predict(frame.assign(island="Dream")).prob[:, 2]
    np.testing.assert_allclose(curves[curves["island"] == "Dream"]["prob_Gentoo"], expected, rtol=1e-5)


def test_of_two_classes_the_positive_one_is_shown() -> None:
    task = ol.example_task("moons")
    model = ol.learner("linear", max_epochs=3).fit(task, progress=False)
    positive = task.schema.target.positive
    name = task.schema.feature_names[0]
    assert ol.partial_dependence(model, task, name).outputs == (positive,)
    assert ol.partial_dependence(model, task, name, of=task.schema.target.classes).average.sum(axis=1) == pytest.approx(1)
    assert ol.partial_dependence(model, task, name, of=[str(positive)]).outputs == (positive,)


def test_several_targets() -> None:
    task = ol.example_task("linnerud")
    model = ol.learner("linear", max_epochs=3, validation=None).fit(task, progress=False)
    found = ol.partial_dependence(model, task, task.schema.feature_names[0], n_points=3)
    assert found.average.shape == (3, 3)
    assert found.to_frame().columns.tolist()[1:] == [f"prediction_{name}" for name in task.schema.target.names]
    found.plot()
    last = ol.partial_dependence(model, task, task.schema.feature_names[0], of=task.schema.target.names[2:], n_points=3)
    np.testing.assert_array_equal(last.average[:, 0], found.average[:, 2])
    assert last.to_frame().columns.tolist()[1:] == found.to_frame().columns.tolist()[3:]


# Grids


def number(**facts) -> Column:
    return Column(**{"name": "x", "kind": "numeric", "dtype": "float64", **facts})


def test_numbers_have_quantiles_that_occur() -> None:
    values = np.append(np.arange(1000.0), np.nan)[:, None]
    grid = automatic_grid(number(), values, 10)
    assert grid.shown == (49.0, 149.0, 249.0, 349.0, 449.0, 549.0, 649.0, 749.0, 849.0, 949.0)
    assert automatic_grid(number(has_missing=True), values, 10).shown[-1] is None


def test_few_values_are_all_in_the_grid() -> None:
    grid = automatic_grid(number(dtype="int64"), np.array([[3.0], [1.0], [3.0]]), 10)
    assert grid.shown == (1, 3)
    assert all(isinstance(value, int) for value in grid.shown)


def test_dates_are_exact_and_missing_is_none_of_them() -> None:
    column = Column(name="day", kind="datetime", dtype="naive", has_missing=True)
    last = 2**60 + 1
    grid = automatic_grid(column, np.array([[MISSING_INT64], [0], [last]]), 5)
    assert grid.wire.tolist() == [0, last, MISSING_INT64]
    assert grid.shown == (np.datetime64(0, "us"), np.datetime64(last, "us"), None)


def test_levels_and_booleans() -> None:
    column = Column(name="c", kind="categorical", dtype="int64", levels=(1, 7), has_missing=True)
    assert automatic_grid(column, np.array([[1]]), 5).wire.tolist() == [1, 7, MISSING_INT64]
    flag = Column(name="f", kind="boolean", dtype="bool", has_missing=True)
    grid = automatic_grid(flag, np.array([[1.0]]), 5)
    assert grid.shown == (False, True, None)
    assert np.isnan(grid.wire[-1])
    strict = Column(name="f", kind="boolean", dtype="bool", strict_bool=True)
    assert automatic_grid(strict, np.array([[True]]), 5).wire.dtype == np.bool_


def test_a_column_without_levels_needs_a_grid() -> None:
    column = Column(name="c", kind="categorical", dtype="str", has_missing=True)
    with pytest.raises(DataError, match="column 'c' has no levels: give its values as grid="):
        automatic_grid(column, np.array([[""]], object), 5)
    assert given_grid(column, ["new", None]).shown == ("new", None)


def test_a_path_is_no_model() -> None:
    for function in (ol.importance, ol.partial_dependence):
        with pytest.raises(ParameterError, match=r"has to be a Model, not 'm\.onnx': ol\.load"):
            function("m.onnx", "example:penguins", **({"columns": "sex"} if function is ol.partial_dependence else {}))


def test_given_values_are_read_as_rows_are() -> None:
    day = Column(name="day", kind="datetime", dtype="naive")
    assert given_grid(day, [dt.date(1970, 1, 2), None]).wire.tolist() == [86_400_000_000, MISSING_INT64]
    assert given_grid(number(), np.array([1, 2])).shown == (1.0, 2.0)
    with pytest.raises(DataTypeError, match="column 'x', value 1 of the grid: expected a number"):
        given_grid(number(), [1, "two"])
    with pytest.raises(ParameterError, match="has to be a list of values"):
        given_grid(number(), [])


def test_a_column_without_a_value_needs_a_grid(model, task) -> None:
    frame = task.frame.assign(x=np.nan)
    with pytest.raises(DataError, match="column 'x' is missing in all rows: give its values as grid="):
        ol.partial_dependence(model, frame, "x")
    assert ol.partial_dependence(model, frame, "x", grid=[1.0, None]).average.shape == (2, 1)


# Plots


def test_plots_of_every_kind_of_column(model, task) -> None:
    for column in ("x", "count", "city", "size", "flag", "day", "took"):
        found = ol.partial_dependence(model, task, column, kind="both", n_points=4)
        ax = found.plot()
        assert ax.get_xlabel() == column
        assert ax.get_ylabel() == "mean prediction of y"
        drawn = next(line for line in ax.lines if line.get_label() == "y")
        present = [i for i, value in enumerate(found.grids[0].shown) if value is not None or column == "city"]
        np.testing.assert_array_equal(drawn.get_ydata(), found.average[present, 0])
    assert [label.get_text() for label in ol.partial_dependence(model, task, "city").plot().get_xticklabels()] == [
        "Bonn", "Köln", "Ulm", "missing",
    ]  # fmt: skip


def test_surfaces_are_drawn_of_one_output(penguins, model, task) -> None:
    ax = ol.partial_dependence(model, task, ["x", "day"], n_points=4).plot()
    assert ax.get_ylabel() == "day"
    with pytest.raises(ParameterError, match="a surface shows one class or target"):
        ol.partial_dependence(penguins, "example:penguins", ["sex", "island"]).plot()


def test_at_most_a_hundred_curves_are_drawn(model, task) -> None:
    ax = ol.partial_dependence(model, task, "count", kind="individual").plot()
    assert len(ax.lines) == 100


# Bad input


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        ("islnd", {}, ColumnNotFoundError, "partial dependence needs column 'islnd'; the model's features are"),
        ("species", {}, ColumnNotFoundError, "column 'species' is what the model predicts"),
        ([], {}, ParameterError, "is on one column, or on two different ones"),
        (["sex", "sex"], {}, ParameterError, "is on one column, or on two different ones"),
        (["sex", "island", "year"], {}, ParameterError, "is on one column, or on two different ones"),
        (["sex", "island"], {"kind": "both"}, ParameterError, "two columns have a surface of averages"),
        (["sex", "island"], {"grid": ["male"]}, ParameterError, "of two columns grid= is a dict"),
        ("sex", {"grid": {"island": ["Dream"]}}, ParameterError, "grid= has values of 'island'"),
        ("sex", {"kind": "ice"}, ParameterError, "kind has to be 'average', 'individual' or 'both', not 'ice'"),
        ("sex", {"of": ["Emperor"]}, ParameterError, "has to be some of the model's classes"),
        ("sex", {"of": []}, ParameterError, "has to be some of the model's classes"),
        ("year", {"n_points": 1}, ParameterError, "n_points has to be an integer >= 2, not 1"),
    ],
)
def test_bad_options(penguins, columns, options, error, message) -> None:
    with pytest.raises(error, match=message):
        ol.partial_dependence(penguins, "example:penguins", columns, **options)


def test_numbers_have_no_classes(model, task) -> None:
    with pytest.raises(ParameterError, match="has to be some of the model's targets, 'y'"):
        ol.partial_dependence(model, task, "x", of=["a"])
