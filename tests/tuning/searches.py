"""Searches whose trials are written down, not run: what is drawn and told of them can be said beforehand."""

import onnxlearn as ol
from onnxlearn.measures import get
from onnxlearn.tuning.result import Tuning
from onnxlearn.tuning.space import Space
from onnxlearn.tuning.trial import Trial

SPACE = {
    "lr": ol.Range(1e-4, 1.0, log=True),
    "dropout": ol.Range(0.0, 0.5),
    "n_blocks": ol.Range(1, 4),
    "optimizer": ["adamw", "sgd"],
    "opt_momentum": ol.Range(0.5, 0.9),
    "validation": [None, 0.25],
}


def trial(number, score, **params):
    """A finished one of two splits; ``score`` of the first measure, a dict of several."""
    scores = score if isinstance(score, dict) else {"logloss": score}
    by_split = [{name: value - 0.01 for name, value in scores.items()}, {name: value + 0.01 for name, value in scores.items()}]
    return Trial(number=number, state="done", params=params, scores=scores, by_split=by_split, epochs=[3, 5], seconds=1.5)


def search(trials, space=None, measures=("logloss",), learner=None):
    made = learner or ol.learner("mlp", max_epochs=5, d_block=8, seed=0)
    return Tuning(trials, [get(name) for name in measures], Space.of(made, space or SPACE))


def by_lr(n=20):
    """Trials whose score follows from ``lr`` alone, after the learner as it was given; and one of each way to have no score."""
    drawn = [
        trial(
            i, 0.1 + abs(i - 10) / 10, lr=10 ** (-4 + 4 * i / n), dropout=i * 7 % n / n / 2, n_blocks=1 + i * 3 % 4,
            validation=None if i % 3 else 0.25,
            **({"optimizer": "sgd", "opt_momentum": 0.5 + 0.4 * i / n} if i % 2 else {"optimizer": "adamw"}),
        )
        for i in range(1, n)
    ]  # fmt: skip
    failed = Trial(number=n, state="failed", params={"lr": 1.0}, error="OSError: disk full")
    pruned = Trial(number=n + 1, state="pruned", params={"lr": 0.5}, error="stopped after epoch 2")
    return search([trial(0, 0.9), *drawn, failed, pruned])
