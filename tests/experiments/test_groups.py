"""Iterations that are fitted at once."""

from __future__ import annotations

import time

import numpy as np
import pytest

import onnxlearn as ol
from onnxlearn.experiments.design import grid
from onnxlearn.experiments.group import groups_of
from onnxlearn.experiments.job import Settings
from onnxlearn_models.mlp import MLP
from onnxlearn_models.training.callback import Callback

SMALL = ol.learner("mlp", d_block=16, max_epochs=3, num_embedding="none")


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.Task.from_file("example:penguins", "species", ignore=["body_mass_g"])


def numbers(
    task: ol.Task, learner: ol.Learner, resampling: object, settings: Settings | None = None
) -> list[list[tuple[int, ...]]]:
    [cell] = grid(task, learner, resampling)
    return [
        [(job.key.iteration,) if job.key.inner is None else (job.key.iteration, job.key.inner) for job in group]
        for group in groups_of(cell, settings or Settings())
    ]


def test_groups_follow_from_the_design_alone(penguins) -> None:
    outer = [(i,) for i in range(7)]
    assert numbers(penguins, SMALL, ol.CV(7)) == [outer]
    assert [len(group) for group in numbers(penguins, SMALL, ol.CV(7, repeats=3))] == [7, 7, 7]
    assert numbers(penguins, SMALL, ol.Holdout()) == [[(0,)]]
    for alone in (SMALL.replace(fold_parallel="never"), SMALL.replace(d_block=1024), ol.learner("featureless")):
        assert numbers(penguins, alone, ol.CV(7)) == [[i] for i in outer]
    assert numbers(penguins, SMALL, ol.CV(7), Settings(time_limit=60)) == [[i] for i in outer]


def test_inner_splits_of_an_iteration_make_a_group_of_their_own(penguins) -> None:
    found = numbers(penguins, SMALL, ol.Nested(ol.CV(2), ol.CV(3)))
    assert found == [[(0,), (1,)], [(0, 0), (0, 1), (0, 2)], [(1, 0), (1, 1), (1, 2)]]


def test_files_are_the_same_whatever_the_number_of_processes(penguins) -> None:
    splits = ol.CV(4).split(penguins)
    results = [ol.resample(penguins, SMALL, splits, "logloss", n_jobs=n, models=True) for n in (None, 2)]
    first, second = ([model.to_bytes() for model in result.models] for result in results)
    assert first == second
    alone = ol.resample(penguins, SMALL.replace(fold_parallel="never"), splits, "logloss")
    np.testing.assert_allclose(results[0].scores["logloss"], alone.scores["logloss"], rtol=1e-5)


def test_what_a_killed_run_left_is_what_an_undisturbed_one_finds(penguins, tmp_path) -> None:
    first = ol.resample(penguins, SMALL, ol.CV(4), "acc", store=tmp_path / "a", models=True)
    files = sorted((tmp_path / "a" / "runs").rglob("*.onnx"))
    before = [file.read_bytes() for file in files]
    for gone in (files[1], files[2]):
        for suffix in (".json", ".onnx", ".parquet"):
            gone.with_suffix(suffix).unlink()
    kept = files[0].stat().st_mtime_ns
    again = ol.resample(penguins, SMALL, ol.CV(4), "acc", store=tmp_path / "a", models=True)
    assert [file.read_bytes() for file in files] == before
    assert files[0].stat().st_mtime_ns == kept
    assert again.scores["acc"].tolist() == first.scores["acc"].tolist()


class Fussy(Callback):
    """Cannot stand one of the folds."""

    stackable = True

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def epoch_begin(self, ctx) -> None:
        if len(ctx.train) == self.n_rows:
            raise ValueError("these rows")


def test_an_error_in_a_group_is_one_of_its_fold(penguins) -> None:
    rows = np.random.default_rng(0).permutation(340)
    custom = ol.Custom(train=[rows[i : 120 + i + (i == 1)] for i in range(3)], test=[rows[300:]] * 3)
    learner = SMALL.replace(validation=None, callbacks=(Fussy(121),))
    result = ol.resample(penguins, learner, custom, "acc", on_error="record")
    assert result.scores["status"].tolist() == ["done", "failed", "done"]
    assert result.errors["error"].tolist() == ["ValueError: these rows"]
    with pytest.raises(ValueError, match="these rows"):
        ol.resample(penguins, learner, custom, "acc")


def test_times_of_a_group_are_shares(penguins, monkeypatch) -> None:
    fit_together = MLP.fit_together

    def slow(self, tasks, tests, titles):
        time.sleep(0.4)
        return fit_together(self, tasks, tests, titles)

    monkeypatch.setattr(MLP, "fit_together", slow)
    seconds = ol.resample(penguins, SMALL, ol.CV(4), ["acc", "time_train"]).scores["time_train"]
    assert (seconds > 0.1).all()
    assert (seconds < 0.4).all()
