"""Permutation importance: as scikit-learn's on the same shuffles, by any measure, with weights and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import permutation_importance
from sklearn.metrics import root_mean_squared_error

import onnxlearn as ol
from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError, UnknownNameError
from onnxlearn.inspection import copies
from onnxlearn.inspection import importance as room
from onnxlearn.model import Model
from tests.core.small_models import PRICE, SPECIES, schema_of, small_model


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.example_task("penguins")


@pytest.fixture(scope="module")
def model(penguins) -> Model:
    return ol.learner("linear", max_epochs=20, seed=0).fit(penguins, progress=False)


@pytest.fixture(scope="module")
def weighted() -> ol.Task:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300), "w": rng.random(300) + 0.1})
    return ol.Task.from_frame(frame.assign(y=frame.x * frame.z + 2 * frame.x), "y", weight="w")


@pytest.fixture(scope="module")
def surface(weighted) -> Model:
    return ol.learner("mlp", max_epochs=15, seed=0).fit(weighted, progress=False)


class Estimator:
    """The model as scikit-learn calls one."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def fit(self) -> None: ...

    def predict(self, table):
        return self._model.predict(table).response


def orders_of_scikit_learn(n_rows: int, repeats: int, seed: int) -> list:
    """The order of the rows in each repeat: scikit-learn shuffles what is shuffled already, alike for every column."""
    generator = np.random.RandomState(np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1))
    turn, order, orders = np.arange(n_rows), np.arange(n_rows), []
    for _ in range(repeats):
        generator.shuffle(turn)
        order = order[turn]
        orders.append(order)
    return orders


def test_the_same_shuffles_give_the_numbers_of_scikit_learn(weighted, surface, monkeypatch) -> None:
    orders = orders_of_scikit_learn(300, 4, seed=3)
    monkeypatch.setattr(room, "shuffled", lambda n_rows, seed, repeat: orders[repeat])
    ours = ol.importance(surface, weighted, repeats=4)

    def score(estimator, table, truth, sample_weight=None):
        return -root_mean_squared_error(truth, estimator.predict(table), sample_weight=sample_weight)

    theirs = permutation_importance(
        Estimator(surface), weighted.frame[["x", "z"]], weighted.frame["y"], scoring=score, n_repeats=4, random_state=3,
        sample_weight=weighted.frame["w"].to_numpy(),
    )  # fmt: skip
    np.testing.assert_allclose(ours.losses, theirs.importances, rtol=1e-9)
    np.testing.assert_allclose(ours.baseline, surface.score(weighted, "rmse"), rtol=1e-12)
    rows = {row["column"]: row for row in ours.rows()}
    assert rows["x"]["sd"] == pytest.approx(theirs.importances[0].std(ddof=1))
    assert rows["x"]["se"] == pytest.approx(rows["x"]["sd"] / 2)


def test_weights_count(weighted, surface) -> None:
    only_first = weighted.frame.assign(w=(weighted.frame.index < 100) * 1.0)
    found = ol.importance(surface, only_first, repeats=1)
    assert found.baseline == pytest.approx(surface.score(weighted.frame.head(100).assign(w=1.0), "rmse"))
    assert found.n_rows == 300


@pytest.mark.parametrize("measure", ["acc", "logloss", "brier", "mcc", "top_2"])
def test_each_number_is_what_the_measure_says_of_shuffled_rows(model, penguins, measure) -> None:
    found = ol.importance(model, penguins, measure=measure, repeats=2, seed=5)
    frame = penguins.frame.copy()
    frame["island"] = frame["island"].to_numpy()[np.random.default_rng([5, 1]).permutation(344)]
    loss = model.score(frame, measure) - model.score(penguins.frame, measure)
    sign = 1 if ol.measures.get(measure).minimize else -1
    assert found.losses[found.columns.index("island")][1] == pytest.approx(sign * loss, abs=1e-9)


def test_a_measure_that_is_best_at_0_counts_its_distance(weighted, surface) -> None:
    found = ol.importance(surface, weighted, measure="bias", repeats=2)
    frame = weighted.frame.copy()
    frame["z"] = frame["z"].to_numpy()[np.random.default_rng([0, 0]).permutation(300)]
    expected = abs(surface.score(frame, "bias")) - abs(surface.score(weighted.frame, "bias"))
    assert found.losses[1][0] == pytest.approx(expected, abs=1e-9)


def test_small_and_large_stacks_give_the_same(model, penguins, monkeypatch) -> None:
    together = ol.importance(model, penguins, repeats=3)
    monkeypatch.setattr(copies, "BLOCK_ROWS", 1)
    np.testing.assert_allclose(ol.importance(model, penguins, repeats=3).losses, together.losses, atol=1e-7)


def test_columns_of_a_group_are_shuffled_together(model, penguins) -> None:
    groups = {"bill": ["bill_length_mm", "bill_depth_mm"]}
    found = ol.importance(model, penguins, groups=groups, repeats=2)
    assert found.columns == ("island", "bill", "flipper_length_mm", "body_mass_g", "sex", "year")
    frame = penguins.frame.copy()
    order = np.random.default_rng([0, 0]).permutation(344)
    frame[groups["bill"]] = frame[groups["bill"]].to_numpy()[order]
    loss = model.score(frame, "logloss") - model.score(penguins.frame, "logloss")
    assert found.losses[found.columns.index("bill")][0] == pytest.approx(loss, abs=1e-9)


def test_a_column_that_is_not_used_has_no_importance() -> None:
    # The hand-made network adds up all features: one that is constant changes nothing when it is shuffled.
    model = Model(small_model(schema_of(PRICE)))
    frame = pd.DataFrame(
        {"x": [1.0, 2, 4, 8], "small": [0.5] * 4, "city": "Bonn", "zone": 1, "flag": True, "price": [3.0, 1, 2, 8]}
    )
    frame = frame.assign(small=frame["small"].astype("float32"), day=pd.Timestamp("2020-01-01"))
    found = ol.importance(model, frame, repeats=3)
    assert [row["column"] for row in found.rows() if row["sd"] > 0] == ["x"]
    assert set(found.losses[1:]) == {(0, 0, 0)}


def test_files_frames_and_tasks_give_the_same(model, penguins, tmp_path) -> None:
    path = tmp_path / "penguins.csv"
    penguins.frame.to_csv(path, index=False, na_rep="NA")
    of_task = ol.importance(model, penguins, repeats=2)
    assert ol.importance(model, path, repeats=2) == of_task
    assert ol.importance(model, penguins.frame, repeats=2) == of_task
    assert ol.importance(model, "example:penguins", repeats=2) == of_task


def test_the_seed_tells_the_shuffles(model, penguins) -> None:
    first = ol.importance(model, penguins, repeats=2, seed=1)
    assert ol.importance(model, penguins, repeats=2, seed=1) == first
    assert ol.importance(model, penguins, repeats=2, seed=2) != first


def test_the_table_is_sorted_and_the_dict_is_plain(model, penguins) -> None:
    found = ol.importance(model, penguins, repeats=3)
    frame = found.to_frame()
    assert frame["importance"].is_monotonic_decreasing
    assert found.to_dict()["losses"] == [list(losses) for losses in found.losses]
    assert repr(found).startswith("Permutation importance by logloss (smaller is better)")
    alone = ol.importance(model, penguins, repeats=1)
    assert alone.to_frame()["sd"].isna().all()
    alone.plot()


def test_the_plot_shows_each_column_once(model, penguins) -> None:
    ax = ol.importance(model, penguins, repeats=2).plot()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(names) == sorted(penguins.schema.feature_names)
    assert len(ax.patches) == len(names)


def test_no_pyplot_is_left_behind(model, penguins) -> None:
    import sys

    ol.importance(model, penguins, repeats=1).plot()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"measure": "rmse"}, ParameterError, "measure 'rmse' is for regression, the model does classification"),
        ({"measure": "bbrier"}, ParameterError, "measure 'bbrier' is for two classes"),
        ({"measure": "acuracy"}, UnknownNameError, "there is no measure 'acuracy'"),
        ({"measure": "time_train"}, DataError, "needs times and file size"),
        ({"repeats": 0}, ParameterError, "repeats has to be an integer >= 1, not 0"),
        ({"repeats": 2.5}, ParameterError, "repeats has to be an integer >= 1, not 2.5"),
        ({"seed": -1}, ParameterError, "seed has to be an integer >= 0, not -1"),
        ({"groups": {"g": ["islnd"]}}, ColumnNotFoundError, "group 'g' names 'islnd', no feature of the model"),
        ({"groups": {"g": "island"}}, ParameterError, "group 'g' has to be a list of columns, not 'island'"),
        ({"groups": {"sex": ["island"]}}, ParameterError, "group 'sex' is called like a column"),
        ({"groups": {"a": ["sex"], "b": ["sex"]}}, ParameterError, "column 'sex' is in group 'a' already"),
        ({"groups": {"a": ["sex", "sex"]}}, ParameterError, "column 'sex' is in group 'a' already"),
    ],
)
def test_bad_options(model, penguins, options, error, message) -> None:
    with pytest.raises(error, match=message):
        ol.importance(model, penguins, **options)


def test_bad_tables(model, penguins) -> None:
    frame = penguins.frame
    with pytest.raises(DataError, match="this cannot be scored: the target needs column 'species'"):
        ol.importance(model, frame.drop(columns="species"))
    with pytest.raises(ColumnNotFoundError, match="the model needs column 'island'"):
        ol.importance(model, frame.drop(columns="island"))
    with pytest.raises(DataError, match="shuffling needs two rows or more, there is 1"):
        ol.importance(model, frame.head(1))
    with pytest.raises(DataError, match="the table has no rows"):
        ol.importance(model, frame.head(0))
    with pytest.raises(DataError, match="class 'Emperor' was not trained on"):
        ol.importance(model, frame.assign(species="Emperor"))
    with pytest.raises(DataError, match="measure 'auc' is undefined on these rows"):
        ol.importance(model, frame[frame["species"] == "Adelie"], measure="auc")


def test_a_class_that_is_not_named_in_the_rows_is_no_obstacle() -> None:
    model = Model(small_model(schema_of(SPECIES)))
    frame = pd.DataFrame({"x": [1.0, 2], "small": [1.0, 2], "city": ["Bonn", None], "zone": [1, 2], "flag": [True, False]})
    frame = frame.assign(day=pd.Timestamp("2020-01-01"), species=["a", "a"])
    assert ol.importance(model, frame, measure="acc").n_rows == 2
