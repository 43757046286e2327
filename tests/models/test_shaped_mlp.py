"""shaped_mlp: published widths, the wiring of mlr3keras' smlp worked by hand."""

import pytest
import torch
from networks import CODES, MIXED, NUMBERS, assert_lowers, count, rows, warm
from torch import nn
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.shaped_mlp import ShapedMLP, ShapedMLPConfig, ShapedMLPNet

QUICK = {"max_epochs": 2, "n_max": 16, "n_layers": 3, "device": "cpu"}
INGRESSES = [NUMBERS, CODES, MIXED]
# mlr3keras' smlp, which has no norm of its own.
PUBLISHED = {"bottleneck": True, "norm": "none", "n_max": 128, "dropout": 0.0}


def linear_layers(net):
    return [part for part in [*net.blocks, net.head] if isinstance(part, nn.Linear)]


@pytest.mark.parametrize(("n_layers", "widths"), [(1, [128]), (2, [128, 3]), (3, [128, 66, 4]), (4, [128, 87, 46, 5])])
def test_widths_of_smlp(n_layers, widths):
    net = ShapedMLPNet(NUMBERS, 3, ShapedMLPConfig(**PUBLISHED, n_layers=n_layers))
    assert [layer.out_features for layer in linear_layers(net)] == [*widths, 3]
    paper = ShapedMLPNet(NUMBERS, 3, ShapedMLPConfig(**{**PUBLISHED, "bottleneck": False}, n_layers=n_layers))
    assert [layer.out_features for layer in linear_layers(paper)] == [*widths[:-1], 3]


def test_widths_of_smlp_with_one_output():
    net = ShapedMLPNet(NUMBERS, 1, ShapedMLPConfig(**PUBLISHED, n_layers=3))
    assert [layer.out_features for layer in linear_layers(net)] == [128, 65, 2, 1]


@pytest.mark.parametrize("ingress", INGRESSES)
def test_the_wiring_is_that_of_smlp(ingress):
    net = warm(ShapedMLPNet(ingress, 3, ShapedMLPConfig(**PUBLISHED)), ingress)
    batch = rows(ingress, 20, 9)
    x = net.inputs(batch.get("num"), batch.get("cat"))
    *hidden, head = linear_layers(net)
    for layer in hidden:
        x = functional.relu(x @ layer.weight.T + layer.bias)
    torch.testing.assert_close(net(**batch), x @ head.weight.T + head.bias)


def test_order_and_dropouts():
    config = ShapedMLPConfig(n_layers=4, n_max=64, dropout=0.4, norm="batch", activation="tanh")
    net = ShapedMLPNet(NUMBERS, 2, config)
    assert [type(part) for part in net.blocks] == [nn.Linear, nn.Tanh, nn.BatchNorm1d, Dropout] * 3
    # Auto-PyTorch: 1000, 667, 334 thousandths of the largest.
    assert [part.p for part in net.blocks if isinstance(part, nn.Dropout)] == pytest.approx([0.4, 0.2668, 0.1336])
    even = ShapedMLPNet(NUMBERS, 2, ShapedMLPConfig(n_layers=4, dropout=0.4, dropout_shape="brick"))
    assert [part.p for part in even.blocks if isinstance(part, nn.Dropout)] == [0.4, 0.4, 0.4]


@pytest.mark.parametrize("ingress", INGRESSES)
def test_number_of_parameters(ingress):
    d_in = ingress.n_num + (3 + 9 if ingress.n_cat else 0)
    embeddings = 3 * 5 + 9 * 22 if ingress.n_cat else 0
    layers = (d_in + 1) * 128 + 129 * 66 + 67 * 4 + 5 * 3
    found = count(ShapedMLPNet(ingress, 3, ShapedMLPConfig(**PUBLISHED, n_layers=3)))
    assert found == embeddings + 2 * ingress.n_num + layers


@pytest.mark.parametrize("ingress", INGRESSES)
@pytest.mark.parametrize(
    "options", [{}, PUBLISHED, {"n_layers": 1}, {"shape": "diamond", "num_embedding": "piecewise_linear"}], ids=str
)
def test_it_lowers_by_the_table(ingress, options):
    assert_lowers(warm(ShapedMLPNet(ingress, 2, ShapedMLPConfig(**options)), ingress), ingress)


@pytest.mark.parametrize("task", ["classes", "number"])
def test_contract(task):
    check_learner(ShapedMLP(**QUICK), [example_tasks()[task]])


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match="n_layers has to be int >= 1, not 0"):
        ShapedMLP(n_layers=0)
    with pytest.raises(ParameterError, match=r"shape has to be funnel \| long_funnel \| .*, not 'round'"):
        ShapedMLP(shape="round")
