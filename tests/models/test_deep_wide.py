"""deep_wide: the wiring of mlr3keras, worked by hand."""

import pytest
import torch
from networks import CODES, MIXED, NUMBERS, assert_lowers, count, rows, warm
from torch import nn
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.deep_wide import DeepWide, DeepWideConfig, DeepWideNet
from onnxlearn_models.layers.dropout import Dropout

QUICK = {"max_epochs": 2, "layer_units": (8, 4), "device": "cpu"}
INGRESSES = [NUMBERS, CODES, MIXED]


@pytest.mark.parametrize("ingress", INGRESSES)
def test_deep_and_wide_are_added(ingress):
    net = warm(DeepWideNet(ingress, 3, DeepWideConfig()), ingress)
    batch = rows(ingress, 20, 9)
    x = deep = net.inputs(batch.get("num"), batch.get("cat"))
    layers = [part for part in net.deep if isinstance(part, nn.Linear)]
    for i, layer in enumerate(layers):
        deep = deep @ layer.weight.T + layer.bias
        if i < len(layers) - 1:
            deep = functional.relu(deep)
    torch.testing.assert_close(net(**batch), deep + x @ net.wide.weight.T + net.wide.bias)
    assert [layer.out_features for layer in layers] == [128, 256, 3]


def test_norm_and_dropout_stand_before_each_layer():
    net = DeepWideNet(NUMBERS, 2, DeepWideConfig(layer_units=(4,), norm="batch", dropout=0.2))
    first, last = [nn.BatchNorm1d, Dropout, nn.Linear, nn.ReLU], [nn.BatchNorm1d, Dropout, nn.Linear]
    assert [type(part) for part in net.deep] == first + last


def test_the_wide_part_sees_input_dropout_too():
    net = DeepWideNet(NUMBERS, 1, DeepWideConfig(layer_units=(), input_dropout=0.9)).train()
    with torch.no_grad():
        net.wide.weight.fill_(1)
        net.deep[-1].weight.zero_()
        zeros = (net(**rows(NUMBERS, 400)) == 0).float().mean()
    assert float(zeros) == pytest.approx(0.9**3, abs=0.08)


@pytest.mark.parametrize("ingress", INGRESSES)
def test_number_of_parameters(ingress):
    d_in = ingress.n_num + (3 + 9 if ingress.n_cat else 0)
    embeddings = 3 * 5 + 9 * 22 if ingress.n_cat else 0
    layers = (d_in + 1) * 128 + 129 * 256 + 257 * 2 + (d_in + 1) * 2
    assert count(DeepWideNet(ingress, 2, DeepWideConfig())) == embeddings + 2 * ingress.n_num + layers


@pytest.mark.parametrize("ingress", INGRESSES)
@pytest.mark.parametrize("options", [{}, {"norm": "batch", "activation": "selu"}, {"num_embedding": "periodic"}], ids=str)
def test_it_lowers_by_the_table(ingress, options):
    assert_lowers(warm(DeepWideNet(ingress, 2, DeepWideConfig(**options)), ingress), ingress)


@pytest.mark.parametrize("task", ["classes", "number"])
def test_contract(task):
    check_learner(DeepWide(**QUICK), [example_tasks()[task]])


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match=r"layer_units has to be a list of numbers >= 1, not \[-3\]"):
        DeepWide(layer_units=[-3])
