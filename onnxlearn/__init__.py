"""onnxlearn trains a neural network on a table and gives back one ``.onnx`` file: raw columns in, predictions out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Bound now and not on demand: importing the submodule `onnxlearn.learner` later would otherwise put the module in the
# place of the function of the same name.
from onnxlearn.registry import learner

if TYPE_CHECKING:
    from onnxlearn import errors, measures, plots, statistics
    from onnxlearn.examples.records import example_infos as example_tasks
    from onnxlearn.examples.task import example_task
    from onnxlearn.experiments.benchmark import benchmark, resample
    from onnxlearn.experiments.design import Design, grid
    from onnxlearn.experiments.design_file import read_design
    from onnxlearn.experiments.results import BenchmarkResult, ResampleResult
    from onnxlearn.images.rules import ImageRules
    from onnxlearn.inference.bench import bench
    from onnxlearn.inspection.dependence import partial_dependence
    from onnxlearn.inspection.importance import importance
    from onnxlearn.learner import Learner
    from onnxlearn.lr_range import lr_find
    from onnxlearn.measures.registry import measure
    from onnxlearn.model import Model, load
    from onnxlearn.networks import ingress, nn, prep
    from onnxlearn.networks.data import read_graph
    from onnxlearn.networks.graph import Graph
    from onnxlearn.prediction import Prediction
    from onnxlearn.providers import Cuda, TensorRT
    from onnxlearn.registry import learner_infos as learners
    from onnxlearn.reporting.page import report
    from onnxlearn.resampling import (
        CV,
        Bootstrap,
        Custom,
        CustomCV,
        Holdout,
        InSample,
        LeaveOneOut,
        Nested,
        Resampling,
        Splits,
        Subsampling,
        TimeSeriesSplit,
    )
    from onnxlearn.schema import Column, Schema, Target
    from onnxlearn.task import ClassificationTask, RegressionTask, Task
    from onnxlearn.tuning.budget import Budget
    from onnxlearn.tuning.ranges import Choice, Range
    from onnxlearn.tuning.result import Tuning
    from onnxlearn.tuning.space import ready_space as space
    from onnxlearn.tuning.tune import tune
    from onnxlearn.tuning.tuned import tuned

__version__ = "0.1.0"

__all__ = [
    "CV",
    "BenchmarkResult",
    "Bootstrap",
    "Budget",
    "Choice",
    "ClassificationTask",
    "Column",
    "Cuda",
    "Custom",
    "CustomCV",
    "Design",
    "Graph",
    "Holdout",
    "ImageRules",
    "InSample",
    "Learner",
    "LeaveOneOut",
    "Model",
    "Nested",
    "Prediction",
    "Range",
    "RegressionTask",
    "ResampleResult",
    "Resampling",
    "Schema",
    "Splits",
    "Subsampling",
    "Target",
    "Task",
    "TensorRT",
    "TimeSeriesSplit",
    "Tuning",
    "bench",
    "benchmark",
    "errors",
    "example_task",
    "example_tasks",
    "grid",
    "importance",
    "ingress",
    "learner",
    "learners",
    "load",
    "lr_find",
    "measure",
    "measures",
    "nn",
    "partial_dependence",
    "plots",
    "prep",
    "read_design",
    "read_graph",
    "report",
    "resample",
    "space",
    "statistics",
    "tune",
    "tuned",
]

# Where each public name lives: imported on first use, so that `import onnxlearn` stays quick and needs no numpy.
_HOMES = {
    "BenchmarkResult": "onnxlearn.experiments.results:BenchmarkResult",
    "Bootstrap": "onnxlearn.resampling:Bootstrap",
    "Budget": "onnxlearn.tuning.budget:Budget",
    "CV": "onnxlearn.resampling:CV",
    "Choice": "onnxlearn.tuning.ranges:Choice",
    "ClassificationTask": "onnxlearn.task:ClassificationTask",
    "Column": "onnxlearn.schema:Column",
    "Cuda": "onnxlearn.providers:Cuda",
    "Custom": "onnxlearn.resampling:Custom",
    "CustomCV": "onnxlearn.resampling:CustomCV",
    "Design": "onnxlearn.experiments.design:Design",
    "Holdout": "onnxlearn.resampling:Holdout",
    "ImageRules": "onnxlearn.images.rules:ImageRules",
    "InSample": "onnxlearn.resampling:InSample",
    "Learner": "onnxlearn.learner:Learner",
    "LeaveOneOut": "onnxlearn.resampling:LeaveOneOut",
    "Model": "onnxlearn.model:Model",
    "Nested": "onnxlearn.resampling:Nested",
    "Prediction": "onnxlearn.prediction:Prediction",
    "Range": "onnxlearn.tuning.ranges:Range",
    "RegressionTask": "onnxlearn.task:RegressionTask",
    "ResampleResult": "onnxlearn.experiments.results:ResampleResult",
    "Resampling": "onnxlearn.resampling:Resampling",
    "Schema": "onnxlearn.schema:Schema",
    "Splits": "onnxlearn.resampling:Splits",
    "Subsampling": "onnxlearn.resampling:Subsampling",
    "Target": "onnxlearn.schema:Target",
    "Task": "onnxlearn.task:Task",
    "TensorRT": "onnxlearn.providers:TensorRT",
    "TimeSeriesSplit": "onnxlearn.resampling:TimeSeriesSplit",
    "Tuning": "onnxlearn.tuning.result:Tuning",
    "bench": "onnxlearn.inference.bench:bench",
    "benchmark": "onnxlearn.experiments.benchmark:benchmark",
    "errors": "onnxlearn.errors:",
    "grid": "onnxlearn.experiments.design:grid",
    "example_task": "onnxlearn.examples.task:example_task",
    "example_tasks": "onnxlearn.examples.records:example_infos",
    "Graph": "onnxlearn.networks.graph:Graph",
    "ingress": "onnxlearn.networks.ingress:",
    "prep": "onnxlearn.networks.prep:",
    "nn": "onnxlearn.networks.nn:",
    "read_graph": "onnxlearn.networks.data:read_graph",
    "importance": "onnxlearn.inspection.importance:importance",
    "learners": "onnxlearn.registry:learner_infos",
    "load": "onnxlearn.model:load",
    "lr_find": "onnxlearn.lr_range:lr_find",
    "measure": "onnxlearn.measures.registry:measure",
    "measures": "onnxlearn.measures:",
    "partial_dependence": "onnxlearn.inspection.dependence:partial_dependence",
    "plots": "onnxlearn.plots:",
    "read_design": "onnxlearn.experiments.design_file:read_design",
    "report": "onnxlearn.reporting.page:report",
    "resample": "onnxlearn.experiments.benchmark:resample",
    "space": "onnxlearn.tuning.space:ready_space",
    "statistics": "onnxlearn.statistics:",
    "tune": "onnxlearn.tuning.tune:tune",
    "tuned": "onnxlearn.tuning.tuned:tuned",
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
