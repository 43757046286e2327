"""The network in torch beside its file: the same network, or why there is none."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch

import onnxlearn as ol
from onnxlearn.inference import rival as room
from onnxlearn.inference.drawn import drawn_frame
from onnxlearn.inference.rival import find_rival, rebuilt
from onnxlearn.learner import Bare
from tests.contract.quick_learners import TABLE_LEARNERS, quick

WITH_NETWORK = sorted(set(TABLE_LEARNERS) - {"auto", "featureless", "module"})


@pytest.fixture(scope="module")
def penguins() -> ol.Task:
    return ol.example_task("penguins")


@pytest.fixture(scope="module")
def drawn(penguins) -> ol.Task:
    return ol.Task(drawn_frame(penguins.schema, 200), penguins.schema)


@pytest.mark.parametrize("name", WITH_NETWORK)
def test_every_network_can_be_rebuilt_and_run(name, penguins, drawn) -> None:
    bare = rebuilt(quick(name).to_dict()).bare(drawn)
    before = torch.get_num_threads()
    for n_rows in (1, 37):
        with bare.opened({column: array[:n_rows] for column, array in penguins.feeds().items()}, 1) as call:
            assert torch.get_num_threads() == 1
            outputs = call()
        for output in outputs:
            assert all(len(tensor) == n_rows and tensor.isfinite().all() for tensor in output.values())
    assert torch.get_num_threads() == before
    assert bare.precision == ("float64" if name == "tabnet" else "float32")


@pytest.mark.parametrize("name", ["mlp", "tab_resnet", "tabnet", "ft_transformer", "realmlp", "entity_mlp"])
def test_it_has_the_shapes_of_the_network_that_was_trained(name, penguins, drawn) -> None:
    trained = quick(name).untrained(penguins)
    module, _ = rebuilt(quick(name).to_dict()).begun(drawn)
    shapes = [{key: tuple(value.shape) for key, value in each.state_dict().items()} for each in (trained, module)]
    assert shapes[0] == shapes[1]
    assert not module.training


def test_members_that_are_not_exported_are_not_run(drawn, penguins) -> None:
    with rebuilt(quick("tabm", n_export_members=3).to_dict()).bare(drawn).opened(penguins.feeds(), 1) as call:
        (outputs,) = call()
    assert [tensor.shape for tensor in outputs.values()] == [(344, 3, 3)]


def test_an_ensemble_runs_all_its_networks(drawn, penguins) -> None:
    with rebuilt(quick("ensemble").to_dict()).bare(drawn).opened(penguins.feeds(), 1) as call:
        assert len(call()) == 3


def test_roles_of_other_columns_do_not_matter(penguins) -> None:
    task = ol.Task.from_frame(penguins.frame.assign(w=1.0, who=range(344)), "species", weight="w", id="who", group="island")
    model = ol.learner("linear", max_epochs=1).fit(task, progress=False)
    assert isinstance(find_rival(model), Bare)


def test_code_that_a_file_names_is_not_imported(penguins) -> None:
    model = ol.learner("featureless").fit(penguins)
    model.metadata = {**model.metadata, "learner": {"name": "module", "params": {"module": "nowhere:Net"}}}
    assert find_rival(model) == "the network is code of your own, which the file names and does not hold"


def test_what_training_did_with_rows_does_not_matter(penguins) -> None:
    options = {"sampling": "weighted", "class_weight": "balanced", "measures": ["auc"], "monitor": "f1", "optimizer": "sgd"}
    model = ol.learner("linear", max_epochs=1, **options).fit(penguins, progress=False)
    assert isinstance(find_rival(model), Bare)


@pytest.mark.parametrize("loss", ["nowhere:loss", "os:system"])
def test_code_that_a_setting_names_is_not_imported(penguins, loss) -> None:
    model = ol.learner("linear", max_epochs=1).fit(penguins, progress=False)
    record = model.metadata["learner"]
    model.metadata = {**model.metadata, "learner": {**record, "params": {**record["params"], "loss": loss}}}
    assert find_rival(model) == f"the learner has code of your own, {loss}, which the file names and does not hold"


def test_without_torch_the_way_out_is_told(penguins, monkeypatch) -> None:
    model = ol.learner("linear", max_epochs=1).fit(penguins, progress=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert find_rival(model) == "learner 'linear' needs the package torch: pip install 'onnxlearn[train]'"


def test_a_learner_that_is_not_installed(penguins) -> None:
    model = ol.learner("linear", max_epochs=1).fit(penguins, progress=False)
    model.metadata = {**model.metadata, "learner": {"name": "lineer", "params": {}}}
    assert str(find_rival(model)).startswith("there is no learner 'lineer'")


def test_drawn_rows_have_no_column_of_another_role(penguins) -> None:
    schema = dataclasses.replace(penguins.schema, weight="w", order="day", stratum=("s",))
    stripped = room._of_features(schema)
    assert (stripped.weight, stripped.order, stripped.stratum, stripped.features) == (None, None, (), schema.features)
