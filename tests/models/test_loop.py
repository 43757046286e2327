"""The training loop: what it keeps, when it stops, what it reports."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onnxlearn.errors import InterruptedFit, ParameterError
from onnxlearn.schema import Schema, Target
from onnxlearn_models.training.config import TrainConfig, choose_training
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import evaluate, train_network
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, accuracy, root_mean_squared_error
from onnxlearn_models.training.sampling import even_sizes
from onnxlearn_models.training.tensors import Tensors

SQUARED = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))


class Line(nn.Module):
    """Linear regression, with a norm that has running statistics if asked for."""

    def __init__(self, n_in=3, *, norm=False):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_in) if norm else nn.Identity()
        self.linear = nn.Linear(n_in, 1)

    def forward(self, num):
        return self.linear(self.norm(num))


def rows(n=200, seed=0, noise=0.1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + noise * torch.randn(n, 1, generator=generator)
    return Tensors({"num": x}, y)


def train(net=None, valid="rows", seed=0, on_epoch=None, keep_on_interrupt=False, data=None, objective=SQUARED, **options):
    torch.manual_seed(seed)
    net = net or Line()
    config = TrainConfig(**{"max_epochs": 10, "batch_size": 32, "lr": 0.05, "patience": 15, "ema": 0.0, **options})
    result = train_network(
        net,
        data or rows(),
        rows(80, seed=1) if valid == "rows" else valid,
        objective=objective,
        config=config,
        groups=parameter_groups(net, config),
        settle=lambda: None,
        on_epoch=on_epoch or (lambda epoch: None),
        keep_on_interrupt=keep_on_interrupt,
    )
    return net, result


@given(st.integers(1, 5000), st.integers(1, 600))
def test_batches_are_even(n_rows, batch_size):
    sizes = even_sizes(n_rows, batch_size)
    assert sum(sizes) == n_rows
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(batch_size, n_rows)
    assert max(sizes) < 2 * batch_size or n_rows < batch_size


def schema_of(kind):
    classes = ("a", "b") if kind == "classification" else ()
    return Schema(name="t", features=(), target=Target(names=("y",), type=kind, dtype="str", classes=classes))


@given(st.integers(1, 10**6), st.sampled_from(["classification", "regression"]), st.sampled_from(["adamw", "sgd"]))
def test_what_is_left_open_is_filled_in(n_rows, kind, optimizer):
    chosen = choose_training(TrainConfig(optimizer=optimizer), schema_of(kind), n_rows)
    assert None not in (chosen.max_epochs, chosen.batch_size, chosen.lr, chosen.dropout_schedule)
    assert isinstance(chosen.patience, int)
    assert 5e-4 <= chosen.lr <= 1e-2


def test_what_is_given_stays():
    given = TrainConfig(max_epochs=3, batch_size=7, lr=0.5, patience=None, dropout_schedule="fade")
    assert choose_training(given, schema_of("regression"), 10**6) == given


def test_small_tables_take_small_steps():
    sizes = [choose_training(TrainConfig(), schema_of("classification"), n).batch_size for n in (100, 3_000, 10_000, 100_000)]
    assert sizes == [32, 64, 128, 256]


def test_dropout_fades():
    seen = []

    class Dropping(Line):
        def __init__(self):
            super().__init__()
            self.dropout = nn.Dropout(0.4)

        def forward(self, num):
            seen.append(self.dropout.p)
            return self.linear(self.dropout(num))

    train(Dropping(), valid=None, dropout_schedule="fade")
    assert seen[: len(seen) // 2] == [0.4] * (len(seen) // 2)
    assert all(a > b for a, b in zip(seen[len(seen) // 2 + 1 :], seen[len(seen) // 2 + 2 :], strict=False))
    assert 0 <= seen[-1] < 0.01


def test_learns_the_line():
    net, result = train(max_epochs=40)
    np.testing.assert_allclose(net.linear.weight.detach().numpy(), [[1.0, -2.0, 0.5]], atol=0.05)
    assert result.epochs[-1].valid_loss < 0.02


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_best_epoch_is_restored(norm, ema):
    # Validation rows that say the opposite: the more is learned, the worse.
    valid = rows(80, seed=1)
    valid.target.neg_()
    net, result = train(Line(norm=norm), valid=valid, max_epochs=15, patience=None, ema=ema)
    losses = [epoch.valid_loss for epoch in result.epochs]
    assert len(losses) == 15
    assert result.best_epoch == 1 + int(np.argmin(losses)) < 15
    assert evaluate(net, valid, SQUARED)[0] == pytest.approx(min(losses), rel=1e-6)
    assert not net.training


def test_patience_stops():
    _, result = train(lr=0.8, max_epochs=200, patience=3, schedule="constant")
    assert result.stopped == "patience"
    assert len(result.epochs) == result.best_epoch + 3


def test_without_validation_the_last_epoch_counts():
    _, result = train(valid=None, patience=2, max_epochs=6)
    assert (result.stopped, result.best_epoch, len(result.epochs)) == ("max_epochs", 6, 6)
    assert all(epoch.valid_loss is None for epoch in result.epochs)


def test_same_seed_same_weights():
    first, second, other = (train(seed=seed)[0].linear.weight for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_weights_count_as_repeated_rows():
    data = rows(40)
    weight = torch.ones(40)
    weight[:10] = 3.0
    repeated = data.map(lambda tensor: torch.cat([tensor, tensor[:10], tensor[:10]]))
    weighted = Tensors(data.inputs, data.target, weight / weight.mean())
    start = Line()
    nets = [Line(), Line()]
    for net, part in zip(nets, (weighted, repeated), strict=True):
        net.load_state_dict(start.state_dict())
        train(net, data=part, valid=None, batch_size=100, max_epochs=30)
    torch.testing.assert_close(nets[0].linear.weight, nets[1].linear.weight, rtol=0, atol=1e-5)


def classify(label_smoothing=0.0):
    return Objective(row_loss(None, "classification", label_smoothing), classes=True, score=accuracy())


def test_weighted_cross_entropy():
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    weight = torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0, 1.0])
    expected = nn.functional.cross_entropy(logits, target, reduction="none") @ weight / 6
    torch.testing.assert_close(classify().train(logits, target, weight), expected)
    plain = nn.functional.cross_entropy(logits, target, label_smoothing=0.2)
    torch.testing.assert_close(classify(0.2).train(logits, target, None), plain)


def test_members_are_trained_apart_and_judged_together():
    logits, target, weight = torch.randn(6, 4, 3), torch.tensor([0, 1, 2, 0, 1, 2]), torch.rand(6)
    each = [classify().train(logits[:, i], target, weight) for i in range(4)]
    torch.testing.assert_close(classify().train(logits, target, weight), torch.stack(each).mean())
    own = torch.randint(3, (6, 4))
    each = [classify().train(logits[:, i], own[:, i], None) for i in range(4)]
    torch.testing.assert_close(classify().train(logits, own, None), torch.stack(each).mean())
    together = logits.softmax(dim=-1).mean(dim=1)
    loss, hits = classify().valid(logits, target, None)
    torch.testing.assert_close(loss, nn.functional.nll_loss(together.log(), target))
    assert float(hits) == pytest.approx(float((together.argmax(dim=1) == target).float().mean()))
    output, number = torch.randn(6, 4, 1), torch.randn(6, 1)
    torch.testing.assert_close(SQUARED.train(output, number, None), (output - number.unsqueeze(1)).square().mean())
    torch.testing.assert_close(SQUARED.valid(output, number, None)[0], (output.mean(dim=1) - number).square().mean())


def test_members_with_batches_of_their_own_see_every_row_once_an_epoch():
    seen = []

    class Members(Line):
        n_batch_members = 3

        def forward(self, num):
            if self.training:
                seen.append(num[..., 0])
            return super().forward(num) if num.ndim == 3 else super().forward(num).unsqueeze(1)

    _, result = train(Members(), max_epochs=2)
    first = torch.cat(seen[: len(seen) // 2])
    every = rows().inputs["num"][:, 0].sort().values
    assert first.shape == (200, 3)
    assert all(torch.equal(first[:, i].sort().values, every) for i in range(3))
    assert not torch.equal(first[:, 0], first[:, 1])
    assert result.epochs[1].train_loss < result.epochs[0].train_loss


def test_a_penalty_counts():
    class Penalized(Line):
        def penalty(self):
            return 100 * self.linear.weight.square().sum()

    (free, _), (small, _) = train(max_epochs=20), train(Penalized(), max_epochs=20)
    largest = [net.linear.weight.detach().abs().max() for net in (small, free)]
    assert largest[0] < 0.2 < largest[1]


def test_by_score_the_later_of_equal_epochs_is_kept():
    """Two classes so far apart that every epoch has all of them right."""
    x = torch.cat([torch.full((50, 3), -5.0), torch.full((50, 3), 5.0)])
    data = Tensors({"num": x}, torch.arange(100) // 50)

    class Classes(Line):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

    _, by_score = train(Classes(), data=data, valid=data, objective=classify(), monitor="score", max_epochs=8)
    assert [epoch.valid_score for epoch in by_score.epochs[-2:]] == [1.0, 1.0]
    assert by_score.best_epoch == 8
    _, by_error = train(monitor="score", max_epochs=12)
    scores = [epoch.valid_score for epoch in by_error.epochs]
    assert by_error.best_epoch == 1 + int(np.argmin(scores))


def test_weight_decay_fades():
    """With decay alone to move them, weights stop shrinking towards the end."""
    sizes = {}
    for schedule in ("constant", "fade"):
        net = Line()
        nn.init.ones_(net.linear.weight)
        data = Tensors({"num": torch.zeros(64, 3)}, torch.zeros(64, 1))
        train(net, data=data, valid=None, weight_decay=1.0, weight_decay_schedule=schedule, schedule="constant", warmup=0.0)
        sizes[schedule] = float(net.linear.weight.detach().mean())
    n_steps = 20
    assert sizes["constant"] == pytest.approx(0.95**n_steps, rel=1e-4)
    assert 0.95**n_steps < sizes["fade"] < 0.95 ** (n_steps / 2)


def test_running_statistics_are_averaged_with_the_weights():
    """Numbers whose mean jumps from batch to batch: the statistics of the last batches alone would be far off."""
    data = rows(64)
    seen = []
    net = Line(norm=True)
    net.norm.momentum = 1.0

    def remember(epoch):
        seen.append(net.norm.running_mean.clone())

    average = torch.zeros(3)
    forward = net.norm.forward
    means, steps = [], []

    def norm(x):
        if net.training:
            steps.append(len(steps) + 1)
            means.append(x.mean(dim=0))
            decay = min(0.9, (1 + steps[-1]) / (10 + steps[-1]))
            average.lerp_(means[-1], 1 - decay)
        return forward(x)

    net.norm.forward = norm
    train(net, data=data, valid=None, ema=0.9, batch_size=8, max_epochs=2, on_epoch=remember)
    torch.testing.assert_close(net.norm.running_mean, average)
    torch.testing.assert_close(seen[-1], means[-1])


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "log_cosh"])
def test_losses_of_numbers(loss):
    net, _ = train(objective=dataclasses.replace(SQUARED, each=row_loss(loss, "regression")), max_epochs=40)
    np.testing.assert_allclose(net.linear.weight.detach().numpy(), [[1.0, -2.0, 0.5]], atol=0.06)


def test_log_cosh_is_that_and_does_not_overflow():
    error = torch.tensor([[0.3], [-2.0]], dtype=torch.float64)
    zero = torch.zeros_like(error)
    torch.testing.assert_close(row_loss("log_cosh", "regression")(error, zero), error.cosh().log()[:, 0])
    assert float(row_loss("log_cosh", "regression")(torch.tensor([[1e30]]), torch.zeros(1, 1))) == pytest.approx(1e30)


def test_a_loss_of_another_task_is_refused():
    with pytest.raises(ParameterError, match=r"loss='mse' is for regression, this task is a classification: choose one of cro"):
        row_loss("mse", "classification")
    with pytest.raises(ParameterError, match="label_smoothing goes with loss='cross_entropy', not with 'focal'"):
        row_loss("focal", "classification", 0.1)


@pytest.mark.parametrize("keep", [True, False])
def test_interruption(keep):
    def interrupt(epoch):
        if epoch.number == 4:
            raise KeyboardInterrupt

    net = Line()
    if not keep:
        with pytest.raises(KeyboardInterrupt):
            train(net, on_epoch=interrupt)
        return
    net, result = train(net, on_epoch=interrupt, keep_on_interrupt=True, ema=0.9)
    assert (result.stopped, len(result.epochs)) == ("interrupted", 4)
    best = result.epochs[result.best_epoch - 1].valid_loss
    assert evaluate(net, rows(80, seed=1), SQUARED)[0] == pytest.approx(best, rel=1e-6)


def test_interruption_in_the_first_epoch_leaves_nothing_to_keep():
    class Interrupting(Line):
        def forward(self, num):
            raise KeyboardInterrupt

    with pytest.raises(InterruptedFit, match="interrupted before the first epoch ended"):
        train(Interrupting(), keep_on_interrupt=True)


def test_diverging_at_once_is_an_error():
    data = rows()
    data.target[3] = math.inf
    with pytest.raises(
        ParameterError, match=r"not finite in epoch 1, in batch \d of 6, with lr=0\.0\d+; .* gives no number for these rows"
    ):
        train(data=data)


def test_diverging_later_keeps_the_best():
    _, result = train(optimizer="sgd", lr=0.9, schedule="constant", max_epochs=200, patience=None)
    assert result.stopped == "diverged"
    assert 1 <= result.best_epoch <= len(result.epochs) < 200
    assert all(math.isfinite(epoch.train_loss) for epoch in result.epochs)


def test_clipping_bounds_the_step():
    data = rows()
    data.target.mul_(1e4)
    start = Line()
    steps = []
    for grad_clip in (None, 1e-3, 1e9):
        net = Line()
        net.load_state_dict(start.state_dict())
        train(
            net,
            data=data,
            valid=None,
            optimizer="sgd",
            lr=0.01,
            max_epochs=1,
            warmup=0.0,
            weight_decay=0.0,
            grad_clip=grad_clip,
        )
        steps.append(float((net.linear.weight - start.linear.weight).norm().detach()))
    assert steps[1] < 1e-3 < steps[0] == steps[2]


def test_only_matrices_decay():
    groups = parameter_groups(Line(norm=True), TrainConfig(weight_decay=0.3))
    assert [(len(group.parameters), group.weight_decay) for group in groups] == [(1, 0.3), (3, 0.0)]


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4))
def test_tiny_tables(n_rows, batch_size):
    _, result = train(data=rows(n_rows), valid=rows(1), batch_size=batch_size, max_epochs=2)
    assert len(result.epochs) == 2
