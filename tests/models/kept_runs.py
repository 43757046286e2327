"""Trainings in a folder, in processes that are killed; importable there."""

import time

import onnxlearn as ol

SETTINGS = {"max_epochs": 40, "patience": None, "checkpoint_every": 1, "batch_size": 16, "n_threads": 1, "device": "cpu"}
RECIPES = {
    "mlp": {"d_block": 32},
    "tabm": {"d_block": 16, "max_epochs": 15},
    "bagging": {"base": "linear", "n_folds": 3, "max_epochs": 60},
}
# A server that starts processes imports this first: what takes seconds is there when they begin.
TASK = ol.example_task("penguins")
for name in ("mlp", "tabm"):
    ol.learner(name, max_epochs=1).fit(TASK, progress=False)


def run(name, folder, out):
    """Train, or go on, and write the file."""
    learner = ol.learner(name, **{**SETTINGS, **RECIPES[name]})
    learner.fit(TASK, folder=folder, progress=False).save(out)


def timed(context, name, folder, out):
    """Seconds that it takes in a process of its own."""
    start = time.monotonic()
    process = context.Process(target=run, args=(name, folder, out))
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - start
