"""Models, and the rows that every consumer is given: those they were trained on, and hostile ones."""

import numpy as np
import pandas as pd

import onnxlearn as ol
from onnxlearn.graph.hostile import hostile_feeds

# The types of feeds as the consumers' scripts call them.
TYPES = {np.dtype(object): "string", np.dtype(np.bool_): "bool"}


def as_json(column):
    """A column as predict.mjs and ask_grpc.py read it: 64-bit integers and what JSON has no number for as text."""
    kind = TYPES.get(column.dtype, column.dtype.name)
    values = column.ravel().tolist()
    if kind in ("int64", "float64", "float32"):
        values = [str(value) if kind == "int64" else repr(value).replace("nan", "NaN") for value in values]
    return {"type": kind, "values": values}


N_HOSTILE = 65


def rows_of(model, task):
    """Those of the task, then the hostile ones, of which the last has long texts."""
    hostile = hostile_feeds(model.schema, N_HOSTILE)
    for column in hostile.values():
        if column.dtype == object:
            column[-1] = "größer 🦜" * 10_000
    return {name: np.concatenate([column, hostile[name]]) for name, column in task.feeds().items()}


def batches(rows):
    """The first row, none, and all."""
    return [{name: column[:size] for name, column in rows.items()} for size in (1, 0, len(next(iter(rows.values()))))]


def quick(**options):
    return ol.learner("mlp", max_epochs=10, device="cpu", **options)


def quantiles():
    """A model with an output of three axes."""
    frame = every_type()
    task = ol.Task.from_frame(frame.assign(later=frame["arrival"] + frame["seats"]), ["arrival", "later"], name="quantiles")
    return ol.learner("linear", max_epochs=3, device="cpu", head="quantile").fit(task, progress=False), task


def sets():
    """An ensemble of several networks that gives sets of classes."""
    task = ol.Task.from_frame(every_type(), "size", type="classification", name="sets")
    ensemble = ol.learner("ensemble", members=["mlp", "linear"], max_epochs=3, device="cpu", coverage=0.9)
    return ensemble.fit(task, progress=False), task


def every_type(n=200):
    rng = np.random.default_rng(0)
    flight, paid = rng.choice([-7, 15, 2**53 + 1], n), rng.random(n) < 0.5
    day = pd.Timestamp("1968-11-30 23:00") + pd.to_timedelta(rng.integers(0, 5000, n), unit="h")
    frame = pd.DataFrame(
        {
            "flight": pd.Categorical(flight),
            "paid": pd.Series(paid, dtype="boolean").mask(rng.random(n) < 0.1),
            "checked": rng.random(n) < 0.5,
            "departure day": pd.Series(day).mask(rng.random(n) < 0.1),
            "größe": rng.normal(size=n).astype(np.float32),
            "distance": pd.Series(rng.exponential(1e5, n)).mask(rng.random(n) < 0.1),
            "city": rng.choice(["Köln", "東京", "🦜", ""], n),
            "landed": pd.Series(day).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").mask(rng.random(n) < 0.1),
            "lasted": pd.Series(pd.to_timedelta(rng.integers(0, 10**5, n), unit="s")).mask(rng.random(n) < 0.1),
            "seats": rng.integers(0, 400, n),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n), ["S", "M", "L"], ordered=True),
        }
    )
    frame["arrival"] = 1.7e9 + rng.normal(size=n) + paid + (flight > 0)
    return frame
