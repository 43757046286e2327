"""Trying learners until the budget is spent, on several processes."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch

from onnxlearn.errors import InterruptedFit, OnnxlearnError
from onnxlearn.experiments.clusters import Died
from onnxlearn.experiments.workers import run_many
from onnxlearn.measures import Measure
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.progress import progress_bar
from onnxlearn.remarks import note, told_together
from onnxlearn.session import available_cores
from onnxlearn.tuning.budget import Budget
from onnxlearn.tuning.ranges import Size, plain
from onnxlearn.tuning.samplers import make_pruner, make_sampler
from onnxlearn.tuning.space import Space
from onnxlearn.tuning.study import Study, opened
from onnxlearn.tuning.trial import State
from onnxlearn.tuning.trial import Trial as Record
from onnxlearn_models.auto.choose import Judge
from onnxlearn_models.auto.folds import Call, Fitted, Work, fit_folds
from onnxlearn_models.auto.schedule import Schedule, Search, Trial
from onnxlearn_models.network_learner import NetworkLearner

Shown: TypeAlias = Callable[[Call | None], None]
"""Called with each call that begins, and with ``None`` when one is over."""


@dataclass(frozen=True)
class Tried:
    """What was tried: the trials that may be chosen, the folds of theirs that are known, and all others."""

    trials: Sequence[Trial]
    folds: tuple[int, ...]
    all: Sequence[Trial]
    work: Work
    judge: Judge
    interrupted: bool = field(kw_only=True)

    def told(self, scores: Mapping[int, float]) -> list[dict[str, Any]]:
        """For the metadata: each learner, its state, and ``scores`` by number, of those whose folds are known."""
        whole = {trial.number for trial in self.trials}
        return [
            {
                "title": trial.title, "learner": trial.learner.name, "given": plain(trial.learner.given),
                "state": "whole" if trial.number in whole else "failed" if trial.error else "stopped",
                **({"score": scores[trial.number]} if trial.number in scores else {}),
                **({"error": trial.error or trial.hopeless} if trial.error or trial.hopeless else {}),
            }
            for trial in self.all
            if trial.costs or trial.error or trial.hopeless
        ]  # fmt: skip


def run(
    learners: Mapping[str, NetworkLearner],
    work: Work,
    measure: Measure,
    *,
    budget: Budget,
    seconds: float | None,
    n_jobs: int | None,
    space: Size | None,
    seed: int,
    device: str,
    keep_on_interrupt: bool,
    progress: bool | None,
) -> Tried:
    """Try learners. Raises: OnnxlearnError where all fail, InterruptedFit where nothing is known yet."""
    n_jobs = n_jobs or (1 if device != "cpu" and torch.cuda.is_available() else available_cores())
    judge = Judge(work.task, Postprocessing.plain(work.outputs), measure)
    of_folds = [judge.of(work.task.select(work.fold_of == fold)) for fold in range(int(work.fold_of.max()) + 1)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(told_together())

        def begin_search(titles: Iterable[str]) -> Search | None:
            return (
                None if space is None else stack.enter_context(searching({t: learners[t] for t in titles}, space, work, seed))
            )

        schedule = Schedule(
            learners, begin_search, budget=budget, seconds=seconds, n_folds=len(of_folds), n_jobs=n_jobs
        )  # fmt: skip
        shown = stack.enter_context(progress_told(schedule, judge, progress=progress))
        interrupted = False
        try:
            while (first := next(schedule, None)) is not None:
                for call, outcome in run_many(fit_folds, _calls(first, schedule, work, shown), n_jobs):
                    if isinstance(outcome, Died):
                        schedule.died(call, outcome.reason)
                    else:
                        note(outcome.remarks)
                        schedule.ended(call, *_judged(outcome, of_folds))
                    shown(None)
        except KeyboardInterrupt:
            if not keep_on_interrupt:
                raise
            if not schedule.scored:
                raise InterruptedFit("interrupted before anything was trained: there is nothing to keep") from None
            interrupted = True
        _require_some(schedule)
        trials, folds = schedule.whole()
        return Tried(trials, folds, schedule.trials, work, judge, interrupted=interrupted)


def _calls(first: Call, others: Iterator[Call], work: Work, shown: Shown) -> Iterator[tuple[Call, Work]]:
    for call in itertools.chain((first,), others):
        shown(call)
        yield call, work


def _judged(outcome: Fitted, of_folds: Sequence[Judge]) -> tuple[Fitted, dict[int, float]]:
    """The cost of each fold; folds whose measure is not defined are an error."""
    costs = {fold: of_folds[fold].cost(found.outputs) for fold, found in outcome.folds.items()}
    if not outcome.error and (undefined := [fold for fold, cost in costs.items() if not np.isfinite(cost)]):
        name = of_folds[0].measure.name
        return dataclasses.replace(outcome, error=f"measure {name!r} is not defined on fold {undefined[0] + 1}"), {}
    return outcome, costs


def _require_some(schedule: Schedule) -> None:
    """Raise ``OnnxlearnError`` where no learner could be fitted, with the commonest error."""
    if schedule.scored:
        return
    errors = Counter(trial.error for trial in schedule.trials if trial.error)
    if not errors:
        raise OnnxlearnError("the time was over before the first learner was trained: give a longer budget")
    error, n = errors.most_common(1)[0]
    raise OnnxlearnError(f"none of the {len(schedule.trials)} learners could be fitted, {n} of them with: {error}")


@contextlib.contextmanager
def searching(learners: Mapping[str, NetworkLearner], space: Size, work: Work, seed: int) -> Iterator[Search]:
    """Settings of these learners, by what their first folds score."""
    wanted = Space.of(dict(learners), space).for_task(work.task.schema, strict=False)
    document = {"space": wanted.to_list(), "seed": seed}
    # Others may be the best where a search goes on for longer.
    store = work.folder / f"study-{'-'.join(sorted(each.name for each in learners.values()))}"
    with opened(store, wanted, document, ["minimize"], make_sampler("tpe", seed), make_pruner(None)) as study:
        study.take_over()
        yield Drawn(study)


class Drawn:
    """A :class:`Search` by a study, whose value is the cost of the first fold."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._asked: dict[int, tuple[str, Mapping[str, Any]]] = {}

    def ask(self) -> tuple[int, str, NetworkLearner] | None:
        """Another point of the space; ``None`` where it cannot be."""
        asked = self._study.ask()
        if asked is None:
            return None
        self._asked[asked.number] = asked.candidate.name, asked.candidate.params
        learner = asked.candidate.learner
        assert isinstance(learner, NetworkLearner), "the portfolio has no others"
        return asked.number, f"{asked.candidate.name} #{asked.number}", learner

    def tell(self, trial: Trial) -> None:
        """What its first fold came to."""
        assert trial.asked is not None, "it was asked for"
        name, params = self._asked.pop(trial.asked)
        cost = trial.costs.get(0)
        record = Record(
            number=trial.asked, state=_state(trial), learner=name, params=plain(params),
            scores={} if cost is None else {"cost": cost}, error=trial.error or trial.hopeless,
        )  # fmt: skip
        self._study.tell(record, None if cost is None else [cost])


def _state(trial: Trial) -> State:
    return "done" if 0 in trial.costs else "pruned" if trial.hopeless else "failed"


@contextlib.contextmanager
def progress_told(schedule: Schedule, judge: Judge, *, progress: bool | None) -> Iterator[Shown]:
    """Show what is done and what the best is so far."""
    total = schedule.left if schedule.left is not None else schedule.n_trials
    columns = ("auto", "BarColumn", "TimeElapsedColumn", "{task.description}")
    with progress_bar(*columns, show=progress, transient=False) as bar:
        task = None if bar is None else bar.add_task("", total=total)
        doing = [""]

        def shown(call: Call | None) -> None:
            if call is not None:
                folds = ", ".join(str(fold + 1) for fold in call.folds)
                doing[0] = f"{call.title}: fold {folds} of {schedule.n_used}"
            if bar is None or task is None:
                return
            done = len(schedule.scored) if schedule.left is None else (total or 0) - max(0.0, schedule.left)
            bar.update(task, completed=done, description=" · ".join([doing[0], told_best(schedule, judge)]))

        yield shown


def told_best(schedule: Schedule, judge: Judge) -> str:
    """The best of the first folds so far, in words."""
    scored = schedule.scored
    if not scored:
        return "nothing scored yet"
    best = scored[0]
    score = best.costs[0] if judge.measure.minimize else -best.costs[0]
    return f"{len(scored)} tried, best {judge.measure.name} {score:.4g} by {best.title}"
