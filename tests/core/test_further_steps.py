"""The contract of preprocessing with what is made of columns, over tables of every kind, hostile and drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Schema, Target
from onnxlearn.testing import check_step, run_reference
from tests.core.hand_tables import ALL, CLASSES, NUMBER, draw_feeds, drawn_feeds, run_model, schema_of

COLOURS = Target(names=("colour",), type="classification", dtype="str", classes=("b", "g", "r"))
PAIR = Target(names=("one", "two"), type="regression", dtype="float64")
CONFIGS = {
    "bins": PreprocessConfig(num_bins=4, num_scaler="quantile"),
    "ordinal": PreprocessConfig(num_bins=3, bin_encoding="ordinal", num_scaler="none"),
    "splines": PreprocessConfig(num_splines=6, num_scaler="yeo_johnson"),
    "polynomial": PreprocessConfig(num_polynomial=4, num_scaler="none"),
    "pca": PreprocessConfig(num_pca=3, pca_whiten=True, num_scaler="none"),
    "select": PreprocessConfig(num_select=2, cat_encoding="embedding"),
    "formulas": PreprocessConfig(formulas={"a": "age / size", "b": "log(age) ** (size > 3)", "c": "max(exp(age), -size)"}),
    "target": PreprocessConfig(cat_encoding="target", min_level_rows=1),
    "hash": PreprocessConfig(cat_encoding="hash", cat_buckets=5),
    "all": PreprocessConfig(
        num_bins=3,
        num_splines=4,
        num_polynomial=2,
        num_pca=2,
        num_select=7,
        cat_encoding="target",
        cat_smoothing=2.0,
        formulas={"per": "age / size"},
    ),
}
every_config = pytest.mark.parametrize("name", CONFIGS)


def truth_of(target, n, seed=0):
    rng = np.random.default_rng(seed)
    if target.type == "regression":
        return rng.normal(1e5, 1e3, (n, len(target.names)))
    return rng.integers(0, len(target.classes), n)


def fit(schema, name, feeds):
    n = len(feeds[schema.feature_names[0]])
    return Preprocessing.fit(schema, CONFIGS[name], feeds, truth_of(schema.target, n))


@every_config
@pytest.mark.parametrize("target", [NUMBER, CLASSES, COLOURS, PAIR], ids=["number", "two", "three", "pair"])
@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_every_kind_keeps_the_contract(name, target, n_rows):
    schema = schema_of(*ALL, target=target)
    feeds = draw_feeds(schema, n_rows)
    check_step(fit(schema, name, feeds), feeds)


@pytest.mark.parametrize("name", [name for name in CONFIGS if not CONFIGS[name].formulas and name not in ("pca", "select")])
@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_every_kind_alone_keeps_the_contract(name, column):
    schema = schema_of(column)
    feeds = draw_feeds(schema, 60)
    check_step(fit(schema, name, feeds), feeds)


@every_config
def test_fitted_on_hostile_rows_it_keeps_the_contract(name):
    schema = schema_of(*ALL)
    feeds = hostile_feeds(schema, 300)
    check_step(fit(schema, name, feeds), feeds)


@settings(deadline=None, max_examples=30)
@given(drawn_feeds(schema_of(*ALL)), st.sampled_from(sorted(CONFIGS)))
def test_drawn_tables_keep_the_contract(feeds, name):
    check_step(fit(schema_of(*ALL), name, feeds), feeds)


@settings(deadline=None, max_examples=15)
@given(drawn_feeds(schema_of(*ALL)), st.sampled_from(sorted(CONFIGS)))
def test_the_reference_implementation_agrees(feeds, name):
    schema = schema_of(*ALL)
    model = fit(schema, name, draw_feeds(schema, 100)).to_model()
    for rows in (feeds, hostile_feeds(schema, 20)):
        expected = run_reference(model.SerializeToString(), rows)
        for output, values in run_model(model, rows).items():
            np.testing.assert_allclose(values, expected[output], rtol=1e-5, atol=1e-5)


@every_config
def test_the_ingress_is_a_function_of_schema_and_settings(name):
    schema = schema_of(*ALL, target=COLOURS)
    ingress = plan_ingress(schema, CONFIGS[name])
    for n_rows in (1, 200):
        feeds = draw_feeds(schema, n_rows)
        fitted = fit(schema, name, feeds)
        assert fitted.schema.ingress == ingress
        assert fitted.transform(feeds)["num"].shape == (n_rows, ingress.n_num)
    assert Schema.from_dict(fitted.schema.to_dict()) == fitted.schema
