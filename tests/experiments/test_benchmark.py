"""Resampling and benchmarks: scores of exported files, errors, limits, folders."""

from __future__ import annotations

import json
import shutil

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

import onnxlearn as ol
from onnxlearn.errors import DataError, OutputError, ParameterError, UnknownNameError
from onnxlearn.experiments.benchmark import in_own_order
from onnxlearn.experiments.limit import TimeLimitExceeded, time_limit
from onnxlearn.experiments.store import safe_name
from tests.experiments.learners import Failing, Slow, Swapped

LINEAR = ol.learner("linear", max_epochs=2)
FEATURELESS = ol.learner("featureless")


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.Task.from_file("example:penguins", "species", ignore=["body_mass_g"])


@pytest.fixture(scope="module")
def masses() -> ol.Task:
    frame = ol.Task.from_file("example:penguins", "species").frame.dropna(subset="body_mass_g")
    return ol.Task.from_frame(frame[["bill_length_mm", "sex", "body_mass_g"]], "body_mass_g", name="masses")


def test_scores_are_those_of_the_file_and_of_scikit_learn(penguins) -> None:
    result = ol.resample(penguins, LINEAR, ol.CV(3), ["logloss", "acc"], models=True)
    for i, (_, test) in enumerate(ol.CV(3).split(penguins)):
        part = penguins.select(test)
        prob = result.models[i].predict(part.frame).prob.astype(float)
        expected = log_loss(part.truth(), prob / prob.sum(axis=1, keepdims=True))
        assert result.scores["logloss"][i] == pytest.approx(expected, rel=1e-6)
        assert result.predictions[i].row_ids.tolist() == test.tolist()
    assert result.aggregate()["logloss"] == pytest.approx(result.scores["logloss"].mean())


def test_another_file_has_other_scores(penguins) -> None:
    """What was trained counts for nothing: the file is what is scored."""
    swapped = ol.resample(penguins, Swapped(), ol.Holdout(), "logloss").scores["logloss"]
    assert swapped.tolist() == ol.resample(penguins, FEATURELESS, ol.Holdout(), "logloss").scores["logloss"].tolist()


def test_all_learners_get_the_same_rows(penguins, masses) -> None:
    result = ol.benchmark([penguins, masses], [LINEAR, FEATURELESS], ol.CV(2, seed=5), ["acc", "rmse", "file_size"])
    cells = result.aggregate()[["task", "learner"]].to_numpy().tolist()
    assert cells == [[task, learner] for task in ("penguins", "masses") for learner in ("linear", "featureless")]
    for task in result.scores["task"].unique():
        rows = [
            [prediction.row_ids.tolist() for prediction in result.resample_result(task, learner).predictions]
            for learner in ("linear", "featureless")
        ]
        assert rows[0] == rows[1]
    scores = result.scores
    assert scores.loc[scores["task"] == "masses", "acc"].isna().all()
    assert scores["file_size"].notna().all()


def test_micro_is_the_score_of_all_rows_together(masses) -> None:
    result = ol.resample(masses, FEATURELESS, ol.CV(4), ["rmse"])
    errors = np.concatenate([p.response - p.truth for p in result.predictions])
    assert result.aggregate("rmse", average="micro")["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert result.aggregate("rmse")["rmse"] == pytest.approx(result.scores["rmse"].mean())


def test_a_learner_that_fails_is_recorded_and_the_rest_goes_on(penguins) -> None:
    result = ol.benchmark(penguins, [Failing(), FEATURELESS], ol.CV(3), "acc")
    assert result.scores["status"].tolist().count("failed") == len(result.errors) >= 1
    assert set(result.errors["error"]) == {"ZeroDivisionError: nothing to divide by"}
    assert np.isnan(result.aggregate().set_index("learner")["acc"]["failing"])
    assert result.aggregate().set_index("learner")["n_failed"].to_dict()["featureless"] == 0
    with pytest.raises(ZeroDivisionError):
        ol.resample(penguins, Failing(), ol.CV(3), "acc")


def test_a_fallback_predicts_where_a_learner_failed(penguins) -> None:
    result = ol.benchmark(penguins, [Failing(), FEATURELESS], ol.CV(3), "acc", fallback=FEATURELESS)
    table = result.aggregate().set_index("learner")
    assert table["acc"]["failing"] == table["acc"]["featureless"]
    assert result.errors["fallback"].all()
    assert not result.errors.empty


def test_a_fit_that_takes_too_long_is_ended(penguins) -> None:
    result = ol.benchmark(penguins, [Slow(), FEATURELESS], ol.Holdout(), "acc", time_limit=0.3)
    assert result.scores["status"].tolist() == ["timeout", "done"]
    assert result.errors["error"].item() == "the fit took longer than 0.3 seconds"


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    with time_limit(0.05):
        pass
    with time_limit(0.01), pytest.raises(TimeLimitExceeded):
        for _ in range(10**9):
            pass


def test_a_folder_goes_on_where_it_stopped(penguins, tmp_path) -> None:
    def run(**options) -> ol.BenchmarkResult:
        return ol.benchmark(penguins, [LINEAR, FEATURELESS], ol.CV(3), ["acc"], store=tmp_path / "r", models=True, **options)

    whole = run()
    files = sorted((tmp_path / "r" / "runs").rglob("*.json"))
    assert len(files) == 6
    times = {file: file.stat().st_mtime_ns for file in files[1:]}
    files[0].unlink()
    # A killed process leaves parts of an iteration behind.
    files[0].with_suffix(".parquet").write_bytes(b"half")
    again = run()
    pd.testing.assert_frame_equal(again.scores, whole.scores)
    assert {file: file.stat().st_mtime_ns for file in files[1:]} == times
    loaded = ol.BenchmarkResult.load(tmp_path / "r")
    pd.testing.assert_frame_equal(loaded.scores, whole.scores)
    pd.testing.assert_frame_equal(loaded.score("logloss"), whole.score("logloss"))
    pd.testing.assert_frame_equal(loaded.aggregate(), whole.aggregate())


def test_a_folder_is_readable_without_onnxlearn(masses, tmp_path) -> None:
    result = ol.resample(masses, FEATURELESS, ol.Holdout(), "rmse", store=tmp_path / "r")
    (parquet,) = tmp_path.rglob("*.parquet")
    table = pd.read_parquet(parquet)
    assert table.columns.tolist() == ["row", "truth", "prediction"]
    rmse = np.sqrt(np.mean((table["truth"] - table["prediction"]) ** 2))
    document = json.loads(parquet.with_suffix(".json").read_text())
    assert document["scores"]["rmse"] == pytest.approx(rmse) == result.scores["rmse"].item()


def test_a_folder_of_another_design_is_refused(penguins, tmp_path) -> None:
    folder = tmp_path / "r"
    ol.benchmark(penguins, FEATURELESS, ol.CV(2), store=folder)
    before = sorted(folder.rglob("*"))
    for learner, resampling, what in (
        (LINEAR, ol.CV(2), "cells"),
        (FEATURELESS.replace(center="median"), ol.CV(2), "learners 'featureless'"),
        (FEATURELESS, {"CV(folds=2)": ol.CV(2, seed=1)}, r"splits 'penguins/CV\(folds=2\)'"),
        (FEATURELESS, ol.CV(3), "splits"),
    ):
        with pytest.raises(OutputError, match=f"another design: it differs in {what}"):
            ol.benchmark(penguins, learner, resampling, store=folder)
    with pytest.raises(OutputError, match="tasks"):
        ol.benchmark(penguins.select(np.arange(100)), FEATURELESS, ol.CV(2), store=folder)
    assert sorted(folder.rglob("*")) == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="holds other files"):
        ol.benchmark(penguins, FEATURELESS, ol.CV(2), store=other)
    with pytest.raises(DataError, match="no results folder"):
        ol.BenchmarkResult.load(other)


def test_results_of_several_machines_are_put_together(penguins, tmp_path) -> None:
    whole = ol.benchmark(penguins, LINEAR, ol.CV(2), "acc", store=tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for folder, parity in ((tmp_path / "one", 0), (tmp_path / "two", 1)):
        for file in folder.glob("runs/*/*/*/*.json"):
            if int(file.stem) % 2 == parity:
                file.unlink()
    merged = ol.BenchmarkResult.load(tmp_path / "one", tmp_path / "two")
    assert sorted(merged.scores["acc"]) == sorted(whole.scores["acc"])
    other = ol.benchmark(penguins, LINEAR, {"CV(folds=2)": ol.CV(2, seed=9)}, "acc")
    with pytest.raises(DataError, match="is there twice, by different designs or with different results"):
        merged.combine(other)


def test_results_do_not_depend_on_the_number_of_processes(penguins) -> None:
    options = {
        "learners": [LINEAR, ol.learner("mlp", max_epochs=2, d_block=512)],
        "resamplings": ol.CV(2),
        "measures": ["logloss"],
    }
    here = ol.benchmark(penguins, **options)
    there = ol.benchmark(penguins, **options, n_jobs=2)
    pd.testing.assert_frame_equal(here.scores, there.scores)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        pd.testing.assert_frame_equal(here.scores, ol.benchmark(penguins, **options).scores)


def test_names(penguins) -> None:
    cells = ol.grid(penguins, [LINEAR, ol.learner("linear", max_epochs=3)], ol.Holdout())
    assert [cell.learner_name for cell in cells] == ["linear(max_epochs=2)", "linear(max_epochs=3)"]
    assert ol.benchmark(cells[:1], measures="acc").scores["learner"].tolist() == ["linear(max_epochs=2)"]
    with pytest.raises(ParameterError, match="two tasks are called"):
        ol.grid([penguins, penguins], LINEAR, ol.Holdout())
    with pytest.raises(ParameterError, match="one of them is missing"):
        ol.benchmark(penguins, LINEAR)
    with pytest.raises(ParameterError, match="a learner is needed here, not 'mlp'"):
        ol.grid(penguins, "mlp", ol.Holdout())
    with pytest.raises(ParameterError, match="no task is one"):
        ol.benchmark(penguins, FEATURELESS, ol.Holdout(), "rmse")
    with pytest.raises(UnknownNameError, match="there is no learner 'mpl'"):
        ol.benchmark(cells[:1], measures="acc").filter(learners="mpl")


def test_every_name_has_a_folder_of_its_own() -> None:
    names = ["mlp", "MLP", "m lp", "m-lp", "a/b", "a-b", "..", "x" * 200, "x" * 201, "mlp."]
    assert len({safe_name(name).lower() for name in names}) == len(names)
    assert all(name not in ("", ".", "..") and "/" not in name for name in map(safe_name, names))


def test_where_everything_failed_the_table_says_so(penguins) -> None:
    result = ol.resample(penguins, Slow(), ol.Holdout(), "acc", time_limit=0.05, on_error="record")
    assert np.isnan(result.aggregate()["acc"])
    assert (result.predictions, result.models) == ([None], [None])


def test_what_was_not_kept_is_told(penguins) -> None:
    result = ol.resample(penguins, FEATURELESS, ol.Holdout(), "acc", predictions=False)
    with pytest.raises(DataError, match="models were not kept"):
        assert result.models
    with pytest.raises(DataError, match="predictions were not kept"):
        assert result.predictions


def test_ones_own_measure_is_computed_and_kept(penguins, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ol.measures.registry, "MEASURES", dict(ol.measures.MEASURES))

    @ol.measure("first_share", task="classification", needs="labels", minimize=False, low=0, high=1)
    def first_share(outcome):
        """share of rows that are predicted to be of the first class"""
        return outcome.mean(outcome.response == 0)

    result = ol.resample(penguins, FEATURELESS, ol.CV(2), [first_share, "acc"], store=tmp_path / "r", n_jobs=2)
    assert result.aggregate()["first_share"] == 1
    assert result.aggregate("first_share", average="micro") == {"first_share": 1}
    assert ol.BenchmarkResult.load(tmp_path / "r").aggregate()["first_share"].tolist() == [1]


def test_a_fallback_that_fails_too_is_recorded(penguins) -> None:
    impossible = LINEAR.replace(coverage=0.9999)
    result = ol.benchmark(penguins, {"a": Failing(), "b": LINEAR}, ol.CV(2), "acc", fallback=impossible)
    failed = result.filter(learners=["a"])
    assert [record.status for record in failed.records] == ["failed", "done"]
    assert "nothing to divide by; the fallback failed too: coverage" in failed.records[0].error
    assert not any(record.fallback for record in failed.records)
    assert result.filter(learners=["b"]).errors.empty


def test_the_fallback_has_as_much_time_as_it_needs(penguins) -> None:
    result = ol.benchmark(penguins, Slow(), ol.Holdout(), "acc", fallback=LINEAR.replace(max_epochs=60), time_limit=0.05)
    assert [(record.status, record.fallback) for record in result.records] == [("timeout", True)]


def test_a_measure_that_fails_costs_no_more_than_itself(penguins, monkeypatch) -> None:
    monkeypatch.setattr(ol.measures.registry, "MEASURES", dict(ol.measures.MEASURES))

    @ol.measure("broken", task="classification", needs="labels", minimize=True)
    def broken(outcome):
        raise ValueError("no luck")

    result = ol.benchmark(penguins, LINEAR, ol.CV(2), ["acc", broken, "set_coverage"])
    assert result.errors.empty
    assert result.scores["acc"].notna().all()
    assert result.scores[["broken", "set_coverage"]].isna().to_numpy().all()
    assert result.records[0].notes[-2] == "measure 'broken' failed: ValueError: no luck"
    assert result.records[0].notes[-1].startswith("measure 'set_coverage' failed: ")
    with pytest.raises(ValueError, match="no luck"):
        ol.resample(penguins, LINEAR, ol.CV(2), [broken])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_limit": -1}, "^time_limit is a number of seconds above 0, or None, not -1$"),
        ({"time_limit": "x"}, "^time_limit is a number of seconds above 0"),
        ({"on_error": "ignore"}, "^on_error is 'record' or 'raise', not 'ignore'$"),
        ({"fallback": "featureless"}, r"^fallback is a learner or None, not 'featureless': ol\.learner\(\"featureless\"\)$"),
        ({"n_jobs": "x"}, "^n_jobs is a number of processes, or -1 for one a core, not 'x'$"),
    ],
)
def test_arguments_are_checked_before_the_first_fit(penguins, arguments, message) -> None:
    with pytest.raises(ParameterError, match=message):
        ol.benchmark(penguins, Slow(), ol.CV(2), **arguments)


def test_what_is_no_task_learner_or_resampling_is_told_shortly(penguins) -> None:
    for arguments, message in (
        (
            (penguins.frame, LINEAR, ol.CV(2)),
            r"^a task is needed here, not a DataFrame: ol\.Task\.from_frame\(df, target=\"y\"\)$",
        ),
        ((penguins, "mlp", ol.CV(2)), r"^a learner is needed here, not 'mlp': ol\.learner\(\"mlp\"\)$"),
        ((penguins, LINEAR, ol.CV), r"^a resampling is needed here, not <class .*CV'>: ol\.CV\(folds=5\)$"),
    ):
        with pytest.raises(ParameterError, match=message):
            ol.resample(*arguments)


def test_two_measures_of_one_name_are_refused(penguins) -> None:
    equal, unequal = (ol.measures.costs(np.array([[0, 1, 1], [high, 0, 1], [1, 1, 0]])) for high in (1, 5))
    with pytest.raises(ParameterError, match="two measures are called 'costs'"):
        ol.resample(penguins, FEATURELESS, ol.CV(2), [equal, unequal])
    assert len(ol.resample(penguins, FEATURELESS, ol.CV(2), [equal, equal]).measures) == 1


def test_a_folder_knows_code_and_not_only_its_name(penguins, tmp_path) -> None:
    def network(width):
        def net(n_num, n_outputs):
            from torch import nn

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layers = nn.Sequential(nn.Linear(n_num, width), nn.ReLU(), nn.Linear(width, n_outputs))

                def forward(self, num):
                    return self.layers(num)

            return Net()

        return ol.learner(net, max_epochs=1)

    numbers = ol.Task.from_frame(penguins.frame[["bill_length_mm", "bill_depth_mm", "species"]], "species")
    first = ol.resample(numbers, network(2), ol.Holdout(), "acc", store=tmp_path / "a")
    again = ol.resample(numbers, network(2), ol.Holdout(), "acc", store=tmp_path / "a")
    assert [r.seconds_train for r in again.records] == [r.seconds_train for r in first.records]
    with pytest.raises(OutputError, match="holds results of another design: it differs in learners"):
        ol.resample(numbers, network(3), ol.Holdout(), "acc", store=tmp_path / "a")
    matrix = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    ol.resample(penguins, FEATURELESS, ol.Holdout(), [ol.measures.costs(matrix)], store=tmp_path / "b")
    with pytest.raises(OutputError, match="holds results of another design: it differs in settings"):
        ol.resample(penguins, FEATURELESS, ol.Holdout(), [ol.measures.costs(2 * matrix)], store=tmp_path / "b")


def test_folders_of_different_designs_are_not_put_together(penguins, tmp_path) -> None:
    ol.resample(penguins, LINEAR, ol.CV(2), "acc", store=tmp_path / "a")
    ol.resample(penguins, LINEAR.replace(max_epochs=3), ol.CV(3), "acc", store=tmp_path / "b")
    with pytest.raises(DataError, match=r"learner 'linear' is another one in .*b' than in .*a': results of different designs"):
        ol.BenchmarkResult.load(tmp_path / "a", tmp_path / "b")


def test_a_changed_model_file_is_refused(penguins, tmp_path) -> None:
    result = ol.resample(penguins, LINEAR, ol.CV(2), "acc", store=tmp_path, models=True)
    one, other = sorted(tmp_path.rglob("*.onnx"))
    shutil.copy(one, other)
    assert result.model(result.records[0]).metadata["learner"]["name"] == "linear"
    with pytest.raises(DataError, match="is not the file that was scored"):
        result.model(result.records[1])


def test_what_a_folder_lacks_is_counted(penguins, tmp_path) -> None:
    ol.benchmark(penguins, [LINEAR, FEATURELESS], ol.CV(3), "acc", store=tmp_path)
    assert ol.BenchmarkResult.load(tmp_path).aggregate()["n_missing"].tolist() == [0, 0]
    next((tmp_path / "runs" / "penguins" / "linear").rglob("0001.json")).unlink()
    assert ol.BenchmarkResult.load(tmp_path).aggregate()["n_missing"].tolist() == [1, 0]
    # Also where nothing of a learner is there, and not those of others.
    shutil.rmtree(tmp_path / "runs" / "penguins" / "linear")
    result = ol.BenchmarkResult.load(tmp_path)
    assert (result.n_missing, result.filter(learners=["featureless"]).n_missing) == (3, 0)


def test_a_damaged_design_says_what_to_do(penguins, tmp_path) -> None:
    ol.resample(penguins, FEATURELESS, ol.Holdout(), "acc", store=tmp_path)
    for text in ("{", "{}", "[]"):
        (tmp_path / "design.json").write_text(text)
        with pytest.raises(DataError, match=r"design\.json' is damaged: bring it back from a copy, or give another folder"):
            ol.BenchmarkResult.load(tmp_path)


def test_results_say_what_they_are(penguins) -> None:
    result = ol.benchmark(penguins, [LINEAR, Failing()], ol.CV(2), "acc")
    assert repr(result) == (
        "BenchmarkResult(tasks: 'penguins'; learners: 'linear', 'failing'; resamplings: 'CV(folds=2)'; 4 iterations, 1 failed)"
    )


def test_backends_that_give_results_all_at_once_work_too(penguins) -> None:
    """As Ray's does."""
    expected = ol.resample(penguins, LINEAR, ol.CV(2), "acc")
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
        found = ol.resample(penguins, LINEAR, ol.CV(2), "acc")
    assert [record.sha256 for record in found.records] == [record.sha256 for record in expected.records]


def test_the_bar_counts_every_iteration(penguins, tmp_path, capsys) -> None:
    for n_done, n_failed in ((0, 1), (3, 0)):
        learners = [FEATURELESS] if n_failed == 0 else [FEATURELESS, Failing()]
        folder = tmp_path / str(n_failed)
        if n_done:
            ol.benchmark(penguins, learners, ol.CV(3), "acc", store=folder)
        ol.benchmark(penguins, learners, ol.CV(3), "acc", store=folder, progress=True)
        shown = capsys.readouterr().err
        total = 3 * len(learners)
        assert f"{total}/{total}" in shown
        assert (f", {n_failed} failed" in shown) == bool(n_failed)


def test_histories_are_kept_unless_told(penguins) -> None:
    assert len(ol.resample(penguins, LINEAR, ol.Holdout(), "acc").histories[0]) == 2
    assert ol.resample(penguins, LINEAR, ol.Holdout(), "acc", histories=False).histories[0].empty


def test_processes_that_share_a_folder_go_through_it_in_other_orders(penguins) -> None:
    calls = [((job,), penguins) for cell in ol.grid(penguins, [LINEAR, FEATURELESS], ol.CV(12)) for job in cell.jobs()]
    one, other = ([job.key for (job,), _ in in_own_order(calls)] for _ in range(2))
    assert one != other
    assert sorted(one) == sorted(other) == sorted(job.key for (job,), _ in calls)
    # What was prepared for a learner on a task serves the next iteration.
    assert len({key.learner for key in one[:12]}) == 1
