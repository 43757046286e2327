"""The mean of the weights over the last epochs: what it is of, what is judged, how a training goes on with it."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.ghost_norm import GhostBatchNorm
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.sampling import even_sizes
from onnxlearn_models.training.tensors import Tensors

SQUARED = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))


class Net(nn.Module):
    def __init__(self, norm=nn.BatchNorm1d):
        super().__init__()
        self.first, self.norm, self.drop, self.last = nn.Linear(3, 4), norm(4), nn.Dropout(0.5), nn.Linear(4, 1)

    def forward(self, num):
        return self.last(self.drop(torch.tanh(self.norm(self.first(num)))))


class Watching(Callback):
    """Copies the network at the end of every epoch, and as it is judged."""

    order = -1000

    def begin(self, ctx):
        self.trained, self.judged = [], []

    def valid_begin(self, ctx):
        self.trained.append(copy.deepcopy(ctx.module))

    def valid_end(self, ctx):
        self.judged.append(copy.deepcopy(ctx.module))


def rows(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator).sort(dim=0).values
    return Tensors({"num": x}, x @ torch.tensor([[1.0], [-2.0], [0.5]]))


def training(net=None, **options):
    torch.manual_seed(0)
    net = net or Net()
    config = TrainConfig(
        **{"max_epochs": 6, "batch_size": 20, "lr": 0.05, "patience": None, "swa": 0.5, "schedule": "constant", **options}
    )
    return Training(
        net,
        rows(),
        rows(30, seed=1),
        objective=SQUARED,
        config=config,
        groups=parameter_groups(net, config),
        settle=lambda: None,
        on_epoch=lambda epoch: None,
    )


def test_the_mean_is_that_of_torch_and_its_statistics_are_those_of_the_training_rows():
    run = training(callbacks=(Watching(),))
    result = run.run()
    (watching,) = result.callbacks
    for epoch in (4, 5, 6):
        averaged = AveragedModel(watching.trained[3])
        for network in watching.trained[3:epoch]:
            averaged.update_parameters(network)
        order = torch.randperm(60, generator=torch.Generator().manual_seed(run.config.seed))
        batches = torch.split(run.train.inputs["num"][order], even_sizes(60, 20))
        # Nothing stands before the norm but a linear layer, so that dropout has no say.
        update_bn(batches, averaged)
        expected, judged = averaged.module.state_dict(), watching.judged[epoch - 1].state_dict()
        torch.testing.assert_close(judged, expected)
    # Before, the weights themselves are judged; the steps go on from them at all times.
    for trained, judged in zip(watching.trained[:3], watching.judged[:3], strict=True):
        torch.testing.assert_close(judged.state_dict(), trained.state_dict())


def test_training_goes_on_as_if_nothing_was_averaged():
    averaged, plain = (training(callbacks=(Watching(),), **options).run() for options in ({}, {"swa": None, "ema": 0.0}))
    for one, other in zip(averaged.callbacks[0].trained, plain.callbacks[0].trained, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_statistics_of_sorted_rows_are_those_of_all_rows():
    run = training(keep="last")
    run.run()
    with torch.no_grad():
        x = run.module.first(run.train.inputs["num"])
    # The mean of three batches' variances, each of which lacks that between their means.
    torch.testing.assert_close(run.module.norm.running_mean, x.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(run.module.norm.running_var, x.var(dim=0), rtol=0.1, atol=0.02)


def test_ghost_batch_norm_is_measured_anew_too():
    run = training(Net(lambda width: GhostBatchNorm(width, momentum=0.02, virtual_batch_size=10)), keep="last")
    run.run()
    with torch.no_grad():
        x = run.module.first(run.train.inputs["num"])
    torch.testing.assert_close(run.module.norm.running_mean, x.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert run.module.norm.momentum == 0.02
    assert int(run.module.norm.num_batches_tracked) == 6


@pytest.mark.parametrize("interrupted", [2, 4])
def test_a_training_that_goes_on_ends_with_the_same_mean(interrupted):
    whole = training(keep="last")
    whole.run()
    first = training(keep="last")
    first.call("begin")
    for _ in range(interrupted):
        first.run_epoch()
    state = pickle.loads(pickle.dumps(first.state()))
    second = training(keep="last")
    second.load_state(state)
    second.run()
    expected = whole.module.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in second.module.state_dict().items())


def test_a_learner_takes_it_and_refuses_it_beside_an_average_that_was_asked_for():
    task = example_tasks()["number"]
    learner = ol.learner("mlp", d_block=8, n_blocks=1, norm="batch", max_epochs=3, swa=0.3)
    model = learner.fit(task, progress=False)
    assert model.to_bytes() != learner.replace(swa=None).fit(task, progress=False).to_bytes()
    assert model.to_bytes() == learner.fit(task, progress=False).to_bytes()
    with pytest.raises(ParameterError, match=r"ema=0\.9 changes nothing with swa=0\.3: leave it out"):
        learner.replace(ema=0.9)
    # None at all asks for nothing.
    assert learner.replace(ema=0.0).fit(task, progress=False).history.equals(model.history)
