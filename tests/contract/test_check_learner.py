"""The contract's check notices who breaks it."""

import itertools

import numpy as np
import onnx
import pytest

from onnxlearn.graph.metadata import embed
from onnxlearn.model import Model
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.featureless import Featureless


class Unsteady(Featureless):
    """Writes something else at every fit."""

    calls = itertools.count()

    def fit(self, task, **options):
        model = super().fit(task, **options)
        document = {**model.metadata, "notes": [f"fit number {next(self.calls)}"]}
        return Model(embed(onnx.load_from_string(model.to_bytes()), document))


class DoubleModel(Model):
    def predict_feeds(self, feeds):
        return {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in super().predict_feeds(feeds).items()
        }


class OtherType(Featureless):
    """Probabilities of another type than the file promises."""

    def fit(self, task, **options):
        return DoubleModel(super().fit(task, **options).to_bytes())


class Misscored(Featureless):
    """Tells better scores than its file has."""

    def fit(self, task, **options):
        model = super().fit(task, **options)
        training = {**model.metadata["training"], "scores": {"test": {"acc": 1.0}}}
        return Model(embed(onnx.load_from_string(model.to_bytes()), {**model.metadata, "training": training}))


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (Unsteady, "a second fit gives other bytes"),
        (OtherType, "probabilities is not a finite FLOAT"),
        (Misscored, "the test score acc is 1.0, the file scores"),
    ],
)
def test_a_breach_is_noticed(learner, message):
    with pytest.raises(AssertionError, match=message):
        check_learner(learner(), [example_tasks()["classes"]])
