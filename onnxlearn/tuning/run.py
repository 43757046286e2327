"""Running a trial: a resampling of its learner, which may be stopped where it is hopeless."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.experiments.design import Cell
from onnxlearn.experiments.group import groups_of, in_parts, n_together, run_group
from onnxlearn.experiments.job import Job, Settings, error_text
from onnxlearn.experiments.record import Finished
from onnxlearn.learner import Learner
from onnxlearn.measures import Measure
from onnxlearn.remarks import Remark, kept
from onnxlearn.resampling import Splits
from onnxlearn.task import Task
from onnxlearn.tuning.ranges import plain
from onnxlearn.tuning.samplers import make_pruner, quietly
from onnxlearn.tuning.study import Asked, is_hopeless, storage_at
from onnxlearn.tuning.trial import Trial, mean_epochs


class PrunedError(Exception):
    """The trial is hopeless."""


@dataclass(frozen=True)
class Watched:
    """Where a process finds the study that tells whether a trial is hopeless."""

    address: str
    study: str
    pruner: str


@dataclass(frozen=True)
class Work:
    """What all trials have in common. ``watched``: where trials are stopped early."""

    task: Task
    splits: Splits
    measures: tuple[Measure, ...]
    time_limit: float | None
    watched: Watched | None


def run_trial(asked: Asked, work: Work) -> tuple[Trial, list[Remark]]:
    """Score a learner; what goes wrong is told by the trial. Also what there is to tell of images."""
    start = time.perf_counter()
    candidate = asked.candidate
    trial = Trial(number=asked.number, state="done", learner=candidate.name, params=plain(candidate.params))
    with kept() as remarks:
        try:
            finished = list(_iterations(asked, work))
            epochs = _best_epochs(finished)
            if candidate.learner.uses_test and len(epochs) > 1:
                finished = list(_for_epochs(asked, work, epochs))
            trial = replace(_scored(trial, finished, work.measures), epochs=epochs)
        except PrunedError as error:
            trial = replace(trial, state="pruned", error=str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  - whatever a learner raises
            trial = replace(trial, state="failed", error=error_text(error))
    return replace(trial, seconds=time.perf_counter() - start), remarks


def _iterations(asked: Asked, work: Work) -> Iterator[Finished]:
    """Fit and score on each split. Where trials are stopped early, the first split is fitted alone, and watched."""
    settings, cell = _settings(work), _cell(asked, work)
    if work.watched is None:
        for group in groups_of(cell, settings):
            yield from run_group(group, group, work.task, settings)
        return
    first, *others = cell.jobs()
    watched = replace(first, learner=_watched(cell.learner, asked.trial_id, work.watched))
    yield watched.run(work.task, settings)
    if others:
        for group in in_parts(others, n_together(others, work.task, settings)):
            yield from run_group(group, group, work.task, settings)


def _for_epochs(asked: Asked, work: Work, epochs: Sequence[int]) -> Iterator[Finished]:
    """Fit and score on each split for as many epochs as the others were best after.

    The rows that choose an epoch flatter it: of networks that learn wildly more than of others, so that these would win.
    """
    settings, cell = _settings(work), _cell(asked, work)
    by_epochs: dict[int, list[Job]] = {}
    for i, job in enumerate(cell.jobs()):
        n_epochs = mean_epochs([*epochs[:i], *epochs[i + 1 :]])
        by_epochs.setdefault(n_epochs, []).append(replace(job, learner=cell.learner.for_epochs(n_epochs)))
    for jobs in by_epochs.values():
        for group in in_parts(jobs, n_together(jobs, work.task, settings)):
            yield from run_group(group, group, work.task, settings)


def _settings(work: Work) -> Settings:
    return Settings(
        measures=work.measures, time_limit=work.time_limit, on_error="raise", predictions=False, models=True, histories=False
    )


def _cell(asked: Asked, work: Work) -> Cell:
    return Cell(
        task=work.task, learner=asked.candidate.learner, splits=work.splits,
        task_name=work.task.name, learner_name=asked.candidate.learner.name, resampling_name=f"trial {asked.number}",
    )  # fmt: skip


def _watched(learner: Learner, trial_id: int, where: Watched) -> Learner:
    """The learner, which is stopped where it is hopeless. Raises: ParameterError where it trains by no epochs."""
    with quietly() as optuna:
        storage = storage_at(optuna, where.address)
        study = optuna.load_study(storage=storage, study_name=where.study, pruner=make_pruner(where.pruner))

    def on_epoch(epoch: int, loss: float) -> None:
        if is_hopeless(study, storage, trial_id, epoch, loss):
            raise PrunedError(f"stopped after epoch {epoch}, with a loss of {loss:.4g}")

    found = learner.watched(on_epoch)
    if found is None:
        raise ParameterError(f"learner {learner.name!r} tells nothing of its epochs: leave pruner out")
    return found


def _scored(trial: Trial, finished: Sequence[Finished], measures: Sequence[Measure]) -> Trial:
    """The trial with the mean of each measure. Raises: DataError for one that a split does not define."""
    by_split = []
    for each in sorted(finished, key=lambda each: each.record.key.iteration):
        scores = each.record.scores
        if undefined := [measure.name for measure in measures if scores.get(measure.name) is None]:
            raise DataError(f"measure {undefined[0]!r} is not defined on the test rows of split {each.record.key.iteration}")
        by_split.append({name: float(value) for name, value in scores.items() if value is not None})
    means = {measure.name: sum(one[measure.name] for one in by_split) / len(by_split) for measure in measures}
    return replace(trial, scores=means, by_split=by_split)


def _best_epochs(finished: Sequence[Finished]) -> list[int]:
    """Of each split's training; none where one does not tell it."""
    told = [each.model.metadata["training"].get("best_epoch") for each in finished if each.model is not None]
    epochs = [int(epoch) for epoch in told if epoch is not None]
    return epochs if len(epochs) == len(finished) else []
