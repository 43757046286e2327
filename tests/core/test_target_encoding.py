"""Categories by the mean of the target and by hash: against scikit-learn, from the graph."""

import numpy as np
import pytest
from sklearn.feature_extraction import FeatureHasher
from sklearn.preprocessing import TargetEncoder

from onnxlearn.errors import DataError
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Column, Target
from tests.core.hand_tables import CITY, CLASSES, GRADE, NUMBER, draw_feeds, feed, schema_of

TOWN = Column(name="town", kind="categorical", dtype="str", levels=tuple(f"t{i:02}" for i in range(30)), has_missing=True)
COLOURS = Target(names=("colour",), type="classification", dtype="str", classes=("b", "g", "r"))
PLAIN = {"cat_encoding": "target", "num_scaler": "none", "min_level_rows": 1, "clip": 1e6}
TARGETS = {"number": NUMBER, "two": CLASSES, "three": COLOURS}


def towns(n, seed, *, strange=False):
    rng = np.random.default_rng(seed)
    names = np.array([*TOWN.levels, "", *(["?", "elsewhere"] if strange else [])], object)
    return {"town": feed(TOWN, names[np.minimum(rng.geometric(0.12, n) - 1, len(names) - 1)])}


def truth_of(target, n):
    rng = np.random.default_rng(9)
    return rng.gamma(2.0, 100.0, (n, 1)) if target.type == "regression" else rng.integers(0, len(target.classes), n)


def fitted(target, feeds, weights=None, **options):
    truth = truth_of(target, len(feeds["town"]))
    return Preprocessing.fit(schema_of(TOWN, target=target), PreprocessConfig(**PLAIN | options), feeds, truth, weights), truth


def oracle(target, smoothing, x, truth):
    kind = {"number": "continuous", "two": "binary", "three": "multiclass"}[next(k for k, t in TARGETS.items() if t is target)]
    return TargetEncoder(smooth="auto" if smoothing is None else smoothing, target_type=kind).fit(x, truth.ravel())


@pytest.mark.parametrize("smoothing", [None, 0.0, 3.5])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_rows_are_encoded_as_by_scikit_learn(target, smoothing):
    feeds, new = towns(500, 0), towns(100, 1, strange=True)
    steps, truth = fitted(target, feeds, cat_smoothing=smoothing)
    encoder = oracle(target, smoothing, feeds["town"], truth)
    for rows in (feeds, new):
        np.testing.assert_allclose(steps.transform(rows)["num"], encoder.transform(rows["town"]), rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_training_rows_are_encoded_by_the_rows_of_other_folds(target):
    feeds = towns(500, 0)
    steps, truth = fitted(target, feeds, cat_folds=4)
    got = steps.transform_training(feeds)["num"]
    folds = steps.encoding.folds
    assert sorted(set(folds)) == [1, 2, 3, 4]
    for fold in (1, 2, 3, 4):
        inside = folds == fold
        encoder = oracle(target, None, feeds["town"][~inside], truth[~inside])
        np.testing.assert_allclose(got[inside], encoder.transform(feeds["town"][inside]), rtol=1e-6)
    if target.type == "classification":
        shares = [np.bincount(truth[folds == fold]) for fold in (1, 2, 3, 4)]
        assert np.ptp(shares, axis=0).max() <= 2


def test_a_level_of_one_row_does_not_tell_its_own_target():
    feeds = {"town": feed(TOWN, ["t00", *["t01", "t02"] * 20])}
    steps, truth = fitted(NUMBER, feeds, cat_smoothing=0.0)
    own = truth[0, 0]
    assert steps.transform(feeds)["num"][0, 0] == pytest.approx(own)
    others = truth[steps.encoding.folds != steps.encoding.folds[0]]
    assert steps.transform_training(feeds)["num"][0, 0] == pytest.approx(others.mean())


def test_rows_of_weight_0_do_not_count_and_others_weigh():
    feeds = towns(400, 0)
    weights = np.random.default_rng(1).integers(0, 3, 400).astype(float)
    steps, truth = fitted(NUMBER, feeds, weights, cat_smoothing=2.0)
    x, y = np.repeat(feeds["town"], weights.astype(int), axis=0), np.repeat(truth, weights.astype(int), axis=0)
    np.testing.assert_allclose(steps.transform(feeds)["num"], oracle(NUMBER, 2.0, x, y).transform(feeds["town"]), rtol=1e-6)


def test_means_are_scaled_as_numbers_are():
    feeds = towns(500, 0)
    steps, _ = fitted(COLOURS, feeds, num_scaler="standard", smooth_clip=False)
    num = steps.transform_training(feeds)["num"]
    np.testing.assert_allclose(num.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(num.std(axis=0), 1, atol=1e-5)


def test_names_tell_whose_mean_it_is():
    names = {
        name: plan_ingress(schema_of(TOWN, GRADE, target=target), PreprocessConfig(cat_encoding="target")).num_names
        for name, target in TARGETS.items()
    }
    assert names["number"] == ("grade", "town:price", "grade:price", "grade:missing")
    assert names["two"] == ("grade", "town:kind=yes", "grade:kind=yes", "grade:missing")
    assert names["three"][1:4] == ("town:colour=b", "grade:colour=b", "town:colour=g")


@pytest.mark.parametrize("n_buckets", [2, 7, 64])
def test_levels_are_hashed_as_by_scikit_learn(n_buckets):
    feeds = towns(300, 0)
    config = PreprocessConfig(cat_encoding="hash", cat_buckets=n_buckets)
    steps = Preprocessing.fit(schema_of(TOWN), config, feeds)
    hasher = FeatureHasher(n_buckets, input_type="string", alternate_sign=False)
    want = hasher.transform([[str(level)] if level else [] for level in feeds["town"].ravel()]).toarray()
    num = steps.transform(feeds)["num"]
    np.testing.assert_array_equal(num[:, 1:], want)
    np.testing.assert_array_equal(num[:, 0], feeds["town"].ravel() == "")


def test_unseen_levels_are_in_no_bucket():
    feeds = towns(300, 0)
    steps = Preprocessing.fit(schema_of(TOWN), PreprocessConfig(cat_encoding="hash"), feeds)
    assert not steps.transform({"town": feed(TOWN, ["?", "t99"])})["num"].any()


def test_levels_without_training_rows_share_a_bucket_with_others():
    feeds = {"town": feed(TOWN, list(TOWN.levels[:15]) * 3)}
    steps = Preprocessing.fit(schema_of(TOWN), PreprocessConfig(cat_encoding="hash", cat_buckets=2), feeds)
    num = steps.transform({"town": feed(TOWN, TOWN.levels[15:])})["num"]
    np.testing.assert_array_equal(num[:, 1:].sum(axis=1), 1)


def test_ordered_columns_keep_their_rank_beside_the_hash_of_others():
    schema = schema_of(CITY, GRADE)
    feeds = draw_feeds(schema, 50)
    names = Preprocessing.fit(schema, PreprocessConfig(cat_encoding="hash", cat_buckets=2), feeds).schema.ingress.num_names
    assert names[:5] == ("grade", "grade:missing", "city:missing", "city:hash0", "city:hash1")
    assert names[5:] == ("grade:missing", "grade=low", "grade=mid", "grade=high")


@pytest.mark.parametrize("options", [{"cat_encoding": "target"}, {"num_select": 1, "cat_encoding": "onehot"}])
def test_what_looks_at_the_target_asks_for_it(options):
    with pytest.raises(DataError, match="look at the target of the training rows: give truth="):
        Preprocessing.fit(schema_of(TOWN), PreprocessConfig(**options), towns(20, 0))


@pytest.mark.parametrize("smoothing", [None, 0.0])
def test_levels_of_pure_chance_tell_training_rows_nothing(smoothing):
    column = Column(name="town", kind="categorical", dtype="str", levels=tuple(f"t{i:03}" for i in range(200)))
    rng = np.random.default_rng(4)
    feeds, y = {"town": feed(column, np.array(column.levels, object)[rng.integers(0, 200, 800)])}, rng.normal(size=(800, 1))
    config = PreprocessConfig(**PLAIN, cat_smoothing=smoothing)
    steps = Preprocessing.fit(schema_of(column), config, feeds, y)
    leaking, safe = steps.transform(feeds)["num"][:, 0], steps.transform_training(feeds)["num"][:, 0]
    assert np.corrcoef(leaking, y[:, 0])[0, 1] > 0.4
    assert np.corrcoef(safe, y[:, 0])[0, 1] < 0.1


def test_rows_of_a_group_do_not_tell_each_other_their_target():
    feeds = towns(300, 0)
    groups = np.random.default_rng(3).integers(0, 40, 300)
    truth = truth_of(NUMBER, 300)
    schema, config = schema_of(TOWN, target=NUMBER), PreprocessConfig(**PLAIN | {"cat_folds": 4})
    steps = Preprocessing.fit(schema, config, feeds, truth, groups=groups)
    folds = steps.encoding.folds
    assert all(len(set(folds[groups == group])) == 1 for group in range(40))
    assert np.bincount(folds)[1:].min() > 60
    got = steps.transform_training(feeds)["num"]
    for group in range(5):
        inside = groups == group
        other = truth.copy()
        other[inside] += 1e4
        again = Preprocessing.fit(schema, config, feeds, other, groups=groups).transform_training(feeds)["num"]
        np.testing.assert_array_equal(again[inside], got[inside])
    # One group alone leaves nothing to encode it by.
    alone = Preprocessing.fit(schema, config, feeds, truth, groups=np.zeros(300, int))
    np.testing.assert_array_equal(alone.transform_training(feeds)["num"], alone.transform(feeds)["num"])
