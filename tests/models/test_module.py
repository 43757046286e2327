"""Learner ``module``: the user's own network, as a function, a class or an instance."""

# Networks and the messages that they get read best one a line.
# ruff: noqa: E501

from __future__ import annotations

import copy
import enum
import functools
import json
import pickle
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Optional, Protocol

import numpy as np
import pandas as pd
import pytest
import torch
from own_networks import (
    ENDLESS,
    QUICK,
    Both,
    Codes,
    Numbers,
    codes_only,
    fit,
    make_both,
    make_numbers,
    numbers_with,
    outputs,
    with_forward,
)
from torch import nn
from torch.nn import functional

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.task import Task
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.mlp import MLP

if TYPE_CHECKING:
    from decimal import Decimal


@pytest.fixture(scope="module")
def task() -> Task:
    return example_tasks()["classes"]


@pytest.fixture(scope="module", name="codes_only")
def codes_only_task() -> Task:
    return codes_only()


# The three forms


@pytest.mark.parametrize("what", [make_numbers, Both], ids=lambda what: what.__name__)
def test_functions_and_classes_keep_the_contract(what, task):
    check_learner(ol.learner(what, width=5, **QUICK), [task])


def test_an_instance_keeps_the_contract():
    tasks = example_tasks()
    probe = fit(Numbers, tasks["number"])
    check_learner(ol.learner(Numbers(probe.schema.ingress.n_num, 1), **QUICK), [tasks["number"]])


def test_a_function_and_a_class_make_the_same_network(task):
    np.testing.assert_array_equal(outputs(fit(Numbers, task), task), outputs(fit(make_numbers, task), task))


def test_one_seed_gives_one_file(task):
    first, again, other = (fit(Both, task, seed=seed).to_bytes() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("target", ["two", "number", "numbers"])
def test_every_type_of_task(target):
    task = example_tasks()[target]
    assert np.isfinite(outputs(fit(make_both, task), task)).all()


def test_other_heads_have_other_widths():
    task = example_tasks()["number"]
    model = fit(Numbers, task, head="quantile", quantiles=(0.1, 0.5, 0.9))
    assert model.predict_feeds(task.feeds())["quantiles"].shape == (task.n_rows, 1, 3)


def test_members_are_averaged(task):
    class Members(Numbers):
        def forward(self, num):
            x = self.layers(num)
            return torch.stack([x, 2 * x, -x], dim=1)

    assert np.isfinite(outputs(fit(Members, task), task)).all()


def test_lazy_layers_get_their_shapes(task):
    class Lazy(nn.Module):
        def __init__(self, n_outputs):
            super().__init__()
            self.layers = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Linear(8, n_outputs))

        def forward(self, num):
            return self.layers(num)

    assert fit(Lazy, task).to_bytes() == fit(Lazy, task).to_bytes()


# Nothing leaks from one fit to the next


def given_network(task, seed=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Numbers(fit(Numbers, task).schema.ingress.n_num, task.schema.target.n_outputs)


def test_an_instance_starts_every_fit_from_the_given_weights(task):
    network = given_network(task)
    before = copy.deepcopy(network.state_dict())
    learner = ol.learner(network, lr=1e-12, weight_decay=0.0, ema=0.0, **QUICK)
    trained = learner.train(task, None, progress=False).module
    for name, weight in before.items():
        torch.testing.assert_close(trained.get_parameter(f"network.{name}"), weight, rtol=0, atol=1e-9)

    learner = ol.learner(network, lr=0.1, **QUICK)
    first = learner.fit(task, progress=False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1
    assert learner.fit(task, progress=False).to_bytes() == first.to_bytes()
    for name, weight in before.items():
        torch.testing.assert_close(network.get_parameter(name), weight + 1)


def test_a_function_may_give_the_same_network_each_time(task):
    network = given_network(task)
    learner = ol.learner(lambda schema: network, lr=0.1, **QUICK)
    assert learner.fit(task, progress=False).to_bytes() == learner.fit(task, progress=False).to_bytes()


class On(nn.Module):
    """A network on top of one that is given."""

    def __init__(self, n_outputs, backbone: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(backbone, nn.Linear(3, n_outputs))

    def forward(self, num):
        return self.layers(num)


def test_a_network_as_parameter_learns_nothing(task):
    backbone = nn.Linear(fit(Numbers, task).schema.ingress.n_num, 3)
    learner = ol.learner(On, backbone=backbone, lr=0.1, **QUICK)
    assert learner.fit(task, progress=False).to_bytes() == learner.fit(task, progress=False).to_bytes()
    assert learner.to_dict()["params"]["backbone"]["class"] == "torch.nn.modules.linear:Linear"


# Parameters


def types_of(what):
    return {param.name: (param.type, param.default) for param in ol.learner(what).params}


def test_arguments_are_parameters():
    known = types_of(Numbers)
    assert known["width"] == ("int", 8)
    assert known["act"] == ("Any", nn.Tanh)
    assert known["cat_encoding"][1] == "onehot"
    assert types_of(Both)["cat_encoding"][1] == "embedding"
    assert not {"n_num", "n_outputs", "self"} & set(known)
    assert "xylophone" not in known
    learner = ol.learner(Numbers, width=3)
    assert learner.values["width"] == 3
    assert learner.replace(width=4, lr=0.1).values["width"] == 4
    assert learner.params[1].meaning == "argument of Numbers"


class Unchecked(Protocol):
    x: int


def annotated(
    schema, a, b: float = 0, c: int = None, d: Literal["x", "y"] = "x", e: list[int] = [1, 2], f: tuple[float, ...] = (),  # noqa: B006, RUF013
    g: Optional[str] = "s", h: Decimal = 1, i: Unchecked = None, j: nn.Module = None, k: Any = 3, l: int | None = None,  # noqa: E741, UP045
    m=(1, 2.5), n=True, o=[], p: tuple[int, str] = (1, "a"), q: list = [0.5], *args, r: str,  # noqa: B006
):  # fmt: skip
    return Numbers(schema.ingress.n_num, schema.n_outputs)


def test_types_of_annotations_and_defaults():
    known = types_of(annotated)
    assert {name: known[name][0] for name in "abcdefghijklmnopqr"} == {
        "a": "Any", "b": "float", "c": "int | None", "d": "x | y", "e": "list of int", "f": "list of float", "g": "str | None",
        "h": "int", "i": "Any", "j": "Module | None", "k": "Any", "l": "int | None", "m": "list of float", "n": "bool",
        "o": "Any", "p": "Any", "q": "list of float", "r": "str",
    }  # fmt: skip
    assert repr(known["a"][1]) == repr(known["r"][1]) == "<required>"
    assert known["e"][1] == [1, 2]
    learner = ol.learner(annotated, e=(3, 4), f=[1, 2], b=1)
    assert (learner.values["e"], learner.values["f"], learner.values["b"]) == ([3, 4], (1.0, 2.0), 1.0)


def test_values_reach_the_function_as_they_are(task):
    seen = {}

    def network(schema, /, n_num, a=1, *rest, b, **further):
        seen.update(schema=schema, n_num=n_num, a=a, rest=rest, b=b, further=further)
        return make_numbers(schema)

    fit(network, task, b=[2], c="x")
    assert (seen["a"], seen["rest"], seen["b"], seen["further"]) == (1, (), [2], {"c": "x"})
    assert seen["n_num"] == seen["schema"].ingress.n_num == len(seen["schema"].ingress.num_names)


@pytest.mark.parametrize(
    ("what", "params", "line"),
    [
        (Numbers, {"widht": 3}, r"learner 'module' has no parameter 'widht'\. Did you mean 'width'\?"),
        (Numbers, {"width": 0.5}, r"learner 'module': width has to be int, not 0\.5 \(argument of Numbers\)"),
        (Numbers, {"n_num": 3}, "n_num of Numbers is filled in from the task: leave it out"),
        (Numbers, {"module": Both}, "the network is given twice, as the first argument and as module="),
        (lambda schema, lr: None, {}, "<lambda> has the argument 'lr', which is a parameter of every network's training"),
        (lambda schema, module: None, {}, "has the argument 'module', which is a parameter of every"),
        (Numbers(3, 2), {"width": 3}, "learner 'module' has no parameter 'width'"),
        (make_both, {"note": object()}, "a parameter has to be a value that a model's metadata can name.* a object is none of"),
        (3, {}, "a learner is made from its name, or from a function, a class or an instance of a network; this is a value of type int"),
        (functools.partial(Numbers, width=3), {}, r"not a value of type partial; what a functools\.partial would fill in is given as"),
        (dict, {}, r"module= takes a class of networks, an nn\.Module; dict is none"),
        (nn.Linear, {}, r"Linear\.forward asks for 'input'; by the names of its arguments it can ask for num, .* and columns, "),
        (nn.Sequential(nn.Linear(3, 2)), {}, r"Sequential\.forward asks for 'input'"),
        (nn.Module, {}, r"Module\.forward asks for no tensor by name; give it some of the arguments num, cat and columns"),
    ],
)  # fmt: skip
def test_what_is_refused_at_once(what, params, line):
    with pytest.raises(ParameterError, match=line):
        ol.learner(what, **params)


def test_a_parameter_without_default_has_to_be_given(task):
    learner = ol.learner(annotated, a=1, **ENDLESS)
    with pytest.raises(
        ParameterError, match=r"annotated needs the parameter 'r', which has no default: give r= \(filled in are schema, "
    ):
        learner.fit(task)
    assert learner.replace(r="x", max_epochs=1).fit(task, progress=False).schema.target == task.schema.target


def test_a_module_learner_without_its_network(task):
    learner = ol.learner("module", **ENDLESS)
    assert repr(learner) == "learner('module', max_epochs=1000000, patience=None, device='cpu')"
    with pytest.raises(ParameterError, match=r"learner 'module' needs a network: module=MyNetwork, or at once ol\.learner"):
        learner.fit(task)
    assert learner.replace(module=Numbers).params[0].name == "width"


def test_a_learner_class_is_a_learner():
    assert ol.learner(MLP, d_block=8) == ol.learner("mlp", d_block=8)
    assert ol.learner("onnxlearn_models.mlp:MLP", d_block=8) == ol.learner("mlp", d_block=8)
    with pytest.raises(ParameterError, match="module= takes a network, and MLP is a learner already"):
        ol.learner("module", module=MLP)


def test_copies_are_equal(task):
    for what in (Numbers, make_both, given_network(task)):
        learner = ol.learner(what, max_epochs=3)
        for other in (pickle.loads(pickle.dumps(learner)), copy.deepcopy(learner), learner.replace()):
            assert other == learner
            assert hash(other) == hash(learner)
            assert other.values["max_epochs"] == 3
    assert ol.learner(Numbers, width=3) != ol.learner(Numbers)
    assert ol.learner(given_network(task)) != ol.learner(given_network(task, seed=4))
    assert repr(ol.learner(Numbers, width=3)) == "learner(Numbers, width=3)"


# The metadata


class Colour(enum.Enum):
    RED = 1


@dataclass
class Setting:
    depth: int = 2


def test_the_metadata_name_code(task):
    values = [Colour.RED, Setting(), functools.partial(max, 1, key=len), np.float32(2), np.ones(2), torch.zeros(2), nn.ReLU]
    told = ol.learner(make_both, note=values).to_dict()["params"]
    here = __name__
    own = Numbers.__module__
    assert told["module"] == f"{own}:make_both"
    assert told["note"][:4] == [
        f"{here}:Colour.RED",
        {"class": f"{here}:Setting", "depth": 2},
        {"function": "builtins:max", "args": [1], "keywords": {"key": "builtins:len"}},
        2.0,
    ]
    assert [set(note) for note in told["note"][4:6]] == [{"shape", "dtype", "sha256"}] * 2
    assert told["note"][6] == "torch.nn.modules.activation:ReLU"
    instance = ol.learner(given_network(task)).to_dict()["params"]["module"]
    assert instance["class"] == f"{own}:Numbers"
    assert re.fullmatch("[0-9a-f]{64}", instance["sha256"])
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("what", [Numbers, make_numbers], ids=["class", "function"])
def test_nothing_of_the_code_is_in_the_file(what, task):
    data = fit(what, task).to_bytes()
    assert f"{what.__module__}:{what.__name__}".encode() in data
    for text in (b"xylophone", b"self.layers(num)", b"own_networks.py", b"nn.Sequential"):
        assert text not in data


def test_the_file_alone_predicts(task):
    data = fit(Both, task).to_bytes()
    assert len(ol.Model(data).predict(task).response) == task.n_rows


# What forward asks for


def positional(self, num, cat, /):
    return Both.forward(self, num, cat)


def by_keyword(self, *, cat, num):
    return Both.forward(self, num, cat)


def anything(self, **inputs):
    return Both.forward(self, **inputs)


def other_way_round(self, cat, num, mask=None):
    assert mask is None
    return Both.forward(self, num, cat)


@pytest.mark.parametrize("forward", [positional, by_keyword, anything, other_way_round])
def test_the_order_of_arguments_does_not_count(forward, task):
    np.testing.assert_array_equal(outputs(fit(with_forward(forward), task), task), outputs(fit(Both, task), task))


def test_categories_enter_as_forward_asks(task):
    assert fit(Numbers, task).schema.ingress.n_cat == 0
    assert "shape=flat" in fit(Numbers, task).schema.ingress.num_names
    assert fit(Numbers, task, cat_encoding="auto").schema.ingress.n_cat == 0
    assert fit(Both, task).schema.ingress.cat_names == ("shape", "code", "grade")
    assert fit(Both, task, cat_encoding="auto").schema.ingress.cat_names == ("code",)
    made = fit(make_numbers, task)
    assert made.metadata["training"]["chosen"]["cat_encoding"] == "onehot"
    assert fit(make_both, task).metadata["training"]["chosen"]["cat_encoding"] == "embedding"


def test_a_function_that_makes_networks_for_numbers_alone(task):
    def network(schema, n_cat):
        if n_cat:
            raise ValueError("numbers only")
        return make_numbers(schema)

    assert fit(network, task).schema.ingress.n_cat == 0


def test_codes_alone(codes_only):
    assert fit(Codes, codes_only).schema.ingress.n_num == 0
    ordered = codes_only.frame.assign(b=pd.Categorical(codes_only.frame["b"], ["x", "y"], ordered=True))
    assert fit(Codes, Task.from_frame(ordered, "y")).schema.ingress.cat_names == ("a", "b", "c")


def numbers_only():
    return Task.from_frame(example_tasks()["number"].frame[["width", "count", "amount"]], "amount")


class Either(Both):
    """A network that does without what there is not."""

    def __init__(self, n_num, cardinalities, n_outputs):
        nn.Module.__init__(self)
        self.tables = nn.ModuleList(nn.Embedding(n, 4) for n in cardinalities)
        self.out = nn.Linear(n_num + 4 * len(cardinalities), n_outputs)

    def forward(self, num, cat):
        parts = ([] if num is None else [num]) + ([] if cat is None else [self.looked_up(cat)])
        return self.out(torch.cat(parts, dim=1))


def test_a_tensor_that_there_is_not_is_none(codes_only):
    for task in (codes_only, numbers_only()):
        assert np.isfinite(outputs(fit(Either, task), task)).all()


class Needy(Either):
    """A network that does not."""

    forward = Both.forward


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (
            "codes",
            r"cat is \[N, 3\] with codes below '6', '4', '5' and num is None, since no column gives numbers: let forward do without$",
        ),
        ("numbers", r"num is \[N, 2\] and cat is None, since no column gives codes: let forward do without$"),
    ],
)
def test_a_network_that_cannot_do_without(table, line, codes_only):
    task = codes_only if table == "codes" else numbers_only()
    with pytest.raises(
        ParameterError,
        match=r"Needy\.forward fails on two rows: .*Error: .*\(own_networks\.py, line \d+: .*\); of this table " + line,
    ):
        fit(Needy, task, **ENDLESS)


@pytest.mark.parametrize(
    ("params", "columns", "line"),
    [
        ({}, {"z": 0.5}, r"Codes\.forward asks for cat alone, and column 'z', numeric, gives numbers: give the task ignore=\['z'\], or"),
        ({}, {"z": 3}, r"give the task ignore=\['z'\] or kinds=\{'z': 'categorical'\}, or ask for num as well"),
        ({}, {"z": True}, r"column 'z', boolean, gives numbers"),
        ({}, {"z": pd.Timestamp("2001-01-01")}, r"column 'z', datetime, gives numbers"),
        ({"cat_encoding": "onehot"}, {}, "column 'a', categorical, gives numbers: leave cat_encoding='onehot' out"),
        ({"ordered_encoding": "both"}, {"b": pd.Categorical(list("xyz") * 30, ordered=True)}, "set ordered_encoding='categorical'"),
    ],
)  # fmt: skip
def test_numbers_that_nobody_asks_for(params, columns, line, codes_only):
    with pytest.raises(DataError, match=line):
        fit(Codes, Task.from_frame(codes_only.frame.assign(**columns), "y"), **ENDLESS, **params)


@pytest.mark.parametrize("what", [Numbers, make_numbers])
def test_codes_that_nobody_asks_for(what, task):
    with pytest.raises(ParameterError, match=r"cat_encoding='embedding' gives codes in cat, for which .* does not ask: leave"):
        fit(what, task, cat_encoding="embedding", **ENDLESS)


# What is refused before training


def dropped(self, num):
    return functional.dropout(self.layers(num), 0.5)


def raising(schema):
    return 1 / 0


class Uneven(nn.Module):
    def __init__(self, n_num, heads=5):
        super().__init__()
        raise ValueError(f"{n_num} columns do not go by {heads}")

    def forward(self, num):
        return num


class Hiding(Numbers):
    def __init__(self, n_num, n_outputs):
        super().__init__(n_num, n_outputs)
        self.before = [nn.Linear(n_num, n_num)]

    def forward(self, num):
        return self.layers(self.before[0](num))


class Frozen(Numbers):
    def __init__(self, n_num, n_outputs):
        super().__init__(n_num, n_outputs)
        self.requires_grad_(False)


class Double(Numbers):
    def __init__(self, n_num, n_outputs):
        super().__init__(n_num, n_outputs)
        self.double()


class Sparse(Codes):
    def __init__(self, cardinalities, n_outputs):
        super().__init__(cardinalities, n_outputs)
        self.tables = nn.ModuleList(nn.Embedding(n, 4, sparse=True) for n in cardinalities)

    def forward(self, num, cat):
        return self.out(self.looked_up(cat))


class Small(Sparse):
    def __init__(self, cardinalities, n_outputs):
        super().__init__([n - 1 for n in cardinalities], n_outputs)


class Some(Both):
    """Code embeddings for two of the columns."""

    def __init__(self, n_num, cardinalities, n_outputs):
        super().__init__(n_num, cardinalities[:2], n_outputs)
        self.embedding = CodeEmbedding(cardinalities[:2], [4, 4])

    def looked_up(self, cat):
        return self.embedding(cat[:, :2])


class Batchwise(nn.Module):
    """Normalizes by the rows beside a row, in evaluation mode too."""

    def __init__(self, n_num, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(n_num, track_running_stats=False), nn.Linear(n_num, n_outputs))

    def forward(self, num):
        return self.layers(num)


OUTPUT = r"forward has to give a float32 tensor \[N, n_outputs\], here \[N, 3\]"


@pytest.mark.parametrize(
    ("what", "line"),
    [
        (numbers_with(lambda self, num: self.layers(num)[:, 0]), OUTPUT + r", a column for each class, or .* gives \[2\]: let the last layer"),
        (numbers_with(lambda self, num: self.layers(num)[:, :2]), r"for 2 rows it gives \[2, 2\]"),
        (numbers_with(lambda self, num: self.layers(num).mean(0, keepdim=True)), r"for 2 rows it gives \[1, 3\]"),
        (numbers_with(lambda self, num: (self.layers(num), 0)), OUTPUT + "; it gives a value of type tuple: return the tensor alone"),
        (numbers_with(lambda self, num: self.layers(num).argmax(1, keepdim=True).expand(-1, 3)), "; it gives torch.int64: return logits"),
        (numbers_with(lambda self, num: self.layers(num) / 0), "infinite ones or NaN before any training"),
        (numbers_with(lambda self, num: self.layers(num).detach()), "no gradient reaches a parameter of Net: something detaches the output"),
        (numbers_with(lambda self, num: self.layers(num) + torch.rand(1)), "gives the same rows other outputs the second time, in evaluation"),
        (numbers_with(lambda self, num: self.layers(num.add_(1))), "changes its input num in place, which others read too"),
        (numbers_with(dropped), "gives the same rows other outputs the second time, in evaluation mode: let randomness depend"),
        (numbers_with(lambda self, num: self.layers(num - num.mean(0))), "gives a row another output beside other rows than alone, in"),
        (Batchwise, r"Batchwise\.forward fails on a batch of one row and not on two, .*Expected more than 1 value .*track_running_stats=True$"),
        (numbers_with(lambda self, num: self.layers(num[:, :2])), r"Net\.forward fails on two rows: RuntimeError: mat1 and mat2 .*; of this table num is \[N, \d+\]$"),
        (numbers_with(lambda self, num: self.layers(num) if len(num) > 1 else None), "gives a row another output beside other rows than alone"),
        (numbers_with(lambda self, num: self.layers(num) / num.norm(dim=1, keepdim=True)), "infinite ones or NaN before any training"),
        (Hiding, r"Hiding keeps parts with weights in before, a list, tuple or dict of Python, .*: use nn\.ModuleList"),
        (Frozen, "Frozen has no parameter to train: a network needs one with requires_grad=True"),
        (Double, r"weights have to be torch\.float32; layers\.0\.weight of Double is torch\.float64: call \.float\(\)"),
        (Sparse, r"the gradient of tables\.0\.weight of Sparse is sparse, which training does not take"),
        (Small, r"IndexError: index out of range in self .*; of this table num is \[N, \d+\] and cat is \[N, 3\] with codes below '6', '27', '5'"),
        (Some, r"a CodeEmbedding has one table for each column of cat, of \[6, 27, 5\] codes; that of Some has \[6, 27\]: for some columns"),
        (Uneven, r"Uneven cannot make the network: ValueError: \d+ columns do not go by 5 \(test_module\.py, line \d+: raise ValueError"),
        (raising, r"raising cannot make the network: ZeroDivisionError: division by zero \(test_module\.py, line \d+: return 1 / 0\)"),
        (lambda schema: Numbers, r"<lambda> has to give an nn\.Module; it gives the class Numbers"),
        (lambda schema: None, r"<lambda> has to give an nn\.Module; it gives a value of type NoneType"),
    ],
)  # fmt: skip
def test_what_is_refused_before_training(what, line, task):
    with pytest.raises(ParameterError, match=line) as refused:
        fit(what, task, **ENDLESS)
    assert "\n" not in str(refused.value)


def test_an_error_of_ours_in_the_users_code_stays_as_it_is(task):
    def network(schema):
        raise DataError("columns of colours are not done")

    with pytest.raises(DataError, match=r"^columns of colours are not done$"):
        fit(network, task, **ENDLESS)


def test_the_callers_random_numbers_stay(task):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(make_numbers, task)
    assert torch.equal(torch.rand(1), expected)
