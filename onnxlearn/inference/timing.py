"""Timing several things fairly: in turn, in rounds, each call by itself, after an uncounted round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import numpy as np

Work: TypeAlias = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Sets up for a round, and gives what is timed."""

ROUNDS = 5
# A quick call says no more after so many.
MOST_CALLS = 20_000


def time_all(works: Sequence[Work], *, seconds: float, on_step: Callable[[], None]) -> list[list[list[float]]]:
    """Seconds of each call, by work and round: each work is called for about ``seconds`` in all, and once at least.

    Whatever slows the machine down for a while slows all works down, not one of them. The first round warms up and does not
    count. A work whose calls took twice its time already is not called again.
    """
    found: list[list[list[float]]] = [[] for _ in works]
    for turn in range(ROUNDS + 1):
        for times, work in zip(found, works, strict=True):
            if sum(map(sum, times)) < 2 * seconds:
                durations = _durations(work, seconds / ROUNDS)
                times += [durations] if turn else []
            on_step()
    return found


def _durations(work: Work, seconds: float) -> list[float]:
    with work() as call:
        durations = [_duration(call)]
        # What comes first after others is slower; of a long call that is no matter, and it is long to repeat.
        if durations[0] >= seconds:
            return durations
        durations, left = [], seconds
        while left > 0 and len(durations) < MOST_CALLS:
            durations.append(_duration(call))
            left -= durations[-1]
    return durations


def _duration(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def percentile(durations: Sequence[float], percent: float) -> float | None:
    """A percentile; ``None`` where there are too few calls for one to lie beyond it.

    >>> percentile([1.0, 2.0, 3.0], 50), percentile([1.0, 2.0, 3.0], 99)
    (2.0, None)
    """
    if len(durations) * (100 - percent) < 100:
        return None
    return float(np.percentile(durations, percent))
