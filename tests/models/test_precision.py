"""In what numbers training computes, and that nothing but training does."""

import copy

import numpy as np
import pytest
import torch
from test_loop import SQUARED, Line, rows, train
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.fused import may_fuse
from onnxlearn_models.training import precision as precision_module
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.precision import GradientScale, numerics, require_precision

CPU = torch.device("cpu")
NETWORKS = (
    "deep_wide", "entity_mlp", "ft_transformer", "linear", "mlp", "realmlp", "shaped_mlp", "shaped_resnet", "tab_resnet",
    "tabm", "tabm_mini", "tabnet",
)  # fmt: skip
TINY = {"max_epochs": 2, "device": "cpu", "batch_size": 32, "validation": None}


class Spy(Line):
    """Notes in what numbers its product is computed."""

    def __init__(self):
        super().__init__()
        self.seen = {True: set(), False: set()}
        self.linear.register_forward_hook(lambda layer, inputs, output: self.seen[layer.training].add(output.dtype))


DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.mark.parametrize(("precision", "dtype"), DTYPES.items())
def test_products_of_training_alone_have_fewer_bits(precision, dtype):
    net, result = train(Spy(), precision=precision, max_epochs=40)
    assert net.seen == {True: {dtype}, False: {torch.float32}}
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert result.epochs[-1].valid_loss < 0.05


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_in_16_bits(name):
    task = example_tasks(60)["classes"]
    models = [ol.learner(name, **TINY, precision=precision).fit(task, progress=False) for precision in ("float32", "bf16")]
    plain, half = (model.metadata["training"]["history"]["train_loss"] for model in models)
    np.testing.assert_allclose(half, plain, rtol=0.15)
    assert half != plain


def training(net, **options):
    config = TrainConfig(**{"max_epochs": 3, "batch_size": 32, "lr": 0.01, "patience": None, "precision": "fp16", **options})
    return Training(
        net, rows(), rows(80, seed=1), objective=SQUARED, config=config, groups=parameter_groups(net, config),
        settle=lambda: None, on_epoch=lambda epoch: None,
    )  # fmt: skip


def test_the_scale_of_gradients_is_torchs(monkeypatch):
    monkeypatch.setattr(precision_module, "_GROWTH_STEPS", 5)
    weight = nn.Parameter(torch.zeros(3))
    optimizer, oracle = torch.optim.SGD([weight]), torch.amp.GradScaler("cpu", growth_interval=5)
    ours = GradientScale(CPU)
    for gradient in [1.0, float("inf"), 2.0, float("nan"), float("-inf"), *[0.5] * 12]:
        loss = torch.tensor(1.0, requires_grad=True)
        assert torch.equal(ours.scaled(loss), oracle.scale(loss))
        scale = float(oracle.get_scale())
        weight.grad = torch.tensor([1.0, gradient, -1.0]) * scale
        grads, before = weight.grad.clone(), weight.detach().clone()
        oracle.step(optimizer)
        oracle.update()
        assert ours.unscale(grads) == (not torch.equal(weight, before))
        if np.isfinite(gradient):
            torch.testing.assert_close(grads, weight.grad)
    assert ours.skipped == 3
    assert float(ours.state()["scale"]) == float(oracle.get_scale()) == 2.0**16 / 8 * 4


class Steep(Line):
    """Its output has a gradient that overflows fp16 at first."""

    def forward(self, num):
        return self.linear(num * 50) / 50


def test_steps_that_overflow_are_left_out_and_told():
    net, seen = Steep(), []
    run = training(net, callbacks=())
    before = [parameter.detach().clone() for parameter in net.parameters()]
    run._scale._scale.fill_(2.0**30)
    run.call("begin")
    run.run_epoch()
    seen = run.history[0].skipped_steps
    assert 0 < seen == run._scale.skipped
    assert run.n_steps == run.n_batches
    if seen == run.n_batches:
        assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    run.run_epoch()
    assert run.history[1].skipped_steps == run._scale.skipped - seen
    # What it gives are its own tensors.
    state = copy.deepcopy(run.state())
    run.run_epoch()
    other = training(Steep())
    other.load_state(state)
    other.call("begin")
    other.run_epoch()
    assert torch.equal(run.optimizer.flat.values, other.optimizer.flat.values)
    assert other.history == run.history


def test_gradients_that_no_scale_helps_end_the_training():
    class Broken(Line):
        def forward(self, num):
            output = super().forward(num)
            # A finite loss whose gradient is not.
            return output + (output * 0).abs().sqrt()

    _, result = train(Broken(), precision="fp16", max_epochs=10)
    assert (result.stopped, result.best_epoch) == ("diverged", 1)
    assert result.why.startswith(
        "gradients overflow fp16 in epoch 3 however they are scaled, with lr=0.0408: choose a lower lr"
    )


@pytest.mark.parametrize(
    ("precision", "net", "message"),
    [
        ("tf32", Line(), "precision='tf32' is for NVIDIA GPUs from Ampere on, not for training on cpu: use 'float32'"),
        ("bf16", Line().double(), "precision='bf16' would change nothing: this network computes in DOUBLE; leave it out"),
    ],
)
def test_what_would_change_nothing_is_refused(precision, net, message):
    with pytest.raises(ParameterError) as error:
        require_precision(precision, net, CPU)
    assert str(error.value).startswith(message)


def test_steps_written_by_hand_are_for_one_type_of_number():
    assert may_fuse(torch.zeros(1))
    with torch.autocast("cpu", torch.bfloat16):
        assert not may_fuse(torch.zeros(1))


@pytest.mark.parametrize("fails", [False, True])
def test_deterministic_algorithms_are_asked_for_inside_alone(fails):
    before = torch.are_deterministic_algorithms_enabled()
    try:
        with numerics("float32", CPU, deterministic=True):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.utils.deterministic.fill_uninitialized_memory
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert torch.are_deterministic_algorithms_enabled() == before is False
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_deterministic_training_gives_the_same_file():
    task = example_tasks(60)["classes"]
    files = [ol.learner("mlp", **TINY, deterministic=choice).fit(task, progress=False).to_bytes() for choice in (False, True)]
    assert files[0] == files[1]
