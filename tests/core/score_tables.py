"""Tables of scores to test statistics with."""

import numpy as np
import pandas as pd

from onnxlearn.statistics import Scores

DEMSAR_LEARNERS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
# Demšar (2006), table 6: area under the ROC curve on 14 data sets. On the 13th, voting, the last two learners are printed
# alike and ranked apart, so that the paper's unrounded values differ: here by 0.0001.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def wide(table, learners=None, measure="auc", **options):
    """Scores of a table [tasks, learners], one iteration each."""
    names = learners or [f"l{j}" for j in range(np.shape(table)[1])]
    rows = [
        {"task": f"t{i}", "learner": name, measure: float(value)}
        for i, row in enumerate(table)
        for name, value in zip(names, row, strict=True)
    ]
    return Scores.from_frame(pd.DataFrame(rows), measure, **options)


def long(values, measure="acc", task="iris", n_train=90, n_test=10):
    """A frame of several learners' scores on one task, iteration by iteration."""
    parts = [
        pd.DataFrame({"task": task, "learner": learner, "iteration": range(len(scores)), measure: np.asarray(scores, float)})
        for learner, scores in values.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(n_train=n_train, n_test=n_test)


def demsar():
    return wide(DEMSAR, DEMSAR_LEARNERS)
