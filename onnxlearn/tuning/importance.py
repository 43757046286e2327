"""Which parameters of a search counted."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.measures import Measure
from onnxlearn.tuning.ranges import Choice, Domain
from onnxlearn.tuning.result import Tuning, cost
from onnxlearn.tuning.samplers import quietly
from onnxlearn.tuning.space import LEARNER
from onnxlearn.tuning.trial import Trial

# Below, nothing can be told: the best ones have to be several, and to be fewer than the others.
FEWEST, FEWEST_BEST, BEST = 10, 5, 0.1
SHUFFLES, BY_CHANCE = 60, 0.95

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Point: TypeAlias = Mapping[str, tuple[Any, Domain]]


@dataclass(frozen=True)
class Share:
    """A parameter's share of what counted, that which it stays below in 19 of 20 shuffles, and how many trials had it."""

    name: str
    share: float
    by_chance: float
    n_trials: int


@dataclass(frozen=True)
class Shares:
    """Of parameters, the largest first; ``n_best`` trials were told from the rest of ``n_trials``.

    ``rare``: parameters of which nothing can be told, with the number of trials that had them.
    """

    shares: Sequence[Share]
    n_best: int
    n_trials: int
    rare: Mapping[str, int]


def parameter_shares(found: Tuning, measure: Measure | None = None, *, seed: int = 0) -> Shares:
    """How much each parameter has to do with being among the best trials, as shares that add up to 1.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces", IJCAI), in Optuna's implementation: how otherwise the values of the best trials are spread than those of all; a
    trial without the parameter is a case of its own. Each parameter is looked at by itself, in finished trials of the space,
    without the learner as it was given.

    Raises: DataError where these are fewer than ten, or all have one score; MissingExtraError.
    """
    by = measure or found.measures[0]
    drawn = [trial for trial in found.all if trial.state == "done" and trial.params]
    trials = [trial for trial in drawn if math.isfinite(trial.scores[by.name])]
    if len(trials) < FEWEST:
        raise DataError(f"which parameters counted takes {FEWEST} finished trials of the space, and there are {len(trials)}")
    costs = np.array([cost(trial, by) for trial in trials])
    if np.ptp(costs) == 0:
        raise DataError(f"which parameters counted cannot be told: all {len(trials)} trials have the same {by.name}")
    n_best = max(FEWEST_BEST, math.ceil(BEST * len(trials)))
    points = [_point(found, trial) for trial in trials]
    counts = Counter(name for values in points for name in values)
    names = [name for name, n in counts.items() if n >= FEWEST]
    values, shuffled = _importances(points, names, costs, n_best / len(trials), seed)
    total = float(values.sum()) or 1.0
    chance = np.quantile(shuffled, BY_CHANCE, axis=0) / total
    shares = [
        Share(name, float(value) / total, float(other), counts[name])
        for name, value, other in zip(names, values, chance, strict=True)
    ]
    rare = {name: n for name, n in counts.items() if n < FEWEST}
    return Shares(sorted(shares, key=lambda each: -each.share), n_best, len(trials), rare)


def _point(found: Tuning, trial: Trial) -> dict[str, tuple[Any, Domain]]:
    """What was drawn, and from what, by the names in a space of several learners."""
    entries = found.space.entries[trial.learner]
    drawn = {name: (value, entries[name].domain) for name, value in trial.params.items()}
    if len(found.space.entries) == 1:
        return drawn
    choice = {LEARNER: (trial.learner, Choice(*found.space.entries))}
    return choice | {f"{trial.learner}.{name}": each for name, each in drawn.items()}


def _importances(points: Sequence[Point], names: Sequence[str], costs: Array, share: float, seed: int) -> tuple[Array, Array]:
    """Of each name, ``[P]``, and for shuffled costs, ``[SHUFFLES, P]``."""
    with quietly() as optuna, warnings.catch_warnings():
        # It warns of a target of one's own and of rare cases.
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="minimize")
        study.add_trials([_frozen(optuna, point) for point in points])
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)

        def evaluated(values: Array) -> list[float]:
            found = evaluator.evaluate(study, list(names), target=lambda trial: float(values[trial.number]))
            return [found[name] for name in names]

        rng = np.random.default_rng(seed)
        return np.array(evaluated(costs)), np.array([evaluated(rng.permutation(costs)) for _ in range(SHUFFLES)])


def _frozen(optuna: Any, point: Point) -> Any:
    params = {
        name: domain.labels[domain.index(value)] if isinstance(domain, Choice) else value
        for name, (value, domain) in point.items()
    }
    distributions = {name: _distribution(optuna, domain, value) for name, (value, domain) in point.items()}
    return optuna.trial.create_trial(params=params, distributions=distributions, value=0.0)


def _distribution(optuna: Any, domain: Domain, value: Any) -> Any:
    kinds = optuna.distributions
    if isinstance(domain, Choice):
        return kinds.CategoricalDistribution(domain.labels)
    if isinstance(value, int):
        return kinds.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return kinds.FloatDistribution(float(domain.low), float(domain.high), log=domain.log)
