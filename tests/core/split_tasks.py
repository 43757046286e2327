"""Tasks whose columns say which rows belong together."""

import warnings

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from onnxlearn.resampling import CV, Bootstrap, Holdout, LeaveOneOut, ResamplingWarning, Subsampling
from onnxlearn.task import Task

DRAWN = [Holdout(), CV(4, repeats=2), Subsampling(repeats=3), Bootstrap(repeats=3), LeaveOneOut()]


def task_of(target, **columns):
    """A task with one feature; ``group``, ``stratum`` and ``order`` are columns with that role, others are ignored."""
    roles = {role: role for role in ("group", "stratum", "order", "weight") if role in columns}
    ignore = [name for name in columns if name not in roles]
    frame = pd.DataFrame({"x": np.arange(len(target)) * 1.5, "y": target, **columns})
    kind = "classification" if isinstance(target[0], str) else "regression"
    return Task.from_frame(frame, "y", type=kind, ignore=ignore, **roles)


def numbers_of(n_rows, **columns):
    """A regression task."""
    return task_of(np.linspace(0, 1, n_rows), **columns)


def classes_of(codes, **columns):
    """A classification task: 0 is class ``a``."""
    return task_of(["abcdefghij"[code] for code in codes], **columns)


def quietly(resampling, task):
    """The splits, without what is to be said of rare classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResamplingWarning)
        return resampling.split(task)


@st.composite
def tasks(draw, *, n_classes=3, groups=None, strata=None):
    """Classification tasks of 24 to 60 rows with at least 8 groups and 2 classes, with a group or stratum column or not."""
    n_rows, seed = draw(st.integers(24, 60)), draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    columns = {}
    if draw(st.booleans()) if groups is None else groups:
        columns["group"] = rng.permutation(np.concatenate([np.arange(8), rng.integers(0, 12, n_rows - 8)]))
    if draw(st.booleans()) if strata is None else strata:
        columns["stratum"] = rng.choice(["north", "south"], n_rows)
    codes = rng.permutation(np.concatenate([[0, 1] * 8, rng.integers(0, n_classes, n_rows - 16)]))
    return classes_of(codes, **columns)
