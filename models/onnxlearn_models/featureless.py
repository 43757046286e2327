"""The featureless baseline: the same prediction for every row. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import onnx

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.params import param
from onnxlearn.postprocess.heads import ClassesHead, Head, PointHead
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.coding import declare_inputs
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn.tuning.ranges import Domain, Size, require_size
from onnxlearn_models.packing import open_checked, pack, score_rows
from onnxlearn_models.spaces import space_of

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class FeaturelessConfig:
    """What is predicted."""

    center: Literal["mean", "median"] = param("mean", "the number that is predicted; a median ignores weights", on="regression")


class Featureless(Learner):
    """Learner ``featureless``: class frequencies, or the mean or median of the target; weighted where the task has weights."""

    name: ClassVar[str] = "featureless"
    config_types = (FeaturelessConfig,)

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """As of every learner."""
        require_size(size)
        return space_of(self.name, size)

    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Count or average the target; there is nothing to interrupt, to watch or to go on from."""
        del keep_on_interrupt, progress
        if folder is not None:
            raise ParameterError("learner 'featureless' trains nothing that a folder could keep: leave folder out")
        self.require_tasks(task, test)
        if not task.n_rows:
            raise DataError("the task has no rows to learn from")
        weights = np.ones(task.n_rows) if task.weights() is None else task.weights()
        assert weights is not None
        if not weights.sum() > 0:
            raise DataError("the weights of the rows sum to 0: at least one has to be positive")
        graph = _frequencies(task, weights) if task.schema.target.type == "classification" else self._center(task, weights)
        opened = open_checked(graph)
        return pack(
            opened,
            schema=task.schema,
            learner=self,
            training={"n_rows": task.n_rows, "n_validation_rows": 0, "scores": score_rows(opened.session, {"test": test})},
            parity={},
            packages=("numpy", "onnx", "onnxruntime"),
            notes=task.notes,
        )

    def _center(self, task: Task, weights: Array) -> onnx.ModelProto:
        values = task.truth()
        average = np.average(values, axis=0, weights=weights) if self.values["center"] == "mean" else np.median(values, axis=0)
        scaling = TargetScaling(np.asarray(average), np.ones(values.shape[1]))
        return _constant_model(task.schema, PointHead(task.schema.target), np.zeros(values.shape[1]), scaling)


def _frequencies(task: Task, weights: Array) -> onnx.ModelProto:
    target = task.schema.target
    counts = np.bincount(task.truth(), weights=weights, minlength=len(target.classes))
    with np.errstate(divide="ignore"):
        # A class without rows gets minus infinity, whose softmax is exactly 0.
        logits = np.log(counts / counts.sum())
    return _constant_model(task.schema, ClassesHead(target), logits)


def _constant_model(schema: Schema, head: Head, output: Array, scaling: TargetScaling | None = None) -> onnx.ModelProto:
    """What a network that gives this row ``[D]`` whatever comes would be."""
    g = GraphBuilder()
    raw = _same_in_every_row(g, schema, output[None].astype(np.float32))
    Postprocessing().emit(g, head.emit(g, raw, scaling), schema.target)
    return g.to_model()


def _same_in_every_row(g: GraphBuilder, schema: Schema, row: Array) -> Value:
    """The row ``[1, C]`` once for each row of the features, which are inputs all the same."""
    first = declare_inputs(g, schema)[schema.feature_names[0]]
    with g.scope("net"):
        shape = g.op("Concat", g.op("Shape", first, start=0, end=1), g.const(np.array([row.shape[1]], np.int64)), axis=0)
        return g.op("Expand", g.const(row, "row"), shape)
