"""The residual network against rtdl_revisiting_models, its settings and its way into ONNX."""

import numpy as np
import pytest
import rtdl_revisiting_models as rtdl
import torch
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.runtime import open_session
from onnxlearn.schema import Ingress
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.tab_resnet import TabResNet, TabResNetConfig, TabResNetNet

N_OUT = 3
KINDS = ("number", "number", "time", "flag")
CODES = (5, 14)
# The package's own example.
EXAMPLE = {"n_blocks": 2, "d_block": 192, "d_hidden_multiplier": 2.0, "dropout1": 0.15, "dropout2": 0.0}


def ingress(kinds=KINDS, codes=CODES):
    names, cats = tuple(f"x{i}" for i in range(len(kinds))), tuple(f"c{i}" for i in range(len(codes)))
    return Ingress(num_names=names, num_kinds=kinds, cat_names=cats, cardinalities=codes)


def network(kinds=KINDS, codes=CODES, **settings):
    torch.manual_seed(0)
    return TabResNetNet(ingress(kinds, codes), N_OUT, TabResNetConfig(**settings))


def rows(n_rows=37, kinds=KINDS, codes=CODES):
    torch.manual_seed(1)
    num = torch.randn(n_rows, len(kinds)) if kinds else None
    return num, torch.stack([torch.randint(0, n, (n_rows,)) for n in codes], dim=1) if codes else None


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def copy_weights(theirs, ours):
    """The published network's weights and running statistics in ours."""
    pairs = [
        (ours.projection, theirs.input_projection), (ours.norm, theirs.output.normalization), (ours.head, theirs.output.linear)
    ]  # fmt: skip
    for block, other in zip(ours.blocks, theirs.blocks, strict=True):
        pairs += [(block.norm, other.normalization), (block.linear1, other.linear1), (block.linear2, other.linear2)]
    for our, their in pairs:
        our.load_state_dict(their.state_dict())
    assert sum(count(our) for our, _ in pairs) == count(theirs)


@pytest.mark.parametrize(
    "settings",
    [
        EXAMPLE,
        {"n_blocks": 1, "d_block": 16, "d_hidden": 24},
        {"n_blocks": 5, "d_block": 8, "d_hidden_multiplier": 1.5},
    ],
    ids=str,
)
def test_same_weights_give_the_same_outputs(settings):
    settings = settings | {"dropout1": 0.0, "dropout2": 0.0}
    ours = network(codes=(), **settings)
    theirs = rtdl.ResNet(d_in=len(KINDS), d_out=N_OUT, **{"d_hidden_multiplier": None, **settings})
    copy_weights(theirs, ours)
    assert count(ours) == count(theirs)
    x, _ = rows(64, codes=())
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    for module in (ours, theirs):
        for _ in range(20):
            module(2 * x + 1)
        module.eval()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_defaults_are_those_of_the_package():
    config = TabResNetConfig()
    assert (config.n_blocks, config.d_block, config.dropout1, config.dropout2) == (2, 192, 0.15, 0.0)
    assert count(network(codes=())) == count(rtdl.ResNet(d_in=len(KINDS), d_out=N_OUT, **EXAMPLE))
    ours = network(codes=())
    assert [part.p for part in ours.modules() if isinstance(part, nn.Dropout)] == 2 * [0.15, 0.0]


def test_a_category_has_a_row_for_unseen_and_one_for_missing():
    widths = {5: 4, 14: 7}
    table = sum(n * widths[n] for n in CODES)
    assert count(network()) == count(network(codes=())) + sum(widths.values()) * 192 + table
    without_them = sum((n - 2) * widths[n] for n in CODES)
    assert table == without_them + 2 * sum(widths.values())


def test_a_gated_activation_has_two_maps():
    block = network(activation="reglu", d_block=8, d_hidden=6).blocks[0].eval()
    assert (block.linear1.out_features, block.linear2.in_features) == (12, 6)
    x = torch.randn(5, 8)
    value, gate = block.linear1(block.norm(x)).split(6, dim=1)
    torch.testing.assert_close(block(x), block.linear2(value * gate.relu()))


def test_embeddings_of_numbers_stand_beside_the_numbers():
    net = network(num_embedding="piecewise_linear", d_num_embedding=4, n_bins=5)
    num, cat = rows(200)
    net.initialize({"num": num, "cat": cat})
    # Three columns are embedded; the flag is not.
    assert net.inputs.d_out == 3 * 4 + 4 + 4 + 7
    joined = net.inputs(num, cat)
    torch.testing.assert_close(joined[:, :12], net.inputs.num_embedding(num[:, :3]).flatten(1))
    torch.testing.assert_close(joined[:, 12:16], num)
    torch.testing.assert_close(joined[:, 16:], net.inputs.embedding(cat))


VARIANTS = [
    ({}, KINDS, CODES), ({}, KINDS, ()), ({}, (), CODES), ({}, ("flag",), ()), ({"norm": "layer"}, KINDS, CODES),
    ({"norm": "none"}, KINDS, CODES), ({"activation": "geglu"}, KINDS, CODES), ({"activation": "selu"}, KINDS, CODES),
    *(({"num_embedding": name}, KINDS, CODES) for name in NUM_EMBEDDINGS),
]  # fmt: skip


def lowered(net, kinds, codes, dtype=torch.float32):
    g, kind = GraphBuilder(), "FLOAT" if dtype == torch.float32 else "DOUBLE"
    inputs, samples = {}, {}
    if kinds:
        inputs["num"], samples["num"] = g.input("num", kind, ["N", len(kinds)]), torch.zeros(1, len(kinds), dtype=dtype)
    if codes:
        inputs["cat"] = g.input("cat", "INT64", ["N", len(codes)])
        samples["cat"] = torch.zeros(1, len(codes), dtype=torch.int64)
    g.output(lower(g, net, inputs, samples), "y", kind, ["N", N_OUT])
    model = g.to_model()
    check(model)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("settings", "kinds", "codes"), VARIANTS, ids=str)
def test_leaves_by_the_table(settings, kinds, codes, dtype):
    net = network(kinds, codes, d_block=16, **settings).to(dtype)
    inputs = [x if x is None or x.dtype == torch.int64 else x.to(dtype) for x in rows(200, kinds, codes)]
    net.initialize({name: tensor for name, tensor in zip(("num", "cat"), inputs, strict=True) if tensor is not None})
    with torch.no_grad():
        for _ in range(10):
            net(*inputs)
        net.eval()
        session = open_session(lowered(net, kinds, codes, dtype).SerializeToString(), "cpu")
        for n_rows in (0, 1, 37):
            batch = [None if x is None else x[:n_rows] for x in inputs]
            feeds = {name: x.numpy() for name, x in zip(("num", "cat"), batch, strict=True) if x is not None}
            np.testing.assert_allclose(session.run(None, feeds)[0], net(*batch).numpy(), rtol=1e-5, atol=1e-5)


def test_two_widths_inside_a_block_are_refused():
    with pytest.raises(ParameterError, match=r"d_hidden and d_hidden_multiplier both .* got 64 and 3; give one of"):
        TabResNet(d_hidden=64, d_hidden_multiplier=3)


def test_a_batch_of_one_row_is_refused_before_training():
    with pytest.raises(ParameterError, match="batch norm needs at least two rows in each step"):
        TabResNet(batch_size=1, max_epochs=10**6).fit(example_tasks()["two"], progress=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_embedding": "piecewise_linear", "cat_encoding": "onehot", "activation": "reglu", "norm": "layer"},
        {"num_embedding": "periodic", "cat_encoding": "embedding", "dropout2": 0.1},
    ],
    ids=str,
)
def test_keeps_the_contract_with_other_settings(settings):
    check_learner(TabResNet(n_blocks=1, d_block=8, max_epochs=2, device="cpu", **settings), [example_tasks()["number"]])
