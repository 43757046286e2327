"""From a graph to a Model: check it, score it by running it, describe it. Torch-free."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import onnx

from onnxlearn.graph.check import check_serialized
from onnxlearn.graph.chunks import chunk_rows_for
from onnxlearn.graph.metadata import append_document
from onnxlearn.guard import TRUST, problem_of
from onnxlearn.learner import Learner
from onnxlearn.metadata import FORMAT_VERSION
from onnxlearn.model import Model
from onnxlearn.prediction import Prediction
from onnxlearn.providers import has_cuda_runtime
from onnxlearn.runtime import open_session
from onnxlearn.schema import Schema
from onnxlearn.self_test import KEY, record
from onnxlearn.session import CHUNK_ROWS, Session, run_chunked
from onnxlearn.task import Task


@dataclass(frozen=True)
class Opened:
    """A graph that was checked: the bytes of its model, without metadata, and what runs them."""

    data: bytes
    session: Session


@functools.cache
def version(package: str) -> str:
    """Of an installed package; finding it takes milliseconds, and it stays the same."""
    return metadata.version(package)


def open_checked(graph: onnx.ModelProto) -> Opened:
    """Check a graph and open it in ONNX Runtime, on the CPU. Raises: ExportError."""
    # Once for all: a network's weights take longer to write than to check.
    data = graph.SerializeToString(deterministic=True)
    chunk_rows = chunk_rows_for(check_serialized(graph, data))
    return Opened(data, open_session(data, "cpu", chunk_rows=chunk_rows))


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
    opened: Opened,
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
    if opened.session.chunk_rows < CHUNK_ROWS:
        document["chunk_rows"] = opened.session.chunk_rows
    document[KEY] = record(schema, functools.partial(run_chunked, opened.session))
    if (problem := problem_of(opened.data)) is not None:
        document["notes"].append(f"{problem.text}: this file is loaded with trust=True, or {TRUST}=1 in the environment")
    # The document changes nothing of what runs; a GPU, where there may be one, takes another session.
    session = None if has_cuda_runtime() else opened.session
    return Model(append_document(opened.data, document), session=session, trust=True)
