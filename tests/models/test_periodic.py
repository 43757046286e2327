"""Periodic embeddings against the formula, and their way into ONNX."""

import math

import numpy as np
import torch

from onnxlearn.schema import Ingress
from onnxlearn_models.layers.periodic import PeriodicEmbedding, frequency_scales
from onnxlearn_models.mlp import MLPConfig, MLPNet
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.loop import parameter_groups


def test_the_formula():
    torch.manual_seed(0)
    layer = PeriodicEmbedding(frequency_scales([False, True, False], 5, 0.1, (0.1, 20.0)), 3)
    x = torch.randn(4, 3)
    w, b, weight, c = (p.detach().double().numpy() for p in (layer.frequency, layer.phase, layer.weight, layer.bias))
    found = layer(x).detach().numpy().reshape(4, 3, 3)
    for column in range(3):
        waves = np.cos(2 * math.pi * np.outer(x[:, column].double(), w[column]) + b[column])
        np.testing.assert_allclose(found[:, column], waves @ weight[column] + c[column], atol=1e-5)
    assert layer.d_out == 9


def test_initial_frequencies():
    torch.manual_seed(0)
    layer = PeriodicEmbedding(frequency_scales([False] * 2000 + [True] * 2000, 4, 0.1, (0.1, 20.0)), 2)
    spread = layer.frequency.detach().reshape(2, 2000, 4).std(dim=1)
    np.testing.assert_allclose(spread[0], [0.1] * 4, rtol=0.1)
    np.testing.assert_allclose(spread[1], np.geomspace(0.1, 20, 4), rtol=0.1)


def test_flags_and_codes_pass_by():
    ingress = Ingress(
        num_names=("x", "t", "f"), num_kinds=("number", "time", "flag"), cat_names=("c",), cardinalities=(5,)
    )  # fmt: skip
    net = MLPNet(ingress, 2, MLPConfig(d_num_embedding=3, d_embedding_max=4, d_block=8))
    assert net.periodic.frequency.shape == (2, 16)
    assert net.blocks[0].in_features == 2 * 3 + 3 + 4
    plain = MLPNet(Ingress(num_names=("f",), num_kinds=("flag",)), 2, MLPConfig())
    assert plain.periodic is None


def test_no_decay_on_frequencies():
    ingress = Ingress(num_names=("x",), num_kinds=("number",))
    net = MLPNet(ingress, 1, MLPConfig(n_blocks=1))
    decaying, free = parameter_groups(net, TrainConfig(weight_decay=0.1))
    assert [p.shape for p in decaying.parameters] == [net.blocks[0].weight.shape, net.head.weight.shape]
    assert (decaying.weight_decay, free.weight_decay) == (0.1, 0.0)
    assert len(free.parameters) == 6
