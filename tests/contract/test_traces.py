"""One trace for all networks of an architecture: no file shows it, and nothing else is taken for the same."""

import hashlib

import pytest
import torch
from quick_learners import TABLE_LEARNERS, quick
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParityError
from onnxlearn.graph.assemble import assemble
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess import preprocessing
from onnxlearn.registry import learner_infos
from onnxlearn.testing.learner import example_tasks
from onnxlearn_models.lowering import trace as tracing
from onnxlearn_models.lowering.trace import Trace, UnsupportedError
from onnxlearn_models.shipping import export_proven

SAMPLES = {"num": torch.zeros(1, 3)}
ARCHITECTURES = sorted(set(TABLE_LEARNERS) - {"auto", "featureless", "module", "bagging", "ensemble"})


def forget():
    tracing._COURSES.clear()
    preprocessing._CODING_SESSIONS.clear()


@pytest.fixture(autouse=True)
def n_traced(monkeypatch):
    """How often a network was traced since the test began, with nothing kept of others."""
    traced, follow = [], tracing._follow

    def counted(*args):
        traced.append(args)
        return follow(*args)

    monkeypatch.setattr(tracing, "_follow", counted)
    forget()
    return lambda: len(traced)


def network(learner, task):
    return learner.train(task, None, progress=False)


def graph(fitted):
    return assemble([fitted.part()], Postprocessing()).SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_traced_once_and_every_graph_has_the_bytes_of_a_trace_of_its_own(name, n_traced):
    task = ol.example_task("penguins")
    splits = ol.CV(folds=2).split(task)
    folds = [network(quick(name), task.select(splits.train(i))) for i in range(2)]
    graphs = [graph(fold) for fold in folds]
    assert n_traced() == 1
    forget()
    assert graph(folds[1]) == graphs[1] != graphs[0]
    assert n_traced() == 2


COLUMNS = {"image": "mixed with images", "text": "mixed with texts"}
OF_COLUMNS = sorted(
    (name, kind) for name, info in learner_infos().items() for kind in info.kinds if kind in COLUMNS and name != "auto"
)


@pytest.mark.parametrize(("name", "kind"), [*((name, None) for name in ARCHITECTURES), *OF_COLUMNS])
def test_no_learner_of_ours_needs_torchs_exporter(name, kind, monkeypatch):
    monkeypatch.setattr("onnxlearn_models.lowering.lower._export", None)
    columns = COLUMNS.get(kind, "mixed")
    assert graph(network(quick(name), example_tasks(columns=columns)["classes"]))


def test_float64_is_an_architecture_of_its_own(n_traced):
    fitted = network(quick("mlp"), ol.example_task("penguins"))
    graphs = [graph(each) for each in (fitted, fitted.in_float64())]
    assert n_traced() == 2
    forget()
    assert [graph(fitted.in_float64()), graph(fitted)] == graphs[::-1]


def test_the_files_of_a_resampling_are_those_of_fits_one_by_one(n_traced):
    task, learner = ol.example_task("penguins"), quick("mlp", n_threads=1, fold_parallel="never")
    splits = ol.CV(folds=3).split(task)
    records = ol.resample(task, learner, splits, progress=False).records
    assert n_traced() == 1
    for record in records:
        forget()
        alone = learner.fit(task.select(splits.train(record.iteration)), progress=False).to_bytes()
        assert hashlib.sha256(alone).hexdigest() == record.sha256


def test_folds_whose_preprocessing_makes_another_graph_keep_their_own():
    # In the first fold 'x' is never missing and 'b' never there: their 0/1 columns are held at 0 by nodes of their own.
    frame = penguins_with(lambda i: i < 150)
    task = ol.Task.from_frame(frame, "y")
    learner, rows = quick("mlp", cat_encoding="onehot"), range(300)
    parts = [[i for i in rows if i >= 150], list(rows), [i for i in rows if i % 2]]
    folds = [network(learner, task.select(part)) for part in parts]
    warm = [graph(fold) for fold in folds]
    assert len(set(warm)) == 3
    for fold, expected in zip(folds, warm, strict=True):
        forget()
        assert graph(fold) == expected


def penguins_with(is_special):
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    special = np.array([is_special(i) for i in range(300)])
    x = np.where(special & (rng.random(300) < 0.3), np.nan, rng.normal(size=300))
    c = np.where(special & (rng.random(300) < 0.3), "b", rng.choice(["a", "c"], 300))
    return pd.DataFrame({"x": x, "z": rng.normal(size=300), "c": c, "y": rng.choice(["no", "yes"], 300)})


def stack(*parts):
    return nn.Sequential(*parts).eval()


def test_networks_that_differ_in_weights_alone_share_a_trace_each_with_its_own_weights(n_traced):
    nets = [stack(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)) for _ in range(3)]
    traces = [trace(net) for net in nets]
    assert n_traced() == 1
    for net, found in zip(nets, traces, strict=True):
        weights = {str(node.target): tensor for node, tensor in found.samples.items() if node.op == "get_attr"}
        assert weights.keys() == dict(net.named_parameters()).keys()
        assert all(torch.equal(weights[name], parameter) for name, parameter in net.named_parameters())


def trace(net):
    return Trace(net, {"input": SAMPLES["num"]})


def tied(*to):
    """Layers of which each has the weight of one before it, or its own."""
    layers = [nn.Linear(3, 3) for _ in to]
    for layer, other in zip(layers, to, strict=True):
        layer.weight = layers[other].weight
    return stack(*layers)


def repeated(n):
    layer = nn.ReLU()
    return stack(*[layer] * n)


@pytest.mark.parametrize(
    "others",
    [
        lambda: (stack(nn.Linear(3, 2)), stack(nn.Linear(3, 4))),
        lambda: (stack(nn.Linear(3, 2)), stack(nn.Linear(3, 2, bias=False))),
        lambda: (stack(nn.ReLU()), stack(nn.Tanh())),
        lambda: (stack(nn.LeakyReLU(0.1)), stack(nn.LeakyReLU(0.2))),
        lambda: (stack(nn.Hardtanh(-1, 1)), stack(nn.Hardtanh(-1.0, 1.0))),
        lambda: (stack(nn.ReLU(), nn.Identity()), stack(nn.Identity(), nn.ReLU())),
        lambda: (tied(0, 1), tied(0, 0)),
        lambda: (tied(0, 1, 0), tied(0, 1, 1)),
        lambda: (repeated(1), repeated(2)),
        lambda: (stack(nn.Linear(3, 2)), stack(nn.Linear(3, 2)).double()),
        lambda: (stack(nn.Dropout(0.1)), stack(nn.Dropout(0.1)).train()),
    ],
)
def test_networks_that_differ_in_more_than_weights_are_traced_each(others, n_traced):
    for net in others():
        dtype = next((parameter.dtype for parameter in net.parameters()), torch.float32)
        Trace(net, {"input": SAMPLES["num"].to(dtype)})
    assert n_traced() == 2


def test_other_inputs_are_another_trace(n_traced):
    for width in (3, 4, 4):
        Trace(stack(nn.ReLU()), {"input": torch.zeros(5, width)})
    assert n_traced() == 2


class Branching(nn.Module):
    """Somebody's network, whose trace depends on a value that only the network knows."""

    def __init__(self, sign):
        super().__init__()
        self.register_buffer("sign", torch.tensor(float(sign)))

    def forward(self, input):
        return input.relu() if self.sign > 0 else input.tanh()


def test_networks_of_other_people_are_traced_each(n_traced):
    traces = [trace(stack(Branching(sign))) for sign in (1, -1)]
    assert n_traced() == 2
    assert [[str(node.target) for node in found.graph.nodes if node.op == "call_method"] for found in traces] == [
        ["relu"], ["tanh"],
    ]  # fmt: skip


def test_networks_with_hooks_and_changed_methods_are_traced_each(n_traced):
    for _ in range(2):
        net = stack(nn.ReLU())
        net[0].register_forward_hook(lambda module, args, output: output * 2)
        trace(net)
    for _ in range(2):
        net = stack(nn.ReLU())
        net[0].forward = lambda x: x.tanh()
        trace(net)
    assert n_traced() == 4


def test_what_tracing_computed_of_one_network_is_not_taken_for_the_next(n_traced, monkeypatch):
    monkeypatch.setattr(tracing, "_TRACEABLE", ("onnxlearn_models", "torch", Scaled.__module__.partition(".")[0]))
    for factor in (1.0, 2.0):
        found = trace(Scaled(factor).eval())
        constants = [value for node, value in found.samples.items() if node.op == "get_attr"]
        assert [float(value) for value in constants] == [10 * factor]
    # The first one is traced twice: once to see that it cannot be shared.
    assert n_traced() == 3


class Scaled(nn.Module):
    """What is computed of the buffer does not go through the trace."""

    def __init__(self, factor):
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, input):
        return input * (self.factor * 10)


def test_a_trace_that_is_not_the_networks_never_reaches_a_file(monkeypatch):
    task = ol.example_task("penguins")
    monkeypatch.setattr(tracing, "_architecture", lambda *_: "all the same")
    relu, tanh = (network(quick("mlp", activation=name), task) for name in ("relu", "tanh"))
    export_proven([relu], Postprocessing(), task.feeds())
    with pytest.raises(ParityError, match="differ"):
        export_proven([tanh], Postprocessing(), task.feeds())


def test_an_error_of_tracing_is_told_each_time():
    class Looping(nn.Module):
        def forward(self, input):
            return input if input.sum() > 0 else -input

    for _ in range(2):
        with pytest.raises(UnsupportedError, match="cannot trace"):
            trace(Looping())


def test_traces_hold_no_values_of_the_rows_and_little_memory():
    fitted = network(quick("ft_transformer"), ol.example_task("penguins"))
    graph(fitted)
    (course,) = tracing._COURSES._kept.values()
    tensors = [sample for sample in course.samples.values() if isinstance(sample, torch.Tensor)]
    assert len(tensors) > 50
    assert all(tensor.untyped_storage().nbytes() <= 8 for tensor in tensors)


def test_tasks_of_other_levels_do_not_share_their_coding():
    import pandas as pd

    def tensors(levels):
        frame = pd.DataFrame({"c": levels * 20, "y": [0.5, 1.5] * 20})
        task = ol.Task.from_frame(frame, "y")
        return network(quick("linear"), task).preprocessing.schema.features[0].levels, list(
            preprocessing._CODING_SESSIONS._kept
        )

    assert tensors(["a", "b"])[0] == ("a", "b")
    levels, kept = tensors(["b", "c"])
    assert levels == ("b", "c")
    assert len(kept) == 2
    assert len(tensors(["b", "c"])[1]) == 2
