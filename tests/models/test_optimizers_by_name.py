"""Every optimizer and each of its settings, step by step against torch.optim and schedulefree."""

import dataclasses

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.training import optimizers
from onnxlearn_models.training.config import make_train_config
from onnxlearn_models.training.optim.base import Elementwise
from onnxlearn_models.training.optim.fused import SGD, Adam
from onnxlearn_models.training.optim.lbfgs import LBFGS
from onnxlearn_models.training.optimizer import Group, make_optimizer

N_STEPS = 12


def make_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))


def matrices_and_vectors(net):
    return tuple(tuple(p for p in net.parameters() if p.ndim == ndim) for ndim in (2, 1))


def groups_of(net, decay=0.1):
    matrices, vectors = matrices_and_vectors(net)
    return [Group(parameters=matrices, weight_decay=decay, lr_factor=2.0), Group(parameters=vectors)]


def losses_of(net, n_steps=N_STEPS):
    generator = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        x = torch.randn(16, 5, generator=generator)
        net.zero_grad(set_to_none=False)
        yield (net(x) - x[:, :2]).square().mean()


def flat(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def course(net, step):
    """The weights after each step."""
    found = []
    for loss in losses_of(net):
        loss.backward()
        step()
        found.append(flat(net))
    return torch.stack(found)


def ours(optimizer, decay=0.1, lr=0.01, **settings):
    net = make_net()
    made = make_optimizer(make_train_config(optimizer=optimizer, lr=lr, **settings), groups_of(net, decay))
    return course(net, lambda: made.step(lr))


def torchs(kind, lr=0.01, decay=0.1, **options):
    net = make_net()
    matrices, vectors = matrices_and_vectors(net)
    rates = [{"params": matrices, "weight_decay": decay, "lr": 2 * lr}, {"params": vectors, "weight_decay": 0.0}]
    return course(net, kind(rates, lr=lr, **options).step)


ADAMS = {"beta1": 0.8, "beta2": 0.9, "eps": 0.1}
RMS = {"alpha": 0.9, "eps": 0.1, "momentum": 0.5, "centered": True}
ADAGRAD = {"lr_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 0.1}
PAIRS = [
    ("adam", {}, torch.optim.Adam, {}),
    ("adam", {**ADAMS, "amsgrad": True}, torch.optim.Adam, {"amsgrad": True}),
    ("adamw", {"amsgrad": True}, torch.optim.AdamW, {"amsgrad": True}),
    ("sgd", {}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ("sgd", {"momentum": 0.0}, torch.optim.SGD, {"momentum": 0.0}),
    ("sgd", {"momentum": 0.8, "nesterov": False}, torch.optim.SGD, {"momentum": 0.8}),
    ("sgd", {"momentum": 0.8, "dampening": 0.3}, torch.optim.SGD, {"momentum": 0.8, "dampening": 0.3}),
    ("rmsprop", {}, torch.optim.RMSprop, {}),
    ("rmsprop", RMS, torch.optim.RMSprop, RMS),
    ("adagrad", {}, torch.optim.Adagrad, {}),
    ("adagrad", ADAGRAD, torch.optim.Adagrad, ADAGRAD),
    ("nadam", {}, torch.optim.NAdam, {}),
    ("nadam", {**ADAMS, "momentum_decay": 0.3, "decoupled": True}, torch.optim.NAdam,
     {"momentum_decay": 0.3, "decoupled_weight_decay": True}),
    ("radam", {}, torch.optim.RAdam, {}),
    ("radam", {**ADAMS, "decoupled": True}, torch.optim.RAdam, {"decoupled_weight_decay": True}),
    ("adadelta", {}, torch.optim.Adadelta, {}),
    ("adadelta", {"rho": 0.8, "eps": 0.01}, torch.optim.Adadelta, {"rho": 0.8, "eps": 0.01}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "kind", "options"), PAIRS)
def test_each_step_is_torchs(name, settings, kind, options):
    if "beta1" in settings:
        options = {**options, "betas": (settings["beta1"], settings["beta2"]), "eps": settings["eps"]}
    found = ours(name, **{f"opt_{key}": value for key, value in settings.items()})
    torch.testing.assert_close(found, torchs(kind, **options), rtol=0, atol=2e-6)


def test_the_comparison_covers_every_setting():
    """All settings of the optimizers that work number by number are told apart above."""
    for name, entry in optimizers.items():
        if isinstance(entry.make, type) and issubclass(entry.make, Elementwise):
            compared = {
                key
                for other, settings, _, _ in PAIRS
                for key in settings
                if other == name or (name, other) == ("adamw", "adam")
            }
            assert compared == {field.removeprefix("opt_") for field, _, _ in optimizers.fields(entry)}, name


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "adagrad", "nadam", "radam", "adadelta"])
def test_l1_ends_at_exact_zeros(name):
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    y = x @ torch.tensor([2.0, -1.0, 0.5, 0.0, 0.0]) + 0.3 * torch.randn(200)
    weight = nn.Parameter(torch.full((5,), 0.1))
    made = make_optimizer(make_train_config(optimizer=name), [Group(parameters=(weight,), l1=0.3)])
    for i in range(600):
        made.flat.grads.zero_()
        (x @ weight - y).square().mean().backward()
        # Adadelta's steps are its own; it only has to get far enough.
        made.step((1.0 if name in ("adadelta", "adagrad") else 0.03) * (1 - i / 600))
    assert [bool(value) for value in weight == 0] == [False, False, False, True, True]


# Going on from a state, and with other parameters.

ALL = [
    "adam",
    "adamw",
    "sgd",
    "rmsprop",
    "adagrad",
    "nadam",
    "radam",
    "adadelta",
    torch.optim.Adamax,
    torch.optim.NAdam,
    "lbfgs",
]


def stepper(optimizer, net, **settings):
    groups = [Group(parameters=tuple(net.parameters()))] if optimizer == "lbfgs" else groups_of(net)
    return make_optimizer(make_train_config(optimizer=optimizer, lr=0.01, **settings), groups)


def advance(made, net, batches):
    for x in batches:
        made.flat.grads.zero_()

        def closure(x=x):
            loss = (net(x) - x[:, :2]).square().mean()
            loss.backward()
            return loss

        if not made.needs_closure:
            closure()
        made.step(0.01, 1.0, closure)


@pytest.mark.parametrize("optimizer", ALL)
def test_a_state_goes_on_as_if_nothing_had_happened(optimizer):
    batches = torch.randn(10, 16, 5, generator=torch.Generator().manual_seed(1))
    net = make_net()
    made = stepper(optimizer, net)
    advance(made, net, batches[:6])
    state = {name: tensor.clone() for name, tensor in made.state().items()}
    other = make_net()
    other.load_state_dict(net.state_dict())
    again = stepper(optimizer, other)
    again.load_state(state)
    advance(made, net, batches[6:])
    advance(again, other, batches[6:])
    assert torch.equal(flat(other), flat(net))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "nadam", "radam", "adadelta", torch.optim.Adamax])
def test_parameters_that_join_later_begin_anew(optimizer):
    """As in torch, where each parameter counts its own steps."""
    batches = torch.randn(8, 16, 5, generator=torch.Generator().manual_seed(1))
    kinds = {
        "adamw": torch.optim.AdamW,
        "nadam": torch.optim.NAdam,
        "radam": torch.optim.RAdam,
        "adadelta": torch.optim.Adadelta,
    }
    net, reference = make_net(), make_net()
    net[0].requires_grad_(requires_grad=False)
    made = make_optimizer(make_train_config(optimizer=optimizer, lr=0.01), [Group(parameters=tuple(net.parameters()))])
    options = {"momentum": 0.9, "nesterov": True} if optimizer == "sgd" else {}
    kind = torch.optim.SGD if optimizer == "sgd" else kinds.get(optimizer, optimizer)
    expected = kind(reference[2].parameters(), lr=0.01, weight_decay=0.0, **options)
    for i, x in enumerate(batches):
        if i == 4:
            net[0].requires_grad_(requires_grad=True)
            made.regroup()
            expected.add_param_group({"params": list(reference[0].parameters())})
        advance(made, net, [x])
        reference.zero_grad()
        (reference(x) - x[:, :2]).square().mean().backward()
        expected.step()
    torch.testing.assert_close(flat(net), flat(reference), rtol=0, atol=2e-6)


@pytest.mark.parametrize("optimizer", ALL)
def test_parameters_that_leave_stay_as_they_are_and_come_back_as_they_went(optimizer):
    net = make_net()
    made = stepper(optimizer, net)
    batches = torch.randn(6, 16, 5, generator=torch.Generator().manual_seed(1))
    advance(made, net, batches[:2])
    net[0].requires_grad_(requires_grad=False)
    made.regroup()
    made.show()
    before = [p.detach().clone() for p in net[0].parameters()]
    made.resume()
    advance(made, net, batches[2:4])
    made.show()
    assert all(torch.allclose(p, old, atol=1e-7) for p, old in zip(net[0].parameters(), before, strict=True))
    made.resume()
    assert len(made.flat.values) == sum(p.numel() for p in net.parameters())
    # What goes on from here is what went on.
    state = {name: tensor.clone() for name, tensor in made.state().items()}
    other = make_net()
    other.load_state_dict(net.state_dict())
    again = stepper(optimizer, other)
    again.load_state(state)
    other[0].requires_grad_(requires_grad=False)
    again.regroup()
    for network, optimizer_ in ((net, made), (other, again)):
        advance(optimizer_, network, batches[4:5])
        network[0].requires_grad_(requires_grad=True)
        optimizer_.regroup()
        advance(optimizer_, network, batches[5:])
    assert torch.equal(flat(other), flat(net))


# LBFGS.


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_iter": 3, "history_size": 2},
        {"line_search": False, "max_eval": 4},
        {"tolerance_grad": 0.1},
        {"tolerance_change": 0.1},
    ],
)
def test_lbfgs_is_torchs(settings):
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))

    def loss_of(net):
        return (net(x) - x[:, :2]).square().mean()

    net, reference = make_net(), make_net()
    made = LBFGS([Group(parameters=tuple(net.parameters()), weight_decay=0.02)], **settings)
    options = {**settings, "line_search_fn": "strong_wolfe" if settings.get("line_search", True) else None}
    options.pop("line_search", None)
    expected = torch.optim.LBFGS(reference.parameters(), lr=0.5, **options)

    def closure():
        loss = loss_of(net)
        loss.backward()
        return loss

    def penalized():
        expected.zero_grad()
        loss = loss_of(reference) + 0.01 * sum(p.square().sum() for p in reference.parameters())
        loss.backward()
        return loss

    for _ in range(3):
        made.step(0.5, 1.0, closure)
        expected.step(penalized)
        torch.testing.assert_close(flat(net), flat(reference), rtol=0, atol=1e-4)


def test_lbfgs_sees_the_same_dropout_all_through_a_step():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 1))
    x, seen = torch.randn(30, 5), []

    def closure():
        masked = net[0](x)
        seen.append(masked.detach())
        loss = (net[1](masked) - 1).square().mean()
        loss.backward()
        return loss

    made = LBFGS([Group(parameters=tuple(net.parameters()))])
    made.step(1.0, 1.0, closure)
    first = len(seen)
    assert first > 2
    made.step(1.0, 1.0, closure)
    assert all(torch.equal(mask, seen[0]) for mask in seen[:first])
    assert not torch.equal(seen[first], seen[0])


def test_lbfgs_uses_all_rows_and_reaches_the_minimum():
    task = example_tasks(200)["number"]
    settings = {"l2": 0.01, "validation": None, "max_epochs": 10, "schedule": "constant", "warmup": 0, "device": "cpu"}
    newton = ol.learner("linear", optimizer="lbfgs", lr=1.0, **settings).fit(task, progress=False)
    assert newton.metadata["training"]["batch_size"] == 200
    adam = ol.learner("linear", **{**settings, "max_epochs": 150, "lr": 0.05, "batch_size": 200, "schedule": "cosine"})
    expected = adam.fit(task, progress=False)
    ends = [model.metadata["training"]["history"]["train_loss"][-1] for model in (newton, expected)]
    assert ends[0] <= ends[1] + 1e-4


# Schedule-free.


def test_schedule_free_is_the_package():
    schedulefree = pytest.importorskip("schedulefree")
    net, reference = make_net(), make_net()
    settings = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-4, "r": 0.5, "weight_lr_power": 1.0}
    config = make_train_config(optimizer="schedule_free", **{f"opt_{name}": value for name, value in settings.items()})
    made = make_optimizer(config, groups_of(net))
    matrices, vectors = matrices_and_vectors(reference)
    rates = [{"params": matrices, "weight_decay": 0.1, "lr": 0.02}, {"params": vectors, "weight_decay": 0.0, "lr": 0.01}]
    expected = schedulefree.AdamWScheduleFree(rates, lr=0.01, betas=(0.8, 0.95), eps=1e-4, r=0.5, weight_lr_power=1.0)
    expected.train()
    found = course(net, lambda: made.step(0.01))
    torch.testing.assert_close(found, course(reference, expected.step), rtol=0, atol=1e-6)
    made.show()
    expected.eval()
    shown = flat(net)
    torch.testing.assert_close(shown, flat(reference), rtol=0, atol=1e-6)
    assert not torch.equal(shown, found[-1])
    made.resume()
    torch.testing.assert_close(flat(net), found[-1], rtol=0, atol=1e-6)


def test_schedule_free_weights_are_those_that_are_shipped():
    pytest.importorskip("schedulefree")
    options = {"optimizer": "schedule_free", "ema": 0, "schedule": "constant", "max_epochs": 3, "d_block": 8, "device": "cpu"}
    model = ol.learner("mlp", **options).fit(example_tasks(80)["two"], progress=False)
    assert model.metadata["parity"]["max_difference"] < 1e-4
    for refused in ({"ema": 0.9}, {"schedule": "cosine"}):
        with pytest.raises(ParameterError, match=r"optimizer='schedule_free' (averages the weights itself|takes the place)"):
            ol.learner("mlp", **{**options, **refused}).fit(example_tasks(80)["two"], progress=False)


# The user's own.


class Shapely(torch.optim.Optimizer):
    """Looks at shapes, as Muon does, and has settings of its own."""

    def __init__(self, params, lr=1e-3, weight_decay=0.0, power: float = 1.0, signs=False):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "power": power})
        self.signs = signs

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                direction = p.grad.sign() if self.signs else p.grad / (1 + p.grad.norm(dim=-1, keepdim=True)) ** group["power"]
                assert p.ndim in (1, 2)
                p.sub_(direction + group["weight_decay"] * p, alpha=group["lr"])


def test_a_class_of_ones_own_gets_the_parameters_themselves():
    expected = torchs(Shapely, power=0.5)
    torch.testing.assert_close(ours(Shapely, opt_power=0.5), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(ours(Shapely, opt_signs=True), expected)


def test_a_registered_class_is_a_choice_with_settings(monkeypatch):
    monkeypatch.setitem(optimizers, "before", optimizers["sgd"])
    optimizers.register("shapely")(Shapely)
    try:
        learner = ol.learner("mlp", optimizer="shapely", opt_power=0.5)
        assert learner.values["opt_power"] == 0.5
        assert [p.name for p in learner.params if p.name.startswith("opt_")] == ["opt_power", "opt_signs"]
        with pytest.raises(ParameterError, match=r"optimizer='sgd' is .*SGD already: choose another name"):
            optimizers.register("sgd")(Shapely)
    finally:
        del optimizers["shapely"]


def test_what_a_class_refuses_is_told_before_training():
    task = example_tasks(60)["two"]
    learner = ol.learner("mlp", optimizer=torch.optim.Adamax, opt_betas=(0.9, 2.0), d_block=8, device="cpu")
    with pytest.raises(ParameterError, match=r"Adamax cannot be made: ValueError: Invalid beta parameter at index 1: 2.0"):
        learner.prepare(task)
    with pytest.raises(ParameterError, match="Rprop has no argument weight_decay: set weight_decay=0"):
        ol.learner("mlp", optimizer=torch.optim.Rprop, d_block=8, device="cpu").prepare(task)
    ol.learner("mlp", optimizer=torch.optim.Rprop, weight_decay=0, d_block=8, device="cpu").prepare(task)


# What does not go together.

BAD = [
    ({"optimizer": "lbfgs", "accumulate": 2}, "accumulate=2 does not go with optimizer='lbfgs', which computes the loss"),
    ({"optimizer": "lbfgs", "grad_clip": 1.0}, "grad_clip=1.0 does not go with optimizer='lbfgs', which searches"),
    ({"optimizer": "lbfgs", "l1": 0.1}, "optimizer='lbfgs' has no step that makes weights exactly 0, as l1 does"),
    ({"optimizer": "lbfgs", "embedding_lr": 0.5, "cat_encoding": "embedding"}, "one learning rate for all parameters"),
    ({"optimizer": torch.optim.Adamax, "l1": 0.1}, "optimizer=torch.optim.adamax:Adamax has no step"),
    ({"optimizer": "sgd", "opt_momentum": 0, "opt_nesterov": True}, "opt_nesterov=True needs opt_momentum above 0"),
    ({"optimizer": "sgd", "opt_momentum": 0, "opt_dampening": 0.5}, "opt_dampening=0.5 changes nothing with opt_momentum=0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_what_cannot_work_is_refused_before_training(options, message):
    with pytest.raises(ParameterError, match=message):
        ol.learner("mlp", d_block=8, device="cpu", **options).prepare(example_tasks(60)["classes"])


def test_one_cycle_sets_the_momentum():
    net = make_net()
    for made, name in ((Adam(groups_of(net)), 0.9), (SGD(groups_of(net)), 0.9), (stepper(torch.optim.Adamax, net), 0.9)):
        assert made.momentum == name
        made.momentum = 0.5
    advance(made, net, torch.randn(1, 16, 5))
    assert made._torch.param_groups[0]["betas"] == (0.5, 0.999)


def test_stackable_optimizers_move_each_number_by_itself():
    """So that several networks in one parameter are trained as each would be alone."""
    assert dataclasses.is_dataclass(optimizers["adamw"])
    kinds = {name: entry.make for name, entry in optimizers.items() if isinstance(entry.make, type)}
    assert {name for name, kind in kinds.items() if kind.stackable} == set(kinds) - {"lbfgs"}
    for name in set(kinds) - {"lbfgs"}:
        pair, single = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))
        for parameter in (pair, single):
            made = make_optimizer(make_train_config(optimizer=name), [Group(parameters=(parameter,), weight_decay=0.1)])
            for i in range(5):
                parameter.grad.copy_(torch.tensor([1.0, -2.0, 0.5]) * (i + 1))
                made.step(0.01)
        assert torch.equal(pair[0], single)
        assert torch.equal(pair[1], single)


def test_an_optimizer_that_cannot_make_a_step_is_told():
    with pytest.raises(ParameterError, match="SparseAdam cannot make a step: RuntimeError: SparseAdam does not support dense"):
        ol.learner("linear", optimizer=torch.optim.SparseAdam, weight_decay=0.0).fit(example_tasks()["number"], progress=False)
