"""Which trials are averaged in the file, and what each counts.

Caruana, Niculescu-Mizil, Crew and Ksikes (2004), "Ensemble Selection from Libraries of Models": the best one first, then again
and again the one, old or new, that makes the mean best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.measures import Measure
from onnxlearn.postprocess.heads import average
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.prediction import Prediction, class_array
from onnxlearn.task import Task

Array = np.ndarray[Any, np.dtype[Any]]

# Steps of the selection; the best of these looks at so many trials at most.
N_STEPS, MOST = 25, 25


@dataclass(frozen=True)
class Chosen:
    """Positions of the trials, what each counts (with sum 1), and the score of their mean, of which less is better."""

    trials: tuple[int, ...]
    weights: Array
    cost: float


@dataclass(frozen=True)
class Judge:
    """Scores outputs of the head for rows of a task. ``measure``: by which."""

    task: Task
    post: Postprocessing
    measure: Measure

    def of(self, task: Task) -> Judge:
        """The same for other rows."""
        return Judge(task, self.post, self.measure)

    def prediction(self, outputs: Mapping[str, Array], post: Postprocessing | None = None) -> Prediction:
        """What a file with these outputs before postprocessing predicts."""
        target = self.task.schema.target
        post = post or self.post
        made = post.apply({name: np.asarray(values, np.float64) for name, values in outputs.items()}, target)
        if "label" in made:
            made["label"] = class_array(target)[made["label"]]
        return Prediction.from_outputs(
            target, made, row_ids=self.task.row_ids, truth=self.task.truth(), weights=self.task.weights(), axes=post.axes()
        )

    def cost(self, outputs: Mapping[str, Array]) -> float:
        """Less is better; infinite where the measure is not defined."""
        score = self.prediction(outputs).score(self.measure)
        return float("inf") if not np.isfinite(score) else score if self.measure.minimize else -score


def choose(outputs: Sequence[Mapping[str, Array]], cost: Callable[[Mapping[str, Array]], float], max_members: int) -> Chosen:
    """Greedy selection with repetition; of equal means the one of fewer steps. ``outputs``: of each trial, for the same rows.

    >>> truth = np.array([0.0, 1.0])
    >>> outputs = [{"prediction": np.array(x)} for x in ([0.2, 0.8], [-0.2, 1.2], [5.0, 5.0])]
    >>> found = choose(outputs, lambda made: float(((made["prediction"] - truth) ** 2).sum()), 8)
    >>> found.trials, found.weights.tolist()
    ((0, 1), [0.5, 0.5])
    """
    costs = [cost(each) for each in outputs]
    tried = sorted(range(len(outputs)), key=lambda i: costs[i])[:MOST]
    steps = [tried[0]]
    best = Chosen((tried[0],), np.ones(1), costs[tried[0]])
    while len(steps) < N_STEPS:
        allowed = tried if len(set(steps)) < max_members else sorted(set(steps))
        found = [(cost(_mean(outputs, [*steps, i])), i) for i in allowed]
        lowest, winner = min(found)
        steps.append(winner)
        if lowest < best.cost:
            members = tuple(sorted(set(steps)))
            counts = np.array([steps.count(i) for i in members])
            best = Chosen(members, counts / counts.sum(), lowest)
    return best


def mean_of(outputs: Sequence[Mapping[str, Array]], chosen: Chosen) -> dict[str, Array]:
    """What the chosen ones say together."""
    return average([outputs[i] for i in chosen.trials], chosen.weights)


def _mean(outputs: Sequence[Mapping[str, Array]], steps: Sequence[int]) -> dict[str, Array]:
    members = sorted(set(steps))
    weights = np.array([steps.count(i) for i in members]) / len(steps)
    return average([outputs[i] for i in members], weights)
