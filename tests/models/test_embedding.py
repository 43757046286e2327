"""Embeddings, and what becomes of codes without training rows."""

import numpy as np
import torch

from onnxlearn_models.layers.embedding import CodeEmbedding, settle


def test_forward_is_the_tables_side_by_side():
    layer = CodeEmbedding([4, 3], [2, 5])
    cat = torch.tensor([[3, 0], [1, 2]])
    expected = torch.cat([layer.tables[0].weight[[3, 1]], layer.tables[1].weight[[0, 2]]], dim=1)
    torch.testing.assert_close(layer(cat), expected)
    assert layer.d_out == 7


def test_settled_codes_are_the_mean_of_the_training_rows():
    layer = CodeEmbedding([5], [3])
    before = layer.tables[0].weight.detach().clone()
    settle(torch.nn.Sequential(layer), {"cat": [np.array([0, 0, 6, 3, 0])]})
    after = layer.tables[0].weight.detach()
    torch.testing.assert_close(after[[2, 3]], before[[2, 3]], rtol=0, atol=0)
    mean = (6 * before[2] + 3 * before[3]) / 9
    torch.testing.assert_close(after[[0, 1, 4]], mean.expand(3, 3))
    settle(layer, {"cat": [np.array([0, 0, 6, 3, 0])]})
    assert torch.equal(after, layer.tables[0].weight.detach())


def test_initial_standard_deviation():
    torch.manual_seed(0)
    layer = CodeEmbedding([5000], [20], std=0.1)
    assert abs(float(layer.tables[0].weight.std().detach()) - 0.1) < 0.002
