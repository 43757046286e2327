"""Layers that know their derivative: as autograd has it, and unseen outside a tape."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import onnxlearn as ol
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.block import dense_block
from onnxlearn_models.layers.dense import STEPS, dense
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.tape import Tape, active_tape
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.loss import losses
from onnxlearn_models.training.slope import slope_of


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def stacked(activation: str, dropout: float = 0.0, norm: str = "none") -> nn.Sequential:
    blocks = [part for d in (5, 7) for part in dense_block(d, 7, activation=activation, norm=norm, dropout=dropout)]
    return nn.Sequential(*blocks, nn.Linear(7, 3)).double()


def gradients(network: nn.Module, run: Callable[[nn.Module], Tensor], *, noted: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Output, and the gradient of the sum of its squares by every parameter."""
    network = copy.deepcopy(network)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    torch.manual_seed(1)
    tape = Tape(notes=noted)
    with tape:
        output = run(network)
    tape.backward(output, 2 * output.detach())
    return output.detach(), {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_as_autograd(network: nn.Module, run: Callable[[nn.Module], Tensor]) -> None:
    output, found = gradients(network, run, noted=True)
    expected_output, expected = gradients(network, run, noted=False)
    torch.testing.assert_close(output, expected_output)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_every_activation_are_those_of_autograd(activation: str, dropout: float) -> None:
    x = torch.randn(11, 5, dtype=torch.float64)
    assert_as_autograd(stacked(activation, dropout), lambda network: dense(x, network))


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_layers_that_are_not_known_are_left_to_autograd(norm: str) -> None:
    x = torch.randn(11, 5, dtype=torch.float64)
    assert_as_autograd(stacked("relu", 0.2, norm), lambda network: dense(x, network))


def test_what_stands_before_and_behind_the_linear_layers_has_its_gradients() -> None:
    network = nn.Sequential(
        nn.LayerNorm(5), Dropout(0.3), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 4, bias=False), Dropout(0.2), nn.PReLU()
    ).double()
    x = torch.randn(9, 5, dtype=torch.float64)
    assert_as_autograd(network, lambda network: dense(x, *network))


def test_two_ways_through_a_network_add_up() -> None:
    network = nn.ModuleList([nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2), nn.Linear(5, 2)]).double()
    x = torch.randn(9, 5, dtype=torch.float64)

    def run(network: nn.Module) -> Tensor:
        first, second, head, wide = network
        hidden = dense(x, first)
        hidden = hidden + dense(hidden, second, nn.ReLU(), second)
        return dense(hidden, head) + dense(x, wide)

    assert_as_autograd(network, run)


def test_inputs_that_are_learned_get_their_gradient() -> None:
    network = nn.ModuleDict({"table": nn.Embedding(4, 5), "trunk": stacked("silu", 0.2)}).double()
    codes = torch.randint(4, (11,))
    assert_as_autograd(network, lambda network: dense(network["table"](codes), network["trunk"]))


def test_parameters_that_are_not_trained_get_none() -> None:
    network = stacked("relu")
    network[0].requires_grad_(False)
    network[2].weight.requires_grad_(False)
    x = torch.randn(11, 5, dtype=torch.float64)
    assert_as_autograd(network, lambda network: dense(x, network))


def test_neither_rows_nor_the_gradient_that_comes_in_are_changed() -> None:
    network, x = stacked("relu", 0.5), torch.randn(11, 5, dtype=torch.float64)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with Tape() as tape:
        output = dense(x, network)
    rows, grad = x.clone(), torch.randn_like(output)
    kept = grad.clone()
    tape.backward(output, grad)
    assert torch.equal(x, rows)
    assert torch.equal(grad, kept)


def test_hooks_of_layers_are_called() -> None:
    network, x = stacked("relu"), torch.randn(11, 5, dtype=torch.float64)
    seen: list[int] = []
    network[2].register_forward_hook(lambda *_: seen.append(1))
    assert_as_autograd(network, lambda network: dense(x, network))
    assert len(seen) == 2


def test_layers_in_evaluation_mode_drop_nothing() -> None:
    network, x = stacked("relu", 0.5), torch.randn(11, 5, dtype=torch.float64)
    network.eval()
    assert_as_autograd(network, lambda network: dense(x, network))


def test_outside_a_tape_autograd_knows_everything() -> None:
    network, x = stacked("relu"), torch.randn(11, 5, dtype=torch.float64)
    with Tape(), Tape(notes=False):
        assert active_tape() is None
    found = torch.autograd.grad(dense(x, network).sum(), list(network.parameters()))
    assert len(found) == 6


def test_every_activation_but_those_with_parameters_is_known() -> None:
    assert {name for name, make in ACTIVATIONS.items() if type(make()) not in STEPS} == {"prelu"}


@pytest.mark.parametrize(("name", "width"), [("mse", 1), ("mse", 3), ("cross_entropy", 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_derivatives_of_losses_are_those_of_autograd(name: str, width: int, weighted: bool) -> None:
    output = torch.randn(13, width, dtype=torch.float64, requires_grad=True)
    target = torch.randint(width, (13,)) if name == "cross_entropy" else torch.randn(13, width, dtype=torch.float64)
    weight = torch.rand(13, dtype=torch.float64) if weighted else None
    each = losses[name].make(output, target)
    expected = (each if weight is None else each * weight).mean()
    slope = slope_of(losses[name].make)
    assert slope is not None
    values, found = slope(output.detach(), target, 1 / 13 if weight is None else weight.unsqueeze(1) / 13)
    torch.testing.assert_close(values, each.detach())
    torch.testing.assert_close(found, torch.autograd.grad(expected, output)[0])


def test_derivatives_of_other_losses_are_not_guessed() -> None:
    assert slope_of(losses["huber"].make) is None
    assert slope_of(lambda output, target: losses["mse"].make(output, target)) is None


TRAININGS = {
    "mlp of numbers": ("mlp", {"num_embedding": "none", "dropout": 0.2}),
    "mlp": ("mlp", {"input_dropout": 0.1, "linear_path": True}),
    "mlp with norms": ("mlp", {"norm": "batch", "activation": "gelu"}),
    "mixed rows": ("mlp", {"mixup": 0.5}),
    "accumulated": ("mlp", {"accumulate": 2, "grad_clip": 0.5}),
    # A line search compares losses, which rounding decides in the end.
    "lbfgs": ("mlp", {"optimizer": "lbfgs", "opt_max_iter": 3, "opt_line_search": False, "lr": 0.1, "batch_size": None}),
    "entity_mlp": ("entity_mlp", {"dropout": 0.2}),
    "shaped_mlp": ("shaped_mlp", {"n_max": 16}),
    "deep_wide": ("deep_wide", {"layer_units": (16, 8), "dropout": 0.2}),
    "tab_resnet": ("tab_resnet", {"d_block": 8}),
}


@pytest.mark.parametrize(("name", "settings"), TRAININGS.values(), ids=TRAININGS)
def test_trainings_with_and_without_a_tape_come_to_the_same(name: str, settings: dict) -> None:
    settings = {"d_block": 16} | settings if name == "mlp" else settings
    task = ol.Task.from_frame(table(), "y")
    weights = []
    for notes in (True, False):
        learner = ol.learner(name, **{"optimizer": "sgd", "batch_size": 16, "max_epochs": 2, "validation": None} | settings)
        prepared = learner.prepare(task)
        with prepared.generators.resumed():
            rows = prepared.tensors(prepared.train)
            prepared.initialize(rows)
            training = Training(
                prepared.module, rows, None, objective=prepared.objective, config=prepared.config,
                groups=learner.parameter_groups(prepared.module, prepared.config), settle=lambda: None, on_epoch=lambda _: None,
            )  # fmt: skip
            training.tape = Tape(notes=notes)
            training.run()
        weights.append(training.optimizer.flat.values.clone())
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(70, 3)), columns=list("abc"))
    return frame.assign(level=rng.choice([f"l{i}" for i in range(20)], 70), y=frame["a"] * frame["b"] + rng.normal(size=70))
