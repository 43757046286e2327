"""Searches whose processes are killed: no trial that was finished is lost, none counts twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import optuna
import psutil
import pytest
from optuna.storages import JournalStorage

import onnxlearn as ol
from onnxlearn.tuning.journal import Journal
from onnxlearn.tuning.study import Study
from tests.experiments.dask_cluster import dask_cluster, kill_workers
from tests.tuning import naps

REPOSITORY = Path(__file__).parents[2]


def start(folder: Path, told: Path, n_trials: int, n_jobs: int) -> subprocess.Popen[bytes]:
    """A search in a process group of its own."""
    paths = [str(REPOSITORY / part) for part in ("", "models", "cli")]
    command = [sys.executable, naps.__file__, str(folder), str(told), str(n_trials), str(n_jobs)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)


def of_session(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """What runs of a process and all that it started."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(each.pid) == process.pid and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that run its trials."""
    found = []
    for each in of_session(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("popen_loky" in part for part in each.cmdline()):
                found.append(each)
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    """The process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        process.communicate()
    wait_for(lambda: not of_session(process))
    remove_memory(process)


def remove_memory(process: subprocess.Popen[bytes]) -> None:
    """What joblib would have removed at its end."""
    for path in Path("/dev/shm").glob(f"*loky-{process.pid}-*"):
        path.unlink(missing_ok=True)
    for path in Path("/dev/shm").glob(f"joblib_memmapping_folder_{process.pid}_*"):
        shutil.rmtree(path, ignore_errors=True)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def told(path: Path) -> list[dict]:
    """What processes have told. A process may have been killed in the last line of a life."""
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def kept(folder: Path) -> dict[int, dict]:
    """What the journal has of each finished trial."""
    if not (folder / "study.journal").exists():
        return {}
    storage = JournalStorage(Journal(str(folder / "study.journal")))
    studies = storage.get_all_studies()
    trials = storage.get_all_trials(studies[0]._study_id) if studies else []
    return {each.number: each.user_attrs["ended"]["trial"] for each in trials if "ended" in each.user_attrs}


def require_whole(found: ol.Tuning, folder: Path, log: Path, n_trials: int) -> None:
    """So many trials, each once, with what was told of them by whichever process."""
    assert [trial.state for trial in found.all] == ["done"] * n_trials
    assert {trial.number: trial.to_dict() for trial in found.all} == {
        number: {**each, "by_split": list(each["by_split"]), "epochs": list(each["epochs"])}
        for number, each in kept(folder).items()
    }
    # One is the learner as it was given.
    naps = [trial.params.get("nap") for trial in found.all]
    assert len(set(naps)) == n_trials
    assert naps.count(None) == 1
    said = told(log)
    assert len({each["number"] for each in said}) == len(said)
    assert all(kept(folder)[each["number"]] == each for each in said)


def test_what_a_process_was_killed_in_writing_is_dropped(tmp_path) -> None:
    whole = naps.search(tmp_path / "whole", 5)
    naps.search(tmp_path / "study", 3)
    with (tmp_path / "study" / "study.journal").open("ab") as file:
        file.write(b'{"op_code":8,"worker')
    again = naps.search(tmp_path / "study", 5)
    assert [trial.params for trial in again.all] == [trial.params for trial in whole.all]
    assert b'"worker{' not in (tmp_path / "study" / "study.journal").read_bytes()


def test_a_trial_whose_process_died_before_it_said_who_it_is_is_begun_again(tmp_path) -> None:
    naps.search(tmp_path, 2)
    storage = JournalStorage(Journal(str(tmp_path / "study.journal")))
    optuna.load_study(storage=storage, study_name=None).ask()
    assert [trial.number for trial in naps.search(tmp_path, 4).all] == [0, 1, 3, 4]


def test_what_was_left_of_the_points_of_a_grid_is_tried(tmp_path, monkeypatch) -> None:
    put, space = Study.put, {"nap": ol.Range(0.0, 0.01)}
    arguments = {"resampling": ol.Holdout(), "sampler": "grid", "store": tmp_path, "progress": False}
    monkeypatch.setattr(Study, "put", lambda self, *args, **options: interrupted(self, put, *args, **options))
    with pytest.raises(KeyboardInterrupt):
        ol.tune(ol.example_task("iris"), naps.Napping(), space, **arguments)
    monkeypatch.undo()
    found = ol.tune(ol.example_task("iris"), naps.Napping(), space, **arguments)
    assert [trial.params["nap"] for trial in found.all] == [0.0, 0.0025, 0.005, 0.0075, 0.01]


def interrupted(study: Study, put: Callable[..., None], *args: object, **options: object) -> None:
    if study.n_put() == 3:
        raise KeyboardInterrupt
    put(study, *args, **options)


@pytest.mark.slow
def test_twenty_kills_lose_no_trial_and_count_none_twice(tmp_path) -> None:
    """Four workers; all are killed twenty times at random moments, single ones in between."""
    folder, log, n_trials, rng = tmp_path / "study", tmp_path / "told", 400, random.Random(3)
    before, n_single, n_after_progress = dict[int, dict](), 0, 0
    for i in range(20):
        process, n_told = start(folder, log, n_trials, 4), len(told(log))
        # Anywhere from the start of Python on, but with some progress in most lives.
        if i % 4:
            wait_for(lambda n=n_told: len(told(log)) > n)
            n_after_progress += 1
        if i % 3 == 1 and (running := workers(process)):
            time.sleep(rng.uniform(0, 1))
            with contextlib.suppress(psutil.NoSuchProcess):
                rng.choice(running).kill()
                n_single += 1
        time.sleep(rng.uniform(0, 2))
        assert process.poll() is None, process.communicate()[1].decode()
        kill(process)
        after = kept(folder)
        assert before.items() <= after.items()
        assert all(after[each["number"]] == each for each in told(log))
        before = after
    assert n_after_progress >= 10
    assert n_single >= 3
    assert 20 < len(before) < n_trials
    process = start(folder, log, n_trials, 4)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    wait_for(lambda: not of_session(process))
    require_whole(naps.search(folder, n_trials), folder, log, n_trials)
    assert [path.name for path in (folder / "workers").iterdir()] == ["all"]
    assert before.items() <= kept(folder).items()


@pytest.mark.slow
def test_of_two_processes_that_share_a_folder_one_is_killed(tmp_path) -> None:
    """The other one does what is left; the dead one's workers go too."""
    folder, n_trials = tmp_path / "study", 60
    dead, alive = (start(folder, tmp_path / name, n_trials, 2) for name in ("dead", "alive"))
    try:
        wait_for(lambda: min(len(told(tmp_path / name)) for name in ("dead", "alive")) >= 3)
        os.kill(dead.pid, signal.SIGKILL)
        # Its workers have the pipe: this ends with the last of them.
        dead.communicate(timeout=60)
        _, errors = alive.communicate(timeout=120)
        assert alive.returncode == 0, errors.decode()
        wait_for(lambda: not of_session(dead) and not of_session(alive))
    finally:
        kill(dead)
        kill(alive)
    (tmp_path / "both").write_bytes((tmp_path / "dead").read_bytes() + (tmp_path / "alive").read_bytes())
    require_whole(naps.search(folder, n_trials), folder, tmp_path / "both", n_trials)
    # It was killed in the middle.
    assert 3 <= len(told(tmp_path / "dead")) < n_trials - len(told(tmp_path / "alive")) + 1


@pytest.mark.slow
def test_two_processes_begin_no_trial_beyond_the_budget(tmp_path) -> None:
    folder, n_trials = tmp_path / "study", 21
    processes = [start(folder, tmp_path / f"told{i}", n_trials, 2) for i in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    said = [told(tmp_path / f"told{i}") for i in range(3)]
    (tmp_path / "all").write_text("".join(json.dumps(each) + "\n" for some in said for each in some))
    require_whole(naps.search(folder, n_trials), folder, tmp_path / "all", n_trials)
    assert sum(map(len, said)) == n_trials


@pytest.fixture
def _portable() -> Iterator[None]:
    """Processes elsewhere cannot import the tests."""
    cloudpickle.register_pickle_by_value(naps)
    yield
    cloudpickle.unregister_pickle_by_value(naps)


@pytest.mark.usefixtures("_portable")
def test_a_search_on_a_dask_cluster_outlives_a_killed_worker(tmp_path) -> None:
    """Trials are asked for as cores are free: what was told by then ends a search that is stuck."""
    killed: list[int] = []
    with dask_cluster() as cluster:
        killer = threading.Thread(target=kill_workers, args=(cluster, random.Random(1), [1.0], killed))
        killer.start()
        found = naps.search(tmp_path / "study", 24)
        killer.join()
        space, budget = {"nap": ol.Range(0.1, 0.2)}, ol.Budget(trials=100, stagnation=3)
        stuck = ol.tune(ol.example_task("iris"), naps.Napping(), space, ol.Holdout(), budget=budget, progress=False)
    assert len(killed) == 1
    assert [trial.state for trial in found.all] == ["done"] * 24
    assert len({trial.params.get("nap") for trial in found.all}) == 24
    assert {trial.number for trial in found.all} == set(kept(tmp_path / "study"))
    # All score the same; when the fourth has ended, two for each core are under way.
    assert 4 <= len(stuck.all) <= 8
