"""entity_mlp: the wiring of mlr3keras' kerasff, worked by hand; its input block, which other learners share."""

import numpy as np
import pytest
import torch
from networks import CODES, MIXED, NUMBERS, assert_lowers, count, rows, warm
from torch import nn
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.networks.layers.dense import embedding_width
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.entity_mlp import EntityMLP, EntityMLPConfig, EntityMLPNet
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.initializer import INITIALIZERS
from onnxlearn_models.mlp import MLP

QUICK = {"max_epochs": 2, "layer_units": (8, 4), "device": "cpu"}
INGRESSES = [NUMBERS, CODES, MIXED]


def inputs_by_hand(inputs, num, cat):
    """Embeddings in the order of their columns, then the numbers: (x - mean) / sqrt(variance + 0.001) * gamma + beta."""
    parts = []
    if cat is not None:
        parts += [table.weight[cat[:, i]] for i, table in enumerate(inputs.embedding.tables)]
    if num is not None:
        norm = inputs.norm
        parts.append((num - norm.running_mean) / (norm.running_var + 1e-3).sqrt() * norm.weight + norm.bias)
    return torch.cat(parts, dim=1)


def by_hand(net, num=None, cat=None):
    """Dense, activation for each layer; dense."""
    x = inputs_by_hand(net.inputs, num, cat)
    for layer in (part for part in net.blocks if isinstance(part, nn.Linear)):
        x = functional.relu(x @ layer.weight.T + layer.bias)
    return x @ net.head.weight.T + net.head.bias


@pytest.mark.parametrize("ingress", INGRESSES)
def test_the_wiring_is_that_of_kerasff(ingress):
    net = warm(EntityMLPNet(ingress, 3, EntityMLPConfig()), ingress)
    torch.testing.assert_close(net(**rows(ingress, 20, 9)), by_hand(net, **rows(ingress, 20, 9)))


def test_the_order_is_dense_activation_norm_dropout():
    net = EntityMLPNet(NUMBERS, 1, EntityMLPConfig(layer_units=(4,), norm="batch", dropout=0.2, input_dropout=0.1))
    assert [type(part) for part in net.blocks] == [nn.Linear, nn.ReLU, nn.BatchNorm1d, Dropout]
    assert net.inputs.dropout.p == 0.1
    warm(net, NUMBERS)
    x = inputs_by_hand(net.inputs, rows(NUMBERS, 9)["num"], None)
    dense, _, norm, _ = net.blocks
    hidden = functional.relu(x @ dense.weight.T + dense.bias)
    hidden = (hidden - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(net(**rows(NUMBERS, 9)), hidden @ net.head.weight.T + net.head.bias)


@pytest.mark.parametrize("ingress", INGRESSES)
def test_number_of_parameters(ingress):
    # Without the rows for unseen and missing the embeddings are those of 3 and 20 levels, of widths 3 and 9.
    published = 2 * ingress.n_num + (3 * 3 + 20 * 9 if ingress.n_cat else 0)
    d_in = ingress.n_num + (3 + 9 if ingress.n_cat else 0)
    published += (d_in + 1) * 32 + 2 * (32 + 1) * 32 + (32 + 1) * 2
    assert count(EntityMLPNet(ingress, 2, EntityMLPConfig())) == published + (2 * 3 + 2 * 9 if ingress.n_cat else 0)


def test_widths_of_embeddings():
    published = {2: 2, 3: 3, 4: 3, 5: 4, 8: 5, 10: 6, 20: 9, 50: 14, 100: 21, 1000: 77, 10**6: 600}
    assert {n: embedding_width(n) for n in published} == published
    tables = EntityMLPNet(MIXED, 2, EntityMLPConfig(d_embedding=7)).inputs.embedding.tables
    assert [table.weight.shape for table in tables] == [(5, 7), (22, 7)]


def test_no_hidden_layer_is_a_linear_model():
    net = warm(EntityMLPNet(NUMBERS, 2, EntityMLPConfig(layer_units=(), num_norm=False)), NUMBERS)
    num = rows(NUMBERS, 5)["num"]
    torch.testing.assert_close(net(num), num @ net.head.weight.T + net.head.bias)


def test_dropout_of_embeddings_spares_numbers():
    net = EntityMLPNet(MIXED, 2, EntityMLPConfig(embedding_dropout=0.9)).train()
    with torch.no_grad():
        dropped = (net.inputs(**rows(MIXED, 500)) == 0).float().mean(dim=0)
    assert dropped[:12].min() > 0.8
    assert dropped[12:].max() == 0


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initial_weights(name):
    torch.manual_seed(0)
    net = EntityMLPNet(MIXED, 2, EntityMLPConfig(layer_units=(400,), initializer=name))
    dense, fan_in = net.blocks[0].weight.detach(), net.inputs.d_out
    expected = {"glorot": 2 / (fan_in + 400), "he": 2 / fan_in, "orthogonal": 1 / 400}[name.partition("_")[0]]
    assert float(dense.square().mean()) == pytest.approx(expected, rel=0.1)
    assert not net.blocks[0].bias.any()
    table = net.inputs.embedding.tables[1].weight.detach()
    assert float(table.abs().max()) == pytest.approx((6 / 22) ** 0.5, rel=0.05)


@pytest.mark.parametrize("ingress", INGRESSES)
@pytest.mark.parametrize("options", [{}, {"norm": "layer", "activation": "prelu"}, {"layer_units": ()}], ids=str)
def test_it_lowers_by_the_table(ingress, options):
    assert_lowers(warm(EntityMLPNet(ingress, 2, EntityMLPConfig(**options)), ingress), ingress)


def test_all_categories_are_embedded_by_default():
    learner = EntityMLP()
    assert learner.values["cat_encoding"] == "embedding"
    assert learner.values["layer_units"] == (32, 32, 32)
    assert next(param.default for param in learner.params if param.name == "cat_encoding") == "embedding"


@pytest.mark.parametrize("task", ["classes", "number"])
def test_contract(task):
    check_learner(EntityMLP(**QUICK), [example_tasks()[task]])


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match=r"layer_units has to be a list of numbers >= 1, not \[8, 0\]"):
        EntityMLP(layer_units=[8, 0])
    with pytest.raises(ParameterError, match=r"initializer has to be glorot_uniform \| .* not 'zeros'"):
        EntityMLP(initializer="zeros")
    with pytest.raises(ParameterError, match="batch norm needs at least two rows in each step"):
        EntityMLP(**QUICK, batch_size=1).fit(example_tasks(30)["two"], progress=False)


def test_it_learns():
    task = example_tasks(200)["classes"]
    model = EntityMLP(max_epochs=40, device="cpu").fit(task, progress=False)
    assert model.score(task)["logloss"] < 0.5 * np.log(3)


@pytest.mark.parametrize("option", [{"dropout": 0.2}, {"norm": "layer"}, {"activation": "tanh"}], ids=str)
def test_what_hidden_layers_need_is_refused_without_them(option):
    for make, none in ((EntityMLP, {"layer_units": []}), (MLP, {"n_blocks": 0})):
        with pytest.raises(ParameterError, match=r"changes nothing with (layer_units=\(\)|n_blocks=0): leave it out"):
            make(**none, **option)
