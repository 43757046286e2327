"""A learner that tunes itself, and files of spaces and parameters."""

import pickle

import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError, SpaceError
from onnxlearn.tuning.files import read_params, read_space, with_params, write_params
from onnxlearn.tuning.space import Space

QUICK = {"max_epochs": 3, "n_blocks": 1, "d_block": 8, "device": "cpu"}
SPACE = {"lr": ol.Range(1e-3, 1e-1, log=True), "dropout": ol.Range(0.0, 0.5)}


@pytest.fixture(scope="module")
def task():
    return ol.example_task("penguins")


def own(**settings):
    given = {"budget": 3, "resampling": ol.CV(folds=2), **settings}
    return ol.tuned(ol.learner("mlp", **QUICK), SPACE, **given)


def test_a_fit_searches_then_trains_the_best(task, tmp_path):
    model = own().fit(task, folder=tmp_path / "search", progress=False)
    told = model.metadata["training"]["tuning"]
    found = own().search(task, store=tmp_path / "search", progress=False)
    assert (told["trial"], told["params"], told["n_trials"]) == (found.best.number, found.best_params, 3)
    assert told["score"] == found.best.scores["logloss"]
    assert model.predict(task).prob.tolist() == found.fit(task, progress=False).predict(task).prob.tolist()
    assert model.metadata["learner"]["name"] == "mlp"
    assert model.verify().ok
    assert own().fit(task, progress=False).to_bytes() == model.to_bytes()


def test_its_resampling_is_nested(task):
    learner = pickle.loads(pickle.dumps(own()))
    result = ol.resample(task, learner, ol.CV(folds=2), ["logloss"], models=True, progress=False)
    assert result.scores["logloss"].notna().all()
    with pytest.raises(ParameterError, match=r"learner 'tuned' has no parameter 'budgets'. Did you mean 'budget'"):
        own(budgets=3)
    with pytest.raises(SpaceError, match="has no parameter 'lrr'"):
        ol.tuned("mlp", {"lrr": [1, 2]})
    with pytest.raises(ParameterError, match="give folder=, where"):
        own().fit(task, keep_on_interrupt=True)


def test_the_test_rows_of_a_nested_resampling_choose_nothing(task):
    """The search has test rows of its own; its last fit has none, but where its epoch is chosen anew."""
    base = ol.learner("mlp", **QUICK, validation="test")
    learner = ol.tuned(base, SPACE, budget=2, resampling=ol.CV(folds=2))
    result = ol.resample(task, learner, ol.CV(folds=2), ["logloss"], models=True, progress=False)
    own = learner.fit(task.select(ol.CV(folds=2).split(task).train(0)), progress=False)
    assert own.to_bytes() == result.models[0].to_bytes()
    assert not learner.uses_test
    assert learner.replace(epochs="searched").uses_test


def test_spaces_come_from_files(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text(
        """
lr = { low = 1e-4, high = 0.1, log = true }
n_blocks = { low = 1, high = 3 }
activation = ["relu", "gelu"]
batch_size = ["none", 32]
[dropout]
low = 0.1
high = 0.5
when = { norm = "batch" }
[norm]
values = ["none", "batch"]
"""
    )
    assert read_space(file) == {
        "lr": ol.Range(1e-4, 0.1, log=True), "n_blocks": ol.Range(1, 3), "activation": ol.Choice("relu", "gelu"),
        "batch_size": ol.Choice("none", 32), "dropout": ol.Range(0.1, 0.5, when={"norm": "batch"}),
        "norm": ol.Choice("none", "batch"),
    }  # fmt: skip


def test_none_is_a_text_or_no_value():
    space = Space.of(ol.learner("mlp"), {"norm": ["none", "batch"], "batch_size": ["none", 32]})
    entries = space.entries[""]
    assert entries["norm"].domain == ol.Choice("none", "batch")
    assert entries["batch_size"].domain == ol.Choice(None, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 3", "lr has to be a list of values, or a range such as"),
        ("lr = { low = 2, high = 1 }", "space.toml: lr: a range goes from a smaller number"),
        ("lr = { low = 1, high = 2, lag = true }", "lr: there is no 'lag' here. Did you mean 'log'"),
        ("lr = ", "space.toml:1: no valid TOML"),
    ],
)
def test_what_is_no_space_is_refused(tmp_path, text, message):
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(ParameterError, match=message):
        read_space(tmp_path / "space.toml")
    with pytest.raises(DataError, match="No such file or directory; check the path"):
        read_space(tmp_path / "none.toml")


def test_parameters_come_back_from_files(tmp_path):
    learner = ol.learner("entity_mlp", layer_units=(64, 32), lr=1e-3, validation=None, device="cpu")
    assert write_params(tmp_path / "best.toml", learner) == []
    name, params = read_params(tmp_path / "best.toml")
    assert with_params(ol.learner(name), params) == learner
    grouped = ol.learner("mlp", param_groups={"*": {"lr": 0.1}})
    assert write_params(tmp_path / "best.toml", grouped) == ["param_groups"]
    (tmp_path / "odd.toml").write_text("lr = 3\n")
    with pytest.raises(ParameterError, match=r"odd.toml has to have learner = \"name\" and the table \[params\] alone"):
        read_params(tmp_path / "odd.toml")
