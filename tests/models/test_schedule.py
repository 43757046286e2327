"""Schedules: the course of the learning rate, against torch's schedulers."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.training import schedules
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.config import make_train_config
from onnxlearn_models.training.schedule import Schedule, make_schedule

WarmRestarts = lr_scheduler.CosineAnnealingWarmRestarts
EPOCHS, STEPS = 12, 5
N = EPOCHS * STEPS


def made(name, warmup=0.0, n_epochs=EPOCHS, n_epoch_steps=STEPS, **settings):
    config = make_train_config(schedule=name, warmup=warmup, **{f"schedule_{key}": value for key, value in settings.items()})
    return make_schedule(config, n_epochs, n_epoch_steps)


def torchs(make, n, momentum=False, lr=1.0):
    """The learning rates (and momenta) of torch's scheduler after 0, 1, ... n - 1 of its steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    scheduler = make(optimizer)
    found = []
    for i in range(n):
        group = optimizer.param_groups[0]
        found.append((group["lr"], group["momentum"]) if momentum else group["lr"])
        optimizer.step()
        # torch's own has one step less than it counts.
        if i < n - 1:
            scheduler.step()
    return found


def double(epoch):
    return 0.9 if epoch % 2 else 0.8


BY_EPOCH = [
    ("step", {"size": 3, "gamma": 0.5}, lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
    ("multi_step", {"milestones": (2, 7), "gamma": 0.3}, lambda o: lr_scheduler.MultiStepLR(o, [2, 7], 0.3)),
    ("multi_step", {}, lambda o: lr_scheduler.MultiStepLR(o, [6, 9], 0.1)),
    ("exponential", {"gamma": 0.8}, lambda o: lr_scheduler.ExponentialLR(o, 0.8)),
    ("lambda", {"function": double}, lambda o: lr_scheduler.LambdaLR(o, double)),
    ("multiplicative", {"function": double}, lambda o: lr_scheduler.MultiplicativeLR(o, double)),
]


@pytest.mark.parametrize(("name", "settings", "make"), BY_EPOCH)
def test_schedules_of_epochs_are_torchs(name, settings, make):
    schedule = made(name, **settings)
    found = [schedule.factor(step) for step in range(1, N + 1)]
    assert found == pytest.approx([factor for factor in torchs(make, EPOCHS) for _ in range(STEPS)])


# Ours count the step that is being made, torch's those before it.
BY_STEP = [
    ("cosine", {"floor": 0.2}, lambda o: lr_scheduler.CosineAnnealingLR(o, N, eta_min=0.2)),
    ("linear", {"start": 0.3, "end": 0.9}, lambda o: lr_scheduler.LinearLR(o, 0.3, 0.9, N)),
    ("polynomial", {"power": 2.0}, lambda o: lr_scheduler.PolynomialLR(o, N, 2.0)),
    ("constant", {}, lambda o: lr_scheduler.ConstantLR(o, 1.0, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "make"), BY_STEP)
def test_schedules_of_steps_are_torchs(name, settings, make):
    schedule = made(name, **settings)
    assert [schedule.factor(step) for step in range(N)] == pytest.approx(torchs(make, N))


def test_cycles_are_torchs_and_end_at_the_lowest_rate():
    schedule = made("cosine_restarts", size=2, growth=2, floor=0.1)
    expected = torchs(lambda o: WarmRestarts(o, 2 * STEPS, 2, eta_min=0.1), N)
    ends = [2 * STEPS, 6 * STEPS]
    assert [schedule.factor(step) for step in range(1, N) if step not in ends] == pytest.approx(
        [factor for step, factor in enumerate(expected) if step and step not in ends]
    )
    # Where torch has begun anew, no step has been made with the lowest rate yet.
    assert [schedule.factor(step) for step in ends] == pytest.approx([0.1, 0.1])
    assert made("cosine_restarts", size=4, floor=0.2).factor(N) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda epoch: 1 / 0, "fails in step 1: ZeroDivisionError: division by zero"),
        (lambda epoch: None, "gives None in step 1: it has to give the factor on the learning rate, a number of at least 0"),
        (lambda epoch: math.nan, "gives nan in step 1"),
        (lambda progress: 0.5 - progress, r"gives -0.5 in step \d+"),
        (lr_scheduler.CosineAnnealingLR, "CosineAnnealingLR is no schedule: write a function of progress"),
        (lambda foo: 1.0, "needs schedule_foo, which has no default: .* is called 'plan', 'progress', 'time', 'epoch'"),
    ],
)
def test_a_schedule_of_ones_own_is_tried_before_the_first_batch(schedule, message):
    class Told(Callback):
        def begin(self, ctx):
            raise AssertionError

    with pytest.raises(ParameterError, match=message):
        ol.learner("linear", schedule=schedule, warmup=0.0, callbacks=[Told()]).fit(example_tasks()["number"], progress=False)


def test_a_function_of_a_schedule_is_tried_too():
    learner = ol.learner("linear", schedule="lambda", schedule_function=lambda epoch: -1.0)
    with pytest.raises(ParameterError, match=r"schedule=.lambda. gives -1\.0 in step 1"):
        learner.fit(example_tasks()["number"], progress=False)


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_one_cycle_is_torchs_with_its_momentum(anneal):
    settings = {"rise": 0.4, "div_factor": 10.0, "final_div_factor": 100.0, "base_momentum": 0.7, "max_momentum": 0.9}
    schedule = made("one_cycle", anneal=anneal, **settings)
    expected = torchs(
        lambda o: lr_scheduler.OneCycleLR(
            o, 1.0, total_steps=N, pct_start=0.4, anneal_strategy=anneal[:6].replace("cosine", "cos"), base_momentum=0.7,
            max_momentum=0.9, div_factor=10.0, final_div_factor=100.0,
        ),
        N,
        momentum=True,
    )  # fmt: skip
    assert [schedule.factor(step) for step in range(1, N + 1)] == pytest.approx([lr for lr, _ in expected])
    assert [schedule.momentum(step) for step in range(1, N + 1)] == pytest.approx([momentum for _, momentum in expected])
    assert made("one_cycle", cycle_momentum=False).momentum(3) is None


@pytest.mark.parametrize("options", [{}, {"cooldown": 2}, {"threshold": 0.1}, {"floor": 0.05}])
def test_plateau_is_torchs(options):
    generator = torch.Generator().manual_seed(0)
    losses = (1 / (1 + torch.arange(40.0)) + 0.02 * torch.rand(40, generator=generator)).tolist()
    schedule = made("plateau", patience=2, gamma=0.5, **options)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    expected = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=options.get("threshold", 1e-4), cooldown=options.get("cooldown", 0),
        min_lr=options.get("floor", 0.0), eps=0,
    )  # fmt: skip
    for loss in losses:
        schedule.after_epoch(loss)
        expected.step(loss)
        assert schedule.factor(1) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert schedule.factor(1) < 0.5


def test_plateau_goes_on_from_its_state():
    losses = [1.0, 0.5, 0.6, 0.6, 0.6, 0.55, 0.6, 0.7]
    whole, first = made("plateau", patience=1), made("plateau", patience=1, warmup=0.1)
    for loss in losses[:4]:
        first.after_epoch(loss)
    second = made("plateau", patience=1, warmup=0.1)
    second.load_state(json.loads(json.dumps(first.state())))
    for loss in losses:
        whole.after_epoch(loss)
    for loss in losses[4:]:
        second.after_epoch(loss)
    assert second.factor(N) == whole.factor(N) < 1
    assert made("plateau").state()["best"] is None


def test_plateau_takes_negative_losses():
    """The log-likelihood of a density may rise above 0: a loss that stays the same is no better one."""
    schedule = made("plateau", patience=0)
    for _ in range(2):
        schedule.after_epoch(-2.0)
    assert schedule.factor(1) == pytest.approx(0.2)


NAMES = sorted(set(schedules) - {"lambda", "multiplicative"})


@given(st.sampled_from(NAMES), st.integers(1, 30), st.integers(1, 7), st.floats(0, 0.5), st.data())
def test_factors_stay_between_0_and_1(name, n_epochs, n_epoch_steps, warmup, data):
    schedule = made(name, warmup, n_epochs, n_epoch_steps)
    step = data.draw(st.integers(0, n_epochs * n_epoch_steps))
    assert 0 <= schedule.factor(step) <= 1 + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_goes_with_all(name):
    plain, warm = made(name), made(name, warmup=0.1)
    assert [warm.factor(s) for s in range(1, N + 1)] == pytest.approx(
        [plain.factor(s) * min(1, s / 6) for s in range(1, N + 1)]
    )


def test_the_usual_courses():
    flat = made("flat_cosine", flat=0.8)
    assert [flat.factor(round(share * N)) for share in (0.1, 0.8, 0.9, 1)] == pytest.approx([1, 1, 0.505, 0.01])
    cycles = made("coslog4")
    assert [cycles.factor(step) for step in (0, N)] == pytest.approx([0, 0])
    ends = [(2**i - 1) / 15 for i in range(5)]
    assert [made("coslog4", n_epochs=15).factor(round(end * 75)) for end in ends] == pytest.approx([0] * 5)


# In a training.


class Rates(Callback):
    """Notes the learning rate and the momentum of each step."""

    recorded = False

    def begin(self, ctx):
        self.rates, self.momenta = [], []

    def batch_end(self, ctx):
        self.rates.append(ctx.lr)
        self.momenta.append(ctx.optimizer.momentum)


def fitted(**options):
    usual = {"d_block": 8, "n_blocks": 1, "max_epochs": 6, "lr": 0.01, "warmup": 0, "patience": None, "batch_size": 20}
    recipe = ol.learner("mlp", callbacks=(Rates(),), device="cpu", **usual, **options)
    return recipe.fit(example_tasks(100)["two"], progress=False)


def test_steps_have_the_rates_of_the_schedule():
    rates = fitted(schedule="step", schedule_size=2, schedule_gamma=0.5).callbacks[0].rates
    assert rates == pytest.approx([0.01] * 8 + [0.005] * 8 + [0.0025] * 8)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_one_cycle_drives_the_momentum(optimizer):
    momenta = fitted(schedule="one_cycle", optimizer=optimizer).callbacks[0].momenta
    assert (momenta[0], min(momenta), momenta[-1]) == (pytest.approx(0.95), pytest.approx(0.85, abs=2e-3), pytest.approx(0.95))


def test_plateau_lowers_the_rate_of_a_training():
    seen = fitted(schedule="plateau", schedule_patience=0, schedule_threshold=1.0).callbacks[0]
    assert seen.rates == pytest.approx([0.01] * 8 + [0.002] * 4 + [4e-4] * 4 + [8e-5] * 4 + [1.6e-5] * 4)


def halved(progress, *, n=4):
    return 0.5 ** math.floor(n * progress)


def test_a_function_of_the_progress_is_a_schedule():
    rates = fitted(schedule=halved, schedule_n=2).callbacks[0].rates
    assert rates[:11] + rates[11:23] == pytest.approx([0.01] * 11 + [0.005] * 12)
    assert rates[23] == pytest.approx(0.0025)


def test_a_registered_class_is_a_schedule_with_settings():
    @schedules.register("stairs")
    class Stairs(Schedule):
        def __init__(self, plan, *, n: int = 2):
            self.plan, self.n = plan, n

        def factor(self, step):
            return 1 / (1 + (step - 1) * self.n // self.plan.n_steps)

    try:
        rates = fitted(schedule="stairs", schedule_n=4).callbacks[0].rates
        assert rates[::6] == pytest.approx([0.01, 0.005, 0.01 / 3, 0.0025])
    finally:
        del schedules["stairs"]


BAD = [
    (
        {"schedule": "plateau", "validation": None},
        "schedule='plateau' looks at the validation loss, and validation=None leaves",
    ),
    ({"schedule": "one_cycle", "optimizer": "adagrad"}, "schedule='one_cycle' cycles the momentum, and the optimizer has none"),
    ({"schedule": "one_cycle", "optimizer": "sgd", "opt_momentum": 0.0}, "the optimizer has none: set schedule_cycle_momentum"),
    ({"schedule": "one_cycle", "opt_beta1": 0.5}, "opt_beta1=0.5 changes nothing with schedule='one_cycle'"),
    ({"schedule": "one_cycle", "schedule_cycle_momentum": False, "schedule_max_momentum": 0.9}, "change nothing with"),
    ({"schedule": "lambda"}, "schedule='lambda' needs schedule_function, which has no default: give it"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_what_cannot_work_is_refused_before_training(options, message):
    with pytest.raises(ParameterError, match=message):
        ol.learner("mlp", d_block=8, device="cpu", **options).prepare(example_tasks(60)["two"])
