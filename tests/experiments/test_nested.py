"""Nested resampling in a benchmark: scores to choose by beside scores to judge the choice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError, UnknownNameError
from onnxlearn.experiments.record import Key
from tests.experiments.learners import Failing

SHORT = ol.learner("linear", max_epochs=1)
LONG = ol.learner("linear", max_epochs=4)
LEARNERS = {"short": SHORT, "long": LONG}
NESTED = {"nested": ol.Nested(ol.CV(3), ol.CV(2))}


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.example_task("penguins")


@pytest.fixture(scope="module")
def result(penguins) -> ol.BenchmarkResult:
    return ol.benchmark(penguins, LEARNERS, NESTED, ["logloss", "acc"], models=True)


def test_outer_scores_are_those_of_the_outer_resampling(penguins, result) -> None:
    plain = ol.benchmark(penguins, LEARNERS, {"nested": ol.CV(3)}, ["logloss", "acc"])
    pd.testing.assert_frame_equal(result.scores, plain.scores)
    pd.testing.assert_frame_equal(result.aggregate(), plain.aggregate())
    assert plain.inner.empty
    assert len(plain.records) == len(result.records) == 6


def test_inner_scores_are_those_of_the_outer_training_rows(penguins, result) -> None:
    """What the inner splits score is a resampling of the task of the outer training rows alone."""
    splits = ol.CV(3).split(penguins)
    for i, (train, _) in enumerate(splits):
        alone = ol.benchmark(penguins.select(train), LONG, ol.CV(2), ["logloss", "acc"], models=True)
        inner = result.inner.query("learner == 'long' and iteration == @i")
        assert inner["inner"].tolist() == [0, 1]
        assert inner["n_train"].tolist() == alone.scores["n_train"].tolist()
        np.testing.assert_array_equal(inner[["logloss", "acc"]], alone.scores[["logloss", "acc"]])
        for record, other in zip(result.inner_records[6 + 2 * i : 8 + 2 * i], alone.records, strict=True):
            assert record.key == Key("penguins", "long", "nested", i, record.inner)
            assert set(result.prediction(record).row_ids) <= set(train)
            assert record.sha256 == other.sha256


def test_the_best_on_inner_splits_is_chosen_and_judged_on_outer_rows(result) -> None:
    choice = result.choose("logloss")
    assert choice.columns.tolist() == ["task", "resampling", "iteration", "learner", "inner", "outer"]
    assert choice["iteration"].tolist() == [0, 1, 2]
    inner = result.inner.pivot_table(index="iteration", columns="learner", values="logloss", aggfunc="mean")
    assert choice["learner"].tolist() == inner.idxmin(axis=1).tolist() == ["long"] * 3
    np.testing.assert_allclose(choice["inner"], inner.min(axis=1))
    outer = result.scores.set_index(["learner", "iteration"])["logloss"]
    assert choice["outer"].tolist() == [outer["long", i] for i in range(3)]
    best = result.inner.pivot_table(index="iteration", columns="learner", values="acc", aggfunc="mean").max(axis=1)
    np.testing.assert_allclose(result.choose("acc")["inner"], best)


def test_there_is_nothing_to_choose_by(penguins, result) -> None:
    with pytest.raises(DataError, match=r"no inner scores to choose by: benchmark with ol.Nested"):
        ol.benchmark(penguins, SHORT, ol.Holdout(), "acc").choose("acc")
    with pytest.raises(UnknownNameError, match="there is no computed measure 'auc'; there are 'acc', 'logloss'"):
        result.choose("auc")


def test_a_learner_that_failed_on_an_inner_split_is_not_chosen(penguins) -> None:
    """The failing one predicts as the other does, and would be first among equals."""
    other = ol.learner("featureless")
    nested = ol.Nested(ol.CV(3), ol.CV(2))
    done = ol.benchmark(penguins, {"failing": Failing(), "other": other}, nested, "acc")
    assert set(done.errors["learner"]) == {"failing"}
    assert done.errors["inner"].notna().any()
    failed = done.errors.dropna(subset="inner")["iteration"].unique().tolist()
    choice = done.choose("acc").set_index("iteration")["learner"]
    assert failed
    assert {choice[i] for i in failed} == {"other"}
    alone = done.filter(learners="failing")
    with pytest.raises(DataError, match=rf"no learner has an acc on all inner splits of iteration {failed[0]} of task"):
        alone.choose("acc")


def test_a_measure_without_a_better_end_chooses_nothing() -> None:
    task = ol.example_task("friedman1", n_rows=60)
    done = ol.benchmark(task, ol.learner("featureless"), ol.Nested(ol.Holdout(), ol.Holdout()), ["bias"])
    with pytest.raises(ParameterError, match="no better and worse end"):
        done.choose("bias")


def test_inner_iterations_are_kept_and_resumed_like_any_others(penguins, tmp_path) -> None:
    def run(**options) -> ol.BenchmarkResult:
        return ol.benchmark(penguins, LEARNERS, NESTED, ["acc", "logloss"], store=tmp_path / "r", **options)

    whole = run()
    files = sorted((tmp_path / "r" / "runs").rglob("*.json"))
    assert [file.stem for file in files[:4]] == ["0000-0000", "0000-0001", "0000", "0001-0000"]
    assert len(files) == 2 * 3 * (1 + 2)
    times = {file: file.stat().st_mtime_ns for file in files}
    for file in files[::5]:
        file.unlink()
    again = run()
    assert [file for file in files if file.stat().st_mtime_ns != times[file]] == files[::5]
    loaded = ol.BenchmarkResult.load(tmp_path / "r")
    for other in (again, loaded, loaded.combine(again)):
        pd.testing.assert_frame_equal(other.scores, whole.scores)
        pd.testing.assert_frame_equal(other.inner, whole.inner)
    assert len(loaded.filter(learners="long").inner_records) == 6
    one = loaded.resample_result(learner="long")
    assert (len(one.records), len(one.inner), len(one.predictions)) == (3, 6, 3)
