"""Codes of categories, merging of levels, one-hot columns and ranks, against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import MISSING_INT64, Column
from tests.core.hand_tables import CITY, GRADE, STARS, TEXTS, ZONE, draw_feeds, feed, schema_of


def fit(column, training, **settings):
    schema = schema_of(column)
    return Preprocessing.fit(schema, PreprocessConfig(**settings), {column.name: feed(column, training)})


def codes_of(fitted, values):
    (column,) = fitted.schema.features
    return fitted.transform({column.name: feed(column, values)})["cat"][:, 0].tolist()


def num_of(fitted, values):
    (column,) = fitted.schema.features
    return fitted.transform({column.name: feed(column, values)})["num"]


def letters(n, **changes):
    return Column(name="c", kind="categorical", dtype="str", levels=tuple(f"level{i}" for i in range(n)), **changes)


def test_codes_are_unseen_missing_and_the_levels_in_order():
    fitted = fit(CITY, ["Bonn", "Köln", "nan", ""], cat_encoding="embedding")
    assert codes_of(fitted, ["Bonn", "Köln", "nan", "", "bonn", "Bonn ", "東京"]) == [2, 3, 4, 1, 0, 0, 0]


def test_spellings_of_missing_are_missing_unless_they_are_levels():
    fitted = fit(CITY, ["Bonn", "Köln", "nan", ""], cat_encoding="embedding")
    assert codes_of(fitted, ["None", "<NA>", "NaN", "NaT", "null", "nan", "none"]) == [1, 1, 1, 1, 1, 4, 0]


def test_integer_levels_are_coded_by_value():
    fitted = fit(ZONE, list(range(-3, 9)), cat_encoding="embedding")
    assert codes_of(fitted, [-3, 8, 9, MISSING_INT64, 2**63 - 1]) == [2, 13, 0, 1, 0]


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXTS, min_size=1, max_size=20), st.lists(TEXTS, min_size=1, max_size=20))
def test_codes_of_drawn_texts_are_those_of_a_dictionary(levels, values):
    levels = sorted({text for text in levels if text})
    column = Column(name="c", kind="categorical", dtype="str", levels=tuple(levels))
    fitted = fit(column, levels or [""], cat_encoding="embedding")
    expected = dict.fromkeys(("", "nan", "None", "<NA>", "NaN", "NaT", "null"), 1)
    expected |= {level: code for code, level in enumerate(levels, 2)}
    assert codes_of(fitted, values) == [expected.get(value, 0) for value in values]


def test_codes_are_those_of_scikit_learn_at_scale():
    column = letters(1000)
    rng = np.random.default_rng(0)
    training = np.array(column.levels, object)[rng.integers(0, 1000, 20_000)].reshape(-1, 1)
    encoder = OrdinalEncoder(categories=[list(column.levels)], handle_unknown="use_encoded_value", unknown_value=-2)
    expected = encoder.fit(training).transform(training).astype(int) + 2
    assert codes_of(fit(column, training, min_level_rows=1), training) == expected[:, 0].tolist()


def test_a_level_without_training_rows_is_unseen():
    fitted = fit(letters(12), ["level0", "level3"], cat_encoding="embedding")
    assert codes_of(fitted, ["level0", "level1", "level3", "x"]) == [2, 0, 5, 0]
    np.testing.assert_array_equal(fitted.code_counts[0], [0, 0, 1, 0, 0, 1] + [0] * 8)


def test_levels_with_few_rows_are_merged_into_unseen():
    fitted = fit(letters(12), ["level0"] * 5 + ["level1"] * 4 + ["level2"] * 6, min_level_rows=5, cat_encoding="embedding")
    assert codes_of(fitted, ["level0", "level1", "level2", "level3"]) == [2, 0, 4, 0]
    assert fitted.code_counts[0].tolist() == [4, 0, 5, 0, 6] + [0] * 9


def test_by_default_the_rows_decide_which_levels_are_rare():
    few, many = [["often"] * (n - k) + ["seldom"] * k for n, k in ((90, 1), (900, 8))]
    column = Column(name="c", kind="categorical", dtype="str", levels=("often", "seldom"))
    assert codes_of(fit(column, few, cat_encoding="embedding"), ["seldom"]) == [3]
    assert codes_of(fit(column, many, cat_encoding="embedding"), ["seldom"]) == [0]
    ranked = Column(name="c", kind="ordered", dtype="str", levels=("often", "seldom"))
    assert codes_of(fit(ranked, many, cat_encoding="embedding"), ["seldom"]) == [3]


def test_kinds_of_columns_tell_numbers_times_and_flags():
    columns = [
        Column(name="x", kind="numeric", dtype="float64", has_missing=True),
        Column(name="t", kind="datetime", dtype="naive"),
        Column(name="b", kind="boolean", dtype="bool"),
        GRADE,
        letters(2),
    ]
    config = PreprocessConfig(datetime_parts=("year", "month_cyclic"), ordered_encoding="rank")
    ingress = plan_ingress(schema_of(*columns), config)
    kinds = dict(zip(ingress.num_names, ingress.num_kinds, strict=True))
    assert {name for name, kind in kinds.items() if kind == "number"} == {"x", "grade"}
    assert {name for name, kind in kinds.items() if kind == "time"} == {"t.year", "t.month_sin", "t.month_cos"}
    assert list(ingress.num_kinds) == sorted(ingress.num_kinds, key=["number", "time", "flag"].index)


@pytest.mark.parametrize(
    ("n_levels", "encoding", "n_cat", "n_num"),
    [(12, "auto", 0, 12), (13, "auto", 1, 0), (3, "embedding", 1, 0), (20, "onehot", 0, 20)],
)
def test_encoding_depends_on_the_number_of_levels(n_levels, encoding, n_cat, n_num):
    ingress = plan_ingress(schema_of(letters(n_levels)), PreprocessConfig(cat_encoding=encoding))
    assert (ingress.n_cat, ingress.n_num) == (n_cat, n_num)


def test_onehot_is_that_of_scikit_learn():
    schema = schema_of(letters(5), Column(name="z", kind="categorical", dtype="int64", levels=(1, 5, 7)))
    feeds = draw_feeds(schema, 200)
    table = np.hstack([feeds["c"], feeds["z"].astype(object)])
    encoder = OneHotEncoder(categories=[list(column.levels) for column in schema.features], sparse_output=False)
    fitted = Preprocessing.fit(schema, PreprocessConfig(), feeds)
    np.testing.assert_array_equal(fitted.transform(feeds)["num"], encoder.fit_transform(table))
    assert fitted.schema.ingress.num_names[-4:] == ("c=level4", "z=1", "z=5", "z=7")


def test_onehot_of_unseen_is_zeros_and_missing_has_its_column():
    fitted = fit(CITY, ["Bonn", "Köln", "nan", ""])
    assert fitted.schema.ingress.num_names == ("city:missing", "city=Bonn", "city=Köln", "city=nan")
    np.testing.assert_array_equal(num_of(fitted, ["", "Köln", "東京"]), [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])


def test_onehot_columns_without_training_rows_are_never_one():
    fitted = fit(CITY, ["Bonn", "Bonn"])
    np.testing.assert_array_equal(num_of(fitted, ["", "Köln", "Bonn"]), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])


def test_rare_levels_share_a_onehot_column_with_unseen_ones():
    fitted = fit(CITY, ["Bonn"] * 3 + ["Köln", "nan"], min_level_rows=2)
    assert fitted.schema.ingress.num_names[0] == "city:rare"
    np.testing.assert_array_equal(num_of(fitted, ["Köln", "東京", "Bonn"])[:, [0, 2]], [[1, 0], [1, 0], [0, 1]])


def test_ranks_follow_the_order_of_the_levels():
    fitted = fit(STARS, [5, 4, 1, 1], num_scaler="none")
    np.testing.assert_array_equal(num_of(fitted, [5, 4, 1])[:, 0], [0, 1, 2])


def test_ranks_of_unseen_missing_and_absent_levels_are_imputed():
    fitted = fit(GRADE, ["low", "low", "high", ""], num_scaler="none", num_impute="median", ordered_encoding="rank")
    # "mid" had no training row, so that its rank was never learned from.
    np.testing.assert_array_equal(num_of(fitted, ["low", "high", "mid", "", "x"]), [[0, 0], [2, 0], [0, 1], [0, 1], [0, 1]])


def test_ranks_are_scaled_like_numbers():
    values = ["low", "mid", "mid", "high", "low"]
    ranks = np.array([0, 1, 1, 2, 0])
    fitted = fit(GRADE, values, num_scaler="standard", smooth_clip=False)
    np.testing.assert_allclose(num_of(fitted, values)[:, 0], (ranks - ranks.mean()) / ranks.std(), rtol=1e-6)


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("rank", ("grade", "grade:missing")),
        ("categorical", ("grade:missing", "grade=low", "grade=mid", "grade=high")),
        ("both", ("grade", "grade:missing", "grade:missing", "grade=low", "grade=mid", "grade=high")),
    ],
)
def test_ordered_columns_enter_as_asked(encoding, names):
    fitted = fit(GRADE, ["low", "mid", "high", ""], ordered_encoding=encoding)
    assert fitted.schema.ingress.num_names == names
    assert num_of(fitted, ["low"]).shape == (1, len(names))


def test_several_columns_are_coded_side_by_side():
    schema = schema_of(CITY, ZONE, GRADE, STARS, letters(30))
    feeds = draw_feeds(schema, 100)
    config = PreprocessConfig(cat_encoding="embedding", ordered_encoding="both")
    together = Preprocessing.fit(schema, config, feeds).transform(feeds)
    for i, column in enumerate(schema.features):
        alone = Preprocessing.fit(schema_of(column), config, {column.name: feeds[column.name]})
        np.testing.assert_array_equal(together["cat"][:, i], alone.transform({column.name: feeds[column.name]})["cat"][:, 0])
    counts = Preprocessing.fit(schema, config, feeds).code_counts
    for i, column in enumerate(schema.features):
        np.testing.assert_array_equal(counts[i], np.bincount(together["cat"][:, i], minlength=column.n_codes))


def test_shapes_depend_on_the_schema_alone():
    schema = schema_of(CITY, ZONE, GRADE, letters(30))
    config = PreprocessConfig(min_level_rows=3)
    few = Preprocessing.fit(schema, config, draw_feeds(schema, 1))
    many = Preprocessing.fit(schema, config, draw_feeds(schema, 500))
    assert few.schema == many.schema
    assert few.schema.ingress == plan_ingress(schema, config)


def test_a_column_of_missing_strings_alone():
    column = Column(name="c", kind="categorical", dtype="str", levels=(), has_missing=True)
    fitted = fit(column, ["", ""])
    np.testing.assert_array_equal(num_of(fitted, ["", "x"]), [[1], [0]])
