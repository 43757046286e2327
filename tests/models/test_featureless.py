"""The baseline, against scikit-learn's and by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from onnxlearn.errors import DataError
from onnxlearn.model import Model
from onnxlearn.task import Task
from onnxlearn.testing import example_frame
from onnxlearn_models.featureless import Featureless


@pytest.mark.parametrize("target", ["sort", "two"])
def test_frequencies(target):
    frame = example_frame(80)
    task = Task.from_frame(frame, target)
    found = Featureless().fit(task).predict(frame.drop(columns=target))
    dummy = DummyClassifier(strategy="prior").fit(frame[["still"]], frame[target])
    np.testing.assert_allclose(found.prob, dummy.predict_proba(frame[["still"]]), atol=1e-6)
    assert (found.response == dummy.predict(frame[["still"]])).all()


@pytest.mark.parametrize("center", ["mean", "median"])
def test_center(center):
    frame = example_frame(80)
    task = Task.from_frame(frame, "amount", ignore=["sort", "two"])
    expected = DummyRegressor(strategy=center).fit(frame[["still"]], frame["amount"]).predict(frame[["still"]])
    np.testing.assert_allclose(Featureless(center=center).fit(task).predict(frame).response, expected, rtol=1e-15)


def test_weights_and_an_absent_class():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "w": [3.0, 1.0, 0.0, 4.0], "y": list("abcd")})
    task = Task.from_frame(frame, "y", weight="w").select([0, 1, 2])
    assert Featureless().fit(task).predict_one({"x": None})["probabilities"] == pytest.approx(
        {"a": 0.75, "b": 0.25, "c": 0, "d": 0}
    )


def test_all_weights_zero():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "w": [0.0, 0.0, 1.0], "y": list("aab")})
    task = Task.from_frame(frame, "y", weight="w").select([0, 1])
    with pytest.raises(DataError, match="weights of the rows sum to 0"):
        Featureless().fit(task)


def test_metadata_and_scores():
    task = Task.from_frame(example_frame(80), "two")
    train, test = task.split(0.25, 0)
    model = Model(Featureless().fit(train, test=test).to_bytes())
    assert set(model.scores) == {"test"}
    assert model.scores["test"]["auc"] == 0.5
    assert model.metadata["learner"] == {"name": "featureless", "params": {"center": "mean"}}
    assert model.schema.features == task.schema.features


def test_needs_no_torch():
    code = """
import sys
sys.modules["torch"] = None
from onnxlearn.testing import example_tasks
from onnxlearn_models.featureless import Featureless
for task in example_tasks().values():
    Featureless().fit(task).predict(task.frame)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
