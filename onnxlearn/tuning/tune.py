"""``ol.tune``: search for the parameters of a learner by what its exported files score."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxlearn import measures as _measures
from onnxlearn.errors import OnnxlearnError, ParameterError
from onnxlearn.experiments.benchmark import choose_measures
from onnxlearn.experiments.clusters import Died
from onnxlearn.experiments.design import Cell, describe, instantiate
from onnxlearn.experiments.workers import run_many
from onnxlearn.learner import Learner, as_learner
from onnxlearn.measures import Measure
from onnxlearn.processes import require_alone
from onnxlearn.progress import progress_bar
from onnxlearn.remarks import note, told_together
from onnxlearn.resampling import CV, Resampling, Splits
from onnxlearn.schema import Target
from onnxlearn.task import Task
from onnxlearn.tuning.budget import Budget, budget_of
from onnxlearn.tuning.ranges import plain
from onnxlearn.tuning.result import Tuning, cost
from onnxlearn.tuning.run import Watched, Work, run_trial
from onnxlearn.tuning.samplers import Pruner, Sampler, make_pruner, make_sampler, require_prunable
from onnxlearn.tuning.space import Space
from onnxlearn.tuning.study import Asked, Study, opened
from onnxlearn.tuning.trial import Trial

# So many trials that fail, and none that does not, end a search.
FAILING = 5
# Seconds between two looks at what other processes have under way.
WAIT = 0.5
# As often a trial is begun again whose process died.
MOST_DEATHS = 10


def tune(
    task: Task,
    learner: Learner | Mapping[str, Learner],
    space: Any = None,
    resampling: Resampling | Splits | None = None,
    measure: str | Measure | Sequence[str | Measure] | None = None,
    budget: Budget | int | str = 50,
    *,
    sampler: Sampler = "tpe",
    pruner: Pruner | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    n_jobs: int | None = None,
    time_limit: float | None = None,
    progress: bool | None = None,
) -> Tuning:
    """Search for what parameters of a learner score best; every score is that of an exported file on rows that it has not seen.

    ``learner``: one, a graph, or several by name, between which is chosen too. ``space``: for each parameter an ``ol.Range``,
    an ``ol.Choice`` or a list, of several learners for each name; or ``small``, ``medium``, ``large``: what comes with the
    learner (:func:`onnxlearn.space`). A parameter that does not count beside what was drawn is left out. ``resampling``: how a
    trial is scored, by default three folds. ``measure``: by default ``logloss`` or ``rmse``; of several the search is for
    trials that none beats by all. ``budget``: a number of trials, a time such as ``"10m"``, or an ``ol.Budget``.

    The first trial is the learner as it was given. ``sampler``: ``tpe``, ``random``, ``cmaes``, or ``grid``, of which each
    range is five values, or those of its steps. ``pruner``: ``hyperband``, ``halving`` or ``median`` stop a trial whose
    validation loss in the first split is hopeless. ``store``: a folder, or a database by the URL that Optuna takes; the same
    call goes on where another one ended or was killed, and several share the work. ``n_jobs``, ``time_limit`` (of each fit) and
    ``progress`` as of :func:`onnxlearn.benchmark`.

    Raises: SpaceError with all mistakes of the space; ParameterError; OutputError where the store is of another search;
    OnnxlearnError where all trials fail.

    >>> import onnxlearn as ol
    >>> found = ol.tune(ol.example_task("iris"), ol.learner("featureless"), "small", ol.CV(folds=2), budget=2)
    >>> len(found.all), sorted(found.best.scores)
    (2, ['logloss'])
    """
    learner = (
        {name: as_learner(each) for name, each in learner.items()} if isinstance(learner, Mapping) else as_learner(learner)
    )
    wanted = Space.of(learner, space).for_task(task.schema, strict=not (space is None or isinstance(space, str)))
    limits = budget_of(budget)
    splits = instantiate(CV(folds=3) if resampling is None else resampling, task)
    cells = [_cell(task, own, splits, name) for name, own in wanted.learners.items()]
    measures = _chosen(measure, cells, task.schema.target)
    require_prunable(pruner, len(measures))
    if n_jobs not in (None, 1) or store is not None:
        require_alone("a search with n_jobs or store", "leave these out, or start it without torchrun")
    document = {
        **describe(cells), "space": wanted.to_list(), "measures": [each.name for each in measures],
        "minimize": [bool(each.minimize) for each in measures],
        "sampler": sampler, "pruner": pruner, "seed": seed, "time_limit": time_limit,
    }  # fmt: skip
    directions = ["minimize" if each.minimize else "maximize" for each in measures]
    with contextlib.ExitStack() as stack:
        if store is None and pruner is not None:
            # Where trials run, the study has to be found.
            store = stack.enter_context(tempfile.TemporaryDirectory(prefix="onnxlearn-"))
        made = (make_sampler(sampler, seed), make_pruner(pruner))
        study = stack.enter_context(opened(store, wanted, document, directions, *made))
        watched = None if pruner is None else Watched(study.address, study.name, pruner)
        _begin(study, wanted, grid=sampler == "grid")
        work = Work(task, splits, measures, time_limit, watched)
        stack.enter_context(told_together())
        _search(Asking(study, limits, measures, only_waiting=sampler == "grid"), work, n_jobs=n_jobs, progress=progress)
        return Tuning(study.trials(), measures, wanted, json.loads(json.dumps(document, sort_keys=True)))


def _cell(task: Task, learner: Learner, splits: Splits, name: str) -> Cell:
    return Cell(
        task=task, learner=learner, splits=splits,
        task_name=task.name, learner_name=name or learner.name, resampling_name="tuning",
    )  # fmt: skip


def _chosen(measure: Any, cells: Sequence[Cell], target: Target) -> tuple[Measure, ...]:
    """The measures to search by. Raises: UnknownNameError, ParameterError."""
    usual = "logloss" if target.type == "classification" else "rmse"
    given = usual if measure is None else measure
    found = choose_measures((given,) if isinstance(given, str | Measure) else tuple(given), cells)
    if endless := [each.name for each in found if each.minimize is None]:
        raise ParameterError(f"measure {endless[0]!r} is best near 0 and has no better and worse end: search by another one")
    return found or (_measures.get(usual),)


def _begin(study: Study, space: Space, *, grid: bool) -> None:
    """Let what is known before the search wait to be tried: all of it, or what a process that was killed here had left."""
    points = [(params, None) for params in space.grid()] if grid else [(None, name) for name in space.learners]
    with study.alone():
        for params, start in points[study.n_put() :]:
            study.put(params, start=start)


def _search(asking: Asking, work: Work, *, n_jobs: int | None, progress: bool | None) -> None:
    """Run trials until the budget is spent. Raises: OnnxlearnError where all fail."""
    columns = ("tuning", "MofNCompleteColumn", "BarColumn", "TimeElapsedColumn", "{task.description}")
    with progress_bar(*columns, show=progress, transient=False) as bar:
        shown = None if bar is None else bar.add_task("", total=asking.n_trials, completed=asking.n_ended)
        # A process that died leaves trials that wait.
        while (first := asking.after_others()) is not None:
            calls = ((asked, work) for asked in _with(first, asking))
            for asked, outcome in run_many(run_trial, calls, n_jobs):
                if isinstance(outcome, Died):
                    asking.died(asked, outcome)
                    continue
                trial, remarks = outcome
                note(remarks)
                asking.ended(trial)
                if bar is not None and shown is not None:
                    bar.update(shown, completed=asking.n_ended, description=asking.told)
    asking.require_some()


def _with(first: Asked, others: Iterator[Asked]) -> Iterator[Asked]:
    yield first
    yield from others


class Asking(Iterator[Asked]):
    """The trials to run, one after the other, as long as the budget lasts; several threads may ask."""

    def __init__(self, study: Study, budget: Budget, measures: Sequence[Measure], *, only_waiting: bool) -> None:
        self._study, self._budget, self._measures, self._only_waiting = study, budget, measures, only_waiting
        self._start, self._lock = time.monotonic(), threading.Lock()
        self._deaths = Counter[str]()

    def __next__(self) -> Asked:
        """Raises: StopIteration where the budget is spent, or all trials fail."""
        # Together: what two processes begin at once would be more than the budget.
        with self._lock, self._study.alone():
            self._study.take_over()
            while not self._is_over():
                asked = self._study.ask()
                if asked is not None:
                    return asked
        raise StopIteration

    def after_others(self) -> Asked | None:
        """A trial to run; ``None`` where none is left. What other processes have under way is waited for: they may die."""
        while (asked := next(self, None)) is None and self._is_full():
            time.sleep(WAIT)
        return asked

    def ended(self, trial: Trial) -> None:
        """Keep a trial."""
        self._study.tell(trial, [trial.scores[measure.name] for measure in self._measures] if trial.state == "done" else None)

    def died(self, asked: Asked, died: Died) -> None:
        """Let a trial wait again whose process died; one that died often has failed."""
        params = plain(asked.candidate.params)
        key = repr((asked.candidate.name, params))
        self._deaths[key] += 1
        if self._deaths[key] < MOST_DEATHS:
            self._study.again(asked)
            return
        error = f"its process died {MOST_DEATHS} times ({died.reason})"
        self.ended(Trial(number=asked.number, state="failed", learner=asked.candidate.name, params=params, error=error))

    @property
    def n_trials(self) -> int | None:
        """How many there will be, where that is known."""
        return self._budget.trials

    @property
    def n_ended(self) -> int:
        """How many there are."""
        return len(self._study.trials())

    @property
    def told(self) -> str:
        """The best score so far."""
        done = [trial for trial in self._study.trials() if trial.state == "done"]
        first = self._measures[0]
        if not done:
            return "no trial finished yet"
        best = min(done, key=lambda trial: cost(trial, first))
        return f"best {first.name} {best.scores[first.name]:.4g} (trial {best.number})"

    def require_some(self) -> None:
        """Raise ``OnnxlearnError`` where no trial was finished, with the commonest error."""
        trials = self._study.trials()
        failed = [trial for trial in trials if trial.state == "failed"]
        if failed and len(failed) == len(trials):
            error, n = Counter(trial.error for trial in failed).most_common(1)[0]
            raise OnnxlearnError(f"all {len(failed)} trials have failed, {n} of them with: {error}")

    def _is_over(self) -> bool:
        trials = self._study.trials()
        return self._is_ended(trials) or not self._is_missing(len(trials) + self._study.n_under_way())

    def _is_full(self) -> bool:
        """Whether what is missing is under way: elsewhere, where this process has nothing to do."""
        trials, n_under_way = self._study.trials(), self._study.n_under_way()
        return n_under_way > 0 and not self._is_ended(trials) and self._is_missing(len(trials), but_grid=True)

    def _is_missing(self, n_trials: int, *, but_grid: bool = False) -> bool:
        """Whether these trials are fewer than there will be."""
        if self._only_waiting and not but_grid and not self._study.n_waiting():
            return False
        return self._budget.trials is None or n_trials < self._budget.trials

    def _is_ended(self, trials: Sequence[Trial]) -> bool:
        """Whether none is begun any more, however many there are."""
        budget = self._budget
        if len(trials) >= FAILING and all(trial.state == "failed" for trial in trials):
            return True
        if budget.seconds is not None and time.monotonic() - self._start >= budget.seconds:
            return True
        return budget.stagnation is not None and self._is_stuck(trials, budget.stagnation)

    def _is_stuck(self, trials: Sequence[Trial], most: int) -> bool:
        costs = [cost(trial, self._measures[0]) for trial in trials if trial.state == "done"]
        return len(costs) > most and min(costs[-most:]) >= min(costs[:-most])
