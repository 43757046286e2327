"""How long it takes to turn a fitted network into checked, proven bytes."""

from __future__ import annotations

from timing import seconds

from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.task import Task
from onnxlearn_models.mlp import MLP
from onnxlearn_models.packing import pack
from onnxlearn_models.shipping import export_proven


def export_milliseconds(runs: int = 15) -> list[float]:
    """Penguins, default network: lower, fuse, check, prove, describe, open."""
    task = Task.from_file("example:penguins", "species")
    learner = MLP(max_epochs=1)
    train, _ = task.split(0.2, seed=0)
    fitted = learner.train(train, None)

    def work() -> None:
        _, graph, _, parity = export_proven([fitted], Postprocessing(), train.feeds())
        schema = fitted.preprocessing.schema
        pack(graph, schema=schema, learner=learner, training={}, parity=parity, packages=(), notes=())

    times = [1000 * seconds(work) for _ in range(runs + 3)]
    return times[3:]
