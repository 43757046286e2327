"""Benchmarks whose processes are killed, and folders that several processes write to."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, OnnxlearnError, OutputError
from onnxlearn.experiments.store import ABANDONED, Store
from tests.experiments import grids, learners
from tests.experiments.dask_cluster import dask_cluster, kill_workers
from tests.experiments.learners import Busy, Dying, DyingOnce, Exiting, Napping, Stuck

REPOSITORY = Path(__file__).parents[2]
FEATURELESS = ol.learner("featureless")


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.example_task("penguins")


@pytest.fixture(autouse=True, scope="module")
def _portable() -> Iterator[None]:
    """Processes elsewhere cannot import the tests."""
    cloudpickle.register_pickle_by_value(learners)
    yield
    cloudpickle.unregister_pickle_by_value(learners)


def start(size: str, folder: Path, n_jobs: int = 1) -> subprocess.Popen[bytes]:
    """A benchmark in processes of its own."""
    paths = [str(REPOSITORY / part) for part in ("", "models", "cli")]
    command = [sys.executable, str(Path(grids.__file__)), size, str(folder), str(n_jobs)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # What joblib would have removed at its end.
    for path in Path("/dev/shm").glob(f"*loky-{process.pid}-*"):
        path.unlink()
    for path in Path("/dev/shm").glob(f"joblib_memmapping_folder_{process.pid}_*"):
        shutil.rmtree(path)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("runs/*/*/*/*.json"))


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_benchmark_resumes_to_the_same_table(tmp_path) -> None:
    whole = grids.table(ol.benchmark(**grids.arguments("small")))
    process = start("small", tmp_path / "r")
    wait_for(lambda: len(files(tmp_path / "r")) >= 4)
    kill(process)
    n_done = len(files(tmp_path / "r"))
    assert 4 <= n_done < len(whole)
    times = {file: file.stat().st_mtime_ns for file in files(tmp_path / "r")}
    again = ol.benchmark(**grids.arguments("small"), store=tmp_path / "r")
    pd.testing.assert_frame_equal(grids.table(again), whole)
    assert {file: file.stat().st_mtime_ns for file in times} == times


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path) -> None:
    """5 learners on 8 tasks by 5 folds, on two processes, all of them killed ten times at random moments."""
    finish(start("large", tmp_path / "whole", 2))
    whole = ol.BenchmarkResult.load(tmp_path / "whole")
    assert len(whole.records) == 200
    rng, folder, progress = random.Random(5), tmp_path / "r", []
    for _ in range(10):
        process, n_before = start("large", folder, 2), len(files(folder))
        # Anywhere from the start of Python to the writing of results, but with some progress in half of the lives.
        if rng.random() < 0.5:
            wait_for(lambda n=n_before: len(files(folder)) > n)
        time.sleep(rng.uniform(0, 3))
        assert process.poll() is None
        kill(process)
        progress.append(len(files(folder)))
    assert 0 < progress[-1] < 200
    finish(start("large", folder, 2))
    resumed = ol.BenchmarkResult.load(folder)
    pd.testing.assert_frame_equal(grids.table(resumed), grids.table(whole))
    pd.testing.assert_frame_equal(resumed.aggregate(), whole.aggregate())


def test_an_iteration_whose_process_dies_is_recorded_and_the_rest_goes_on(penguins, tmp_path) -> None:
    options = {"resamplings": ol.CV(3), "measures": "acc", "n_jobs": 2, "store": tmp_path / "r", "fallback": FEATURELESS}
    result = ol.benchmark(penguins, [Dying(), FEATURELESS, Exiting()], **options)
    expected = ol.benchmark(penguins, FEATURELESS, ol.CV(3), "acc").aggregate()["acc"].item()
    assert result.aggregate()["acc"].tolist() == [expected] * 3
    errors = result.errors.set_index("learner")
    assert errors["error"]["dying"] == "its process died twice (exit code EXIT(3))"
    assert errors["error"]["exiting"].tolist() == ["SystemExit: 1"] * 3
    assert grids.table(ol.BenchmarkResult.load(tmp_path / "r")).equals(grids.table(result))


def test_an_iteration_that_was_only_near_a_death_is_run_again(penguins, tmp_path) -> None:
    """As is one whose process was killed for lack of memory that others took."""
    result = ol.benchmark(penguins, [DyingOnce(tmp_path / "died"), FEATURELESS], ol.CV(2), "acc", n_jobs=2)
    assert (tmp_path / "died").exists()
    assert result.errors.empty


def test_a_death_is_an_error_where_errors_are_raised(penguins) -> None:
    with pytest.raises(OnnxlearnError, match="'dying' on task 'penguins', iteration 0: its process died twice"):
        ol.resample(penguins, Dying(), ol.CV(2), "acc", n_jobs=2)


@pytest.mark.slow
def test_compiled_code_that_does_not_return_is_ended(penguins) -> None:
    result = ol.benchmark(penguins, [Stuck(), FEATURELESS], ol.Holdout(), "acc", n_jobs=2, time_limit=0.5)
    assert result.scores["status"].tolist() == ["timeout", "done"]
    assert result.errors["error"].item() == "the fit took longer than 0.5 seconds"


@pytest.mark.slow
def test_two_processes_share_a_folder(tmp_path) -> None:
    """Each iteration is there once, and neither did everything."""
    processes = [start("small", tmp_path / "r") for _ in range(2)]
    for process in processes:
        finish(process)
    result = ol.BenchmarkResult.load(tmp_path / "r")
    assert len(result.records) == len({record.key for record in result.records}) == 18
    pd.testing.assert_frame_equal(grids.table(result), grids.table(ol.benchmark(**grids.arguments("small"))))
    assert not list(tmp_path.rglob("*.part"))


def test_what_another_process_finished_meanwhile_is_not_run_again(penguins, tmp_path) -> None:
    """The learner, in its first fit, does what a second process would do: all of it."""
    options = {"task": penguins, "resampling": ol.CV(4), "measures": "acc", "store": tmp_path / "r"}
    busy = Busy(lambda: ol.resample(learner=Busy(None), **options), tmp_path / "log")
    result = ol.resample(learner=busy, **options)
    assert (tmp_path / "log").read_text() == "fit\n"
    assert result.scores["acc"].notna().all()


def test_what_killed_processes_left_is_ignored_and_removed_later(penguins, tmp_path) -> None:
    folder = tmp_path / "r"
    ol.resample(penguins, FEATURELESS, ol.CV(2), "acc", store=folder)
    file = files(folder)[0]
    young, old = (file.with_name(f".{file.name}.{name}.part") for name in ("young", "old"))
    for path in (young, old):
        path.write_text("{")
    os.utime(old, (time.time() - 2 * ABANDONED,) * 2)
    assert len(ol.BenchmarkResult.load(folder).records) == 2
    assert old.exists()
    ol.resample(penguins, FEATURELESS, ol.CV(2), "acc", store=folder)
    assert young.exists()
    assert not old.exists()


def test_iterations_of_an_interrupted_copy_are_run_again(penguins, tmp_path) -> None:
    options = {"task": penguins, "learner": FEATURELESS, "resampling": ol.CV(2), "measures": "acc", "models": True}
    whole = ol.resample(**options, store=tmp_path / "r")
    for suffix in (".parquet", ".onnx"):
        files(tmp_path / "r")[0].with_suffix(suffix).unlink()
        assert len(ol.BenchmarkResult.load(tmp_path / "r").records) == 1
        again = ol.resample(**options, store=tmp_path / "r")
        assert grids.table(again).equals(grids.table(whole))
        assert len(again.models) == 2
    files(tmp_path / "r")[0].with_suffix(".parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"0000.parquet' is damaged \(.*\): delete it, and the same call runs"):
        ol.BenchmarkResult.load(tmp_path / "r").score("bacc")


def test_of_two_folders_of_one_design_the_first_ones_iteration_counts(penguins, tmp_path) -> None:
    one = ol.resample(penguins, FEATURELESS, ol.CV(2), "acc", store=tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    # As another kind of machine would have it.
    file = files(tmp_path / "two")[0]
    file.write_text(file.read_text().replace('"acc": 0.4', '"acc": 0.5'))
    scores = [ol.BenchmarkResult.load(tmp_path / a, tmp_path / b).scores["acc"] for a, b in (("one", "two"), ("two", "one"))]
    assert scores[0].tolist() == one.scores["acc"].tolist()
    assert scores[1][0] == pytest.approx(one.scores["acc"][0] + 0.1)
    ol.resample(penguins, FEATURELESS, {"CV(folds=2)": ol.CV(2, seed=1)}, "acc", store=tmp_path / "other")
    with pytest.raises(DataError, match=r"is another one in .*: results of different designs are not put together"):
        ol.BenchmarkResult.load(tmp_path / "one", tmp_path / "other")


def test_a_file_where_the_folder_should_be_is_told(penguins, tmp_path) -> None:
    (tmp_path / "r").write_text("keep")
    for folder in (tmp_path / "r", tmp_path / "r" / "s"):
        with pytest.raises(OutputError, match="a file is where a folder has to be"):
            ol.resample(penguins, FEATURELESS, ol.Holdout(), "acc", store=folder)


def test_a_machine_that_does_not_see_the_folder_sends_its_results(penguins, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Store, "is_here", lambda self: False)
    result = ol.resample(penguins, FEATURELESS, ol.CV(2), "acc", store=tmp_path / "r", models=True)
    monkeypatch.undo()
    assert grids.table(ol.BenchmarkResult.load(tmp_path / "r")).equals(grids.table(result))
    assert len(result.models) == 2


def test_a_full_disk_ends_it_and_loses_nothing(tmp_path) -> None:
    """The system refuses files beyond a size as it refuses those that a disk has no room for."""
    task = ol.example_task("penguins")
    options = {"tasks": task, "resamplings": ol.CV(3), "measures": "acc", "store": tmp_path / "r", "models": True}
    options["learners"] = [FEATURELESS, ol.learner("mlp", max_epochs=1, d_block=256)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write '.*\.onnx': the file would be too large for this disk"):
            ol.benchmark(**options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    n_done = len(files(tmp_path / "r"))
    assert n_done == len(ol.BenchmarkResult.load(tmp_path / "r").scores) < 6
    assert not list(tmp_path.rglob("*.part"))
    assert grids.table(ol.benchmark(**options)).equals(grids.table(ol.benchmark(**{**options, "store": tmp_path / "other"})))


@pytest.mark.slow
def test_results_are_the_same_on_one_two_and_four_processes(penguins) -> None:
    options = {"tasks": penguins, "resamplings": ol.CV(3), "learners": ol.learner("mlp", max_epochs=1, d_block=512)}
    one, *others = (grids.table(ol.benchmark(**options, n_jobs=n)) for n in (1, 2, 4))
    assert one["sha256"].nunique() == 3
    for other in others:
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.slow
def test_processes_share_the_cores(penguins, tmp_path, monkeypatch) -> None:
    """Also where nobody said so by an environment variable, as OMP_NUM_THREADS does in these tests."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    learner = learners.Measured(tmp_path)
    ol.resample(penguins, learner, ol.Holdout(), "acc", n_jobs=2)
    threads, share = (tmp_path / "measured").read_text().split()
    fair = max(1, joblib.cpu_count() // 2)
    assert int(threads) == fair
    assert float(share) < fair + 0.3


def killed_on_dask(pauses: list[float], **arguments: object) -> tuple[ol.BenchmarkResult, list[int]]:
    """A benchmark on a cluster whose workers are killed."""
    killed: list[int] = []
    with dask_cluster() as cluster:
        killer = threading.Thread(target=kill_workers, args=(cluster, random.Random(1), pauses, killed))
        killer.start()
        result = ol.benchmark(**arguments)
        killer.join()
    return result, killed


def test_a_dask_cluster_gives_the_same_table_though_a_worker_is_killed(penguins, tmp_path) -> None:
    arguments = {"tasks": penguins, "learners": [Napping(), FEATURELESS], "resamplings": ol.CV(10), "measures": "acc"}
    result, killed = killed_on_dask([1.0], **arguments)
    assert len(killed) == 1
    pd.testing.assert_frame_equal(grids.table(result), grids.table(ol.benchmark(**arguments)))


@pytest.mark.slow
def test_ten_killed_workers_of_a_dask_cluster_change_nothing(tmp_path) -> None:
    whole = ol.benchmark(**grids.arguments("large"))
    rng = random.Random(2)
    result, killed = killed_on_dask([rng.uniform(1, 3) for _ in range(12)], **grids.arguments("large"), store=tmp_path / "r")
    assert len(killed) >= 10
    pd.testing.assert_frame_equal(grids.table(result), grids.table(whole))
    pd.testing.assert_frame_equal(result.aggregate(), whole.aggregate())


@pytest.mark.slow
def test_an_iteration_that_kills_workers_of_a_dask_cluster_is_recorded(penguins) -> None:
    with dask_cluster():
        result = ol.benchmark(penguins, [Dying(), FEATURELESS], ol.CV(3), "acc")
    assert result.errors["error"].tolist() == ["its process died twice (the workers of the cluster that ran it were lost)"]
    assert np.isfinite(result.aggregate()["acc"][1])
