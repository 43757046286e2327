"""The file computes what the network computes, whatever the table and the settings, in every batch and on hostile rows."""

import warnings
from functools import cache

import pytest
from datasets import load
from hand_tables import drawn_feeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_tables import COLUMNS, SETTINGS, TARGETS, fit, make_task, mixed_rows

from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.task import Task

SCALERS = ["standard", "robust", "minmax", "quantile", "yeo_johnson", "box_cox", "none"]
TABLES = st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=7)
GOALS = [*TARGETS, "several numbers"]


def check_table(scaler, kinds, target, options, seed):
    task = make_task(kinds, target, seed)
    fitted = fit(task, num_scaler=scaler, seed=seed, **options)
    fitted.check(mixed_rows(task.feeds(), hostile_feeds(task.schema), seed))


def drawn(max_examples):
    def decorate(test):
        given_tables = given(kinds=TABLES, target=st.sampled_from(GOALS), options=SETTINGS, seed=st.integers(0, 999))
        return settings(max_examples=max_examples, deadline=None, suppress_health_check=list(HealthCheck))(given_tables(test))

    return decorate


@pytest.mark.parametrize("scaler", SCALERS)
@drawn(max_examples=8)
def test_any_table(scaler, kinds, target, options, seed):
    check_table(scaler, kinds, target, options, seed)


@pytest.mark.slow
@pytest.mark.parametrize("scaler", SCALERS)
@drawn(max_examples=150)
def test_any_table_at_length(scaler, kinds, target, options, seed):
    check_table(scaler, kinds, target, options, seed)


@pytest.mark.parametrize("target", GOALS)
@pytest.mark.parametrize("encoding", ["onehot", "embedding"])
def test_all_kinds_of_columns_at_once(target, encoding):
    task = make_task(list(COLUMNS), target, seed=1)
    fit(task, cat_encoding=encoding).check(mixed_rows(task.feeds(), hostile_feeds(task.schema)))


@cache
def fitted_on_every_kind(target):
    return fit(make_task(list(COLUMNS), target, seed=2))


@pytest.mark.parametrize("target", ["several texts", "far number"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_rows(target, data):
    fitted = fitted_on_every_kind(target)
    fitted.check(data.draw(drawn_feeds(fitted.model.schema)), reference=False)


def check_real(name, **options):
    dataset = load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = Task.from_frame(
            dataset.frame, dataset.target, type="regression" if dataset.measure == "rmse" else "classification"
        )
    fitted = fit(task, **options)
    rows = {column: array[:600] for column, array in task.feeds().items()}
    fitted.check(mixed_rows(rows, hostile_feeds(task.schema)))
    return fitted


@pytest.mark.parametrize("name", ["penguins", "breast_cancer"])
def test_real_tables(name):
    check_real(name)


@pytest.mark.slow
@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("name", ["penguins", "breast_cancer", "diamonds", "ames", "flights"])
def test_real_tables_at_length(name, scaler):
    check_real(name, num_scaler=scaler, d_block=64, max_epochs=2)
