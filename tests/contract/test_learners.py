"""The contract, for every registered learner: registering one is what tests it."""

import pytest
from quick_learners import QUICK, TABLE_LEARNERS, OnlyClasses, quick

from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError, UnknownNameError
from onnxlearn.registry import learner, learner_infos
from onnxlearn.task import Task
from onnxlearn.testing import check_fit, check_learner, check_types, example_tasks
from onnxlearn_models.featureless import Featureless


def test_the_learners_of_this_package_are_registered():
    assert {"mlp", "featureless"} <= set(learner_infos())


@pytest.mark.parametrize("name", sorted(learner_infos()))
def test_learner_keeps_its_contract(name):
    check_learner(quick(name))


# Heads and calibration of networks, each with what it is asked on.
OUTPUTS = {
    "quantiles": ("number", {"head": "quantile", "coverage": 0.5}, {"prediction", "quantiles", "lower", "upper"}),
    "normal": ("numbers", {"head": "normal", "coverage": 0.5}, {"prediction", "std", "lower", "upper"}),
    "classes": ("two", {"temperature": True, "threshold": "f1", "coverage": 0.5}, {"probabilities", "label", "set"}),
}


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("name", sorted(set(learner_infos()) - {"featureless"}))
def test_networks_have_every_head_and_calibration(name, outputs):
    task, settings, names = OUTPUTS[outputs]
    columns = "mixed" if name in TABLE_LEARNERS else "images"
    model = check_fit(quick(name, calibration=0.3, **settings), example_tasks(columns=columns)[task])
    assert names == set(model.outputs)
    asked = {"temperature", "threshold", "coverage"} & set(settings)
    assert asked <= set(model.metadata["training"]["calibration"])


@pytest.mark.parametrize("name", sorted(learner_infos()))
def test_what_is_no_task_is_refused_before_training(name):
    task = example_tasks()["two"]
    known = {param.name for param in learner(name).params}
    # So long a training would be noticed.
    endless = learner(name, **{key: value for key, value in {"max_epochs": 10**6, "patience": None}.items() if key in known})
    with pytest.raises(DataError, match=r"got a DataFrame; make one with ol\.Task\.from_frame\(df, target=\.\.\.\)"):
        endless.fit(task.frame)
    with pytest.raises(
        DataError, match=r"test= takes a Task, got a DataFrame; make one with ol\.Task\(test_df, task\.schema\)"
    ):
        endless.fit(task, test=task.frame)
    with pytest.raises(ColumnNotFoundError, match=rf"the test task needs column {task.schema.feature_names[0]!r}"):
        endless.fit(task, test=Task.from_frame(task.frame, task.schema.target.name, ignore=task.schema.feature_names[0]))


@pytest.mark.parametrize("name", sorted(learner_infos()))
def test_record_is_complete(name):
    info = learner_infos()[name]
    assert info.name == info.load().name == name
    assert info.summary
    assert info.source
    assert info.use
    assert info.load().__doc__


def test_unknown_learner_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"there is no learner 'mpl'.*Did you mean 'mlp'"):
        learner("mpl")


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(ParameterError, match=r"learner 'mlp' has no parameter 'max_epoch'\. Did you mean 'max_epochs'"):
        learner("mlp", max_epoch=3)


def test_a_learner_of_one_type_of_task():
    check_learner(OnlyClasses(**QUICK))
    line = r"learner 'only_classes' does classification, not regression, which the target 'amount' asks for; choose another"
    with pytest.raises(DataError, match=line):
        OnlyClasses(**QUICK).fit(example_tasks()["number"])


def test_a_type_of_task_that_is_not_refused_is_found(monkeypatch):
    monkeypatch.setattr(OnlyClasses, "require_tasks", lambda *_: None)
    with pytest.raises(AssertionError, match="DataError was not raised"):
        check_types(OnlyClasses(**QUICK))


def test_a_record_of_other_types_is_found(monkeypatch):
    monkeypatch.setattr(Featureless, "tasks", ("regression",))
    with pytest.raises(AssertionError, match=r"the record does \('classification', 'regression'\), the class does"):
        check_types(learner("featureless"))


class Restless(Featureless):
    """A learner that predicts something else each time."""

    def fit(self, task, *, test=None, **options):
        Restless.center = "mean" if vars(Restless).get("center") == "median" else "median"
        return Featureless(center=Restless.center).fit(task, test=test, **options)


def test_other_bytes_of_a_second_fit_are_found():
    with pytest.raises(AssertionError, match="a second fit gives other bytes"):
        check_learner(Restless(), [example_tasks()["number"]])
