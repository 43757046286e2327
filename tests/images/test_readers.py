"""Processes that read: what they find arrives as it was, and nothing of them stays, however a loop or a program ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import works

from onnxlearn.errors import ParameterError
from onnxlearn.images import readers as module
from onnxlearn.images.readers import Readers

HERE = Path(__file__).parent


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where processes leave what they read."""
    folder = tmp_path / "room"
    folder.mkdir()
    monkeypatch.setattr(module, "SHARED_MEMORY", folder)
    return folder


def files(room: Path) -> list[Path]:
    return [path for path in room.rglob("*") if path.is_file()]


@pytest.mark.parametrize("work", [works.arrays, works.without_room])
def test_arrays_arrive_as_they_were(room: Path, work: Any) -> None:
    with Readers(2) as readers:
        for seed, found in enumerate(readers.map(work, range(7))):
            for name, expected in works.arrays(seed).items():
                if name != "process":
                    assert (found[name].dtype, found[name].shape) == (expected.dtype, expected.shape)
                    np.testing.assert_array_equal(found[name], expected)
                    assert found[name].flags.aligned
                    # Whoever reads may change what was read.
                    found[name][...] = 0
        assert files(room) == []
        assert [(seed, found.tolist()) for seed, found in readers.map(works.no_arrays, range(3))] == [(i, []) for i in range(3)]
        assert files(room) == []
    assert list(room.iterdir()) == []


def test_processes_serve_several_loops(room: Path) -> None:
    with Readers(2) as readers:
        loops = [{found["process"] for found in readers.map(works.arrays, range(12))} for _ in range(3)]
        assert len(set.union(*loops)) <= 2
        assert os.getpid() not in loops[0]
        side_by_side = zip(readers.map(works.arrays, range(5)), readers.map(works.arrays, range(5)), strict=True)
        for one, other in side_by_side:
            np.testing.assert_array_equal(one["numbers"], other["numbers"])
    # Closed, they begin anew.
    assert len(list(readers.map(works.arrays, range(3)))) == 3
    readers.close()
    assert list(room.iterdir()) == []
    assert {found["process"] for found in Readers(1).map(works.arrays, range(3))} == {os.getpid()}


def test_a_loop_that_is_left_leaves_nothing(room: Path, tmp_path: Path) -> None:
    tasks = [(str(tmp_path), number) for number in range(50)]
    with Readers(2) as readers:
        loop = readers.map(works.slow, tasks)
        assert next(loop)[0] == 0
        loop.close()  # type: ignore[attr-defined]
        begun, done = (len(list(tmp_path.glob(f"*.{stage}"))) for stage in ("begun", "done"))
        assert begun == done <= 4
        assert files(room) == []
        assert [found[0] for found in readers.map(works.slow, tasks[10:13])] == [10, 11, 12]
    assert list(room.iterdir()) == []


def test_numbers_below_1() -> None:
    for numbers in ({"n_jobs": 0}, {"n_jobs": 2, "n_ahead": 0}):
        with pytest.raises(ParameterError, match="n_jobs and n_ahead are at least 1, not"):
            Readers(**numbers)


PROGRAM = """
import os, sys
from pathlib import Path
import works
from onnxlearn.images import readers
readers.SHARED_MEMORY = Path(sys.argv[1])
loop = readers.Readers(2).map(works.arrays, iter(int, 1))
print(*{next(loop)["process"] for _ in range(20)}, flush=True)
if sys.argv[2] == "go on":
    for found in loop:
        pass
"""


@contextlib.contextmanager
def program(room: Path, then: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    # Shells start what runs in the background deaf to Ctrl-C.
    hear = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        [sys.executable, *options, "-c", PROGRAM, str(room), then],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )  # fmt: skip
    signal.signal(signal.SIGINT, hear)
    with running:
        try:
            yield running
        finally:
            running.kill()  # endless otherwise


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("wait", [None, 0.0, 0.3])
def test_ctrl_c_ends_it_quietly(room: Path, wait: float | None) -> None:
    with program(room, "go on") as running:
        assert running.stdout is not None
        if wait is not None:
            running.stdout.readline()
            time.sleep(wait)
        else:
            while not list(room.iterdir()):
                time.sleep(0.01)
        # As a terminal does: to the processes that read too.
        os.killpg(running.pid, signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    # Nothing but the interrupt of the program itself: no thread, no process and nothing at its end has something to say.
    assert not re.search(r"Exception (ignored|in thread)|LokyProcess|BrokenProcessPool", told)
    assert told.splitlines()[-1] == "KeyboardInterrupt"
    assert list(room.iterdir()) == []


def test_a_program_that_ends_in_the_middle(room: Path) -> None:
    with program(room, "end", "-W", "error", "-X", "dev") as running:
        _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (0, "")
    assert list(room.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux what runs")
def test_where_a_program_is_killed_its_processes_end(room: Path) -> None:
    with program(room, "go on") as running:
        assert running.stdout is not None
        processes = [int(text) for text in running.stdout.readline().split()]
        assert all(runs(process) for process in processes)
        running.kill()
        running.communicate(timeout=60)
    for _ in range(200):
        if not any(runs(process) for process in processes) and not list(room.iterdir()):
            break
        time.sleep(0.05)
    assert not any(runs(process) for process in processes)
    assert list(room.iterdir()) == []
