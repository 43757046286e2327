"""onnxlearn trains a neural network on a table and gives back one ``.onnx`` file: raw columns in, predictions out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Bound now and not on demand: importing the submodule `onnxlearn.learner` later would otherwise put the module in the
# place of the function of the same name.
from onnxlearn.registry import learner

if TYPE_CHECKING:
    from onnxlearn import errors, measures
    from onnxlearn.examples.records import example_infos as example_tasks
    from onnxlearn.examples.task import example_task
    from onnxlearn.learner import Learner
    from onnxlearn.model import Model, load
    from onnxlearn.prediction import Prediction
    from onnxlearn.registry import learner_infos as learners
    from onnxlearn.schema import Column, Schema, Target
    from onnxlearn.task import ClassificationTask, RegressionTask, Task

__version__ = "0.1.0"

__all__ = [
    "ClassificationTask",
    "Column",
    "Learner",
    "Model",
    "Prediction",
    "RegressionTask",
    "Schema",
    "Target",
    "Task",
    "errors",
    "example_task",
    "example_tasks",
    "learner",
    "learners",
    "load",
    "measures",
]

# Where each public name lives: imported on first use, so that `import onnxlearn` stays quick and needs no numpy.
_HOMES = {
    "ClassificationTask": "onnxlearn.task:ClassificationTask",
    "Column": "onnxlearn.schema:Column",
    "Learner": "onnxlearn.learner:Learner",
    "Model": "onnxlearn.model:Model",
    "Prediction": "onnxlearn.prediction:Prediction",
    "RegressionTask": "onnxlearn.task:RegressionTask",
    "Schema": "onnxlearn.schema:Schema",
    "Target": "onnxlearn.schema:Target",
    "Task": "onnxlearn.task:Task",
    "errors": "onnxlearn.errors:",
    "example_task": "onnxlearn.examples.task:example_task",
    "example_tasks": "onnxlearn.examples.records:example_infos",
    "learners": "onnxlearn.registry:learner_infos",
    "load": "onnxlearn.model:load",
    "measures": "onnxlearn.measures:",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'onnxlearn' has no attribute {name!r}")
    home, _, attribute = _HOMES[name].partition(":")
    module = importlib.import_module(home)
    value = getattr(module, attribute) if attribute else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
