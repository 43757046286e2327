"""What plots of a search are drawn from: finished trials, and where a parameter's values lie on an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnxlearn.errors import DataError, DataTypeError, UnknownNameError
from onnxlearn.measures import Measure
from onnxlearn.plots.canvas import plain, short_names
from onnxlearn.tuning.ranges import Choice, Domain, Range
from onnxlearn.tuning.result import Tuning
from onnxlearn.tuning.space import LEARNER
from onnxlearn.tuning.trial import Trial

# Scores that differ by more are drawn by their orders of magnitude.
WIDE = 50.0


@dataclass(frozen=True)
class Parameter:
    """A parameter of a search, or the choice between its learners, whose ``learner`` is empty.

    ``name``: among those of several learners. ``whole``: its numbers are whole ones.
    """

    name: str
    learner: str
    param: str
    domain: Domain
    whole: bool = False

    @property
    def is_log(self) -> bool:
        """Whether orders of magnitude were searched."""
        return isinstance(self.domain, Range) and self.domain.log

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places with what stands there: the values of a choice, or the ends of a range and round numbers between."""
        if isinstance(self.domain, Choice):
            return [(float(i), text) for i, text in enumerate(self.texts)]
        return ticks(self.domain.low, self.domain.high, log=self.domain.log, whole=self.whole)

    @property
    def texts(self) -> list[str]:
        """The values of a choice, each on its place: 0, 1, ..."""
        assert isinstance(self.domain, Choice), "a range has numbers"
        told = [value if isinstance(value, str) else str(value) for value in self.domain.values]
        texts = told if len(set(told)) == len(told) else self.domain.labels
        return [plain(text) for text in short_names(texts, 20)]

    def place(self, trial: Trial) -> float | None:
        """The number that was drawn, or the place of what was chosen; ``None`` where neither was."""
        if self.param == LEARNER and not self.learner:
            return float(self._index(trial.learner))
        if trial.learner != self.learner or self.param not in trial.params:
            return None
        value = trial.params[self.param]
        return float(self._index(value) if isinstance(self.domain, Choice) else value)

    def share(self, place: float) -> float:
        """How far up an axis that ends where the domain does."""
        if isinstance(self.domain, Choice):
            return place / (len(self.domain.values) - 1) if len(self.domain.values) > 1 else 0.5
        return share(place, self.domain.low, self.domain.high, log=self.domain.log)

    def _index(self, value: Any) -> int:
        assert isinstance(self.domain, Choice), "of a choice"
        return self.domain.index(value)


def share(value: float, low: float, high: float, *, log: bool) -> float:
    """How far a value is from one end to the other.

    >>> share(0.01, 1e-4, 1.0, log=True), share(2.0, 1.0, 5.0, log=False), share(1.0, 1.0, 1.0, log=False)
    (0.5, 0.25, 0.5)
    """
    if low == high:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def ticks(low: float, high: float, *, log: bool, whole: bool = False) -> list[tuple[float, str]]:
    """The ends, and round numbers that are not too near to them, each with its text.

    >>> ticks(0.002, 1.0, log=True), ticks(1, 4, log=False, whole=True)
    ([(0.002, '0.002'), (0.01, '0.01'), (0.1, '0.1'), (1.0, '1')], [(1, '1'), (2, '2'), (3, '3'), (4, '4')])
    """
    from matplotlib.ticker import MaxNLocator

    if low == high:
        return [(low, f"{low:.4g}")]
    if log:
        between = [10.0**i for i in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    else:
        between = list(map(float, MaxNLocator(4, integer=whole).tick_values(low, high)))
    kept = [value for value in between if low < value < high and 0.1 < share(value, low, high, log=log) < 0.9]
    return [(value, f"{value:.4g}") for value in (low, *(int(value) if whole else value for value in kept), high)]


def parameters(found: Tuning) -> list[Parameter]:
    """What was searched, in the order of the space; of several learners the choice between them first."""
    several = len(found.space.entries) > 1
    return ([Parameter(LEARNER, "", LEARNER, Choice(*found.space.entries))] if several else []) + [
        Parameter(f"{learner}.{param}" if several else param, learner, param, entry.domain, _is_whole(found, learner, param))
        for learner, entries in found.space.entries.items()
        for param, entry in entries.items()
    ]


def _is_whole(found: Tuning, learner: str, param: str) -> bool:
    values = [trial.params[param] for trial in found.all if trial.learner == learner and param in trial.params]
    return bool(values) and all(isinstance(value, int) for value in values)


def one_parameter(found: Tuning, name: str) -> Parameter:
    """The parameter of this name. Raises: UnknownNameError."""
    known = {each.name: each for each in parameters(found)}
    if name not in known:
        raise UnknownNameError.of("parameter of the search", name, known)
    return known[name]


def finished(found: object, plot: str) -> list[Trial]:
    """The trials that have finite scores.

    Raises: DataTypeError for what is no search; DataError where no trial was finished.
    """
    if not isinstance(found, Tuning):
        raise DataTypeError(f"{plot} draws what ol.tune gave, not {type(found).__name__}")
    done = [trial for trial in found.all if trial.state == "done" and all(map(math.isfinite, trial.scores.values()))]
    if not done:
        errors = [trial.error for trial in found.all if trial.error]
        reason = f"; the first one: {errors[0]}" if errors else ""
        raise DataError(f"{plot} has nothing to draw: no trial of {len(found.all)} was finished{reason}")
    return done


def one_measure(found: Tuning, name: str | None) -> Measure:
    """The measure of this name, the first without one. Raises: UnknownNameError."""
    known = {measure.name: measure for measure in found.measures}
    if name is not None and name not in known:
        raise UnknownNameError.of("measure of the search", name, known)
    return found.measures[0] if name is None else known[name]


def scores(trials: Sequence[Trial], measure: Measure) -> list[float]:
    """What each trial scored."""
    return [trial.scores[measure.name] for trial in trials]


def needs_log(values: Sequence[float], measure: Measure) -> bool:
    """Whether scores are drawn by their orders of magnitude, so that a few large ones do not hide how the others differ.

    >>> from onnxlearn.measures import get
    >>> needs_log([0.1, 0.2, 20.0], get("rmse")), needs_log([0.1, 0.2], get("rmse")), needs_log([0.01, 1.0], get("acc"))
    (True, False, False)
    """
    return bool(measure.minimize) and min(values) > 0 and max(values) / min(values) > WIDE


def as_given(trials: Sequence[Trial]) -> list[Trial]:
    """The trials of learners as they were given."""
    return [trial for trial in trials if not trial.params]


def require_drawn(trials: Sequence[Trial], plot: str) -> list[Trial]:
    """The trials of the space. Raises: DataError where there are none."""
    found = [trial for trial in trials if trial.params]
    if not found:
        raise DataError(f"{plot} has nothing to draw: no trial was finished beside the learner as it was given")
    return found
