"""Embeddings of numbers: against rtdl_num_embeddings with the same weights, on odd columns, and their way into ONNX."""

import math

import numpy as np
import pytest
import rtdl_num_embeddings as rtdl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.params import build_configs
from onnxlearn.runtime import open_session
from onnxlearn.schema import Ingress
from onnxlearn_models.layers import numeric
from onnxlearn_models.layers.numeric import (
    NUM_EMBEDDINGS,
    LinearEmbedding,
    NumEmbeddingConfig,
    PBLDEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    build_num_embedding,
    embedded_kinds,
    frequency_scales,
    quantile_bins,
)
from onnxlearn_models.lowering.lower import lower

INGRESS = Ingress(num_names=("a", "b", "day", "f"), num_kinds=("number", "number", "time", "flag"))
KINDS = embedded_kinds(INGRESS)
EMBEDDINGS = sorted(set(NUM_EMBEDDINGS) - {"none"})
SETTINGS = [*({"num_embedding": name} for name in EMBEDDINGS), {"num_embedding": "periodic", "periodic_lite": True},
            {"num_embedding": "linear", "num_embedding_activation": False},
            {"num_embedding": "piecewise_linear", "piecewise_version": "A", "n_bins": 7}]  # fmt: skip


def rows(n_rows=300, n_columns=3, seed=0):
    return torch.randn(n_rows, n_columns, generator=torch.Generator().manual_seed(seed))


def mixed_rows(n_rows=300):
    """Columns of many values, of few, of two, and one in which half of the rows are 0."""
    x = rows(n_rows, 4)
    return torch.stack([x[:, 0], (x[:, 1] * 2).round(), (x[:, 2] > 0).float(), x[:, 3].relu()], dim=1)


def randomized(module):
    """All weights drawn anew: the initial ones leave parts at 0."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5)
    return module


def assert_equal(ours, theirs, x):
    found, expected = ours(x), theirs(x)
    assert found.shape == expected.shape == (*x.shape, ours.d_embedding)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# The published package.


def test_linear_is_that_of_the_package():
    theirs = randomized(rtdl.LinearReLUEmbeddings(3, 5))
    ours = LinearEmbedding(3, 5)
    ours.load_state_dict({"weight": theirs.linear.weight, "bias": theirs.linear.bias})
    assert_equal(ours, theirs, rows())
    assert count(ours) == count(theirs)


@pytest.mark.parametrize("lite", [False, True])
def test_periodic_is_that_of_the_package(lite):
    theirs = randomized(rtdl.PeriodicEmbeddings(3, 5, n_frequencies=7, lite=lite))
    ours = PeriodicEmbedding(torch.ones(3, 7), 5, lite=lite)
    linear = {f"linear.{name}": parameter for name, parameter in theirs.linear.named_parameters()}
    ours.load_state_dict({"frequency": theirs.periodic.weight, **linear})
    assert_equal(ours, theirs, rows())
    assert count(ours) == count(theirs)


def copy_piecewise(ours, theirs, bins):
    """Copy weights; theirs has the last bin of every column at the end, ours next to the one before it."""
    weight = torch.zeros_like(ours.linear.weight)
    first = int(ours.is_b)
    for column, edges in enumerate(bins):
        n = len(edges) - 1
        weight[column, first : first + n - 1] = theirs.linear.weight[column, : n - 1]
        weight[column, first + n - 1] = theirs.linear.weight[column, -1]
    bias = theirs.linear.bias
    if ours.is_b:
        weight[:, 0], bias = theirs.linear0.weight, theirs.linear0.bias
    with torch.no_grad():
        ours.linear.weight.copy_(weight)
        ours.linear.bias.copy_(bias)


@pytest.mark.parametrize("version", ["A", "B"])
@pytest.mark.parametrize("x", [rows(), mixed_rows()], ids=["many values", "few values"])
@pytest.mark.filterwarnings("ignore:The .-th feature has just two bin edges:UserWarning")
def test_piecewise_linear_is_that_of_the_package(version, x):
    bins = rtdl.compute_bins(x, 12)
    theirs = randomized(rtdl.PiecewiseLinearEmbeddings(bins, 5, activation=version == "A", version=version))
    ours = PiecewiseLinearEmbedding(x.shape[1], 12, 5, version=version)
    ours.initialize(x)
    copy_piecewise(ours, theirs, bins)
    assert_equal(ours, theirs, x)
    # Outside of the training values as well.
    assert_equal(ours, theirs, 20 * rows(50, x.shape[1], seed=1))
    assert_equal(ours.double(), theirs.double(), x.double())
    assert count(ours) == count(theirs)


@pytest.mark.filterwarnings("ignore:The .-th feature has just two bin edges:UserWarning")
@pytest.mark.parametrize("n_bins", [2, 12, 48])
def test_bins_are_those_of_the_package(n_bins):
    for found, expected in zip(quantile_bins(mixed_rows(), n_bins), rtdl.compute_bins(mixed_rows(), n_bins), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=60).filter(lambda values: np.ptp(values) > 1e-3),
    st.integers(2, 20),
)
@settings(deadline=None, max_examples=60)
def test_bins_hold_the_range_of_the_rows(values, n_bins):
    x = np.array(values, np.float32)
    (edges,) = quantile_bins(torch.from_numpy(x)[:, None], n_bins)
    assert len(edges) <= n_bins + 1
    # The highest edge may be one that nearly equals the maximum.
    assert edges[0] == x.min()
    assert x.max() - edges[-1] <= 2e-5 * np.ptp(x)
    assert (edges.diff() > 1e-6 * np.ptp(x) * 0.99).all()
    expected = np.quantile(x.astype(np.float64), np.linspace(0, 1, n_bins + 1))
    assert np.abs(edges.numpy()[:, None] - expected).min(axis=1).max() <= 1e-5 * max(1, np.abs(x).max())


@pytest.mark.parametrize(("n_rows", "n_bins"), [(1000, 20), (300, 9), (95, 2), (40, 2), (1, 2)])
def test_of_few_rows_there_are_fewer_bins(n_rows, n_bins):
    torch.manual_seed(0)
    layer = randomized(PiecewiseLinearEmbedding(3, 20, 4, min_bin_rows=32))
    fewer = PiecewiseLinearEmbedding(3, n_bins, 4)
    shapes = {name: value.shape for name, value in layer.state_dict().items()}
    for each in (layer, fewer):
        each.initialize(rows(n_rows))
    with torch.no_grad():
        fewer.linear.weight.copy_(layer.linear.weight[:, : n_bins + 1])
        fewer.linear.bias.copy_(layer.linear.bias)
    torch.testing.assert_close(layer(rows(50)), fewer(rows(50)))
    assert {name: value.shape for name, value in layer.state_dict().items()} == shapes


# Initial values.


def test_the_pbld_formula():
    torch.manual_seed(0)
    layer = PBLDEmbedding(frequency_scales(KINDS, 5, 0.1), 3)
    x = rows(4)
    w, b, weight, c = (
        p.detach().double().numpy() for p in (layer.frequency, layer.phase, layer.linear.weight, layer.linear.bias)
    )
    found = layer(x).detach().numpy()
    for column in range(3):
        waves = np.cos(2 * math.pi * np.outer(x[:, column].double(), w[column]) + b[column])
        np.testing.assert_allclose(found[:, column], waves @ weight[column] + c[column], atol=1e-5)
    assert (layer.d_embedding, layer.d_out) == (3, 9)


@pytest.mark.parametrize("layer", [PBLDEmbedding, PeriodicEmbedding])
def test_frequencies_of_times_reach_further(layer):
    torch.manual_seed(0)
    kinds = ["number"] * 2000 + ["time"] * 2000
    frequency = layer(frequency_scales(kinds, 4, 0.1), 2).frequency.detach().reshape(2, 2000, 4)
    np.testing.assert_allclose(frequency[0].std(dim=0), [0.1] * 4, rtol=0.1)
    np.testing.assert_allclose(frequency[1].std(dim=0), np.geomspace(0.1, 20, 4), rtol=0.1)
    beyond = (frequency[0].abs() > 0.3).float().mean()
    assert beyond == 0 if layer is PeriodicEmbedding else 0 < beyond < 0.01


def test_version_b_begins_as_a_linear_map():
    torch.manual_seed(0)
    layer = PiecewiseLinearEmbedding(3, 8, 4)
    layer.initialize(rows())
    theirs = rtdl.LinearEmbeddings(3, 4)
    with torch.no_grad():
        theirs.weight.copy_(layer.linear.weight[:, 0])
        theirs.bias.copy_(layer.linear.bias)
    assert_equal(layer, theirs, rows())
    assert layer.linear.weight[:, 0].abs().max() <= 0.5
    assert layer.linear.weight[:, 0].std() > 0.2


# Odd columns.

ODD = {
    "constant": torch.full((50, 1), 3.5),
    "zero": torch.zeros(50, 1),
    "nearly constant": torch.cat([torch.full((49, 1), 3.5), torch.tensor([[3.5 + 2**-22]])]),
    "denormal": torch.tensor([[0.0], [1e-45], [-1e-45]]),
    "tiny": torch.tensor([[0.0], [1e-20], [2e-20]]),
    "two values": torch.tensor([[0.0], [1.0]] * 20),
    "one far off": torch.cat([rows(49, 1) * 1e-7, torch.tensor([[100.0]])]),
    "one row": torch.tensor([[2.0]]),
}


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("x", ODD.values(), ids=ODD)
def test_odd_columns_are_finite(options, x):
    layer = randomized(NUM_EMBEDDINGS[options["num_embedding"]](["number"], NumEmbeddingConfig(**options)))
    layer.initialize(x)
    everywhere = torch.cat([x, torch.tensor([[-100.0], [100.0], [0.0], [1e-45]])])
    embedded = layer(everywhere)
    assert embedded.isfinite().all()
    embedded.mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_rows_never_change_a_shape(options):
    shapes = []
    for x in (mixed_rows()[:, :3], rows(1), torch.zeros(7, 3), rows(1000)):
        layer = build_num_embedding(INGRESS, NumEmbeddingConfig(**options))
        layer.initialize(x)
        shapes.append({name: tensor.shape for name, tensor in layer.state_dict().items()})
    assert all(found == shapes[0] for found in shapes)


def test_bins_that_a_column_lacks_are_never_trained():
    x = mixed_rows()
    layer = PiecewiseLinearEmbedding(4, 12, 5)
    layer.initialize(x)
    layer(x).square().sum().backward()
    used = [(grad != 0).any(dim=1) for grad in layer.linear.weight.grad]
    assert [int(bins.sum()) for bins in used] == [1 + len(edges) - 1 for edges in quantile_bins(x, 12)]
    assert used[0].all()
    # Neither do they change anything.
    before = layer(5 * rows(50, 4, seed=2))
    with torch.no_grad():
        for column, bins in enumerate(used):
            layer.linear.weight[column, ~bins] += 7.0
    assert torch.equal(layer(5 * rows(50, 4, seed=2)), before)


def test_narrow_bins_far_from_zero_keep_their_digits():
    x = 50 + rows(200, 1) * 1e-4
    layer = randomized(PiecewiseLinearEmbedding(1, 8, 4))
    layer.initialize(x)
    found = layer(x)
    torch.testing.assert_close(found.double(), layer.double()(x.double()), rtol=1e-5, atol=1e-5)


# The registry.


def test_flags_are_not_embedded():
    layer = build_num_embedding(INGRESS, NumEmbeddingConfig(num_embedding="pbld"))
    assert (layer.n_columns, layer.d_out) == (3, 9)
    flags = Ingress(num_names=("f",), num_kinds=("flag",))
    assert build_num_embedding(flags, NumEmbeddingConfig(num_embedding="pbld")) is None
    assert build_num_embedding(INGRESS, NumEmbeddingConfig()) is None


def test_one_line_makes_an_embedding_a_choice(monkeypatch):
    monkeypatch.setitem(numeric.NUM_EMBEDDINGS, "wide", lambda kinds, config: LinearEmbedding(len(kinds), 99))
    (config,) = build_configs((NumEmbeddingConfig,), {"num_embedding": "wide"}, owner="test")
    assert build_num_embedding(INGRESS, config).d_out == 3 * 99
    monkeypatch.undo()
    with pytest.raises(ParameterError, match=r"num_embedding has to be none \| linear \| periodic .*, not 'wide'"):
        build_configs((NumEmbeddingConfig,), {"num_embedding": "wide"}, owner="test")


def test_defaults_are_those_of_the_papers():
    def sizes(**options):
        layer = build_num_embedding(INGRESS, NumEmbeddingConfig(**options))
        return [tuple(parameter.shape) for parameter in layer.parameters()]

    assert sizes(num_embedding="linear") == [(3, 32), (3, 32)]
    assert sizes(num_embedding="periodic") == [(3, 48), (3, 96, 24), (3, 24)]
    assert sizes(num_embedding="periodic", periodic_lite=True) == [(3, 48), (24, 96), (24,)]
    assert sizes(num_embedding="piecewise_linear") == [(3, 49, 16), (3, 16)]
    assert sizes(num_embedding="piecewise_linear", piecewise_version="A") == [(3, 48, 16), (3, 16)]
    assert sizes(num_embedding="pbld") == [(3, 16), (3, 16), (3, 16, 3), (3, 3)]
    assert sizes(num_embedding="pbld", n_frequencies=4, d_num_embedding=2) == [(3, 4), (3, 4), (3, 4, 2), (3, 2)]


# Export.


class Embedded(nn.Module):
    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def forward(self, num=None):
        return self.embedding(num).flatten(1)


@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_the_table_lowers_every_embedding(options, double):
    layer = randomized(build_num_embedding(INGRESS, NumEmbeddingConfig(**options)))
    layer.initialize(mixed_rows()[:, :3])
    dtype, onnx_type = (torch.float64, "DOUBLE") if double else (torch.float32, "FLOAT")
    net = Embedded(layer).to(dtype).eval()
    g = GraphBuilder()
    output = lower(g, net, {"num": g.input("num", onnx_type, ["N", 3])}, {"num": torch.zeros(1, 3, dtype=dtype)})
    g.output(output, "y", onnx_type, ["N", layer.d_out])
    model = g.to_model()
    check(model)
    session = open_session(model.SerializeToString(), "cpu")
    for n_rows in (0, 1, 37):
        x = 3 * rows(n_rows).to(dtype)
        with torch.no_grad():
            np.testing.assert_allclose(session.run(None, {"num": x.numpy()})[0], net(x), rtol=1e-5, atol=1e-5)


# Settings.


@pytest.mark.parametrize("name", ["linear", "periodic"])
def test_without_activation_they_are_those_of_the_package(name):
    config = NumEmbeddingConfig(num_embedding=name, d_num_embedding=5, num_embedding_activation=False)
    ours = NUM_EMBEDDINGS[name](["number"] * 3, config)
    if name == "linear":
        theirs = randomized(rtdl.LinearEmbeddings(3, 5))
        ours.load_state_dict(theirs.state_dict())
    else:
        theirs = randomized(rtdl.PeriodicEmbeddings(3, 5, activation=False, lite=False))
        linear = {f"linear.{key}": parameter for key, parameter in theirs.linear.named_parameters()}
        ours.load_state_dict({"frequency": theirs.periodic.weight, **linear})
    assert_equal(ours, theirs, rows())
    assert (ours(rows()) < 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_embedding": "pbld", "n_bins": 16}, "n_bins=16 changes nothing with num_embedding='pbld': leave it out"),
        ({"num_embedding": "periodic", "min_bin_rows": 2}, "min_bin_rows=2 changes nothing with num_embedding='periodic'"),
        ({"num_embedding": "linear", "periodic_lite": True}, "periodic_lite=True changes nothing with num_embedding='linear'"),
        ({"num_embedding": "none", "d_num_embedding": 4}, "d_num_embedding=4 changes nothing with num_embedding='none'"),
        ({"num_embedding": "piecewise_linear", "n_frequencies": 4}, "n_frequencies=4 changes nothing with"),
        ({"num_embedding": "pbld", "num_embedding_activation": False}, "num_embedding_activation=False changes nothing with"),
        ({"num_embedding": "piecewise_linear", "n_bins": 10**6}, r"n_bins has to be int >= 2, <= 1000, not 1000000"),
    ],
)
def test_settings_that_cannot_count_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        build_configs((NumEmbeddingConfig,), options, owner="test")


def test_an_embedding_of_ones_own_may_read_any_setting(monkeypatch):
    monkeypatch.setitem(numeric.NUM_EMBEDDINGS, "own", lambda kinds, config: LinearEmbedding(len(kinds), config.n_bins))
    (config,) = build_configs((NumEmbeddingConfig,), {"num_embedding": "own", "n_bins": 16}, owner="test")
    assert build_num_embedding(INGRESS, config).d_embedding == 16
