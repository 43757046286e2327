"""Learners that misbehave, for tests of experiments; at module level, so that other processes find them."""

from __future__ import annotations

import time

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
    """Trains an mlp, and gives the file of another model."""

    name = "swapped"

    def fit(self, task, *, test=None, keep_on_interrupt=False, progress=None) -> Model:
        """Fit both."""
        ol.learner("mlp", max_epochs=1).fit(task, progress=False)
        return super().fit(task)


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
