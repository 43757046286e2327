"""Fine-tuning: what waits keeps every bit, statistics of norms included; layers learn at rates of their own."""

import pickle

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.stacked.choice import is_quicker
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.config import make_train_config
from onnxlearn_models.training.freezing import freeze
from onnxlearn_models.training.groups import layer_heights, layered, parameter_groups
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.modes import kept_norms
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

SQUARED = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))


class Net(nn.Module):
    """A body with norms, one of them without weights, and a head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh())
        self.scale = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, affine=False))
        self.head = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 1))

    def forward(self, num):
        return self.head(self.scale(self.body(num)))


class Watching(Callback):
    """Keeps the network's state as it is validated, and as training goes on from it."""

    def begin(self, ctx):
        self.judged, self.states = [], [state(ctx.module)]

    def valid_end(self, ctx):
        self.judged.append(state(ctx.module))

    def epoch_end(self, ctx):
        self.states.append(state(ctx.module))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before, after):
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 3, generator=generator) * 3 + 1
    return Tensors({"num": x}, x @ torch.tensor([[1.0], [-2.0], [0.5]]))


def training(**options):
    torch.manual_seed(0)
    net = Net()
    options = {"max_epochs": 5, "batch_size": 20, "lr": 0.01, "patience": None, "callbacks": (Watching(),), **options}
    config = make_train_config(warmup=0.0, **options)
    freeze(net, config.freeze, config.unfreeze or ())
    return Training(
        net,
        rows(),
        rows(seed=1),
        objective=SQUARED,
        config=config,
        groups=layered(parameter_groups(net, config), net, config.lr_layer_decay),
        settle=lambda: None,
        on_epoch=lambda epoch: None,
    )


def watched(**options):
    run = training(**options)
    run.run()
    return next(callback for callback in run.callbacks.all if isinstance(callback, Watching))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema": 0.0},
        {"optimizer": "sgd", "opt_momentum": 0.9, "weight_decay": 0.3},
        {"optimizer": torch.optim.AdamW, "ema": 0.9},
        {"optimizer": "lbfgs", "ema": 0.0},
        {"swa": 0.0, "schedule": "constant"},
        {"l1": 1e-3, "l2": 1e-3},
        {"accumulate": 2, "grad_clip": 0.5},
    ],
)
def test_what_waits_keeps_every_bit_until_its_epoch(options):
    watch = watched(freeze=("*",), unfreeze={"head.*": 1, "scale.*": 3, "body.*": 4}, **options)
    steps = [changed(*pair) for pair in zip(watch.states, watch.states[1:], strict=False)]
    assert steps == [{"head"}, {"head"}, {"head", "scale"}, {"head", "scale", "body"}, {"head", "scale", "body"}]
    # So do those that are judged and kept, which are averages.
    judged = [changed(watch.states[0], each) for each in watch.judged]
    assert [each - {"head"} for each in judged] == [set(), set(), {"scale"}, {"scale", "body"}, {"scale", "body"}]


def test_what_is_in_no_pattern_is_trained_from_the_beginning_and_what_is_frozen_alone_never():
    watch = watched(freeze=("body.*",), unfreeze={"scale.*": 3, "body.3.*": 5})
    last = watch.states[-1]
    assert changed(watch.states[0], watch.states[2]) == {"head"}
    assert changed(watch.states[2], watch.states[4]) == {"head", "scale"}
    names = {name for name in last if not torch.equal(last[name], watch.states[0][name]) and name.startswith("body")}
    assert names == {"body.3.weight", "body.3.bias"}


@pytest.mark.parametrize(
    ("statistics", "followed"),
    [("trained", {"head.0"}), ("all", {"body.1", "scale.1", "head.0"}), ("none", set())],
)
def test_running_statistics_follow_as_they_are_told(statistics, followed):
    watch = watched(freeze=("body.*", "scale.*"), norm_statistics=statistics)
    first, last = watch.states[0], watch.states[-1]
    buffers = {name for name in first if "running" in name or "num_batches" in name}
    found = {name.rpartition(".")[0] for name in buffers if not torch.equal(first[name], last[name])}
    assert found == followed
    assert {"body", "scale"} & changed(first, last) == {name.partition(".")[0] for name in followed} - {"head"}


def test_mean_weights_measure_the_statistics_of_trained_norms_alone():
    watch = watched(freeze=("body.*", "scale.*"), swa=0.0, schedule="constant")
    assert changed(watch.states[0], watch.judged[-1]) == {"head"}


def test_a_kept_norm_computes_as_in_evaluation():
    run = training(freeze=("body.*", "scale.*"), ema=0.0)
    run.begin_epoch()
    run.train_epoch()
    assert [norm.training for norm in (run.module.body[1], run.module.scale[1], run.module.head[0])] == [False, False, True]
    assert set(kept_norms(run.module, "trained")) == {run.module.body[1], run.module.scale[1]}


def test_norms_join_in_the_middle_of_an_epoch():
    run = training(callbacks=("unfreeze('head.*', batch={2: '*'})",))
    run.call("begin")
    run.begin_epoch()
    run.train_epoch()
    assert [int(norm.num_batches_tracked) for norm in (run.module.body[1], run.module.head[0])] == [2, 3]


@pytest.mark.parametrize("interrupted", [1, 2, 3, 4])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lbfgs"])
def test_a_training_that_goes_on_ends_with_the_same_bits(interrupted, optimizer):
    options = {"optimizer": optimizer, "ema": 0.0} if optimizer == "lbfgs" else {"optimizer": optimizer, "lr_layer_decay": 0.7}
    options |= {"freeze": ("body.*",), "unfreeze": {"body.*": 4, "scale.*": 3}}
    whole, first, second = (training(**options) for _ in range(3))
    torch.manual_seed(1)
    whole.run()
    torch.manual_seed(1)
    first.call("begin")
    for _ in range(interrupted):
        first.run_epoch()
    second.load_state(pickle.loads(pickle.dumps(first.state())))
    second.run()
    assert not changed(state(whole.module), state(second.module))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"unfreeze": {"bodi.*": 2}},
            r"unfreeze has 'bodi\.\*', which is the name of no parameter; there are 'body\.0\.weight'",
        ),
        ({"unfreeze": {"body.*": 0}}, "unfreeze: epoch counts from 1, and 0 is no such number"),
        ({"unfreeze": {"body.*": "3"}}, "and '3' is no such number"),
        ({"unfreeze": {"body.*": [3]}}, r"and '\[3\]' is no such number"),
        ({"unfreeze": {"body.*": True}}, "and True is no such number"),
        ({"unfreeze": {"body.*": 6}}, "there is no epoch 6, the last one is 5: name an earlier one"),
        ({"unfreeze": {"*": 2}}, "leaves no parameter to train from the beginning: give patterns of some as start, or epoch 1"),
        ({"freeze": ("*",), "unfreeze": {"body.*": 2}}, "leaves no parameter to train from the beginning"),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        training(**options).run()


def test_the_parameter_is_told_as_it_was_given():
    learner = ol.learner("mlp", unfreeze={"head.*": 3}, max_epochs=2, n_blocks=1, d_block=4, device="cpu")
    with pytest.raises(ParameterError, match=r"unfreeze=\{'head\.\*': 3\}: there is no epoch 3, the last one is 2"):
        learner.fit(ol.example_task("penguins"), progress=False)


def test_one_pattern_is_a_list_of_one():
    assert ol.learner("mlp", freeze="head.*") == ol.learner("mlp", freeze=["head.*"])


def test_layers_further_from_the_output_learn_at_lower_rates():
    net = Net()
    heights = layer_heights(net)
    assert {name: height for name, height in heights.items() if name.endswith("weight")} == {
        "body.0.weight": 3, "body.1.weight": 3, "body.3.weight": 2, "scale.0.weight": 1, "head.0.weight": 1, "head.1.weight": 0,
    }  # fmt: skip
    config = make_train_config(weight_decay=0.1)
    groups = layered(parameter_groups(net, config), net, 0.1)
    rates = {id(parameter): group.lr_factor for group in groups for parameter in group.parameters}
    assert {name: rates[id(p)] for name, p in net.named_parameters()} == pytest.approx(
        {name: 0.1**height for name, height in heights.items()}
    )
    assert {group.weight_decay for group in groups for p in group.parameters if p.ndim == 2} == {0.1}
    assert layered(groups, net, 1.0) == groups


def test_layers_are_named_up_to_the_first_number_and_branches_stand_side_by_side():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.norm, self.conv2 = nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3)
            self.down = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))

    class Both(nn.Module):
        branches = ("image", "table")

        def __init__(self):
            super().__init__()
            stage = nn.Sequential(Block(), Block())
            self.image = nn.ModuleDict({"stem": nn.Conv2d(2, 2, 3), "bn": nn.BatchNorm2d(2), "stage": stage})
            self.table = nn.Sequential(nn.Linear(2, 2))
            self.head = nn.Linear(4, 1)

    heights = layer_heights(Both())
    expected = {"image.stem": 3, "image.bn": 3, "image.stage.0.down.0": 2, "image.stage.1.conv1": 1}
    assert {name: heights[f"{name}.weight"] for name in expected} == expected
    assert (heights["table.0.weight"], heights["head.weight"]) == (1, 0)


def test_a_layer_decay_is_what_rates_by_pattern_are():
    one, other = training(lr_layer_decay=0.5, ema=0.0), training(ema=0.0)
    for group in one.optimizer.groups:
        for parameter in group.parameters:
            name = next(name for name, p in one.module.named_parameters() if p is parameter)
            assert group.lr_factor == 0.5 ** layer_heights(one.module)[name]
    for run in (one, other):
        torch.manual_seed(2)
        run.run()
    assert not torch.equal(one.module.head[1].weight, other.module.head[1].weight)


def test_learners_take_it_all_and_their_folds_are_trained_one_by_one():
    task = example_tasks()["number"]
    plain = ol.learner("mlp", norm="batch", n_blocks=2, d_block=8, max_epochs=3, patience=None, seed=1)
    assert is_quicker(plain.prepare(task), 10)
    files = [plain.fit(task, progress=False).to_bytes()]
    for settings in ({"unfreeze": {"blocks.*": 3}}, {"norm_statistics": "none"}, {"lr_layer_decay": 0.5}):
        learner = plain.replace(**settings)
        files.append(learner.fit(task, progress=False).to_bytes())
        assert learner.fit(task, progress=False).metadata["learner"]["params"].items() >= settings.items()
        assert is_quicker(learner.prepare(task), 10) == ("lr_layer_decay" in settings)
    assert len(set(files)) == 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlp", {"norm_statistics": "none"}, "norm_statistics='none' changes nothing with norm='none'"),
        ("linear", {"norm_statistics": "none"}, "has no parameter 'norm_statistics': it has no batch norm"),
        ("linear", {"lr_layer_decay": 0.5}, "has no parameter 'lr_layer_decay': it has one layer"),
        ("module", {"module": None, "norm_statistics": "none"}, "in a network without batch norm: leave it out"),
        ("module", {"module": None, "lr_layer_decay": 0.5}, "in a network of one layer: leave it out"),
    ],
)
def test_what_changes_nothing_is_refused(name, options, message):
    class Own(nn.Module):
        def __init__(self, n_num, n_outputs):
            super().__init__()
            self.layer = nn.Linear(n_num, n_outputs)

        def forward(self, num):
            return self.layer(num)

    options = {key: Own if key == "module" else value for key, value in options.items()}
    with pytest.raises(ParameterError, match=message):
        ol.learner(name, **options).prepare(example_tasks()["number"])
