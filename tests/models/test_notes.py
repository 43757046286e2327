"""What a file's notes say of its network's precision, the true reason, once, and of promises that an order puts in doubt."""

import numpy as np
import pandas as pd

from onnxlearn.registry import learner
from onnxlearn.task import Task
from onnxlearn.testing import example_tasks

QUICK = {"max_epochs": 4, "n_folds": 2, "device": "cpu"}


def of_precision(model):
    return [note for note in model.metadata["notes"] if "DOUBLE" in note]


def test_double_by_design():
    model = learner("bagging", base="tabnet", **QUICK).fit(example_tasks(60)["classes"], progress=False)
    (note,) = of_precision(model)
    assert note.startswith("the network computes in DOUBLE by design: ")


def test_double_where_large_numbers_cancel():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=150) * 10.0 ** (i % 7) for i in range(40)})
    task = Task.from_frame(frame.assign(y=1.7e9 + frame["x0"].rank() / 150), "y")
    model = learner("bagging", base="mlp", d_block=32, num_scaler="none", **QUICK).fit(task, progress=False)
    assert of_precision(model) == ["the network computes in DOUBLE: large numbers cancel in it, which FLOAT does not resolve"]


def test_coverage_of_later_rows_is_not_promised():
    rng = np.random.default_rng(0)
    x = rng.normal(size=120)
    frame = pd.DataFrame({"x": x, "y": x + rng.normal(size=120), "day": np.arange(120)})
    for order, coverage in (("day", 0.8), (None, 0.8), ("day", None)):
        task = Task.from_frame(frame, "y", order=order, ignore=[] if order else ["day"])
        model = learner("linear", max_epochs=2, coverage=coverage).fit(task, progress=False)
        told = [note for note in model.metadata["notes"] if "is promised for rows like the calibration rows" in note]
        assert len(told) == (order is not None and coverage is not None)
        assert all("the latest by 'day'" in note for note in told)
