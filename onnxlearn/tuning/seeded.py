"""A sampler whose draws follow from the seed, the trial's number and what is known by then. Needs Optuna."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

MAKERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "cmaes": lambda seed: CmaEsSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    # Every point of a grid is asked for by itself.
    "grid": lambda seed: RandomSampler(seed=seed),
}


class Seeded(BaseSampler):
    """A sampler of its own for each trial: a study that goes on draws what it would have drawn without a break."""

    def __init__(self, name: str, seed: int) -> None:
        self._make, self._seed = MAKERS[name], seed
        self._number, self._sampler = -1, self._make(0)

    def _of(self, trial: Any) -> BaseSampler:
        if trial.number != self._number:
            chance = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
            self._number, self._sampler = trial.number, self._make(chance)
        return self._sampler

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """As that sampler does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """As that sampler does."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """As that sampler does."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Any, trial: Any) -> None:
        """As that sampler does."""
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """As that sampler does."""
        self._of(trial).after_trial(study, trial, state, values)
