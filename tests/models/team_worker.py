"""One of several processes that train together: fits what the first argument names and writes what it sees to the second."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import onnxlearn as ol
from onnxlearn_models.training.callback import Callback

QUICK = {"max_epochs": 4, "device": "cpu", "n_threads": 1, "lr": 0.01, "d_block": 16, "n_blocks": 2, "dropout": 0.0}
SAME = {"weight_decay": 0.1, "batch_size": 33, "accumulate": 2, "grad_clip": 0.5, "schedule": "constant"}


class Watcher(Callback):
    """Sees the epochs, and stops the training in the middle of one."""

    recorded = False

    def __init__(self, stop_at=10**6):
        self.stop_at = stop_at

    def batch_end(self, ctx):
        if ctx.n_steps == self.stop_at:
            ctx.stop()


class Dies(Callback):
    """An error in one process alone."""

    def batch_end(self, ctx):
        if ctx.team.rank == 1 and ctx.n_steps == 3:
            raise OSError("no such luck")


class Interrupted(Callback):
    """Ctrl-C in all processes."""

    def batch_end(self, ctx):
        if ctx.epoch == 2 and ctx.n_steps % 3 == 0:
            raise KeyboardInterrupt


def table():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, 3))
    target = np.where(x @ [1.0, -2.0, 0.5] + generator.normal(size=400) > 0, "yes", "no")
    weight = generator.uniform(0.5, 1.5, size=400)
    return pd.DataFrame(
        {"a": x[:, 0], "b": x[:, 1], "c": generator.choice(["u", "v", "w"], 400), "y": target, "weight": weight}
    )


def learners():
    return {
        "same": ol.learner("mlp", **QUICK, **SAME),
        "members": ol.learner("tabm", **QUICK, batch_size=40, share_batches=False),
        "norms": ol.learner("mlp", **{**QUICK, "dropout": 0.3}, norm="batch", mixup=0.2),
        "stopped": ol.learner("mlp", **QUICK, batch_size=8, callbacks=[Watcher(50)]),
        "half": ol.learner("mlp", **{**QUICK, "max_epochs": 2}, precision="fp16"),
    }


def main(names, folder):
    task = ol.Task.from_frame(table(), target="y", weight="weight")
    rank = os.environ.get("RANK", "0")
    for name in names.split(","):
        model = learners()[name].fit(task, progress=False)
        Path(folder, f"{name}-{rank}.onnx").write_bytes(model.to_bytes())
        told = {"training": model.metadata["training"], "callbacks": len(model.callbacks)}
        Path(folder, f"{name}-{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
