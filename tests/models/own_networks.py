"""Networks as users bring them, and how their tests train them."""

import numpy as np
import pandas as pd
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.task import Task

QUICK = {"max_epochs": 2, "device": "cpu"}
# So long a training would be noticed.
ENDLESS = {"max_epochs": 10**6, "patience": None, "device": "cpu"}


class Numbers(nn.Module):
    """A text that must not be in a file: xylophone."""

    def __init__(self, n_num, n_outputs, width: int = 8, act=nn.Tanh):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_num, width), act(), nn.Linear(width, n_outputs))

    def forward(self, num):
        return self.layers(num)


class Codes(nn.Module):
    def __init__(self, cardinalities, n_outputs, width=4):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, width) for n in cardinalities)
        self.out = nn.Linear(width * len(cardinalities), n_outputs)

    def looked_up(self, cat):
        return torch.cat([table(cat[:, i]) for i, table in enumerate(self.tables)], dim=1)

    def forward(self, cat):
        return self.out(self.looked_up(cat))


class Both(Codes):
    def __init__(self, n_num, cardinalities, n_outputs, width=4):
        super().__init__(cardinalities, n_outputs, width)
        self.out = nn.Linear(n_num + width * len(cardinalities), n_outputs)

    def forward(self, num, cat):
        return self.out(torch.cat([self.looked_up(cat), num], dim=1))


def make_numbers(schema, width: int = 8):
    return Numbers(schema.ingress.n_num, schema.n_outputs, width)


def make_both(schema, width=4, **others):
    assert set(others) <= {"note"}
    return Both(schema.ingress.n_num, schema.ingress.cardinalities, schema.n_outputs, width)


def fit(what, task, **params):
    return ol.learner(what, **{**QUICK, **params}).fit(task, progress=False)


def outputs(model, task):
    feeds = [task.feeds(), hostile_feeds(model.schema, 100)]
    name = "probabilities" if model.schema.target.type == "classification" else "prediction"
    return np.concatenate([model.predict_feeds(rows)[name] for rows in feeds])


def codes_only() -> Task:
    """Columns of categories alone; of the last one the first training rows hold the level "rare" nowhere."""
    rng = np.random.default_rng(0)
    n = 90
    frame = pd.DataFrame({"a": rng.choice(list("pqrs"), n), "b": rng.choice(list("xy"), n), "c": rng.choice(list("uv"), n)})
    frame.loc[80:, "c"] = "rare"
    frame["y"] = np.where((frame["a"] == "p") ^ (frame["b"] == "x"), "yes", "no")
    return Task.from_frame(frame, "y")


def with_forward(forward, base=Both):
    return type("Net", (base,), {"forward": forward})


def numbers_with(forward):
    return with_forward(forward, Numbers)
