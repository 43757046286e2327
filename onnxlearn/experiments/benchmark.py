"""``ol.resample`` and ``ol.benchmark``: run iterations, here or on many processes, and put their results together."""

from __future__ import annotations

import inspect
import random
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from onnxlearn import measures as _measures
from onnxlearn.errors import ParameterError, listing
from onnxlearn.experiments.clusters import Died
from onnxlearn.experiments.design import Cell, Design, Named, describe, grid, outline
from onnxlearn.experiments.group import Group, groups_of, run_group
from onnxlearn.experiments.job import Job, Settings, too_long
from onnxlearn.experiments.limit import ALARM
from onnxlearn.experiments.progress import progress_over
from onnxlearn.experiments.record import Finished, Key, Status
from onnxlearn.experiments.results import BenchmarkResult, Fetch, ResampleResult
from onnxlearn.experiments.store import Store
from onnxlearn.experiments.workers import run_many
from onnxlearn.files.arrow import import_pyarrow
from onnxlearn.learner import Learner
from onnxlearn.measures import Measure
from onnxlearn.processes import require_alone
from onnxlearn.remarks import Remark, kept, note, told_together
from onnxlearn.resampling import Resampling, Splits
from onnxlearn.task import Task

OnError = Literal["record", "raise"]


def resample(
    task: Task,
    learner: Learner,
    resampling: Resampling | Splits,
    measures: Iterable[str | Measure] = (),
    *,
    store: str | Path | None = None,
    n_jobs: int | None = None,
    time_limit: float | None = None,
    fallback: Learner | None = None,
    on_error: OnError = "raise",
    predictions: bool = True,
    models: bool = False,
    histories: bool = True,
    progress: bool | None = None,
) -> ResampleResult:
    """Fit a learner on the training rows of each split of a task and score the exported file on the test rows.

    The arguments are those of :func:`benchmark`; an error of the learner ends everything unless ``on_error="record"``.

    >>> import onnxlearn as ol
    >>> task = ol.Task.from_file("example:penguins", "species")
    >>> result = ol.resample(task, ol.learner("featureless"), ol.CV(folds=3), ["acc", "logloss"])
    >>> result.scores[["iteration", "acc"]].round(2).values.tolist()
    [[0.0, 0.44], [1.0, 0.44], [2.0, 0.44]]
    """
    result = benchmark(
        task, learner, resampling, measures,
        store=store, n_jobs=n_jobs, time_limit=time_limit, fallback=fallback, on_error=on_error,
        predictions=predictions, models=models, histories=histories, progress=progress,
    )  # fmt: skip
    return result.resample_result()


def benchmark(
    tasks: Named[Task] | Sequence[Cell] | Design,
    learners: Named[Learner] | None = None,
    resamplings: Named[Resampling | Splits] | None = None,
    measures: Iterable[str | Measure] = (),
    *,
    store: str | Path | None = None,
    n_jobs: int | None = None,
    time_limit: float | None = None,
    fallback: Learner | None = None,
    on_error: OnError = "record",
    predictions: bool = True,
    models: bool = False,
    histories: bool = True,
    progress: bool | None = None,
) -> BenchmarkResult:
    """Fit every learner on the training rows of every split of every task, and score the exported files on the test rows.

    ``tasks``, ``learners``, ``resamplings``: one, several or a dict by name; or instead of all three the cells of a design
    (:func:`onnxlearn.grid`), or what a file says (:func:`onnxlearn.read_design`), which holds wherever an argument here is left
    at its default. All learners get the same rows. ``measures``: names or measures, each for the tasks that it
    suits; by default the usual ones of each task.

    ``store``: a folder where every finished iteration is kept at once; the same call goes on where a killed one stopped, or
    shares the work with one that runs elsewhere, and another design is refused. ``n_jobs``: processes (-1: one a core), through
    joblib, and so on a cluster inside ``joblib.parallel_config(backend="dask")``; results do not depend on it. Iterations
    whose process died are run again; one that takes its process along twice has failed. ``time_limit``: seconds for each fit.
    ``fallback``: a learner that predicts where another failed or took too long. ``on_error``: ``record`` the error and go on,
    or ``raise`` it. ``predictions``, ``models``, ``histories``: what is kept of each iteration. ``progress``: a bar on stderr;
    ``None`` shows it where stderr is a terminal.

    Raises: ParameterError, MissingExtraError, OutputError where the folder is of another design.
    """
    _require_processes(n_jobs, store, time_limit)
    if isinstance(tasks, Design):
        if learners is not None or resamplings is not None:
            raise ParameterError("a design has its learners and resamplings: leave them out, or give tasks in its place")
        given = {
            "measures": measures, "store": store, "n_jobs": n_jobs, "time_limit": time_limit, "fallback": fallback,
            "on_error": on_error, "predictions": predictions, "models": models, "histories": histories, "progress": progress,
        }  # fmt: skip
        return benchmark(list(tasks.cells), **{**given, **_of_design(tasks, given)})
    if store is not None and predictions:
        import_pyarrow()  # now, not after the first fit
    cells = _cells(tasks, learners, resamplings)
    chosen = choose_measures(measures, cells)
    settings = Settings(
        measures=chosen, time_limit=time_limit, fallback=fallback, on_error=on_error,
        predictions=predictions, models=models, histories=histories,
    )  # fmt: skip
    design = {**describe(cells), "settings": settings.to_dict()} if store is not None else outline(cells)
    opened = None if store is None else Store.create(store, design)
    if opened is not None:
        for cell in cells:
            opened.write_splits(cell.task_name, cell.resampling_name, cell.splits)
    done = {} if opened is None else {record.key: record for record in opened.records()}
    keys = [job.key for cell in cells for job in cell.jobs()]
    kept: dict[Key, Finished] = {}
    left = groups_left(cells, done, settings, own_order=opened is not None)
    with told_together(), progress_over(len(keys), len(done.keys() & keys), show=progress) as on_finished:
        for finished in run_all(left, settings, opened, n_jobs):
            if finished.record.key in done:  # of a group of which others were left
                continue
            if opened is not None and opened.find(finished.record.key) is None:
                opened.write(finished)
            kept[finished.record.key] = finished
            on_finished(finished.record)
    records = [kept[key].record if key in kept else done[key] for key in keys]
    fetch: Fetch = opened.read if opened is not None else lambda record, **_: kept[record.key]
    return BenchmarkResult(records, fetch, chosen, design)


def groups_left(
    cells: Iterable[Cell], done: Collection[Key], settings: Settings, *, own_order: bool
) -> list[tuple[Group, Task]]:
    """The groups of iterations that are not all done yet, with their task; ``own_order``: see :func:`in_own_order`."""
    missing = [cell for cell in cells if any(job.key not in done for job in cell.jobs())]
    groups = [(group, cell.task) for cell in missing for group in groups_of(cell, settings)]
    left = [(group, task) for group, task in groups if any(job.key not in done for job in group)]
    return in_own_order(left) if own_order else left


def in_own_order(calls: Iterable[tuple[Group, Task]]) -> list[tuple[Group, Task]]:
    """In an order by chance: other processes may work on the same folder, and each leaves out what others have finished.

    The iterations of a learner on a task stay together, since they share what was prepared for the first.
    """
    rng = random.SystemRandom()
    place: dict[object, float] = defaultdict(rng.random)
    return sorted(calls, key=lambda call: (place[call[0][0].key[:3]], rng.random()))


def run_all(
    calls: Sequence[tuple[Group, Task]], settings: Settings, store: Store | None, n_jobs: int | None
) -> Iterator[Finished]:
    """Iterations as they finish, in any order.

    Those that were under way when a process died are run again, one group at a time and after the others, and where it died of
    a group again, each by itself.
    """
    run, task_of = partial(run_heard, settings=settings, store=store), {group[0].key: task for group, task in calls}
    again: deque[Group] = deque()
    for group, outcome in run_many(run, calls, n_jobs):
        if isinstance(outcome, Died):
            again.append(group)
        else:
            yield from _noted(*outcome)
    while again:
        group = again.popleft()
        task = task_of[group[0].key]
        [(_, outcome)] = run_many(run, [(group, task)], n_jobs)
        if not isinstance(outcome, Died):
            yield from _noted(*outcome)
        elif len(group) == 1:
            yield blame(group[0], task, outcome, settings, n_jobs)
        else:
            task_of |= {job.key: task for job in group}
            again.extend((job,) for job in group)


def run_heard(group: Group, task: Task, *, settings: Settings, store: Store | None) -> tuple[list[Finished], list[Remark]]:
    """As :func:`run_left`, with what there is to tell of images, which may have been read in another process."""
    with kept() as remarks:
        finished = run_left(group, task, settings=settings, store=store)
    return finished, remarks


def _noted(finished: list[Finished], said: list[Remark]) -> list[Finished]:
    note(said)
    return finished


def run_left(group: Group, task: Task, *, settings: Settings, store: Store | None) -> list[Finished]:
    """Run the iterations that are not there yet. A store keeps their predictions and models, which are then not given back."""
    if store is None:
        return list(run_group(group, group, task, settings))
    left = [job for job in group if store.find(job.key) is None]
    found = [Finished(record) for job in group if job not in left and (record := store.find(job.key)) is not None]
    for finished in run_group(group, left, task, settings) if left else ():
        # Another machine may not see the folder: what it found goes back, to be kept by who called.
        if store.is_here():
            store.write(finished)
            found.append(Finished(finished.record))
        else:
            found.append(finished)
    return found


def _require_processes(n_jobs: Any, store: str | Path | None, time_limit: float | None) -> None:
    if n_jobs == 0 or not isinstance(n_jobs, int | None) or isinstance(n_jobs, bool):
        raise ParameterError(f"n_jobs is a number of processes, or -1 for one a core, not {n_jobs!r}")
    if n_jobs not in (None, 1) or store is not None or time_limit is not None:
        # They would share out the iterations, each of which needs all of them.
        require_alone("a benchmark with n_jobs, store or time_limit", "leave these out, or start it without torchrun")


def blame(job: Job, task: Task, died: Died, settings: Settings, n_jobs: int | None) -> Finished:
    """What is kept of an iteration whose process died though nothing else was under way.

    Raises: OnnxlearnError where ``on_error`` is ``raise``.
    """
    status: Status = "timeout" if ALARM in died.reason else "failed"
    error = too_long(settings) if status == "timeout" else f"its process died twice ({died.reason})"
    failed = job.give_up(task, replace(settings, fallback=None), status, error)
    if settings.fallback is None:
        return failed
    give_up = partial(Job.give_up, settings=settings, status=status, error=error)
    [(_, outcome)] = run_many(give_up, [(job, task)], n_jobs)
    return failed if isinstance(outcome, Died) else outcome


def choose_measures(measures: Iterable[str | Measure], cells: Sequence[Cell]) -> tuple[Measure, ...]:
    """The measures to compute. Raises: UnknownNameError; ParameterError for one that suits no task."""
    targets = [cell.task.schema.target for cell in cells]
    given = (measures,) if isinstance(measures, str | Measure) else tuple(measures)
    if not given:
        return tuple(dict.fromkeys(measure for target in targets for measure in _measures.default_measures(target)))
    types = {target.type for target in targets}
    chosen = []
    for one in given:
        measure = _measures.get(one) if isinstance(one, str) else one
        if measure.task != "any" and measure.task not in types:
            raise ParameterError(
                f"measure {measure.name!r} is for {measure.task}, and no task is one: leave it out (onnxlearn measures)"
            )
        chosen.append(measure)
    twice = [name for name, several in _by_name(chosen).items() if len(several) > 1]
    if twice:
        raise ParameterError(
            f"two measures are called {listing(twice)}: give one of them another name, dataclasses.replace(measure, name=...)"
        )
    return tuple(dict.fromkeys(chosen))


def _by_name(measures: Iterable[Measure]) -> dict[str, set[Measure]]:
    found: dict[str, set[Measure]] = {}
    for measure in measures:
        found.setdefault(measure.name, set()).add(measure)
    return found


def _of_design(design: Design, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a design says of the arguments that were left at their defaults."""
    defaults = inspect.signature(benchmark).parameters
    return {name: value for name, value in design.options.items() if given[name] == defaults[name].default}


def _cells(tasks: Any, learners: Any, resamplings: Any) -> list[Cell]:
    """The design."""
    if learners is None and resamplings is None:
        cells = [tasks] if isinstance(tasks, Cell) else list(tasks)
        if not cells or not all(isinstance(cell, Cell) for cell in cells):
            raise ParameterError("a benchmark takes tasks, learners and resamplings, or the cells of a design (onnxlearn.grid)")
        return cells
    if learners is None or resamplings is None:
        raise ParameterError("a benchmark takes learners and resamplings beside the tasks; one of them is missing")
    return grid(tasks, learners, resamplings)
