"""Callbacks: when they are called, what they see, how a training goes on with them."""

import pickle
import time

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
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
    # The last step of an epoch may have fewer batches, which then count as one step too: one of the mean of their losses.
    fewer = weights(batch_size=10, accumulate=4, weight_decay=0.0)
    assert fewer[1] == 2
    net = nn.Linear(3, 1)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    lr, data = 0.05, rows()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True)
    for part in (slice(0, 40), slice(40, 60)):
        optimizer.zero_grad()
        (net(data.inputs["num"][part]) - data.target[part]).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(fewer[0], torch.cat([net.weight.detach().flatten(), net.bias.detach()]), rtol=1e-5, atol=1e-6)


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
    trackers = (HistoryFile(f"{pattern}.csv"), TensorBoard(pattern, steps=True), MLflow(uri, "e"), StepHistory())
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
    of_steps = EventAccumulator(str(board.folder / "steps")).Reload()
    assert [event.step for event in of_steps.Scalars("step/loss")] == [row["step"] for row in steps.rows]
    run = MlflowClient(uri).get_run(runs.run_id)
    assert run.info.status == "FINISHED"
    assert {each.step for each in MlflowClient(uri).get_metric_history(runs.run_id, "loss/valid")} == {1, 2, 3, 4}


def test_trackers_begin_anew_in_another_place(tmp_path, monkeypatch):
    from mlflow import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    stores = [(tmp_path / name).as_uri() for name in "xy"]

    def trackers(place, store):
        return HistoryFile(f"{tmp_path}/{place}/one.csv"), TensorBoard(f"{tmp_path}/{place}/board"), MLflow(store, "e")

    def assert_all_epochs_are_in(trackers, store):
        file, board, runs = trackers
        assert [line.split(",")[0] for line in file.file.read_text().splitlines()] == ["epoch", "1", "2", "3", "4"]
        events = EventAccumulator(str(board.folder)).Reload()
        assert [event.step for event in events.Scalars("loss/valid")] == [1, 2, 3, 4]
        assert {each.step for each in MlflowClient(store).get_metric_history(runs.run_id, "loss/valid")} == {1, 2, 3, 4}

    first = training(callbacks=trackers("a", stores[0]))
    first.call("begin")
    for _ in range(2):
        first.run_epoch()
    state = first.state()
    first.call("exit")
    second = training(callbacks=trackers("b", stores[1]))
    second.load_state(state)
    found = second.run().callbacks
    assert found[0].file == tmp_path / "b/one.csv"
    assert_all_epochs_are_in(found, stores[1])
    # So they do where it was deleted meanwhile.
    (tmp_path / "a").rename(tmp_path / "gone")
    MlflowClient(stores[0]).delete_run(next(each.run_id for each in first.result.callbacks if isinstance(each, MLflow)))
    third = training(callbacks=trackers("a", stores[0]))
    third.load_state(state)
    assert_all_epochs_are_in(third.run().callbacks, stores[0])


def test_a_callback_that_ends_a_training_before_it_begins_leaves_nothing_to_keep():
    class Stopping(Callback):
        def begin(self, ctx):
            ctx.stop()

    with pytest.raises(ParameterError, match="a callback ended the training before its first epoch: there are no weights"):
        training(callbacks=(Stopping(),)).run()


def test_a_callback_that_cannot_go_on_is_named():
    class Failing(Callback):
        def state(self):
            return {"x": 1}

        def load_state(self, state):
            return state["missing"]

    first = training(callbacks=(Failing(),))
    first.call("begin")
    first.run_epoch()
    with pytest.raises(ParameterError, match="callback Failing cannot go on from its state: KeyError: 'missing'"):
        training(callbacks=(Failing(),)).load_state(first.state())


def test_equal_values_do_not_prolong_a_training_and_the_last_of_them_is_kept():
    ctx = training(max_epochs=6, monitor="score", patience=2)
    ctx.call("begin")
    found = []
    for value in [0.5, 0.2, 0.2, 0.2]:
        ctx.monitored = lambda name, value=value: value
        ctx.run_epoch()
        found.append(ctx.goes_on)
    assert found == [True, True, True, False]
    assert ctx.finish().best_epoch == 4


def test_the_rate_that_callbacks_see_is_that_of_the_step_under_way():
    class Rates(Callback):
        def begin(self, ctx):
            self.rates = []

        def batch_begin(self, ctx):
            self.rates.append(ctx.lr)

        def batch_end(self, ctx):
            assert ctx.lr == self.rates[-1]

    result = training(callbacks=(Rates(),), schedule="linear", warmup=0.0, max_epochs=2).run()
    rates = result.callbacks[0].rates
    assert rates == pytest.approx([0.05 * (1 - 0.99 * (i + 1) / len(rates)) for i in range(len(rates))])


def test_what_a_training_puts_into_an_argument_is_not_the_recipes():
    class Noting(Callback):
        def __init__(self, epochs):
            self.epochs = epochs

        def epoch_end(self, ctx):
            self.epochs.append(ctx.epoch)

    epochs = []
    learner = ol.learner("linear", max_epochs=2, callbacks=[Noting(epochs)])
    models = [learner.fit(example_tasks()["number"], progress=False) for _ in range(2)]
    assert [model.callbacks[0].epochs for model in models] == [[1, 2], [1, 2]]
    assert epochs == []
    assert models[0].to_bytes() == models[1].to_bytes()


@pytest.mark.parametrize(
    ("name", "stage"), [("on_epoch_end", "epoch_end"), ("epochend", "epoch_end"), ("on_train_begin", "begin")]
)
def test_a_method_that_nobody_would_call_is_refused(name, stage):
    kind = type("Own", (Callback,), {name: lambda self, ctx: None})
    with pytest.raises(ParameterError, match=f"callback Own has {name}, which is never called: the stage is called {stage}"):
        training(callbacks=(kind(),))


def test_callbacks_come_back_from_other_processes():
    task = ol.example_task("penguins")
    result = ol.resample(task, ol.learner("linear", max_epochs=2, callbacks=["steps"]), ol.CV(folds=2), models=True, n_jobs=2)
    assert all(model.callbacks[0].rows for model in result.models)
