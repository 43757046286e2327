"""What it costs the processor to turn fitted networks into checked, proven bytes."""

from __future__ import annotations

import time

from timing import seconds

from onnxlearn.learner import Learner
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.task import Task
from onnxlearn_models.bagging import Bagging
from onnxlearn_models.ensemble import Ensemble
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.packing import pack
from onnxlearn_models.shipping import export_proven


def members(learner: Learner) -> list[NetworkLearner]:
    """The learners of the networks that are in a learner's file; none where there is no network."""
    if isinstance(learner, Ensemble):
        return learner.members()
    if isinstance(learner, Bagging):
        return learner.fold_learners()
    return [learner] if isinstance(learner, NetworkLearner) else []


def export_milliseconds(learner: Learner, runs: int = 15) -> list[float]:
    """Penguins, CPU time: lower, fuse, check, prove, describe, open."""
    train, _ = Task.from_file("example:penguins", "species").split(0.2, seed=0)
    networks = [member.train(train, None, progress=False) for member in members(learner)]

    def work() -> None:
        _, opened, parity = export_proven(networks, Postprocessing(), train.feeds())
        schema = networks[0].preprocessing.schema
        pack(opened, schema=schema, learner=learner, training={}, parity=parity, packages=(), notes=())

    times = [1000 * seconds(work, time.process_time) for _ in range(runs + 3)]
    return times[3:]
