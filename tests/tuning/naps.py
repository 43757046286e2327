"""A search in a process of its own, which can be killed.

``python tests/tuning/naps.py FOLDER TOLD N_TRIALS N_JOBS``: each trial that was told is a line of the file ``TOLD``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import onnxlearn as ol
from onnxlearn.learner import Learner
from onnxlearn.params import param
from onnxlearn.tuning.study import Study


@dataclass(frozen=True, kw_only=True)
class NappingConfig:
    """How long a fit takes."""

    nap: float = param(0.1, "seconds", low=0)


class Napping(Learner):
    """Takes a moment to fit ``featureless``."""

    name = "napping"
    config_types = (NappingConfig,)

    def fit(self, task, **options):
        """Wait, and fit."""
        time.sleep(self.values["nap"])
        return ol.learner("featureless").fit(task, progress=False)


def search(folder: Path, n_trials: int, n_jobs: int | None = None) -> ol.Tuning:
    """Of one fit each; no two draw the same nap."""
    space = {"nap": ol.Range(0.1, 0.4)}
    return ol.tune(
        ol.example_task("iris"), Napping(), space, ol.Holdout(), budget=n_trials,
        sampler="random", store=folder, n_jobs=n_jobs, progress=False,
    )  # fmt: skip


def write_down(path: Path) -> None:
    """From now on each trial that was told is a line of this file."""
    tell = Study.tell

    def told(self, trial, values):
        tell(self, trial, values)
        with path.open("ab", buffering=0) as file:
            file.write(json.dumps(trial.to_dict()).encode() + b"\n")

    Study.tell = told


if __name__ == "__main__":
    folder, told, n_trials, n_jobs = sys.argv[1:]
    os.environ["LOKY_MAX_CPU_COUNT"] = n_jobs
    write_down(Path(told))
    search(Path(folder), int(n_trials), int(n_jobs))
