"""One of several processes that train together: does what is asked for and writes what it sees of it to a folder."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import OnnxlearnError
from onnxlearn_cli import main as onnxlearn
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.team import join

RANK = int(os.environ.get("RANK", "0"))
QUICK = {"max_epochs": 4, "device": "cpu", "n_threads": 1, "lr": 0.01, "d_block": 16, "n_blocks": 2, "dropout": 0.0}
SAME = {"weight_decay": 0.1, "batch_size": 33, "accumulate": 2, "grad_clip": 0.5, "schedule": "constant"}


class Watcher(Callback):
    """Only watches, and stops the training in the middle of its second epoch."""

    recorded = False

    def batch_end(self, ctx):
        if ctx.n_steps == ctx.n_batches + 5:
            ctx.stop()


class Fails(Callback):
    """In one process alone."""

    def batch_end(self, ctx):
        if ctx.team.rank == 1 and ctx.n_steps == 3:
            raise OSError("no such luck")


class Interrupted(Callback):
    """In all processes, as Ctrl-C comes."""

    def batch_end(self, ctx):
        if ctx.epoch == 3 and ctx.n_steps % 3 == 0:
            raise KeyboardInterrupt


class Pausing(Callback):
    """Ends the training after its second epoch."""

    recorded = False

    def epoch_end(self, ctx):
        if ctx.epoch == 2:
            ctx.stop()


def table(seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(400, 3))
    target = np.where(x @ [1.0, -2.0, 0.5] + generator.normal(size=400) > 0, "yes", "no")
    letters = generator.choice(["u", "v", "w"], 400)
    weight = generator.uniform(0.5, 1.5, size=400)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": letters, "y": target, "weight": weight})


def make_task(seed=0):
    return ol.Task.from_frame(table(seed), target="y", weight="weight")


LEARNERS = {
    "same": lambda: ol.learner("mlp", **QUICK, **SAME),
    "members": lambda: ol.learner("tabm", **QUICK, batch_size=40),
    "norms": lambda: ol.learner("mlp", **{**QUICK, "dropout": 0.3}, norm="batch", mixup=0.2),
    "stopped": lambda: ol.learner("mlp", **QUICK, batch_size=8, callbacks=[Watcher()]),
    "bagging": lambda: ol.learner("bagging", n_folds=2, **QUICK),
    "fails": lambda: ol.learner("mlp", **QUICK, callbacks=[Fails()]),
    "interrupted": lambda: ol.learner("mlp", **QUICK, callbacks=[Interrupted()]),
}


def fit(name, folder):
    model = LEARNERS[name]().fit(make_task(), progress=False, keep_on_interrupt=name == "interrupted")
    Path(folder, f"{name}-{RANK}.onnx").write_bytes(model.to_bytes())
    return {"training": model.metadata["training"], "callbacks": len(model.callbacks)}


def kept(folder):
    """A training that stops in between and goes on, and the same at once."""
    recipe, task = ol.learner("mlp", **{**QUICK, "dropout": 0.3}, mixup=0.2), make_task()
    paused = recipe.replace(callbacks=[Pausing()])
    first = paused.fit(task, folder=Path(folder, "kept"), progress=False).metadata["training"]
    Path(folder, f"kept-{RANK}.onnx").write_bytes(recipe.fit(task, folder=Path(folder, "kept"), progress=False).to_bytes())
    Path(folder, f"at_once-{RANK}.onnx").write_bytes(recipe.fit(task, progress=False).to_bytes())
    return {"epochs": first["epochs"]}


def other_rows(folder):
    """Each process reads another table, which is refused in both."""
    LEARNERS["same"]().fit(make_task(seed=RANK), progress=False)


def too_small(folder):
    ol.learner("mlp", **QUICK, batch_size=1).fit(make_task(), progress=False)


def command(folder):
    """What the command line writes and says."""
    table().to_csv(Path(folder, f"table-{RANK}.csv"), index=False)
    out, err = io.StringIO(), io.StringIO()
    arguments = [
        "fit", str(Path(folder, f"table-{RANK}.csv")), "--target", "y", "--out", str(Path(folder, f"out-{RANK}.onnx")),
        *(text for name, value in QUICK.items() for text in ("--set", f"{name}={value}")),
    ]  # fmt: skip
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = onnxlearn(arguments)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def oracle(folder):
    """Gradients as ours are added up, and as torch's DistributedDataParallel has them, of shares of one size."""
    team = join(torch.device("cpu"))
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)), torch.randn(8, 3)
    (own,) = team.share([8])
    ours = torch.autograd.grad(network(x[own]).square().mean() * len(own) / 8, network.parameters())
    ours = torch.cat([team.add(gradient).flatten() for gradient in ours])
    parallel = nn.parallel.DistributedDataParallel(network)
    parallel(x[own]).square().mean().backward()
    theirs = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    return {"ours": ours.tolist(), "theirs": theirs.tolist()}


def main(names, folder):
    others = {"kept": kept, "other_rows": other_rows, "too_small": too_small, "command": command, "oracle": oracle}
    for name in names.split(","):
        try:
            told = others[name](folder) if name in others else fit(name, folder)
        except (OnnxlearnError, OSError, KeyboardInterrupt) as error:
            told = {"error": type(error).__name__, "message": str(error)}
        Path(folder, f"{name}-{RANK}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
