"""Fitting a learner without some of the folds, and predicting these by its file: what a process of ``auto`` does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.errors import OnnxlearnError
from onnxlearn.experiments.job import FITTING, error_text
from onnxlearn.files.outputs import atomic_path, make_folder
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.remarks import Remark, kept
from onnxlearn.session import on_one_core, run_chunked
from onnxlearn.task import Task
from onnxlearn_models.averaging import told_of
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.many import Ready, in_groups, train_group
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.shipping import export_proven
from onnxlearn_models.training.split import hold_out

Array = np.ndarray[Any, np.dtype[Any]]

# What a file gives beside the outputs of the head: it is made of these.
_DERIVED = ("label",)
# What is kept beside them.
_TOLD = ("seconds", "loss", "quicker_at_once")


class HopelessError(Exception):
    """A training that has had its time, and is worse than what is known."""


@dataclass(frozen=True)
class Hopeless:
    """Ends a training that has gone on for ``seconds`` and has no validation loss of ``loss`` or less yet."""

    loss: float
    seconds: float

    def begun(self) -> Callable[[int, float], None]:
        """What is to be called with each epoch and the loss after it; time counts from now on."""
        start, best = time.perf_counter(), math.inf

        def on_epoch(epoch: int, loss: float) -> None:
            nonlocal best
            best = min(best, loss)
            if best > self.loss and time.perf_counter() - start > self.seconds:
                raise HopelessError(
                    f"ended after epoch {epoch}: its validation loss was {best:.4g}, and others have {self.loss:.4g}"
                )

        return on_epoch


@dataclass(frozen=True, kw_only=True)
class Call:
    """Some folds of one learner. ``seconds``: for which each training may go on; ``key``: by which networks are kept."""

    trial: int
    title: str
    learner: NetworkLearner
    folds: tuple[int, ...]
    seconds: float | None
    key: str
    hopeless: Hopeless | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all calls have in common: the rows, the fold of each, and where networks are kept."""

    task: Task
    fold_of: Array
    outputs: OutputConfig
    folder: Path

    def file(self, key: str, fold: int, suffix: str) -> Path:
        """Where something of a trial's fold is kept."""
        return self.folder / key / f"fold-{fold}.{suffix}"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What one network says of the rows that it has not seen. ``outputs``: of the head, by name, in the rows' order.

    ``seconds`` that it took, which of several at once share; ``loss``: of its validation rows, infinite without such;
    ``quicker_at_once``: several such networks are better trained as one.
    """

    outputs: dict[str, Array]
    seconds: float
    loss: float
    quicker_at_once: bool = False


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What became of a call: its folds by number, or why there are none. ``hopeless``: why it was ended before its time."""

    folds: dict[int, Fold]
    error: str = ""
    hopeless: str = ""
    remarks: tuple[Remark, ...] = ()


def fit_folds(call: Call, work: Work) -> Fitted:
    """Train without each of the folds, and predict it; what is in the work's folder is taken from there."""
    known = {fold: found for fold in call.folds if (found := _read(work, call.key, fold)) is not None}
    left = [fold for fold in call.folds if fold not in known]
    with kept() as remarks:
        try:
            with on_one_core(), FITTING:
                made = _fit(call, work, left) if left else {}
        except HopelessError as error:
            return Fitted(folds=known, hopeless=str(error), remarks=tuple(remarks))
        except (Exception, SystemExit) as error:  # noqa: BLE001  - whatever a learner raises
            return Fitted(folds=known, error=error_text(error), remarks=tuple(remarks))
    return Fitted(folds=known | made, remarks=tuple(remarks))


def _fit(call: Call, work: Work, folds: Sequence[int]) -> dict[int, Fold]:
    start = time.perf_counter()
    learner = call.learner if call.hopeless is None else call.learner.watched(call.hopeless.begun())
    ready = [ready_for(learner, work, fold, call.seconds) for fold in folds]
    files = [work.file(call.key, fold, "safetensors") for fold in folds]
    make_folder(files[0].parent)
    networks: list[FittedNetwork] = []
    # One form is asked for as if there were several: the first fold tells whether the others are better trained at once.
    at_once = len(in_groups([ready[0], ready[0]])) == 1
    for group in in_groups(ready):
        networks += train_group([ready[i] for i in group], kept=[files[i] for i in group])
    seconds = (time.perf_counter() - start) / len(folds)
    made = {}
    for fold, network in zip(folds, networks, strict=True):
        begun = time.perf_counter()
        outputs = _predicted(network, work, fold)
        loss = network.result.epochs[network.result.best_epoch - 1].valid_loss
        found = Fold(
            outputs=outputs, seconds=seconds + time.perf_counter() - begun, loss=math.inf if loss is None else loss,
            quicker_at_once=at_once,
        )  # fmt: skip
        _write(work, call.key, fold, found)
        made[fold] = found
    return made


def ready_for(learner: NetworkLearner, work: Work, fold: int, seconds: float | None = None) -> Ready:
    """A learner made ready to be trained without a fold. Folds differ in their seeds, too."""
    seed = learner.values["seed"] + fold
    limited = {} if seconds is None else {"time_budget": seconds}
    threads = {"n_threads": 1} if learner.values["n_threads"] is None else {}
    member = learner.replace(seed=seed, **limited, **threads)
    with told_of(f"fold {fold + 1}"):
        train, valid = hold_out(work.task.select(work.fold_of != fold), member.values["validation"], seed)
        return member, member.prepare(train, valid)


def _predicted(network: FittedNetwork, work: Work, fold: int) -> dict[str, Array]:
    inside = work.task.select(work.fold_of == fold)
    train = work.task.select(work.fold_of != fold)
    _, opened, _ = export_proven([network], Postprocessing.plain(work.outputs), train.feeds())
    outputs = run_chunked(opened.session, inside.feeds())
    found = {name: np.asarray(values) for name, values in outputs.items() if name not in _DERIVED}
    if not all(np.isfinite(values).all() for values in found.values()):
        raise OnnxlearnError("it predicts numbers that are not finite")
    return found


def _read(work: Work, key: str, fold: int) -> Fold | None:
    path = work.file(key, fold, "npz")
    if not (path.exists() and work.file(key, fold, "safetensors").exists()):
        return None
    with np.load(path, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    told = {name: arrays.pop(name).item() for name in _TOLD}
    return Fold(outputs=arrays, **told)


def _write(work: Work, key: str, fold: int, found: Fold) -> None:
    with atomic_path(work.file(key, fold, "npz")) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {**found.outputs, **{name: getattr(found, name) for name in _TOLD}}
        np.savez(file, **arrays)
