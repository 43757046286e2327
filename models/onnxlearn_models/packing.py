"""From a graph to a Model: check it, score it by running it, describe it. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import onnx

from onnxlearn.graph.check import check
from onnxlearn.graph.metadata import embed
from onnxlearn.learner import Learner
from onnxlearn.metadata import FORMAT_VERSION
from onnxlearn.model import Model
from onnxlearn.prediction import Prediction
from onnxlearn.runtime import Session, open_session, run_chunked
from onnxlearn.schema import Schema
from onnxlearn.task import Task


def open_checked(graph: onnx.ModelProto) -> Session:
    """Check a graph and open it in ONNX Runtime. Raises: ExportError."""
    check(graph)
    return open_session(graph.SerializeToString(), "cpu")


def score_rows(session: Session, rows: Mapping[str, Task | None]) -> dict[str, dict[str, float | None]]:
    """The usual measures of each set of rows, by running the file; ``None`` where the rows do not define a measure."""
    scores = {}
    for name, task in rows.items():
        if task is not None and task.n_rows:
            outputs = run_chunked(session, task.feeds())
            prediction = Prediction.from_outputs(task.schema.target, outputs, truth=task.truth(), weights=task.weights())
            scores[name] = finite_scores(prediction)
    return scores


def finite_scores(prediction: Prediction) -> dict[str, float | None]:
    """The usual measures; ``None`` where the rows do not define one."""
    return {measure: value if math.isfinite(value) else None for measure, value in prediction.scores().items()}


def pack(
    graph: onnx.ModelProto,
    *,
    schema: Schema,
    learner: Learner,
    training: Mapping[str, Any],
    parity: Mapping[str, Any],
    packages: Iterable[str],
    notes: Iterable[str],
    outputs: Mapping[str, list[Any]] | None = None,
) -> Model:
    """The Model of a graph, with the metadata document that ``docs/file-format.md`` describes.

    ``packages``: those whose version belongs to the file, besides onnxlearn. ``outputs``: what stands along the last axis of
    an output, where the schema does not tell.
    """
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "schema": schema.to_dict(),
        "learner": learner.to_dict(),
        "training": dict(training),
        "parity": dict(parity),
        "versions": {name: version(name) for name in ("onnxlearn", *packages)},
        "notes": list(notes),
    }
    if outputs:
        document["outputs"] = dict(outputs)
    return Model(embed(graph, document))
