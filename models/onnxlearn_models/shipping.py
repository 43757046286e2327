"""From trained networks to one Model: export, prove, calibrate, score and describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onnxlearn.errors import ExportError, ModelFileError, ParameterError, ParityError, listing
from onnxlearn.graph.assemble import assemble
from onnxlearn.learner import Learner, Reference
from onnxlearn.model import Model
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.heads import average
from onnxlearn.postprocess.postprocessing import Postprocessing, require_calibration_rows
from onnxlearn.session import run_chunked
from onnxlearn.task import Task
from onnxlearn.wire.feeds import Feeds
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.packing import Opened, open_checked, pack, score_rows
from onnxlearn_models.parity import LARGEST_TOLERANCE, TOLERANCE, float32_tolerance, prove_parity
from onnxlearn_models.training.history import TrainResult
from onnxlearn_models.training.split import hold_out

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rows:
    """The rows of a task by what they are for; those for calibration serve neither training nor the choice of the epoch."""

    train: Task
    valid: Task | None
    calibration: Task | None

    @classmethod
    def of(cls, task: Task, validation: Any, outputs: OutputConfig, seed: int, test: Task | None = None) -> Rows:
        """Set rows aside; ``test``: rows that may choose the epoch. Raises: ParameterError, DataError."""
        train, valid = hold_out(task, validation, seed, test)
        calibration = None
        if outputs.needs_calibration:
            # The share is one of all rows.
            share = outputs.calibration * task.n_rows / train.n_rows
            if share >= 1:
                raise ParameterError(
                    f"calibration={outputs.calibration:g} of the {task.n_rows} rows cannot be set aside: there are "
                    f"{train.n_rows} left beside those for validation; give a smaller share"
                )
            train, calibration = train.split(share, seed)
            require_calibration_rows(
                outputs, task.schema.target, calibration.truth(), calibration.weights(), calibration.groups()
            )
        return cls(train, valid, calibration)

    def counts(self) -> dict[str, int]:
        """What the metadata says of them."""
        parts = {"n_rows": (self.train, self.valid, self.calibration), "n_validation_rows": (self.valid,)}
        if self.calibration is not None:
            parts["n_calibration_rows"] = (self.calibration,)
        return {name: sum(part.n_rows for part in tasks if part is not None) for name, tasks in parts.items()}


def ship(
    networks: Sequence[FittedNetwork],
    rows: Rows,
    *,
    post: Postprocessing,
    learner: Learner,
    training: Mapping[str, Any],
    notes: Sequence[str],
    test: Task | None = None,
    scores: Mapping[str, dict[str, float | None]] | None = None,
    weights: Array | None = None,
) -> Model:
    """The Model of one network, or of several whose outputs are averaged.

    ``post``: what stands behind them, of :func:`calibrated`. ``training``: what the metadata says of the training besides rows
    and scores; ``scores``: those that are known already; ``weights``: what each network counts, where that differs. The
    callbacks of the trainings are told of the Model.

    Raises: ExportError, ParityError.
    """
    titles = [f" of network {i}" for i in range(1, len(networks) + 1)] if len(networks) > 1 else [""]
    told = [note for network, title in zip(networks, titles, strict=True) for note in _notes(network, title)]
    shipped, opened, parity = export_proven(networks, post, rows.train.feeds(), weights)
    if any(network.dtype != other.dtype for network, other in zip(networks, shipped, strict=True)):
        told.append("the network computes in DOUBLE: large numbers cancel in it, which FLOAT does not resolve")
    if parity["tolerance"] > TOLERANCE:
        told.append(
            f"float32 does not determine the network's outputs beyond {parity['tolerance']:.2g}: large numbers cancel in it, "
            "and runtimes may differ by as much"
        )
    ended = [i for i, each in enumerate(networks, start=1) if each.result.stopped == "time"]
    if ended and len(networks) > 1:
        told.append(
            f"training of networks {listing(ended)} was ended by time_budget: the weights of their best epochs are kept"
        )
    if calibration := post.to_dict():
        training = {**training, "calibration": calibration}
    if post.coverage is not None and (order := rows.train.schema.order) is not None:
        told.append(
            f"coverage={post.coverage:g} is promised for rows like the calibration rows, which are the latest by {order!r} but "
            "those for validation: for later rows it holds as far as they are like those"
        )
    if learner.uses_test:
        told.append("the test rows chose the epoch (validation='test'): their scores are better than those of new rows")
    scores = {**(scores or {}), **score_rows(opened.session, {"validation": rows.valid, "test": test})}
    model = pack(
        opened,
        schema=shipped[0].preprocessing.schema,
        learner=learner,
        training={**training, **rows.counts(), "scores": scores},
        parity=parity,
        packages=("numpy", "onnx", "onnxruntime", "torch"),
        notes=tuple(dict.fromkeys((*notes, *post.notes(), *told))),
        outputs=post.axes(),
    )
    model.callbacks = tuple(callback for network in networks for callback in network.result.callbacks)
    for callback in model.callbacks:
        callback.shipped(model)
    return model


def calibrated(
    networks: Sequence[FittedNetwork], rows: Rows, outputs: OutputConfig, weights: Array | None = None
) -> Postprocessing:
    """What stands behind the networks, fitted on what their file says of the calibration rows, where there are such.

    Raises: ExportError, ParityError; DataError where the rows weigh nothing.
    """
    post = Postprocessing.plain(outputs)
    if rows.calibration is None:
        return post
    _, opened, _ = export_proven(networks, post, rows.train.feeds(), weights)
    return Postprocessing.fit(
        outputs,
        rows.calibration.schema.target,
        run_chunked(opened.session, rows.calibration.feeds()),
        rows.calibration.truth(),
        rows.calibration.weights(),
        rows.calibration.groups(),
    )


def torch_reference(
    networks: Sequence[FittedNetwork], rows: Rows, outputs: OutputConfig, weights: Array | None = None
) -> Reference:
    """What torch makes of rows by these networks: all numbers of their file, computed beside it.

    Raises: ExportError, ParityError.
    """
    post = calibrated(networks, rows, outputs, weights)
    shipped, _, _ = export_proven(networks, post, rows.train.feeds(), weights)

    def compute(feeds: Feeds) -> dict[str, Array]:
        found = [network.all_outputs(feeds) for network in shipped]
        made = post.apply(average([before for before, _ in found], weights), rows.train.schema.target)
        further = found[0][1] if len(found) == 1 else {}
        return {**{name: array for name, array in made.items() if array.dtype.kind == "f"}, **further}

    return compute


def export_proven(
    networks: Sequence[FittedNetwork], post: Postprocessing, feeds: Feeds, weights: Array | None = None
) -> tuple[Sequence[FittedNetwork], Opened, dict[str, Any]]:
    """What was exported, its graph, opened, and what the proof of parity measured on these training rows.

    Where large numbers cancel (columns left unscaled, a wide ``clip``, a very high learning rate), the rounding errors of
    float32 exceed the tolerance whoever sums: such networks are exported in float64. Where ONNX Runtime has an operator of
    theirs in float32 alone, as convolutions, what rounding moves is measured and allowed, within bounds.

    Raises: ExportError, ParityError.
    """
    opened = _opened(networks, post, weights)
    try:
        return networks, opened, prove_parity(opened.session, networks, post, feeds, weights=weights)
    except ParityError as error:
        exact = [network.in_float64() for network in networks]
        try:
            opened_exact = _opened(exact, post, weights)
        except (ExportError, ModelFileError):
            tolerance = float32_tolerance(networks, exact, feeds, opened.session.chunk_rows)
            if not TOLERANCE < tolerance <= LARGEST_TOLERANCE:
                raise error from None
            return networks, opened, prove_parity(opened.session, networks, post, feeds, tolerance, weights)
        return exact, opened_exact, prove_parity(opened_exact.session, exact, post, feeds, weights=weights)


def _opened(networks: Sequence[FittedNetwork], post: Postprocessing, weights: Array | None) -> Opened:
    return open_checked(assemble([network.part() for network in networks], post, weights))


def summary(result: TrainResult) -> dict[str, Any]:
    """What the metadata says of the training of one network."""
    rows = [{"epoch": epoch.number, **epoch.values(result.score_name)} for epoch in result.epochs]
    history = {name: [row[name] for row in rows] for name in rows[0]}
    if any(epoch.skipped_steps for epoch in result.epochs):
        history["skipped_steps"] = [epoch.skipped_steps for epoch in result.epochs]
    return {
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        "batch_size": result.batch_size,
        "lr": result.lr,
        "stopped": result.stopped,
        "history": history,
    }


def _notes(network: FittedNetwork, title: str) -> list[str]:
    result, notes = network.result, [f"training{title}: {note}" for note in network.result.notes]
    best = f"the weights of epoch {result.best_epoch} are kept"
    if result.stopped == "interrupted":
        notes.append(f"training{title} was interrupted in epoch {len(result.epochs) + 1}: {best}")
    if result.stopped == "diverged":
        notes.append(f"training{title} diverged: {result.why}; {best}")
    if result.stopped == "time" and not title:
        notes.append(f"training{title} was ended by time_budget in epoch {len(result.epochs)}: {best}")
    if network.dtype == torch.float64:
        notes.append("the network computes in DOUBLE by design: in FLOAT rounding errors grow from layer to layer of it")
    return notes
