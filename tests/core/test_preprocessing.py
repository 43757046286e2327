"""The contract of preprocessing as a whole, over hand-made and drawn tables of every column kind."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.errors import DataError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Column, Schema
from onnxlearn.testing import check_step, run_reference
from tests.core.hand_tables import ALL, CITY, draw_feeds, drawn_feeds, run_model, schema_of

EVERY_KIND = schema_of(*ALL)
CONFIGS = {
    "default": PreprocessConfig(),
    "standard": PreprocessConfig(num_scaler="standard", smooth_clip=False, num_impute="mean"),
    "minmax": PreprocessConfig(num_scaler="minmax", cat_encoding="embedding", ordered_encoding="both"),
    "quantile": PreprocessConfig(num_scaler="quantile", cat_encoding="onehot", ordered_encoding="categorical"),
    "yeo_johnson": PreprocessConfig(num_scaler="yeo_johnson", smooth_clip=False),
    "box_cox": PreprocessConfig(num_scaler="box_cox", num_impute="constant", impute_value=-1.0),
    "none": PreprocessConfig(num_scaler="none", missing_indicator=False, min_level_rows=5),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("n_rows", [1, 2, 40, 1500])
def test_every_kind_keeps_the_contract(config, n_rows):
    feeds = draw_feeds(EVERY_KIND, n_rows)
    check_step(Preprocessing.fit(EVERY_KIND, config, feeds), feeds)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_every_kind_alone_keeps_the_contract(config, column):
    schema = schema_of(column)
    feeds = draw_feeds(schema, 60)
    check_step(Preprocessing.fit(schema, config, feeds), feeds)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_fitted_on_hostile_rows_it_keeps_the_contract(config):
    feeds = hostile_feeds(EVERY_KIND, 300)
    check_step(Preprocessing.fit(EVERY_KIND, config, feeds), feeds)


@settings(deadline=None, max_examples=40)
@given(drawn_feeds(EVERY_KIND), st.sampled_from(sorted(CONFIGS)))
def test_drawn_tables_keep_the_contract(feeds, name):
    check_step(Preprocessing.fit(EVERY_KIND, CONFIGS[name], feeds), feeds)


@settings(deadline=None, max_examples=10)
@given(drawn_feeds(EVERY_KIND), st.sampled_from(sorted(CONFIGS)))
def test_the_reference_implementation_agrees(feeds, name):
    model = Preprocessing.fit(EVERY_KIND, CONFIGS[name], draw_feeds(EVERY_KIND, 100)).to_model()
    for rows in (feeds, hostile_feeds(EVERY_KIND, 20)):
        expected = run_reference(model.SerializeToString(), rows)
        for output, values in run_model(model, rows).items():
            np.testing.assert_allclose(values, expected[output], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_ingress_is_a_function_of_schema_and_settings(config):
    ingress = plan_ingress(EVERY_KIND, config)
    for n_rows in (1, 200):
        feeds = draw_feeds(EVERY_KIND, n_rows)
        fitted = Preprocessing.fit(EVERY_KIND, config, feeds)
        tensors = fitted.transform(feeds)
        assert fitted.schema.ingress == ingress
        assert tensors["num"].shape == (n_rows, ingress.n_num)
        assert [len(counts) for counts in fitted.code_counts] == list(ingress.cardinalities)
    assert Schema.from_dict(fitted.schema.to_dict()) == fitted.schema


def test_a_tensor_without_columns_is_absent():
    feeds = draw_feeds(schema_of(CITY), 20)
    onehot = Preprocessing.fit(schema_of(CITY), PreprocessConfig(cat_encoding="onehot"), feeds)
    codes = Preprocessing.fit(schema_of(CITY), PreprocessConfig(cat_encoding="embedding"), feeds)
    assert list(onehot.transform(feeds)) == ["num"]
    assert list(codes.transform(feeds)) == ["cat"]


def test_the_order_of_rows_does_not_matter():
    feeds = draw_feeds(EVERY_KIND, 200)
    order = np.random.default_rng(1).permutation(200)
    shuffled = {name: np.ascontiguousarray(values[order]) for name, values in feeds.items()}
    for config in (CONFIGS["default"], CONFIGS["quantile"]):
        want = Preprocessing.fit(EVERY_KIND, config, feeds).transform(feeds)["num"]
        got = Preprocessing.fit(EVERY_KIND, config, shuffled).transform(feeds)["num"]
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_chunks_give_what_one_batch_gives():
    feeds = draw_feeds(EVERY_KIND, 3500)
    fitted = Preprocessing.fit(EVERY_KIND, PreprocessConfig(), feeds)
    whole = run_model(fitted.to_model(), feeds)
    for name, tensor in fitted.transform(feeds).items():
        np.testing.assert_array_equal(tensor, whole[f"prep/{name}"])


def test_kinds_that_cannot_be_trained_on_are_named():
    column = Column(name="review", kind="text", dtype="str")
    with pytest.raises(DataError, match="column 'review' is of kind text, which this learner does not take"):
        plan_ingress(schema_of(column), PreprocessConfig())


def test_check_step_finds_what_is_wrong():
    feeds = draw_feeds(EVERY_KIND, 50)
    fitted = Preprocessing.fit(EVERY_KIND, PreprocessConfig(), feeds)
    broken = fitted.affine
    object.__setattr__(broken, "fill", np.full_like(broken.fill, np.nan))
    with pytest.raises(AssertionError, match="columns are not finite"):
        check_step(fitted, feeds)


@pytest.mark.parametrize("column", [column for column in ALL if column.kind == "categorical"], ids=lambda column: column.name)
def test_check_step_finds_a_code_out_of_range(column):
    feeds = draw_feeds(schema_of(column), 50)
    fitted = Preprocessing.fit(schema_of(column), PreprocessConfig(cat_encoding="embedding"), feeds)
    check_step(fitted, feeds)
    ingress = fitted.schema.ingress
    fewer = replace(ingress, cardinalities=tuple(n - 1 for n in ingress.cardinalities))
    object.__setattr__(fitted, "schema", replace(fitted.schema, ingress=fewer))
    with pytest.raises(AssertionError, match="a code is out of range"):
        check_step(fitted, feeds)
