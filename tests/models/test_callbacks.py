"""Callbacks: when they are called, what they see, how a training goes on with them."""

import pickle
import time

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.testing import example_tasks
from onnxlearn_models.training.callback import STAGES, Callback, Callbacks
from onnxlearn_models.training.callbacks import HistoryFile, MLflow, StepHistory, TensorBoard
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

SQUARED = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))


def rows(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    return Tensors({"num": x}, x @ torch.tensor([[1.0], [-2.0], [0.5]]))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))

    def forward(self, num):
        return self.layers(num)


def training(valid="rows", seed=0, net=None, **options):
    torch.manual_seed(seed)
    net = net or Net()
    config = TrainConfig(**{"max_epochs": 4, "batch_size": 20, "lr": 0.05, "patience": None, "ema": 0.9, **options})
    return Training(
        net,
        rows(),
        rows(30, seed=1) if valid == "rows" else valid,
        objective=SQUARED,
        config=config,
        groups=parameter_groups(net, config),
        settle=lambda: None,
        on_epoch=lambda epoch: None,
    )


class Recording(Callback):
    """Notes every stage."""

    def __init__(self, name="", seen=None):
        self.name, self.seen = name, [] if seen is None else seen


for each in STAGES:
    setattr(Recording, each, lambda self, ctx, stage=each: self.seen.append(self.name + stage))


def test_stages_follow_each_other():
    recorder = Recording()
    run = training(max_epochs=2, callbacks=(recorder,))
    run.run()
    batch = ["batch_begin", "after_backward", "batch_end"]
    valid = ["valid_begin", "valid_batch_begin", "valid_batch_end", "valid_end"]
    epoch = ["epoch_begin", *batch * 3, *valid, "epoch_end"]
    assert run.result.callbacks[0].seen == ["begin", *epoch * 2, "end", "exit"]
    assert recorder.seen == [], "a learner's callbacks are made anew for each training"


def test_callbacks_come_in_their_order():
    seen = []

    class Late(Recording):
        order = 1

    Callbacks([Late("late ", seen), Recording("a ", seen), Recording("b ", seen)])
    for method in Callbacks([Late("late ", seen), Recording("a ", seen), Recording("b ", seen)]).at("end"):
        method(None)
    assert seen == ["a end", "b end", "late end"]


def test_exit_comes_after_an_error():
    class Failing(Recording):
        def batch_end(self, ctx):
            raise RuntimeError("broken")

    run = training(callbacks=(Failing(),))
    with pytest.raises(RuntimeError, match="broken"):
        run.run()
    assert run.result.callbacks[0].seen[-1] == "exit"
    assert "end" not in run.result.callbacks[0].seen


def test_a_callback_can_change_gradients_and_stop():
    class Freeze(Callback):
        def after_backward(self, ctx):
            ctx.optimizer.flat.grads.zero_()

        def epoch_end(self, ctx):
            if ctx.epoch == 2:
                ctx.stop()

    run = training(callbacks=(Freeze(),), weight_decay=0, ema=0)
    before = run.optimizer.flat.values.clone()
    result = run.run()
    assert torch.equal(run.optimizer.flat.values, before)
    assert (result.stopped, len(result.epochs)) == ("callback", 2)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    def weights(**options):
        net = nn.Linear(3, 1)
        with torch.no_grad():
            net.weight.zero_()
            net.bias.zero_()
        wrapped = Wrapped(net)
        run = training(net=wrapped, ema=0, schedule="constant", warmup=0, optimizer="sgd", max_epochs=1, **options)
        run.sampler = Straight(len(run.train))
        run.run()
        return run.optimizer.flat.values, run.n_steps

    class Straight:
        def __init__(self, n_rows):
            self.n_rows = n_rows

        def order(self):
            return torch.arange(self.n_rows)

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, num):
            return self.inner(num)

    whole, accumulated = weights(batch_size=30), weights(batch_size=10, accumulate=3)
    assert whole[1] == accumulated[1] == 2
    torch.testing.assert_close(whole[0], accumulated[0], rtol=1e-5, atol=1e-7)
    # The last step of an epoch may have fewer batches, which then count as one step too.
    assert weights(batch_size=10, accumulate=4)[1] == 2


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("interrupted", [1, 3])
def test_a_training_that_goes_on_ends_with_the_same_weights(optimizer, interrupted):
    options = {"optimizer": optimizer, "max_epochs": 6, "dropout_schedule": "fade", "l1": 1e-4}
    whole = training(**options).run()

    first = training(**options)
    for _ in range(interrupted):
        if not first.epoch:
            first.call("begin")
        first.run_epoch()
    state = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in first.state().items()}
    second = training(seed=5, **options)
    second.load_state(pickle.loads(pickle.dumps(state)))
    resumed = second.run()
    assert resumed.epochs == whole.epochs
    assert resumed.best_epoch == whole.best_epoch
    third = training(**options)
    third.run()
    assert torch.equal(second.optimizer.flat.values, third.optimizer.flat.values)


def test_the_last_weights_are_kept_if_asked_for():
    def opposite():
        tensors = rows(30, seed=1)
        tensors.target.neg_()
        return tensors

    best, last = (training(valid=opposite(), keep=keep, ema=0).run() for keep in ("best", "last"))
    assert best.best_epoch < 4
    assert last.best_epoch == 4


def test_a_gain_below_min_delta_is_none():
    patient = training(max_epochs=30, patience=3, lr=1e-3).run()
    impatient = training(max_epochs=30, patience=3, lr=1e-3, min_delta=10.0).run()
    assert impatient.stopped == "patience"
    assert (impatient.best_epoch, len(impatient.epochs)) == (1, 4)
    assert len(patient.epochs) > 4


def test_a_time_budget_ends_an_epoch():
    result = training(time_budget=1e-9).run()
    assert (result.stopped, len(result.epochs), result.best_epoch) == ("time", 1, 1)


def test_a_model_has_the_callbacks_of_its_training_and_its_file_names_them():
    class Counting(Callback):
        def __init__(self, start):
            self.n = start

        def batch_end(self, ctx):
            self.n += 1

    class Watching(Counting):
        recorded = False

    learner = ol.learner("linear", max_epochs=2, batch_size=10, callbacks=[Counting(5), Watching(start=0)])
    model = learner.fit(example_tasks()["number"], progress=False)
    counting, watching = model.callbacks
    assert counting.n == watching.n + 5 > 5
    assert learner.values["callbacks"][0].n == 5
    (recorded,) = model.metadata["learner"]["params"]["callbacks"]
    assert recorded["class"].endswith(
        ":test_a_model_has_the_callbacks_of_its_training_and_its_file_names_them.<locals>.Counting"
    )
    assert recorded["args"] == [5]
    assert learner == learner.replace(callbacks=[Counting(5), Watching(start=1)])
    assert learner != learner.replace(callbacks=[Counting(6), Watching(start=0)])


def test_trackers_go_on_in_the_places_where_they_were(tmp_path, monkeypatch):
    from mlflow import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri, pattern = (tmp_path / "mlruns").as_uri(), f"{tmp_path}/{{run}}"
    trackers = (HistoryFile(f"{pattern}.csv"), TensorBoard(pattern), MLflow(uri, "e"), StepHistory())
    first = training(callbacks=trackers)
    first.call("begin")
    for _ in range(2):
        first.run_epoch()
    state = pickle.loads(pickle.dumps(first.state()))
    # A third epoch, of which nothing but what trackers wrote outlives the kill.
    first.run_epoch()
    # TensorBoard reads files by the second of their names.
    time.sleep(1.01)
    second = training(callbacks=trackers)
    second.load_state(state)
    result = second.run()
    whole = training(callbacks=(StepHistory(),)).run()
    file, board, runs, steps = result.callbacks
    assert [line.split(",")[0] for line in file.file.read_text().splitlines()] == ["epoch", "1", "2", "3", "4"]
    assert steps.rows == whole.callbacks[0].rows
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "mlruns") == ["task-learner", "task-learner.csv"]
    events = EventAccumulator(str(board.folder)).Reload()
    expected = [(epoch.number, epoch.valid_loss) for epoch in whole.epochs]
    assert [(event.step, event.value) for event in events.Scalars("loss/valid")] == [(n, pytest.approx(v)) for n, v in expected]
    run = MlflowClient(uri).get_run(runs.run_id)
    assert run.info.status == "FINISHED"
    assert {each.step for each in MlflowClient(uri).get_metric_history(runs.run_id, "loss/valid")} == {1, 2, 3, 4}
