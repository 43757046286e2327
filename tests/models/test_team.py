"""Several processes that train one network together, started as torchrun does it."""

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import team_worker as worker

import onnxlearn as ol
from onnxlearn_models.training.team import Team

TOGETHER = ("same", "members", "norms", "stopped", "bagging")
WORKER = [str(Path(worker.__file__))]


class Run:
    """What the two processes saw."""

    def __init__(self, folder):
        self.folder = folder

    def told(self, name, rank=0):
        return json.loads((self.folder / f"{name}-{rank}.json").read_text())

    def model(self, name, rank=0):
        return ol.load(self.folder / f"{name}-{rank}.onnx")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All that ends well, by ``torchrun``."""
    folder = tmp_path_factory.mktemp("team")
    names = ",".join(["oracle", *TOGETHER, "kept", "other_rows", "too_small", "command"])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*torchrun, *WORKER, names, str(folder)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    return Run(folder)


def started(name, folder, timeout=100):
    """Two processes by hand, of which nothing ends one when the other fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, *WORKER, name, str(folder)], env={**os.environ, **place, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout) for process in processes] == [0, 0]
    return Run(folder)


@functools.cache
def alone(name):
    return worker.LEARNERS[name]().fit(worker.make_task(), progress=False)


def test_gradients_are_those_of_torchs_data_parallel(run):
    for rank in range(2):
        told = run.told("oracle", rank)
        np.testing.assert_allclose(told["ours"], told["theirs"], rtol=1e-5)
    assert run.told("oracle", 0) == run.told("oracle", 1)


@pytest.mark.parametrize("name", TOGETHER)
def test_every_process_has_the_same_model(run, name):
    assert (run.folder / f"{name}-0.onnx").read_bytes() == (run.folder / f"{name}-1.onnx").read_bytes()


@pytest.mark.parametrize("name", ["same", "members", "bagging"])
def test_the_course_is_that_of_one_process(run, name):
    one, two, rows = alone(name), run.model(name), worker.table()
    np.testing.assert_allclose(two.predict(rows).prob, one.predict(rows).prob, rtol=0, atol=1e-5)
    for part, other in zip(histories(one), histories(two), strict=True):
        for column in ("train_loss", "valid_loss", "lr"):
            np.testing.assert_allclose(other[column], part[column], rtol=1e-4)


def histories(model):
    training = model.metadata["training"]
    return [part["history"] for part in training.get("members", [training])]


def test_what_is_drawn_in_each_process_differs(run):
    assert run.told("norms")["training"]["history"]["train_loss"] != histories(alone("norms"))[0]["train_loss"]
    assert min(run.told("norms")["training"]["history"]["valid_acc"]) > 0.7


def test_a_training_goes_on_with_as_many_processes(run):
    assert [run.told("kept", rank)["epochs"] for rank in range(2)] == [2, 2]
    for rank in range(2):
        assert (run.folder / f"kept-{rank}.onnx").read_bytes() == (run.folder / f"at_once-{rank}.onnx").read_bytes()


def test_one_process_stops_all_of_them_and_what_only_watches_is_in_one(run):
    first, second = run.told("stopped", 0), run.told("stopped", 1)
    assert first["training"] == second["training"]
    assert (first["training"]["stopped"], first["training"]["epochs"]) == ("callback", 2)
    assert (first["callbacks"], second["callbacks"]) == (1, 0)


def test_processes_with_other_rows_are_refused_and_can_go_on(run):
    for rank in range(2):
        told = run.told("other_rows", rank)
        assert told["error"] == "ParameterError"
        assert told["message"].startswith("process 1 has other rows, another network or other settings than process 0")
        assert run.told("too_small", rank)["message"].startswith("2 processes share the rows of each step, and steps have 1")


def test_the_first_process_talks_and_writes(run):
    first, second = run.told("command", 0), run.told("command", 1)
    assert (first["code"], second) == (0, {"code": 0, "out": "", "err": ""})
    assert first["out"].splitlines()[-2].startswith(f"wrote {run.folder / 'out-0.onnx'}")
    assert (run.folder / "out-0.onnx").exists()
    assert not (run.folder / "out-1.onnx").exists()


def test_no_process_waits_for_one_that_failed(tmp_path):
    run = started("fails", tmp_path)
    assert run.told("fails", 1) == {"error": "OSError", "message": "no such luck"}
    assert run.told("fails", 0)["error"] == "ProviderError"
    assert run.told("fails", 0)["message"].startswith("another process of this training has ended or does not answer (")


@pytest.mark.slow
def test_an_interrupted_training_is_kept_by_the_first_process(tmp_path):
    run = started("interrupted", tmp_path)
    assert run.told("interrupted", 0)["training"]["stopped"] == "interrupted"
    assert run.model("interrupted").metadata["training"]["best_epoch"] == 2
    assert run.told("interrupted", 1)["error"] == "KeyboardInterrupt"


@pytest.mark.parametrize("sizes", [[5, 4, 4], [2], [7, 7]])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_make_up_the_batches(sizes, size):
    teams = [type("Part", (Team,), {"rank": rank, "size": size})() for rank in range(size)]
    shares = [team.share(sizes) for team in teams]
    assert [row for parts in zip(*shares, strict=True) for rows in parts for row in rows] == list(range(sum(sizes)))
    assert all(max(map(len, parts)) - min(map(len, parts)) <= 1 for parts in zip(*shares, strict=True))
