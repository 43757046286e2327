"""Callbacks by their names: in Python, on the command line and in design files."""

import pytest

import onnxlearn as ol
from onnxlearn.errors import DesignError, OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.experiments.design import describe, outline
from onnxlearn.params import parse_text
from onnxlearn.testing import example_tasks
from onnxlearn_models.training import callbacks
from onnxlearn_models.training.callbacks import CALLBACKS, Callback, EarlyStopping, StepHistory, Unfreeze, callback_of
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.registry import Entry


class Doubling(Callback):
    """Doubles gradients; ``times``: how often."""

    def __init__(self, times=1):
        self.times = times

    def after_backward(self, ctx):
        ctx.optimizer.flat.grads.mul_(2**self.times)


@pytest.fixture
def doubling(monkeypatch):
    monkeypatch.setitem(CALLBACKS, "doubling", Entry(make=Doubling))
    return "doubling"


def test_a_decorator_gives_a_callback_a_name(monkeypatch):
    monkeypatch.setitem(CALLBACKS, "mine", Entry(make=Doubling))
    del CALLBACKS["mine"]
    assert callbacks.register("mine")(Doubling) is Doubling
    # The same class once more, as in a notebook.
    callbacks.register("mine")(Doubling)
    with pytest.raises(ParameterError, match=r"callback='mine' is .*:Doubling already: choose another name"):
        callbacks.register("mine")(EarlyStopping)
    assert ol.learner("linear", callbacks=["mine(times=2)"]).values["callbacks"] == (Doubling(times=2),)


def test_text_makes_the_callback_that_python_makes(doubling):
    named, made = (ol.learner("linear", callbacks=[each]) for each in ("doubling(3)", Doubling(3)))
    assert named == made
    assert hash(named) == hash(made)
    assert named.to_dict()["params"]["callbacks"][0]["args"] == [3]
    assert ol.learner("linear", callbacks=["steps", made.values["callbacks"][0]]).values["callbacks"] == (
        StepHistory(),
        Doubling(3),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps", ["steps"]),
        ("steps, history('a,b.csv')", ["steps", "history('a,b.csv')"]),
        ("a(['b', 'c'], d={2: 'e'}, f={7: '(g'}),steps", ["a(['b', 'c'], d={2: 'e'}, f={7: '(g'})", "steps"]),
    ],
)
def test_a_list_of_callbacks_in_text_ends_at_no_comma_inside_of_one(text, expected):
    assert list(parse_text([TrainConfig], "callbacks", text)) == expected


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stepz", UnknownNameError, "there is no callback 'stepz'.* Did you mean 'steps'?"),
        ("steps(", ParameterError, r"'steps\(' is no callback: write its name"),
        ("steps(times=x)", ParameterError, "with arguments as in Python and texts in quotes"),
        ("steps(**{})", ParameterError, "is no callback"),
        ("steps()()", ParameterError, "is no callback"),
        ("steps(times=1)", ParameterError, "callback 'steps' cannot be made from these arguments: .*times"),
        ("collections:OrderedDict", ParameterError, "collections:OrderedDict has to be a class of callbacks"),
        ("no_such_module:Mine", OnnxlearnError, "there is no module 'no_such_module'"),
    ],
)
def test_what_is_no_callback_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        ol.learner("linear", callbacks=[text])


def test_callbacks_of_ones_own_module_are_named_by_it(tmp_path, monkeypatch):
    (tmp_path / "my_callbacks.py").write_text(
        "from onnxlearn_models.training.callbacks import Callback\nclass Still(Callback):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert type(callback_of("my_callbacks:Still")).__name__ == "Still"


def test_a_callback_that_changes_results_changes_the_file(doubling):
    task = example_tasks()["number"]
    learner = ol.learner("linear", max_epochs=2, optimizer="sgd")
    assert learner.fit(task).to_bytes() != learner.replace(callbacks=["doubling"]).fit(task).to_bytes()


def test_a_design_is_another_one_where_the_code_of_a_callback_changed(doubling):
    from onnxlearn.experiments.design import Cell

    task = example_tasks()["number"]

    def cells(callback):
        learner = ol.learner("linear", callbacks=[callback])
        names = {"task_name": "t", "learner_name": "l", "resampling_name": "r"}
        return [Cell(task=task, learner=learner, splits=ol.CV(folds=2).split(task), **names)]

    first = describe(cells(Doubling(1)))
    assert first == describe(cells("doubling(1)"))
    assert first != describe(cells(Doubling(2)))
    assert "code" in first["learners"]["l"]
    # What only watches is no part of the design.
    watched = describe(cells(StepHistory()))
    assert "code" not in watched["learners"]["l"]
    assert outline(cells(StepHistory()))["given"] == {"l": {"callbacks": []}}


def test_members_of_an_ensemble_get_callbacks_of_their_own():
    task = example_tasks()["number"]
    ensemble = ol.learner("ensemble", members=["linear"], n_seeds=2, max_epochs=2, callbacks=["steps"])
    model = ensemble.fit(task, progress=False)
    first, second = model.callbacks
    assert len(first.rows) == len(second.rows) > 0
    assert first.rows != second.rows
    own = ol.learner("linear", callbacks=["steps"])
    assert len(ol.learner("ensemble", members=[own, "mlp"], max_epochs=1).fit(task, progress=False).callbacks) == 1


def test_callbacks_are_told_of_the_file(doubling):
    class Told(Callback):
        recorded = False

        def shipped(self, model):
            self.scores = model.scores

    task = example_tasks()["number"]
    for name in ("linear", "bagging"):
        params = {} if name == "linear" else {"base": "linear", "n_folds": 2}
        model = ol.learner(name, **params, max_epochs=1, callbacks=[Told()]).fit(task, progress=False)
        assert [told.scores for told in model.callbacks] == [model.scores] * (1 if name == "linear" else 2)


def test_a_design_file_names_callbacks(tmp_path):
    text = """
resamplings = { cv = { folds = 2 } }
[tasks.flowers]
data = "example:iris"
[learners.linear]
callbacks = ["unfreeze('head.*', epoch={3: '*'})", "steps"]
"""
    path = tmp_path / "design.toml"
    path.write_text(text)
    (cell, *_) = ol.read_design(path).cells
    assert cell.learner == ol.learner("linear", callbacks=[Unfreeze("head.*", epoch={3: "*"}), StepHistory()])
    path.write_text(text.replace("steps", "stepz"))
    with pytest.raises(DesignError, match=r"design.toml:6: learners.linear.callbacks: there is no callback 'stepz'"):
        ol.read_design(path)
