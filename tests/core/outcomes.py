"""Random outcomes for the tests of measures."""

from dataclasses import replace

import numpy as np

from onnxlearn.measures import MEASURES, Outcome, Run
from onnxlearn.schema import Target

BINARY = Target(names=("y",), type="classification", dtype="str", classes=("no", "yes"), positive="yes")
FLIPPED = Target(names=("y",), type="classification", dtype="str", classes=("no", "yes"), positive="no")
SEVERAL = Target(names=("y",), type="classification", dtype="int64", classes=(3, 5, 8, 13))
NUMBERS = Target(names=("a", "b"), type="regression", dtype="float64")
NUMBER = Target(names=("a",), type="regression", dtype="float64")

LEVELS = (0.05, 0.25, 0.5, 0.9)
RUN = Run(seconds_train=2.5, seconds_predict=0.25, n_bytes=1000)


def draw_classes(target, seed, *, n=200, weighted=True, ties=True):
    """Probabilities by chance, every class among the first rows; with sets."""
    rng = np.random.default_rng(seed)
    n_classes = len(target.classes)
    truth = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]
    prob = rng.dirichlet(np.ones(n_classes), n)
    if ties:
        prob = (np.round(prob * 4) + 0.25) / (np.round(prob * 4) + 0.25).sum(axis=1, keepdims=True)
    prob = prob.astype(np.float32)
    weights = rng.uniform(0.1, 3, n) if weighted else None
    return Outcome.of(target, truth, prob.argmax(axis=1), prob, weights, sets=prob > 0.2, run=RUN)


def draw_numbers(seed, *, n=101, weighted=True, target=NUMBERS, positive=False):
    """Truth and prediction about 5 +- 3 (``positive``: all above 0), with intervals, quantiles and standard deviations."""
    rng = np.random.default_rng(seed)
    shape = (n, len(target.names))
    truth = rng.gamma(2, 2, shape) + 0.1 if positive else rng.normal(5, 3, shape)
    response = truth * rng.uniform(0.5, 2, shape) if positive else truth + rng.normal(0, 2, shape)
    weights = rng.integers(0, 4, n).astype(float) + (np.arange(n) == 0) if weighted else None
    quantiles = np.sort(response[..., None] + rng.normal(0, 2, (*shape, len(LEVELS))))
    return Outcome.of(
        target, truth, response, None, weights, lower=response - rng.uniform(0, 3, shape),
        upper=response + rng.uniform(0, 3, shape), quantiles=quantiles,
        levels=LEVELS, std=rng.uniform(0.5, 3, shape), run=RUN,
    )  # fmt: skip


def repeated(outcome, times):
    """Every row so many times, each counting once."""
    arrays = {name: np.repeat(value, times, axis=0) for name, value in vars(outcome).items() if isinstance(value, np.ndarray)}
    return replace(outcome, **{**arrays, "weights": np.ones(times.sum())})


def names_of(task, *needs):
    """Names of the measures of a task, of these needs alone where there are any."""
    return [name for name, m in MEASURES.items() if m.task == task and (not needs or m.needs in needs)]
