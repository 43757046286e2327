"""Mixup: what is mixed with what, in which proportion, and that training follows it."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.mlp import MLP
from onnxlearn_models.training import mixup
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import train_network
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.mixup import draw_share, mix
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

QUICK = {"max_epochs": 3, "d_block": 16, "device": "cpu", "lr": 0.001}


def batch(n_rows=400, *members, classes=False, weight=True):
    """Rows that can be told apart by any of their numbers: row i has i in all of them."""
    number = torch.arange(n_rows, dtype=torch.float32)
    if members:
        number = number[:, None] + torch.arange(members[0]) * n_rows
    target = number.long() if classes else number[..., None]
    inputs = {"num": torch.stack([number, 10 * number], dim=-1), "cat": torch.stack([number, number], dim=-1).long()}
    return Tensors(inputs, target, number if weight else None)


@pytest.mark.parametrize("members", [(), (3,)])
@pytest.mark.parametrize("classes", [True, False])
def test_numbers_are_mixed_and_codes_are_one_of_two(members, classes):
    torch.manual_seed(0)
    rows = batch(400, *members, classes=classes)
    mixed = mix(rows, 1.0)
    assert 0.1 < mixed.share < 0.9
    own, partner = rows.target.double(), mixed.target.double()
    assert (own != partner).all()
    assert torch.equal(partner, mixed.weight.double().reshape(partner.shape))
    own, partner = own.reshape(rows.weight.shape), partner.reshape(rows.weight.shape)
    expected = mixed.share * own + (1 - mixed.share) * partner
    torch.testing.assert_close(
        mixed.inputs["num"].double(), torch.stack([expected, 10 * expected], dim=-1), rtol=1e-5, atol=1e-2
    )
    codes = mixed.inputs["cat"]
    assert torch.equal(codes[..., 0], codes[..., 1])
    is_own = codes[..., 0] == own
    assert torch.equal(is_own, codes[..., 0] != partner)
    # One decision for a row, for all members: as many rows as the share says, within four standard errors.
    kept = is_own.reshape(400, -1).double()
    assert torch.equal(kept.amin(dim=1), kept.amax(dim=1))
    assert abs(float(kept.mean()) - mixed.share) < 4 * (mixed.share * (1 - mixed.share) / 400) ** 0.5
    assert codes.dtype == torch.int64


def test_the_batch_itself_stays():
    rows, before = batch(), batch()
    mix(rows, 0.5)
    assert all(torch.equal(rows.inputs[name], before.inputs[name]) for name in rows.inputs)
    assert torch.equal(rows.target, before.target)


def test_without_codes_or_weights():
    rows = batch(weight=False)
    mixed = mix(Tensors({"num": rows.inputs["num"]}, rows.target), 0.5)
    assert set(mixed.inputs) == {"num"}
    assert mixed.weight is None
    alone = mix(batch(1), 0.5)
    assert torch.equal(alone.inputs["num"], batch(1).inputs["num"])


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0, 5.0])
def test_the_share_is_from_a_beta_distribution(alpha):
    torch.manual_seed(0)
    shares = np.array([draw_share(alpha) for _ in range(3000)])
    assert np.isfinite(shares).all()
    assert shares.mean() == pytest.approx(0.5, abs=0.04)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
    if alpha >= 0.2:
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.001
    torch.manual_seed(0)
    assert draw_share(alpha) == shares[0]


class Recorder(nn.Module):
    """Linear regression that keeps what it was fed in training and in evaluation."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(40, 1)
        self.seen = {True: [], False: []}

    def forward(self, num):
        self.seen[self.training].append(num)
        return self.linear(num)


def test_the_loss_of_a_step_is_that_of_both_targets(monkeypatch):
    monkeypatch.setattr(mixup, "draw_share", lambda _alpha: 0.25)
    torch.manual_seed(0)
    net = Recorder()
    rows = Tensors({"num": torch.eye(40)}, torch.randn(40, 1), torch.rand(40))
    config = TrainConfig(max_epochs=1, batch_size=40, lr=1e-12, mixup=0.3, patience=None, ema=0.0)
    objective = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))
    result = train_network(
        net, rows, rows, objective=objective, config=config, groups=parameter_groups(net, config), settle=lambda: None,
        on_epoch=lambda _: None,
    )  # fmt: skip
    (mixed,) = net.seen[True]
    expected = 0.0
    with torch.no_grad():
        for share in (0.25, 0.75):
            which = (mixed == share).nonzero()[:, 1]
            expected += share * ((net.linear(mixed) - rows.target[which])[:, 0].square() * rows.weight[which]).mean()
    assert result.epochs[0].train_loss == pytest.approx(float(expected), rel=1e-5)
    assert torch.equal(torch.cat(net.seen[False]), rows.inputs["num"])


@pytest.mark.parametrize("task", ["classes", "number"])
def test_models_trained_with_mixup(task):
    options = {"cat_encoding": "embedding", "mixup": 0.4, "seed": 1}
    model = MLP(**QUICK, **options).fit(example_tasks(90)[task], progress=False)
    again = MLP(**QUICK, **options).fit(example_tasks(90)[task], progress=False)
    assert model.to_bytes() == again.to_bytes()
    assert model.metadata["learner"]["params"]["mixup"] == 0.4


def test_a_negative_alpha_is_refused():
    with pytest.raises(ParameterError, match="mixup has to be float >= 0, not -1"):
        MLP(mixup=-1)
