"""shaped_resnet: published widths, the wiring of mlr3keras' smlp2 worked by hand, shake-drop and shake-shake in it."""

import numpy as np
import pytest
import torch
from networks import CODES, MIXED, NUMBERS, assert_lowers, count, rows, warm
from torch import nn
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.layers.shake import ShakeDrop
from onnxlearn_models.shaped_resnet import ShapedResNet, ShapedResNetConfig, ShapedResNetNet

QUICK = {"max_epochs": 2, "n_max": 16, "n_layers": 3, "device": "cpu"}
INGRESSES = [NUMBERS, CODES, MIXED]
PUBLISHED = {"n_max": 128, "n_blocks": 1, "dropout": 0.0, "shake_drop": 0.0, "shake_shake": False}
SHAKEN = {"shake_drop": 0.5, "shake_shake": True, "n_blocks": 2}


def dense(x, layer):
    return x @ layer.weight.T + layer.bias


def normed(x, norm):
    return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


def branch_by_hand(x, branch):
    norm, _, first, second_norm, _, _, second = branch
    x = dense(functional.relu(normed(x, norm)), first)
    return dense(functional.relu(normed(x, second_norm)), second)


def by_hand(net, batch, skip=dense):
    x = net.inputs(batch.get("num"), batch.get("cat"))
    if isinstance(net.first, nn.Linear):
        x = dense(x, net.first)
    for block in net.blocks:
        x = branch_by_hand(x, block.branch) + skip(x, block.skip)
    return dense(functional.relu(normed(x, net.head[0])), net.head[2])


@pytest.mark.parametrize(("n_layers", "widths"), [(1, []), (2, [128]), (3, [128, 66]), (4, [128, 87, 46])])
def test_widths_of_smlp2(n_layers, widths):
    net = ShapedResNetNet(NUMBERS, 3, ShapedResNetConfig(**PUBLISHED, n_layers=n_layers))
    first = [net.first.out_features] if isinstance(net.first, nn.Linear) else []
    assert first + [block.skip.out_features for block in net.blocks] == widths
    assert net.head[2].in_features == (widths or [3])[-1]


@pytest.mark.parametrize("ingress", INGRESSES)
@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_the_wiring_is_that_of_smlp2(ingress, n_layers):
    net = warm(ShapedResNetNet(ingress, 3, ShapedResNetConfig(**PUBLISHED, n_layers=n_layers)), ingress)
    batch = rows(ingress, 20, 9)
    torch.testing.assert_close(net(**batch), by_hand(net, batch), rtol=1e-4, atol=1e-4)


def test_where_the_width_stays_the_skip_is_plain():
    config = ShapedResNetConfig(**{**PUBLISHED, "n_blocks": 3}, n_layers=4, shape="brick")
    net = warm(ShapedResNetNet(NUMBERS, 3, config), NUMBERS)
    assert len(net.blocks) == 6
    assert all(isinstance(block.skip, nn.Identity) for block in net.blocks)
    batch = rows(NUMBERS, 20, 9)
    torch.testing.assert_close(net(**batch), by_hand(net, batch, skip=lambda x, _: x), rtol=1e-4, atol=1e-4)


def test_groups_of_blocks():
    net = ShapedResNetNet(NUMBERS, 3, ShapedResNetConfig(**{**PUBLISHED, "n_blocks": 2}, n_layers=4))
    assert [type(block.skip) for block in net.blocks] == [nn.Linear, nn.Identity] * 2
    assert [block.branch[2].weight.shape for block in net.blocks] == [(87, 128), (87, 87), (46, 87), (46, 46)]


@pytest.mark.parametrize("ingress", INGRESSES)
def test_number_of_parameters(ingress):
    d_in = ingress.n_num + (3 + 9 if ingress.n_cat else 0)
    embeddings = 3 * 5 + 9 * 22 if ingress.n_cat else 0
    block = 2 * 128 + 129 * 66 + 2 * 66 + 67 * 66 + 129 * 66
    layers = (d_in + 1) * 128 + block + 2 * 66 + 67 * 3
    found = count(ShapedResNetNet(ingress, 3, ShapedResNetConfig(**PUBLISHED, n_layers=3)))
    assert found == embeddings + 2 * ingress.n_num + layers


def test_shaking_in_evaluation_is_deterministic_and_worked_by_hand():
    net = warm(ShapedResNetNet(NUMBERS, 3, ShapedResNetConfig(n_layers=3, n_max=32, **SHAKEN)), NUMBERS)
    batch = rows(NUMBERS, 20, 9)
    x = dense(net.inputs(batch["num"], None), net.first)
    for block, probability in zip(net.blocks, [0.25, 0.5], strict=True):
        both = (branch_by_hand(x, block.branch) + branch_by_hand(x, block.other)) / 2
        skip = x if isinstance(block.skip, nn.Identity) else dense(x, block.skip)
        x = skip + both * (1 - probability + probability * 0.5)
    expected = dense(functional.relu(normed(x, net.head[0])), net.head[2])
    torch.testing.assert_close(net(**batch), expected, rtol=1e-4, atol=1e-4)


def test_evaluation_is_the_mean_of_training():
    """Of a block whose branches give constants, so that what follows from them is linear."""
    net = ShapedResNetNet(NUMBERS, 1, ShapedResNetConfig(n_layers=3, n_max=8, **{**SHAKEN, "n_blocks": 1})).eval()
    (block,) = net.blocks
    with torch.no_grad():
        for branch, bias in ((block.branch, 1.0), (block.other, 3.0)):
            branch[-1].weight.zero_()
            branch[-1].bias.fill_(bias)
        x = torch.zeros(20_000, 8)
        fixed = block(x)[0]
        torch.manual_seed(0)
        for part in (block.shake_shake, block.shake_drop):
            part.train()
        shaken = block(x)
    torch.testing.assert_close(fixed, torch.full_like(fixed, 2 * 0.75))
    torch.testing.assert_close(shaken.mean(dim=0), fixed, rtol=0, atol=0.02)
    assert float(shaken[:, 0].std()) > 0.3


def test_the_last_block_is_shaken_most():
    net = ShapedResNetNet(NUMBERS, 3, ShapedResNetConfig(n_layers=4, n_blocks=2, shake_drop=0.8))
    assert [block.shake_drop.probability for block in net.blocks] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    plain = ShapedResNetNet(NUMBERS, 3, ShapedResNetConfig(n_layers=4, shake_drop=0.0))
    assert not any(isinstance(part, ShakeDrop) for part in plain.modules())


def test_dropouts_go_down_from_group_to_group():
    net = ShapedResNetNet(NUMBERS, 3, ShapedResNetConfig(n_layers=4, n_blocks=2, dropout=0.4))
    assert [block.branch[5].p for block in net.blocks] == [0.4, 0.4, 0.2, 0.2]


@pytest.mark.parametrize("ingress", INGRESSES)
@pytest.mark.parametrize("options", [{}, SHAKEN, {"n_layers": 1}, {"shape": "brick", "activation": "tanh"}], ids=str)
def test_it_lowers_by_the_table(ingress, options):
    assert_lowers(warm(ShapedResNetNet(ingress, 2, ShapedResNetConfig(**{"n_max": 32, **options})), ingress), ingress)


@pytest.mark.parametrize("task", ["classes", "number"])
def test_contract(task):
    check_learner(ShapedResNet(**QUICK, **SHAKEN, mixup=0.2), [example_tasks()[task]])


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match=r"shake_drop has to be float >= 0, <= 1, not 1\.5"):
        ShapedResNet(shake_drop=1.5)
    with pytest.raises(ParameterError, match="batch norm needs at least two rows in each step"):
        ShapedResNet(**QUICK, batch_size=1).fit(example_tasks(30)["two"], progress=False)


def test_it_learns():
    task = example_tasks(200)["classes"]
    model = ShapedResNet(device="cpu").fit(task, progress=False)
    assert model.score(task)["logloss"] < 0.5 * np.log(3)
