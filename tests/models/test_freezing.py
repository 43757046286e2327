"""Parameters that are not trained, or later: which ones, and that the others are trained as torch would train them."""

import copy
import pickle

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks import Unfreeze
from onnxlearn_models.training.config import make_train_config
from onnxlearn_models.training.freezing import freeze
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

SQUARED = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))
N_BATCHES = 3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh())
        self.head = nn.Linear(5, 1)

    def forward(self, num):
        return self.head(self.body(num))


class Straight:
    n_rows = 60

    def order(self):
        return torch.arange(60)


def rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 3, generator=generator)
    return Tensors({"num": x}, x @ torch.tensor([[1.0], [-2.0], [0.5]]))


def training(**options):
    torch.manual_seed(0)
    net = Net()
    options = {"max_epochs": 4, "batch_size": 20, "lr": 0.01, "patience": None, "ema": 0.0, "schedule": "constant", **options}
    config = make_train_config(warmup=0.0, **options)
    freeze(net, config.freeze)
    run = Training(
        net,
        rows(),
        rows(seed=1),
        objective=SQUARED,
        config=config,
        groups=parameter_groups(net, config),
        settle=lambda: None,
        on_epoch=lambda epoch: None,
    )
    run.sampler = Straight()
    return run


def torch_weights(moments, optimizer=torch.optim.AdamW, **options):
    """What torch's own optimizer makes of the same batches: parameters join by add_param_group before the batch numbered."""
    torch.manual_seed(0)
    net, data = Net(), rows()
    for p in net.parameters():
        p.requires_grad_(requires_grad=False)
    made = None
    for batch in range(1, 4 * N_BATCHES + 1):
        for p in moments.get(batch, lambda net: [])(net):
            p.requires_grad_(requires_grad=True)
            group = {"params": [p], "weight_decay": 0.01 if p.ndim > 1 else 0.0}
            if made is None:
                made = optimizer([group], lr=0.01, **options)
            else:
                made.add_param_group(group)
        part = slice(20 * ((batch - 1) % N_BATCHES), 20 * ((batch - 1) % N_BATCHES) + 20)
        made.zero_grad()
        (net(data.inputs["num"][part]) - data.target[part]).square().mean().backward()
        made.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", torch.optim.AdamW])
@pytest.mark.parametrize(
    ("callback", "batches"),
    [
        (Unfreeze("head.*", epoch={2: "body.2.*", 4: "*"}), (1, 4, 10)),
        (Unfreeze("head.*", batch={5: "body.2.*", 6: "body.*"}), (1, 5, 6)),
        (Unfreeze(epoch={3: "body.0.*"}, batch={2: ["body.2.*"]}), (1, 2, 7)),
        # Of two moments the first one counts.
        (Unfreeze("head.*", epoch={2: "body.2.*", 3: "*"}, batch={12: "body.*", 8: "body.0.bias"}), (1, 4, 7)),
    ],
)
def test_parameters_join_as_in_torch(callback, batches, optimizer):
    run = training(callbacks=(callback,), optimizer=optimizer, keep="last")
    run.run()
    head, second, first = batches
    moments = {
        head: lambda net: net.head.parameters(),
        second: lambda net: net.body[2].parameters(),
        first: lambda net: net.body[0].parameters(),
    }
    sgd = {"optimizer": torch.optim.SGD, "momentum": 0.9, "nesterov": True}
    expected = torch_weights(moments, **(sgd if optimizer == "sgd" else {}))
    torch.testing.assert_close(weights(run.module), expected, rtol=0, atol=2e-6)
    assert all(p.requires_grad for p in run.module.parameters())


def test_frozen_parameters_stay_as_they_were_and_the_others_are_trained():
    class Copying(Callback):
        def begin(self, ctx):
            self.before = copy.deepcopy(ctx.module)

    run = training(freeze=("body.*", "head.bias"), callbacks=(Copying(),), ema=0.9, weight_decay=0.1, l1=1e-3)
    run.run()
    before = dict(run.result.callbacks[0].before.named_parameters())
    changed = {name for name, p in run.module.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"head.weight"}
    assert len(run.optimizer.flat.values) == 5


def test_what_waits_has_no_gradient_and_no_decay():
    class Looking(Callback):
        def after_backward(self, ctx):
            waiting = [p for p in ctx.module.parameters() if not p.requires_grad]
            assert all(p.grad is None for p in waiting)
            n_trained = sum(p.numel() for p in ctx.module.parameters() if p.requires_grad)
            assert int((ctx.optimizer.flat.grads != 0).sum()) <= n_trained < len(ctx.optimizer.flat.grads)

    run = training(callbacks=(Unfreeze("head.*", epoch={4: "body.*"}), Looking()), weight_decay=0.5, l2=0.1)
    before = weights(run.module.body).clone()
    run.call("begin")
    for _ in range(3):
        run.run_epoch()
    assert torch.equal(weights(run.module.body), before)


@pytest.mark.parametrize("interrupted", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs", torch.optim.AdamW])
def test_a_training_that_goes_on_has_the_same_parameters_behind_it(interrupted, optimizer):
    def make():
        ema = 0.0 if optimizer == "lbfgs" else 0.9
        return training(
            callbacks=(Unfreeze("head.*", epoch={2: "body.2.*"}, batch={8: "body.0.*"}),), optimizer=optimizer, ema=ema
        )

    whole, first = make(), make()
    whole.run()
    first.call("begin")
    for _ in range(interrupted):
        first.run_epoch()
    state = pickle.loads(pickle.dumps(first.state()))
    second = make()
    second.load_state(state)
    second.run()
    assert torch.equal(weights(second.module), weights(whole.module))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ("bodi.*",)}, r"freeze has 'bodi\.\*', which is the name of no parameter; there are 'body\.0\.weight'"),
        ({"freeze": ("*",)}, r"freeze=\['\*'\] leaves no parameter to train"),
        ({"callbacks": (Unfreeze(epoch={2: "tail.*"}),)}, r"unfreeze has 'tail\.\*', which is the name of no parameter"),
        ({"callbacks": (Unfreeze("tail.*", epoch={2: "*"}),)}, r"unfreeze has 'tail\.\*'"),
        ({"callbacks": (Unfreeze(epoch={2: "*"}),)}, "leaves no parameter to train from the beginning: give patterns"),
        ({"callbacks": (Unfreeze("body.*", epoch={99: "*"}),)}, "there is no epoch 99, the last one is"),
        ({"callbacks": (Unfreeze("body.*", batch={9999: "*"}),)}, "there is no batch 9999, the last one is"),
        ({"callbacks": (Unfreeze("*", epoch={2: "*"}),)}, "lets nothing wait: what its patterns match is trained"),
    ],
)
def test_what_trains_nothing_is_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        training(**options).run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "unfreeze needs to know when"),
        ({"epoch": {0: "*"}}, "unfreeze: epoch counts from 1, and 0 is no such number"),
        ({"batch": {"3": "*"}}, "batch counts from 1, and '3'"),
    ],
)
def test_a_moment_that_is_none_is_refused(arguments, message):
    with pytest.raises(ParameterError, match=message):
        Unfreeze(**arguments)


@pytest.mark.parametrize("name", ["mlp", "tabm", "ft_transformer", "realmlp"])
def test_learners_train_without_some_of_their_parameters(name):
    task = example_tasks()["number"]
    learner = ol.learner(name, max_epochs=2)
    names = [name for name, _ in learner.untrained(task).named_parameters()]
    frozen = [each for each in names if each.endswith(".weight")][:2]
    model = learner.replace(freeze=frozen).fit(task, progress=False)
    assert model.to_bytes() != learner.fit(task, progress=False).to_bytes()
    later = learner.replace(callbacks=[Unfreeze(epoch={2: frozen})]).fit(task, progress=False)
    assert later.to_bytes() not in (model.to_bytes(), learner.fit(task, progress=False).to_bytes())


def test_names_are_those_of_ones_own_network():
    task = example_tasks()["number"]

    class Own(nn.Module):
        def __init__(self, n_num, n_outputs):
            super().__init__()
            self.body, self.head = nn.Linear(n_num, 4), nn.Linear(4, n_outputs)

        def forward(self, num):
            return self.head(torch.relu(self.body(num)))

    ol.learner(Own, freeze=["body.*"], max_epochs=1).fit(task, progress=False)
    with pytest.raises(ParameterError, match=r"there are 'body\.weight', 'body\.bias', 'head\.weight'"):
        ol.learner(Own, freeze=["boddy.*"], max_epochs=1).fit(task, progress=False)
