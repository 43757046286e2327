"""Learner ``graph``: from a graph of layers to a file."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn as torch_nn

import onnxlearn as ol
from onnxlearn import ingress, nn
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.networks.data import graph_to_dict
from onnxlearn_models.layers.embedding import CodeEmbedding

QUICK = {"max_epochs": 2, "device": "cpu", "seed": 0}


@pytest.fixture(scope="module")
def task():
    return ol.example_task("penguins")


def net():
    x = [ingress.num(), ingress.cat() >> nn.embedding(4)] >> nn.merge_cat() >> nn.linear(8)
    return [x, x >> nn.block(nn.relu() >> nn.linear(8), n_blocks=2)] >> nn.merge_sum() >> nn.head()


def squared(x):
    return torch.cat([x, x * x], dim=1)


def test_a_graph_is_a_learner_whose_settings_are_parameters(task):
    learner = ol.learner(net(), block__n_blocks=3, linear__d_out=8, **QUICK)
    assert learner.values["block__n_blocks"] == 3
    module = learner.untrained(task)
    assert sorted({name.split(".")[1] for name, _ in module.named_parameters()}) == [
        "block_1_linear", "block_2_linear", "block_3_linear", "embedding", "head", "linear",
    ]  # fmt: skip
    assert isinstance(module.nodes["embedding"], CodeEmbedding)
    param = next(param for param in learner.params if param.name == "block__n_blocks")
    assert (param.default, param.type, param.range) == (2, "int", ">= 0")
    with pytest.raises(ParameterError, match=r"no parameter 'block__n_block'. Did you mean 'block__n_blocks'"):
        learner.replace(block__n_block=1)
    with pytest.raises(ParameterError, match="linear__d_out has to be int >= 1, not 0"):
        learner.replace(linear__d_out=0)


def test_the_file_tells_its_graph_which_gives_the_same_file_again(task):
    learner = ol.learner(net(), block__n_blocks=1, **QUICK)
    model = learner.fit(task, progress=False)
    told = model.metadata["learner"]["params"]["graph"]
    assert told == json.loads(json.dumps(graph_to_dict(net().replace(block__n_blocks=1))))
    again = ol.learner("graph", graph=told, **QUICK).fit(task, progress=False)
    np.testing.assert_array_equal(again.predict(task).prob, model.predict(task).prob)


def test_copies_are_equal_and_train_alike(task):
    learner = ol.learner(net(), block__n_blocks=1, **QUICK)
    copied = pickle.loads(pickle.dumps(learner))
    assert copied == learner
    assert learner != learner.replace(block__n_blocks=2)
    assert copied.fit(task, progress=False).to_bytes() == learner.fit(task, progress=False).to_bytes()


def test_a_graph_comes_from_a_file(task, tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(graph_to_dict(net())))
    learner = ol.learner("graph", graph=str(path), head__bias=False, **QUICK)
    assert learner.untrained(task).nodes["head"].bias is None


def test_functions_and_modules_are_nodes(task):
    graph = ingress.num() >> nn.linear(4) >> squared >> torch_nn.LeakyReLU(0.3) >> nn.head()
    learner = ol.learner(graph, **QUICK)
    assert [str(shape) for shape in learner.shapes(task).values()][1:] == ["[N, 4]", "[N, 8]", "[N, 8]", "[N, 3]"]
    model = learner.fit(task, progress=False)
    assert model.metadata["learner"]["params"]["graph"]["nodes"][2]["settings"] == {"function": f"{__name__}:squared"}


def test_functions_of_torch_are_read_back(task):
    learner = ol.learner(ingress.num() >> torch.abs >> nn.head(), **QUICK)
    told = learner.to_dict()["params"]["graph"]
    assert told["nodes"][1]["settings"] == {"function": "torch:abs"}
    assert (
        ol.learner("graph", graph=told, **QUICK).fit(task, progress=False).to_bytes()
        == learner.fit(task, progress=False).to_bytes()
    )


def test_a_module_is_trained_anew_each_time(task):
    module = torch_nn.Sequential(torch_nn.Linear(15, 8), torch_nn.ReLU())
    before = module[0].weight.detach().clone()
    learner = ol.learner(ingress.num() >> module >> nn.head(), **QUICK)
    first = learner.fit(task, progress=False).to_bytes()
    torch.testing.assert_close(module[0].weight.detach(), before, rtol=0, atol=0)
    with torch.no_grad():
        module[0].weight.zero_()
    assert learner.fit(task, progress=False).to_bytes() == first


def test_the_options_of_a_choice_are_the_values_of_its_parameter(task):
    learner = ol.learner(ingress.num() >> nn.choice({"a": nn.relu(), "b": nn.tanh()}, choose="a") >> nn.head(), **QUICK)
    assert next(param.type for param in learner.params if param.name == "choice__choose") == "a | b"
    assert list(learner.replace(choice__choose="b").shapes(task)) == ["num", "choice_b_tanh", "head"]
    # What is set of the other branch changes nothing.
    branches = ol.learner(ingress.num() >> nn.choice({"a": nn.linear(4), "b": nn.linear(5)}, choose="a") >> nn.head(), **QUICK)
    assert branches.replace(choice__choose="b", choice__b__linear__d_out=7).values["choice__b__linear__d_out"] == 7
    with pytest.raises(ParameterError, match="choice__b__linear__d_out=7 changes nothing with choice__choose='a'"):
        branches.replace(choice__b__linear__d_out=7)
    with pytest.raises(ParameterError, match=r"choice__choose .*'c'"):
        learner.replace(choice__choose="c")


REFUSED = {
    "learner 'graph' needs a graph, such as": lambda: ol.learner("graph"),
    r"the graph ends in 'linear' with \[N, 4\], and the target needs \[N, 3\]: put nn.head\(\) behind it":
        lambda: ol.learner(ingress.num() >> nn.linear(4)),
    "a node cannot be called 'keys', which torch uses": lambda: ol.learner(ingress.num() >> nn.head(id="keys")),
    "node 'fn': its function fails with": lambda: ol.learner(ingress.num() >> (lambda x: x @ x) >> nn.head()),
    "node 'fn': its function has to give one tensor": lambda: ol.learner(ingress.num() >> (lambda x: (x, x)) >> nn.head()),
    "node 'fn': its function has to keep the rows first":
        lambda: ol.learner(ingress.num() >> (lambda x: x.mean(0)) >> nn.head()),
    "node 'fn': what its function gives for a row depends on the other rows":
        lambda: ol.learner(ingress.num() >> (lambda x: x - x.mean(0)) >> nn.head()),
    "node 'fn': its function changes the tensor that it is given":
        lambda: ol.learner(ingress.num() >> (lambda x: x.add_(1)) >> nn.head()),
    "node 'fn': its function has to give numbers in float32, or codes in int64, and gives float64":
        lambda: ol.learner(ingress.num() >> (lambda x: x.double()) >> nn.head()),
    "node 'fn': what its function gives for a row depends on the other rows, which":
        lambda: ol.learner(ingress.num() >> (lambda x: x.cumsum(0)) >> nn.head()),
    "node 'fn': its function gives numbers that are not finite for zeros":
        lambda: ol.learner(ingress.num() >> (lambda x: x / x.norm(dim=1, keepdim=True)) >> nn.head()),
    "node 'fn': its module has parameters without a shape":
        lambda: ol.learner(ingress.num() >> torch_nn.LazyLinear(8) >> nn.head()),
    "learner 'graph': the network has no weights to train":
        lambda: ol.learner(ingress.num() >> torch_nn.Linear(15, 3).requires_grad_(False)),
    "a node cannot be called 'training', which torch uses": lambda: ol.learner(ingress.num() >> nn.head(id="training")),
    "node 'fn': its function gives other numbers each time":
        lambda: ol.learner(ingress.num() >> torch.nn.functional.dropout >> nn.head()),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_network_is_refused_before_training(message, task):
    with pytest.raises(ParameterError, match=message):
        REFUSED[message]().replace(max_epochs=10**6).fit(task)


def test_columns_without_an_ingress_are_refused(task):
    with pytest.raises(DataError, match=r"no ingress.num\(\), by which column 'bill_length_mm' would enter: add it"):
        ol.learner(ingress.cat() >> nn.embedding() >> nn.head()).fit(task)
    # Without codes categories enter as numbers.
    assert ol.learner(ingress.num() >> nn.head(), **QUICK).values["cat_encoding"] == "onehot"


def test_what_the_user_does_to_a_graph_later_changes_no_learner(task):
    options = {"a": nn.relu(), "b": nn.tanh()}
    learner = ol.learner(ingress.num() >> nn.choice(options, choose="a") >> nn.head(), **QUICK)
    options["a"] = nn.linear(3)
    assert list(learner.shapes(task)) == ["num", "choice_a_relu", "head"]


def test_inspect_names_the_nodes(task):
    from onnxlearn.card import card_lines

    lines = card_lines(ol.learner(net(), **QUICK).fit(task, progress=False).inspect())
    assert any("graph=num cat embedding merge_cat linear block merge_sum head" in line for line in lines)


def test_codes_that_nothing_takes_are_refused_and_not_recoded(task):
    with pytest.raises(DataError, match=r"no ingress.cat\(\), by which column 'island' would enter"):
        ol.learner(ingress.num() >> nn.head(), cat_encoding="embedding", **QUICK).fit(task)


def test_how_categories_enter_may_be_chosen(task):
    codes = [ingress.num(), ingress.cat() >> nn.embedding(2)] >> nn.merge_cat()
    learner = ol.learner(nn.choice({"onehot": ingress.num(), "codes": codes}, choose="onehot") >> nn.head(), **QUICK)
    chosen = learner.replace(choice__choose="codes")
    assert str(chosen.shapes(task)["choice_codes_embedding"]) == "[N, 4]"
    assert chosen.replace(choice__choose="onehot").shapes(task) == learner.shapes(task)
    assert chosen.fit(task, progress=False).verify().ok


def test_a_learner_draws_its_network(task):
    learner = ol.learner(ingress.num() >> squared >> nn.linear(3, id="wide") >> nn.head(), **QUICK)
    lines = learner.told(task).splitlines()
    assert [line.split()[0] for line in lines] == ["num", "fn", "wide", "head"]
    assert "[N, 30]" in lines[1]
    picture = learner.svg(task)
    assert "wide (linear)" in picture
    assert "[N, 30]" in picture


def test_graphs_stand_where_learners_do(task, tmp_path):
    net = ingress.num() >> nn.block(nn.linear(4) >> nn.relu(), n_blocks=2) >> nn.head()
    own = net.as_learner(**QUICK)
    assert ol.benchmark(task, [net], ol.CV(folds=2), ["acc"]).scores["learner"].tolist() == ["graph"] * 2
    assert ol.learner("bagging", base=net, n_folds=2, block__n_blocks=1, **QUICK).base == net.as_learner()
    assert [member.name for member in ol.learner("ensemble", members=[net, "mlp"]).members()] == ["graph", "mlp"]
    (tmp_path / "net.json").write_text(json.dumps(graph_to_dict(net)))
    bagging = ol.learner("bagging", base="graph", graph=str(tmp_path / "net.json"), block__n_blocks=1, **QUICK)
    assert bagging.values["block__n_blocks"] == 1
    (tmp_path / "design.toml").write_text(
        """
measures = ["acc"]
[tasks.penguins]
data = "example:penguins"
target = "species"
[learners.net]
learner = "graph"
graph = "net.json"
block__n_blocks = 1
[resamplings.cv]
resampling = "cv"
folds = 2
"""
    )
    (cell,) = ol.read_design(tmp_path / "design.toml").cells
    assert cell.learner.graph.settings == own.replace(block__n_blocks=1).graph.settings


def test_a_column_that_is_not_there_is_named():
    frame = pd.DataFrame({"review": ["a b", "c d"] * 10, "y": ["u", "v"] * 10})
    task = ol.Task.from_frame(frame, "y", kinds={"review": "text"})
    with pytest.raises(DataError, match=r"node 'text': the task has no column 'reviews' of kind text. Did you mean 'review'"):
        ol.learner(ingress.text("reviews") >> nn.embedding_bag(3) >> nn.head()).shapes(task)


def test_a_process_that_only_has_a_learner_tells_its_graph():
    code = """
import onnxlearn as ol
from onnxlearn import ingress, nn
assert ol.learner(ingress.num() >> nn.head()).to_dict()["params"]["graph"]["ends"] == ["head"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
