"""The contract's check notices who breaks it."""

import copy
import itertools

import numpy as np
import onnx
import pytest
from quick_learners import HashSeeded, quick

from onnxlearn.graph import assemble
from onnxlearn.graph.metadata import embed
from onnxlearn.model import Model
from onnxlearn.postprocess.heads import ClassesHead
from onnxlearn.preprocess import coding
from onnxlearn.schema import FIRST_LEVEL_CODE
from onnxlearn.testing import check_fit, check_learner, example_tasks
from onnxlearn_models import network_learner, parity
from onnxlearn_models.featureless import Featureless
from onnxlearn_models.mlp import MLP


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


def rewritten(model, change):
    """The model with changes of its document and its graph."""
    document, graph = copy.deepcopy(model.metadata), onnx.load_from_string(model.to_bytes())
    change(document, graph.graph)
    return Model(embed(graph, document))


def breach(change, base=MLP, **settings):
    """A learner whose files are changed before they are given out; in a module that no other process can import."""

    class Breach(base):
        """Breaks the contract."""

        def fit(self, task, **options):
            return rewritten(super().fit(task, **options), change)

    return Breach(**({"max_epochs": 2, "n_blocks": 1, "d_block": 8, "device": "cpu"} if base is MLP else {}), **settings)


def better_score(document, graph):
    document["training"]["scores"]["test"]["acc"] = 1.0


def no_scores(document, graph):
    document["training"]["scores"]["test"] = {}


def no_validation_score(document, graph):
    del document["training"]["scores"]["validation"]


def no_parity(document, graph):
    document["parity"] = {}


def parity_on_nothing(document, graph):
    document["parity"]["n_rows"] = 0


def unproven_parity(document, graph):
    document["parity"]["max_difference"] = 0.3


def other_positive(document, graph):
    target = document["schema"]["target"]
    target["positive"] = next(label for label in target["classes"] if label != target["positive"])


@pytest.mark.parametrize(
    ("learner", "task", "message"),
    [
        (Unsteady(), "classes", "a second fit gives other bytes"),
        (OtherType(), "classes", "probabilities is not a finite FLOAT"),
        (breach(better_score, Featureless), "classes", "the test score acc is 1.0, the file scores"),
        (breach(no_scores, Featureless), "classes", r"the test scores are \[\], not \['acc', 'auc', 'logloss'\]"),
        (breach(no_validation_score), "number", "validation scores are missing"),
        (breach(no_parity), "classes", "the metadata has no parity, which tells that"),
        (breach(parity_on_nothing), "number", "the parity was measured on no rows"),
        (breach(unproven_parity), "number", "the parity is 0.3, more than"),
        (breach(other_positive, Featureless), "two", "the model's target is not that of the task"),
    ],
)
def test_a_breach_is_noticed(learner, task, message):
    with pytest.raises(AssertionError, match=message):
        check_learner(learner, [example_tasks()[task]])


QUICK_MLP = MLP(max_epochs=2, n_blocks=1, d_block=8, device="cpu")


def test_a_graph_that_computes_something_else_is_noticed(monkeypatch):
    """Also where the export does not prove itself: the parity that the file tells of is none."""
    emit = ClassesHead.emit
    monkeypatch.setattr(parity, "_require", lambda gaps, tolerance: None)
    monkeypatch.setattr(
        ClassesHead, "emit", lambda self, g, raw, *args, **more: emit(self, g, g.op("Add", raw, raw), *args, **more)
    )
    with pytest.raises(AssertionError, match=r"task 'mixed two': the parity is 0\.\d+, more than"):
        check_fit(QUICK_MLP, example_tasks()["two"])
    monkeypatch.setattr(parity, "_require", gaps_become_none)
    with pytest.raises(AssertionError, match="task 'mixed two': probabilities differs by"):
        check_fit(QUICK_MLP, example_tasks()["two"])


def gaps_become_none(gaps, _tolerance):
    gaps[:] = [(0.0, 0.0)]


@pytest.mark.parametrize("name", ["ensemble", "bagging"])
def test_a_file_without_all_its_networks_is_noticed(name, monkeypatch):
    monkeypatch.setattr(assemble, "emit_average", lambda g, outputs, weights=None: dict(outputs[0]))
    monkeypatch.setattr(parity, "_require", gaps_become_none)
    with pytest.raises(AssertionError, match="task 'mixed number': prediction differs by"):
        check_fit(quick(name), example_tasks()["number"])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UNSEEN_CODE", "an unseen level of shape is predicted like level 'flat'"),
        ("MISSING_CODE", "a missing shape is predicted like level 'flat'"),
    ],
)
def test_what_is_coded_like_a_level_is_noticed(code, message, monkeypatch):
    monkeypatch.setattr(coding, code, FIRST_LEVEL_CODE)
    with pytest.raises(AssertionError, match=message):
        check_fit(QUICK_MLP, example_tasks(columns="one category")["number"])


def test_a_code_that_was_never_trained_is_noticed(monkeypatch):
    monkeypatch.setattr(network_learner, "settle", lambda *_: None)
    with pytest.raises(AssertionError, match=r"code.* is not predicted like (an )?unseen"):
        check_fit(QUICK_MLP, example_tasks()["number"])


def test_other_bytes_in_another_process_are_noticed():
    task = example_tasks()["number"]
    check_learner(HashSeeded(), [task])
    with pytest.raises(AssertionError, match="task 'mixed number': a fit in another process gives other bytes"):
        check_learner(HashSeeded(center="median"), [task])


def test_a_learner_that_no_other_process_can_make_is_noticed():
    with pytest.raises(AssertionError, match="the learner cannot be used in another process: "):
        check_learner(breach(lambda *_: None, Featureless), [example_tasks()["number"]])
