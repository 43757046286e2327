"""Trackers: what they write is what the training was, where it is looked for, read back by the tools that it is for."""

import csv
import json
import pickle
import sys
import warnings
from unittest.mock import ANY

import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.errors import MissingExtraError, OutputError, ParameterError
from onnxlearn.parts import part_of
from onnxlearn.testing import example_tasks
from onnxlearn_models.training.callbacks import HistoryFile, MLflow, StepHistory, TensorBoard, Tracker
from onnxlearn_models.training.run_info import RunInfo

SMALL = {"max_epochs": 3, "batch_size": 10, "patience": None, "grad_clip": 1e-3}


@pytest.fixture
def task():
    return example_tasks()["number"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # The store in files needs no database, which takes seconds to make.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def fit(task, *callbacks, learner="linear", **params):
    return ol.learner(learner, **SMALL, callbacks=callbacks, **params).fit(task, progress=False)


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}, events


def test_tensorboard_shows_the_history_the_steps_and_the_scores_of_the_file(task, tmp_path):
    model = fit(task, TensorBoard(tmp_path / "runs/{run}", steps=True), StepHistory())
    assert model.callbacks[0].folder == tmp_path / "runs/mixed-number-linear"
    found, events = scalars(model.callbacks[0].folder)
    for tag, column in {"loss/train": "train_loss", "loss/valid": "valid_loss", "rmse/valid": "valid_rmse", "lr": "lr"}.items():
        assert found[tag] == [(i, pytest.approx(v)) for i, v in zip(model.history["epoch"], model.history[column], strict=True)]
    assert len(found["seconds"]) == 3
    steps = model.callbacks[1].to_frame()
    found |= scalars(model.callbacks[0].folder / "steps")[0]
    assert found["step/grad_norm"] == [(i, pytest.approx(v)) for i, v in zip(steps["step"], steps["grad_norm"], strict=True)]
    assert found["file/validation/rmse"] == [(0, pytest.approx(model.scores["validation"]["rmse"]))]
    text = events.Tensors("onnxlearn/text_summary")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text)["grad_clip"] == 0.001
    assert any(tag.startswith("_hparams_/session_start_info") for tag in events.summary_metadata)


def test_steps_tell_gradients_before_clipping_and_the_course_of_the_learning_rate(task):
    model = fit(task, StepHistory(), schedule="cosine", warmup=0.0)
    steps = model.callbacks[0].to_frame()
    assert list(steps["step"]) == list(range(1, len(steps) + 1))
    assert (steps["grad_norm"] > 10 * SMALL["grad_clip"]).all()
    assert steps["lr"].is_monotonic_decreasing
    ends = steps.iloc[len(steps) // 3 - 1 :: len(steps) // 3]
    assert list(ends["lr"]) == list(model.history["lr"])
    assert model.history["train_loss"][0] == pytest.approx(steps["loss"][: len(steps) // 3].mean(), rel=0.05)


def test_mlflow_has_a_run_with_parameters_metrics_and_the_file(task, tmp_path):
    from mlflow import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    model = fit(task, MLflow(uri, model=True, steps=True))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(task.name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.runName"] == "mixed-number-linear"
    assert run.data.tags["stopped"] == "max_epochs"
    assert (run.data.params["learner"], run.data.params["grad_clip"]) == ("linear", "0.001")
    # What was left to the table is there as it was chosen.
    chosen = model.metadata["training"]["chosen"]
    assert chosen == {name: ANY for name in chosen if run.data.params[name] == str(chosen[name])} != {}
    losses = client.get_metric_history(run.info.run_id, "loss/valid")
    assert sorted((each.step, each.value) for each in losses) == list(
        zip(model.history["epoch"], model.history["valid_loss"], strict=True)
    )
    assert len(client.get_metric_history(run.info.run_id, "step/lr")) > 3
    assert run.data.metrics["file/validation/rmse"] == model.scores["validation"]["rmse"]
    path = client.download_artifacts(run.info.run_id, "model.onnx", str(tmp_path))
    assert ol.load(path).predict(task.frame).response == pytest.approx(model.predict(task.frame).response)


def test_mlflow_runs_stand_below_the_one_that_was_begun(task, tmp_path):
    import mlflow

    uri = (tmp_path / "mlruns").as_uri()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        with mlflow.start_run() as parent:
            model = fit(task, MLflow(experiment="mine"))
        run = mlflow.MlflowClient(uri).get_run(model.callbacks[0].run_id)
    finally:
        mlflow.set_tracking_uri(before)
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlflow_writes_to_a_database(task, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    model = fit(task, MLflow(uri))
    run = MlflowClient(uri).get_run(model.callbacks[0].run_id)
    assert run.data.metrics["file/validation/rmse"] == model.scores["validation"]["rmse"]


def test_a_failed_training_is_a_failed_run(task, tmp_path):
    from mlflow import MlflowClient

    class Failing(Tracker):
        def batch_end(self, ctx):
            raise RuntimeError("broken")

    uri = (tmp_path / "mlruns").as_uri()
    with pytest.raises(RuntimeError, match="broken"):
        fit(task, MLflow(uri), Failing())
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name(task.name).experiment_id])
    assert (run.info.status, run.data.tags["stopped"]) == ("FAILED", "failed")


def test_a_store_that_cannot_be_had_is_refused_before_the_first_batch(task, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"MLflow.* has nowhere to write"):
        fit(task, MLflow((tmp_path / "file/mlruns").as_uri()))
    with pytest.raises(OutputError, match=r"HistoryFile.* has nowhere to write: FileExistsError"):
        fit(task, HistoryFile("file/history.csv"))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_history_file_grows_with_the_training(task, tmp_path, suffix):
    path = tmp_path / f"history.{suffix}"
    seen = []

    class Looking(Tracker):
        order = 10

        def epoch_end(self, ctx):
            seen.append(len(path.read_text().splitlines()))

    model = fit(task, HistoryFile(path), Looking())
    head = suffix == "csv"
    assert seen == [1 + head, 2 + head, 3 + head]
    if suffix == "csv":
        rows = [{name: float(v) for name, v in row.items()} for row in csv.DictReader(path.read_text().splitlines())]
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == model.history[list(rows[0])].to_dict("records")


def test_a_history_is_written_in_one_of_two_forms():
    with pytest.raises(ParameterError, match=r"\.csv or \.jsonl, not 'history\.txt'"):
        HistoryFile("history.txt")


def test_each_training_has_a_place_of_its_own(tmp_path):
    info = RunInfo("a task", "mlp", parts=())
    pattern = f"{tmp_path}/{{run}}"
    assert [info.folder(pattern).name for _ in range(3)] == ["a-task-mlp", "a-task-mlp-2", "a-task-mlp-3"]
    assert [info.file(f"{pattern}.csv").name for _ in range(2)] == ["a-task-mlp.csv", "a-task-mlp-2.csv"]
    with part_of("CV 3"), part_of("fold 1 of 5"):
        assert RunInfo("t", "mlp").name == "t-mlp-CV-3-fold-1-of-5"


def test_one_place_for_several_trainings_is_refused(tmp_path):
    fold = RunInfo("t", "mlp", parts=("CV 1",))
    with pytest.raises(ParameterError, match=r"several trainings in turn: give each a name of its own by \{run\}"):
        fold.file("h.csv")
    assert fold.folder(f"{tmp_path}/a").is_dir()
    (tmp_path / "a/events").write_text("")
    with pytest.raises(ParameterError, match=r"holds another run already: .* as in '.*/a/\{run\}'"):
        fold.folder(f"{tmp_path}/a")
    # A file of one training alone is replaced, as the file of the model is.
    alone = RunInfo("t", "mlp", parts=())
    assert alone.file(f"{tmp_path}/a.csv") == alone.file(f"{tmp_path}/a.csv")


def test_what_cannot_be_written_any_more_is_warned_of_once_and_the_training_goes_on(task, tmp_path):
    class Removing(Tracker):
        order = -100

        def epoch_begin(self, ctx):
            if ctx.epoch == 2:
                (tmp_path / "gone").rename(tmp_path / "away")

    with pytest.warns(RuntimeWarning, match="HistoryFile.* could not write, and misses something: FileNotFoundError") as seen:
        model = fit(task, HistoryFile(tmp_path / "gone/h.csv"), Removing())
    assert len(seen) == 1
    assert len(model.history) == 3


def test_a_missing_package_is_told_with_its_extra(task, monkeypatch):
    for name in ("torch.utils.tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'onnxlearn\[track\]'"):
        fit(task, TensorBoard())
    with pytest.raises(MissingExtraError, match=r"pip install 'onnxlearn\[track\]'"):
        fit(task, MLflow())


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_fold_and_every_network_has_a_place(task, tmp_path, n_jobs):
    learner = ol.learner("bagging", base="linear", n_folds=2, **SMALL, callbacks=["history('h/{run}.csv')"])
    ol.resample(task, learner, ol.CV(folds=2), n_jobs=n_jobs)
    names = sorted(path.name for path in (tmp_path / "h").iterdir())
    folds = [f"mixed-number-linear-CV-folds=2-{i}-fold-{j}-of-2.csv" for i in range(2) for j in (1, 2)]
    assert names == folds


def test_what_watches_changes_neither_file_nor_identity(task, tmp_path):
    watched = [HistoryFile(tmp_path / "h.csv"), StepHistory()]
    plain, learner = (ol.learner("linear", **SMALL, callbacks=each) for each in ((), watched))
    assert learner == plain
    assert hash(learner) == hash(plain)
    assert learner.fit(task, progress=False).to_bytes() == plain.fit(task, progress=False).to_bytes()
    averaged = ol.learner("bagging", base=learner, n_folds=2)
    assert averaged == ol.learner("bagging", base=plain, n_folds=2)
    assert "HistoryFile" not in json.dumps(averaged.to_dict())
    assert "HistoryFile" not in json.dumps(ol.learner("ensemble", members=[learner]).to_dict())


def test_trackers_of_a_fitted_model_can_be_pickled(task, tmp_path):
    model = fit(task, TensorBoard(tmp_path / "tb"), MLflow((tmp_path / "m").as_uri()), HistoryFile(), StepHistory())
    copies = pickle.loads(pickle.dumps(model.callbacks))
    assert copies == model.callbacks
    assert copies[3].rows == model.callbacks[3].rows


def test_warnings_of_trackers_are_no_errors_of_theirs():
    class Broken(Tracker):
        pass

    tracker = Broken()
    with pytest.raises(ZeroDivisionError):
        tracker._safely(lambda: 1 / 0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            tracker._safely(lambda: open("/nowhere/at/all"))  # noqa: SIM115, PTH123
    assert len(seen) == 1


def test_measures_of_some_epochs_are_columns_from_the_first_line_on(task, tmp_path):
    watching = HistoryFile("h.csv"), HistoryFile("h.jsonl"), TensorBoard("tb")
    model = fit(task, *watching, measures=["r2"], monitor="mae", eval_every=2)
    header = (tmp_path / "h.csv").read_text().splitlines()[0]
    assert {*header.split(",")} == {*model.history} == {*json.loads((tmp_path / "h.jsonl").read_text().splitlines()[0])}
    read = pd.read_csv(tmp_path / "h.csv")
    assert read[list(model.history)].equals(model.history.astype(read[list(model.history)].dtypes))
    assert [step for step, _ in scalars(tmp_path / "tb")[0]["r2/train"]] == [2, 3]
    assert [step for step, _ in scalars(tmp_path / "tb")[0]["mae/valid"]] == [1, 2, 3]
