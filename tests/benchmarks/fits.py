"""Fits one by one, each in a process of its own with a limit on what it may compute."""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import numpy as np
from datasets import Dataset, load
from rivals import Split, prepare

# A limited fit ends by itself; one that waits for ever does not. Generous: others may have most of the core.
WALL_PER_CPU = 100


class Fit(NamedTuple):
    """What is fitted on which split of which table."""

    data: str
    learner: str
    seed: int


class Outcome(NamedTuple):
    """Score on the test rows (lower is better) and CPU seconds of fit and prediction; without a score, ``note`` says why."""

    score: float
    seconds: float
    note: str = ""


def n_seeds(dataset: Dataset) -> int:
    return 10 if len(dataset.frame) < 10_000 else 3


@functools.cache
def dataset(name: str) -> Dataset:
    return load(name)


def split(data: Dataset, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    is_classification = data.measure == "logloss"
    classes = data.frame[data.target] if is_classification else None
    train, test = train_test_split(np.arange(len(data.frame)), test_size=0.2, random_state=seed, stratify=classes)
    return Split(data.frame.iloc[train], data.frame.iloc[test], data.target, is_classification, seed)


def score(part: Split, predicted: np.ndarray) -> float:
    from sklearn.metrics import log_loss

    truth = part.test[part.target].to_numpy()
    if len(predicted) != len(truth) or not np.isfinite(predicted).all():
        raise ValueError("the predictions are not one finite number for each test row")
    if part.is_classification:
        return float(log_loss(truth, predicted, labels=np.unique(part.y)))
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def over(limit: float) -> str:
    """The note of a fit that was stopped."""
    return f"over {limit:g} s"


def outcomes(fits: Iterable[Fit], jobs: int, limit: float) -> Iterator[tuple[Fit, Outcome]]:
    """Results as they come. A fit that computes longer than ``limit`` seconds, or fails, has no score."""
    queue, running = iter(fits), {}
    while True:
        while len(running) < jobs and (fit := next(queue, None)) is not None:
            running.update([_start(fit, limit)])
        if not running:
            return
        for connection in wait(list(running), timeout=10):
            fit, process, _ = running.pop(connection)
            yield fit, _result(connection, process, limit)
        for connection, (fit, process, began) in list(running.items()):
            if time.monotonic() - began > WALL_PER_CPU * limit:
                del running[connection]
                process.kill()
                yield fit, Outcome(math.nan, limit, f"over {WALL_PER_CPU * limit:g} s of wall time")


def _start(fit: Fit, limit: float) -> tuple[Connection, tuple[Fit, multiprocessing.Process, float]]:
    context = multiprocessing.get_context("fork")  # the child has the table already, and nothing else
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, fit, dataset(fit.data), limit), daemon=True)
    process.start()
    sender.close()
    return receiver, (fit, process, time.monotonic())


def _result(connection: Connection, process: multiprocessing.Process, limit: float) -> Outcome:
    try:
        outcome = connection.recv()
    except EOFError:
        process.join()
        died = Outcome(math.nan, math.nan, f"died with exit code {process.exitcode}")
        outcome = Outcome(math.nan, limit, over(limit)) if process.exitcode == -signal.SIGXCPU else died
    connection.close()
    process.join()
    return outcome


def _work(sender: Connection, fit: Fit, data: Dataset, limit: float) -> None:
    """In the child: the clock of the process runs only while it computes, so neighbours on the core cost nothing."""
    _silence()
    try:
        part = split(data, fit.seed)
        run = prepare(fit.learner)
        start = time.process_time()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(start + limit), resource.RLIM_INFINITY))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rivals that stop before they converge say so
            predicted = run(part)
        seconds = time.process_time() - start
        sender.send(Outcome(score(part, predicted), seconds))
    except Exception as error:
        sender.send(Outcome(math.nan, math.nan, " ".join(traceback.format_exception_only(error)[-1].split())[:200]))
        raise


def _silence() -> None:
    """Some rivals print what they do."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
