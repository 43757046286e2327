"""Iterations that are fitted at once, because that is quicker than one after the other."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import TypeAlias, TypeVar

from onnxlearn.experiments.design import Cell
from onnxlearn.experiments.job import FITTING, Begun, Job, Settings, single_threaded
from onnxlearn.experiments.record import Finished
from onnxlearn.session import on_one_core
from onnxlearn.task import Task

T = TypeVar("T")
Group: TypeAlias = tuple[Job, ...]


def groups_of(cell: Cell, settings: Settings) -> list[Group]:
    """The iterations of a cell in groups, most often of one.

    Which ones are fitted at once changes the last digits of their results. So it depends on the design alone: not on the number
    of processes, and not on what of it is done already.
    """
    groups: list[Group] = []
    # Inner iterations have other numbers of rows than outer ones.
    by_rows = sorted(cell.jobs(), key=lambda job: (job.key.inner is not None, job.key.iteration))
    for _, same in itertools.groupby(by_rows, key=lambda job: job.key.inner is None or job.key.iteration):
        jobs = list(same)
        groups += in_parts(jobs, n_together(jobs, cell.task, settings))
    return groups


def in_parts(items: Sequence[T], most: int) -> list[tuple[T, ...]]:
    """In parts of at most so many, whose sizes differ by one at most.

    >>> in_parts("abcdefg", 3)
    [('a', 'b'), ('c', 'd'), ('e', 'f', 'g')]
    """
    n_parts = -(-len(items) // most)
    bounds = [i * len(items) // n_parts for i in range(n_parts + 1)]
    return [tuple(items[start:end]) for start, end in itertools.pairwise(bounds)]


def n_together(jobs: Sequence[Job], task: Task, settings: Settings) -> int:
    """How many of these iterations of one learner are fitted at once."""
    # A limit is one of a single fit.
    if len(jobs) == 1 or settings.time_limit is not None:
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jobs[0].learner.n_together(task.select(jobs[0].train))
    except Exception:  # noqa: BLE001  - whatever a learner raises, it raises again where it is fitted
        return 1


def run_group(jobs: Group, left: Sequence[Job], task: Task, settings: Settings) -> Iterator[Finished]:
    """Run those that are left of a group, all of which are fitted. Raises: as :meth:`Job.run`."""
    begun = begin(jobs, task) if len(jobs) > 1 else {}
    for job in left:
        yield job.run(task, settings, begun.get(job.key))


def begin(jobs: Group, task: Task) -> dict[tuple[object, ...], Begun]:
    """Fit all of them at once; nothing where that fails: one by one the error shows at the iteration that it belongs to."""
    try:
        with on_one_core(), FITTING:
            start = time.perf_counter()
            learner = single_threaded(jobs[0].learner)
            tests = [task.select(job.test) if learner.uses_test else None for job in jobs]
            titles = [job.title(learner) for job in jobs]
            fits = learner.fit_together([task.select(job.train) for job in jobs], tests, titles)
            seconds = (time.perf_counter() - start) / len(jobs)
    except (Exception, SystemExit):  # noqa: BLE001  - whatever a learner raises
        return {}
    return {job.key: Begun(fit, seconds) for job, fit in zip(jobs, fits, strict=True)}
