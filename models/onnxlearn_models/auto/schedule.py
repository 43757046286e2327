"""What is fitted next: first the portfolio, each without one fold; then other folds of the best; then what a search draws.

What is not among the best after its first fold is hopeless, and gets no other.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from onnxlearn.tuning.budget import Budget
from onnxlearn_models.auto.folds import Call, Fitted, Fold, Hopeless
from onnxlearn_models.network_learner import NetworkLearner

# So many are given their other folds, the best ones after the first.
PROMISING = 6
# Of so many learners of the portfolio, the best ones, settings are searched.
SEARCHED = 3
# A fit may take so many times as long as those of others did, before it is ended.
PATIENCE = 4.0
# Of the time that is left so much at most is for the other folds of the best of the portfolio.
SHARE = 0.6
SHORTEST = 1.0
# A training is hopeless that has had so many times the usual time, and this share of what is left, and is so much worse than
# the last of the best.
USUAL_TIMES, ROPE, WORSE = 2.0, 0.15, 1.02
# So many have to be known before one is hopeless.
KNOWN = 3
MOST_DEATHS = 2


@dataclass(kw_only=True)
class Trial:
    """A learner that is tried. ``folds``: what is known, by number; ``asked``: its number in the search, if it is of one."""

    number: int
    title: str
    learner: NetworkLearner
    asked: int | None = None
    folds: dict[int, Fold] = field(default_factory=dict)
    costs: dict[int, float] = field(default_factory=dict)
    error: str = ""
    hopeless: str = ""
    begun: set[int] = field(default_factory=set)
    n_deaths: int = 0

    @property
    def key(self) -> str:
        """A name that is the same for the same learner when a search goes on."""
        digest = hashlib.sha256(json.dumps(self.learner.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
        return f"portfolio-{self.number}-{digest}" if self.asked is None else f"search-{self.asked}-{digest}"


class Search(Protocol):
    """Where settings come from when the portfolio has been tried."""

    def ask(self) -> tuple[int, str, NetworkLearner] | None:
        """The number, title and learner of another trial; ``None`` where what was drawn cannot be."""

    def tell(self, trial: Trial) -> None:
        """The first fold is over."""


class Schedule(Iterator[Call]):
    """Calls, one after the other, as long as the budget lasts; several threads may ask.

    ``n_folds``: how many there are; :attr:`n_used` of them are fitted, fewer where the time is short. ``search``: makes, of
    titles of the portfolio, where further trials come from. ``seconds``: for all calls.
    """

    def __init__(
        self,
        portfolio: Mapping[str, NetworkLearner],
        search: Callable[[Iterable[str]], Search | None],
        *,
        budget: Budget,
        seconds: float | None,
        n_folds: int,
        n_jobs: int,
    ) -> None:
        self.trials = [Trial(number=i, title=title, learner=made) for i, (title, made) in enumerate(portfolio.items())]
        self._n_first, self._make_search = len(self.trials), search
        self._search: Search | None = None
        self._budget, self._n_folds, self._n_jobs = budget, n_folds, n_jobs
        self._end = None if seconds is None else time.monotonic() + seconds
        self._lock = threading.RLock()
        self._n_used: int | None = None
        self._under_way: list[Call] = []
        self._is_searching = False

    def __next__(self) -> Call:
        """Raises: StopIteration where the budget is spent, or nothing can be done before more is known."""
        with self._lock:
            is_over = self.left is not None and self.left <= 0
            # Which of several calls ended a process is told by running each alone.
            waits = any(self.trials[call.trial].n_deaths for call in self._under_way)
            call = None if is_over or waits else self._first() or self._other_folds() or self._searched()
            if call is None or (self.trials[call.trial].n_deaths and self._under_way):
                raise StopIteration
            self.trials[call.trial].begun.update(call.folds)
            self._under_way.append(call)
            return call

    def ended(self, call: Call, fitted: Fitted, costs: Mapping[int, float]) -> None:
        """Note what became of a call; ``costs``: of each fold."""
        with self._lock:
            self._under_way.remove(call)
            trial = self.trials[call.trial]
            trial.folds |= fitted.folds
            trial.costs |= costs
            trial.error = trial.error or fitted.error
            trial.hopeless = trial.hopeless or fitted.hopeless
            if trial.asked is not None and self._search is not None and 0 in call.folds:
                self._search.tell(trial)

    def died(self, call: Call, reason: str) -> None:
        """Let a call wait again whose process died; one that died often has failed."""
        with self._lock:
            trial = self.trials[call.trial]
            trial.n_deaths += 1
            if trial.n_deaths < MOST_DEATHS:
                trial.begun -= set(call.folds)
                self._under_way.remove(call)
            else:
                self.ended(call, Fitted(folds={}, error=f"its process died {MOST_DEATHS} times ({reason})"), {})

    @property
    def left(self) -> float | None:
        """Seconds until the end, where there is one."""
        return None if self._end is None else self._end - time.monotonic()

    @property
    def n_trials(self) -> int | None:
        """How many there will be, where that is known."""
        return self._budget.trials

    @property
    def n_used(self) -> int:
        """Folds of those that are fitted whole."""
        return self._n_used or self._n_folds

    @property
    def scored(self) -> list[Trial]:
        """Trials whose first fold is known, the best first."""
        return sorted((trial for trial in self.trials if 0 in trial.costs), key=lambda trial: trial.costs[0])

    def whole(self) -> tuple[list[Trial], tuple[int, ...]]:
        """Trials that may be chosen, and the folds of theirs: those that are used, or the first one where no trial has them."""
        for folds in (tuple(range(self.n_used)), (0,)):
            found = [trial for trial in self.trials if set(folds) <= trial.costs.keys()]
            if found:
                break
        return found, folds

    def _first(self) -> Call | None:
        """The first fold of the next one that waits; of one whose process died, last."""
        for trial in sorted(self.trials[: self._limit(len(self.trials))], key=lambda trial: trial.n_deaths):
            if not trial.begun and not trial.error:
                waiting = sum(not each.begun for each in self.trials[: self._n_first])
                # Each may take its share of the first half, times the processes.
                share = None if self.left is None else max(SHORTEST, self.left * self._n_jobs / (waiting + 2))
                return self._call(trial, (0,), share)
        return None

    def _other_folds(self) -> Call | None:
        """Further folds of the best trial that lacks some."""
        for trial in self.scored[:PROMISING]:
            if self._n_used is None:
                self._n_used = self._affordable()
            lacking = tuple(fold for fold in range(self.n_used) if fold not in trial.begun)
            if not lacking or trial.error:
                continue
            folds = lacking if trial.folds[0].quicker_at_once else lacking[:1]
            expected = trial.folds[0].seconds
            if self.left is not None and trial.begun == {0} and expected * -(-len(lacking) // self._n_jobs) > self.left:
                # It would not be ready in time.
                continue
            return self._call(trial, folds, PATIENCE * expected + SHORTEST)
        return None

    def _searched(self) -> Call | None:
        """The first fold of what the search draws."""
        known = [trial for trial in self.scored if trial.asked is None]
        if not known or not self._limit(len(self.trials) + 1) > len(self.trials) or self._is_stuck():
            return None
        if not self._is_searching:
            self._is_searching, self._search = True, self._make_search([trial.title for trial in known[:SEARCHED]])
        usual = median(trial.folds[0].seconds for trial in known)
        if self._search is None or (self.left is not None and usual > self.left):
            return None
        drawn = self._search.ask()
        while drawn is None:
            drawn = self._search.ask()
        number, title, learner = drawn
        self.trials.append(Trial(number=len(self.trials), title=title, learner=learner, asked=number))
        return self._call(self.trials[-1], (0,), PATIENCE * usual + SHORTEST)

    def _affordable(self) -> int:
        """How many of the folds there is time for, by what the first ones took."""
        if self.left is None or self._n_folds == 1:
            return self._n_folds
        best = [trial.folds[0].seconds for trial in self.scored[:PROMISING]]
        return max(1, min(self._n_folds, 1 + int(SHARE * self.left * self._n_jobs / max(sum(best), 1e-9))))

    def _limit(self, n_trials: int) -> int:
        """At most so many trials."""
        return n_trials if self._budget.trials is None else min(n_trials, self._budget.trials)

    def _is_stuck(self) -> bool:
        """Whether the last ones were no better than those before."""
        costs = [trial.costs[0] for trial in self.trials if 0 in trial.costs]
        most = self._budget.stagnation
        return most is not None and len(costs) > most and min(costs[-most:]) >= min(costs[:-most])

    def _call(self, trial: Trial, folds: tuple[int, ...], seconds: float | None) -> Call:
        left = self.left
        limit = None if left is None else max(SHORTEST, left if seconds is None else min(seconds, left))
        return Call(
            trial=trial.number, title=trial.title, learner=trial.learner, folds=folds, seconds=limit, key=trial.key,
            hopeless=self._hopeless() if folds == (0,) and limit is not None else None,
        )  # fmt: skip

    def _hopeless(self) -> Hopeless | None:
        """What ends a first fold early, where enough is known. It goes by the clock, so only where the budget does."""
        known = [trial.folds[0] for trial in self.scored]
        if len(known) < KNOWN:
            return None
        loss = sorted(fold.loss for fold in known)[:PROMISING][-1]
        if not 0 < loss < math.inf:
            return None
        usual = USUAL_TIMES * median(fold.seconds for fold in known)
        return Hopeless(WORSE * loss, max(SHORTEST, usual, ROPE * (self.left or 0.0)))
