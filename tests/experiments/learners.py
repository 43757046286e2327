"""Learners that misbehave, for tests of experiments; at module level, so that other processes find them."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxlearn as ol
from onnxlearn.learner import Learner
from onnxlearn.model import Model


class Wrapped(Learner):
    """A learner that fits ``featureless``."""

    name = "wrapped"
    config_types = ()

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Fit."""
        return ol.learner("featureless").fit(task, progress=progress)


class Swapped(Wrapped):
    """Trains a linear model; another one's bytes are in its file before it is opened."""

    name = "swapped"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Fit both, and swap the file."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            ol.learner("linear", max_epochs=1).fit(task, progress=False).save(file)
            assert ol.load(file).metadata["learner"]["name"] == "linear"
            super().fit(task).save(file)
            return ol.load(file)


class Failing(Wrapped):
    """Fails on tasks whose first row is none of the task's first ten."""

    name = "failing"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Fail, or fit."""
        if task.frame.index[0] != 0:
            raise ZeroDivisionError("nothing to divide by")
        return super().fit(task)


class Slow(Wrapped):
    """Never ends, and catches every error."""

    name = "slow"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Wait."""
        for _ in range(10_000):
            try:
                time.sleep(0.01)
            except Exception:  # noqa: BLE001
                continue
        raise AssertionError("the limit did not hold")


class Dying(Wrapped):
    """Takes its process along, as a fault in compiled code does, on tasks whose first row is none of the task's first ten."""

    name = "dying"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Die, or fit."""
        if task.frame.index[0] != 0:
            os._exit(3)
        return super().fit(task)


class DyingOnce(Wrapped):
    """Takes its process along in the first fit of all, which leaves a file behind."""

    name = "dying_once"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __reduce__(self):
        return type(self), (self.path,)

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Die, or fit."""
        if not self.path.exists():
            self.path.touch()
            os._exit(3)
        return super().fit(task)


class Exiting(Wrapped):
    """Ends the program, as scripts do."""

    name = "exiting"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Exit."""
        sys.exit(1)


class Stuck(Wrapped):
    """Never returns from compiled code."""

    name = "stuck"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Wait, without an instruction of Python."""
        # PyDLL holds on to the interpreter: no other thread runs either.
        ctypes.PyDLL(None).sleep(600)
        raise AssertionError("nobody waits that long")


class Napping(Wrapped):
    """Takes a moment."""

    name = "napping"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Wait, and fit."""
        time.sleep(0.2)
        return super().fit(task)


class Busy(Wrapped):
    """Does something else in its first fit, and keeps a log of fits."""

    name = "busy"

    def __init__(self, work: Callable[[], object] | None, log: Path | None = None) -> None:
        super().__init__()
        self.work, self.log = work, log

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Work, or fit."""
        if self.log is not None:
            with self.log.open("a") as file:
                file.write("fit\n")
        if self.work is not None:
            work, self.work = self.work, None
            work()
        return super().fit(task)


class Measured(Wrapped):
    """Says nothing of threads, and writes down how many torch would take and how many cores a fit kept busy."""

    name = "measured"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __reduce__(self):
        return type(self), (self.folder,)

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Fit a large network."""
        import torch

        learner = ol.learner("mlp", max_epochs=2, d_block=2048)
        learner.fit(task, progress=False)
        start, cpu = time.perf_counter(), time.process_time()
        model = learner.fit(task, progress=False)
        share = (time.process_time() - cpu) / (time.perf_counter() - start)
        (self.folder / "measured").write_text(f"{torch.get_num_threads()} {share}")
        return model
