"""What a file's notes say of the precision that its network computes in: the true reason, once."""

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
