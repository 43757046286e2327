"""The folder of a training: whatever ended it, it goes on and comes to the same."""

import errno
import itertools
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import DataError, OutputError, ParameterError
from onnxlearn.files.outputs import PART
from onnxlearn.testing import example_tasks
from onnxlearn_cli import main
from onnxlearn_models.training import optimizers
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks.checkpoints import CheckpointWarning
from onnxlearn_models.training.callbacks.unfreeze import Unfreeze
from onnxlearn_models.training.checkpoint import DOCUMENT, KEY, CheckpointFile, read_safetensors, tensors_digest
from onnxlearn_models.training.folder import read_folder, training_folder
from onnxlearn_models.training.loop import Training
from tests.contract.quick_learners import TABLE_LEARNERS, quick

TRAINED = sorted(set(ol.learners()) - {"auto", "featureless"})


class Killed(BaseException):
    """Stands for the end of the process."""


class Killer(Callback):
    """Ends the training in the middle of an epoch."""

    recorded = False

    def __init__(self, epoch, skipped=0):
        self.epoch, self.left = epoch, skipped

    def after_backward(self, ctx):
        if ctx.epoch == self.epoch:
            self.left -= 1
            if self.left < 0:
                raise Killed


class Counting(Callback):
    """Counts the epochs of one process."""

    recorded = False

    def __init__(self):
        self.n = 0

    def epoch_end(self, ctx):
        self.n += 1


class Stopping(Callback):
    """Ends the training after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def epoch_end(self, ctx):
        if ctx.epoch == self.epoch:
            ctx.stop()


def task(name="two", columns="mixed"):
    return example_tasks(columns=columns)[name]


def linear(**settings):
    return ol.learner("linear", **{"max_epochs": 6, "batch_size": 10, "patience": None, "checkpoint_every": 1, **settings})


def fit(learner, folder, data=None, **options):
    """The model, and the number of epochs that were trained for it now."""
    model = learner.replace(callbacks=(*learner.values["callbacks"], Counting())).fit(
        data or task(), folder=folder, progress=False, **options
    )
    return model, model.callbacks[-1].n


def kill(learner, folder, epoch):
    """Begin a training that ends in the middle of an epoch."""
    with pytest.raises(Killed):
        learner.replace(callbacks=(*learner.values["callbacks"], Killer(epoch))).fit(task(), folder=folder, progress=False)


@pytest.mark.parametrize("name", TRAINED)
def test_a_killed_training_comes_to_the_same_file(name, tmp_path):
    settings = {"batch_size": 8, "checkpoint_every": 1, "patience": None}
    data = task(columns="mixed" if name in TABLE_LEARNERS else "images")
    if name == "ensemble":
        first, second = (quick(member, **settings).replace(max_epochs=4) for member in ("mlp", "tabm"))
        recipe = ol.learner(name, members=[first, second], max_epochs=4)
        dying = recipe.replace(members=[first, second.replace(callbacks=[Killer(3, 1)])])
    else:
        recipe = quick(name, **settings).replace(max_epochs=4)
        dying = recipe.replace(callbacks=[Killer(3, 1)])
    # Several networks are trained at once where nothing is kept of them.
    kept = tmp_path / "undisturbed" if name in ("bagging", "ensemble") else None
    undisturbed = recipe.fit(data, folder=kept, progress=False).to_bytes()
    with pytest.raises(Killed):
        dying.fit(data, folder=tmp_path / "killed", progress=False)
    checkpoints = read_folder(tmp_path / "killed").networks
    assert checkpoints[max(checkpoints)].epoch == 2
    # Random numbers from elsewhere must not matter.
    torch.manual_seed(17)
    for _ in range(2):
        assert recipe.fit(data, folder=tmp_path / "killed", progress=False).to_bytes() == undisturbed


VARIANTS = [
    *({"optimizer": name} for name in optimizers if name not in ("lbfgs", "schedule_free")),
    # With its lr of 1 it may diverge on so few rows.
    {"optimizer": "lbfgs", "ema": 0.0, "lr": 0.1},
    {"optimizer": "schedule_free", "ema": 0.0, "schedule": "constant", "warmup": 0.0},
    {"optimizer": torch.optim.Adamax},
    {"schedule": "plateau", "schedule_patience": 0, "schedule_threshold": 1.0},
    {"schedule": "one_cycle", "optimizer": "sgd"},
    {"schedule": "multiplicative", "schedule_function": lambda epoch: 0.9},
    {"swa": 0.3, "norm": "batch"},
    {"callbacks": [Unfreeze("*head*", epoch={2: "*"}, batch={15: "*"})]},
    {"dropout_schedule": "fade", "weight_decay_schedule": "fade", "mixup": 0.3, "l1": 1e-3},
    {"precision": "bf16"},
    {"sampling": "balanced", "subsample": 0.7},
    {"sampling": "stratified", "oversample": 1.0, "measures": ["auc"], "monitor": "auc", "eval_every": 2},
    {"accumulate": 3, "grad_clip": 0.5, "freeze": ["*0*bias"]},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda settings: "-".join(settings))
def test_a_killed_training_comes_to_the_same_weights_with_all_settings(settings, tmp_path):
    def trained(file, *killers):
        learner = ol.learner("mlp", **{**common, **settings, "callbacks": [*settings.get("callbacks", ()), *killers]})
        prepared = learner.prepare(*task().split(0.3, 0))
        network = learner.train_prepared(prepared, checkpoint=file, progress=False)
        return network.module.state_dict(), network.result.epochs

    common = {
        "d_block": 8,
        "batch_size": 6,
        "max_epochs": 4,
        "patience": None,
        "checkpoint_every": 1,
        "device": "cpu",
        "n_threads": 1,
    }
    undisturbed, history = trained(None)
    file = CheckpointFile(tmp_path / "network-1.safetensors")
    with pytest.raises(Killed):
        trained(file, Killer(3))
    assert file.read().epoch == 2
    resumed, same_history = trained(file)
    assert same_history == history
    for name, tensor in undisturbed.items():
        assert torch.equal(resumed[name], tensor), name


def test_a_finished_training_gives_its_model_at_once(tmp_path):
    first, n_first = fit(linear(), tmp_path)
    second, n_second = fit(linear(), tmp_path)
    assert (n_first, n_second) == (6, 0)
    assert first.to_bytes() == second.to_bytes() == linear().fit(task(), progress=False).to_bytes()


def test_a_finished_training_goes_on_with_more_epochs_and_says_so(tmp_path):
    fit(linear(), tmp_path)
    kill(linear(max_epochs=9), tmp_path, 8)
    model, n = fit(linear(max_epochs=9), tmp_path)
    assert n == 2
    assert model.metadata["training"]["epochs"] == 9
    assert "training: up to epoch 6 it had max_epochs=6" in model.metadata["notes"]
    # The course of the learning rate is that of 9 epochs from there on.
    lr = model.metadata["training"]["history"]["lr"]
    assert lr[6] > lr[5]
    straight = linear(max_epochs=9).fit(task(), progress=False).metadata["training"]["history"]["lr"]
    assert lr[6:] == straight[6:]
    with pytest.raises(ParameterError, match=r"max_epochs=8, and the training in .* has had 9 epochs: give as many at least"):
        fit(linear(max_epochs=8), tmp_path)


def test_patience_that_is_longer_now_gives_what_it_would_have_given(tmp_path):
    # Steps of no size are never better.
    short, long = (linear(max_epochs=20, patience=patience, lr=1e-12, ema=0.0, min_delta=1.0) for patience in (2, 4))
    stopped, n = fit(short, tmp_path)
    assert (stopped.metadata["training"]["stopped"], n) == ("patience", 3)
    assert fit(short, tmp_path)[1] == 0
    longer, n = fit(long, tmp_path)
    assert n == 2
    assert longer.to_bytes() == long.fit(task(), progress=False).to_bytes()


def test_a_training_whose_time_was_up_goes_on_with_more_time(tmp_path):
    model, n = fit(linear(time_budget=1e-9), tmp_path)
    assert (model.metadata["training"]["stopped"], n) == ("time", 1)
    assert fit(linear(time_budget=1e-9), tmp_path)[1] == 0
    model, n = fit(linear(time_budget=600.0), tmp_path)
    assert n == 5
    assert any("after an epoch that was cut short" in note for note in model.metadata["notes"])


def test_a_training_that_a_callback_stopped_goes_on_without_it(tmp_path):
    stopping = linear(callbacks=[Stopping(2)])
    assert fit(stopping, tmp_path)[1] == 2
    model, n = fit(stopping, tmp_path)
    assert (model.metadata["training"]["stopped"], n) == ("callback", 0)
    model, n = fit(linear(), tmp_path)
    assert n == 4
    assert any("up to epoch 2 it had callbacks=" in note for note in model.metadata["notes"])


def test_where_to_compute_and_what_only_watches_may_be_others(tmp_path):
    kill(linear(checkpoint_every=1, n_threads=1, device="cpu"), tmp_path, 3)
    model, n = fit(linear(checkpoint_every=2), tmp_path)
    assert n == 4
    assert model.to_bytes() == linear().fit(task(), progress=False).to_bytes()


@pytest.mark.parametrize(
    ("other", "data", "difference"),
    [
        (
            {"lr": 0.5, "grad_clip": 1.0},
            "two",
            "it has grad_clip=None, not 1.0, lr=0.05, not 0.5; give another",
        ),
        ({"seed": 3}, "two", "it has seed=0, not 3"),
        ({}, "number", "its task is 'mixed two' with 60 rows, not 'mixed number' with 60"),
        (None, "two", "its learner is 'linear', not 'mlp'"),
    ],
)
def test_a_folder_of_another_training_is_refused(other, data, difference, tmp_path):
    kill(linear(), tmp_path, 3)
    before = (tmp_path / "network-1.safetensors").read_bytes()
    learner = linear(**other) if other is not None else ol.learner("mlp", max_epochs=6)
    with pytest.raises(ParameterError, match=f"holds another training: {difference}"):
        learner.fit(task(data), folder=tmp_path, progress=False)
    assert (tmp_path / "network-1.safetensors").read_bytes() == before


def test_other_rows_are_another_training(tmp_path):
    kill(linear(), tmp_path, 3)
    rows = task().select(np.arange(task().n_rows)[::-1])
    with pytest.raises(ParameterError, match=r"has as many rows, .* but others, or other columns or roles"):
        linear().fit(rows, folder=tmp_path, progress=False)


def test_code_that_was_changed_is_another_training(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self, n_num, n_outputs):
            super().__init__()
            self.layer = nn.Linear(n_num, n_outputs)

        def forward(self, num):
            return self.layer(num)

    def recipe(offset):
        def make(n_num, n_outputs):
            network = Wrapped(n_num, n_outputs)
            nn.init.constant_(network.layer.bias, offset)
            return network

        return ol.learner(make, max_epochs=2)

    recipe(0.0).fit(task(), folder=tmp_path, progress=False)
    with pytest.raises(ParameterError, match="the code of what the learner was given is another"):
        recipe(1.0).fit(task(), folder=tmp_path, progress=False)


def test_a_training_whose_first_epoch_never_ended_makes_room_for_another(tmp_path):
    kill(linear(lr=0.5), tmp_path, 1)
    assert (tmp_path / DOCUMENT).exists()
    assert fit(linear(), tmp_path)[1] == 6


def test_what_cannot_be_a_training_folder_is_refused_before_the_first_batch(tmp_path):
    learner = linear(callbacks=[Killer(1)])
    (tmp_path / "file").write_text("text")
    with pytest.raises(OutputError, match="a file is where a folder has to be"):
        learner.fit(task(), folder=tmp_path / "file", progress=False)
    with pytest.raises(OutputError, match="holds other files, 'file': give a new or an empty folder"):
        learner.fit(task(), folder=tmp_path, progress=False)
    with pytest.raises(DataError, match="is no training folder: it has no training"):
        read_folder(tmp_path)
    with pytest.raises(ParameterError, match="'featureless' trains nothing that a folder could keep"):
        ol.learner("featureless").fit(task(), folder=tmp_path / "new")


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_batch(tmp_path, monkeypatch):
    # Root may write everywhere: what the system says of a read-only disk.
    def refuse(self, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match="the disk is read-only; choose another place"):
        linear(callbacks=[Killer(1)]).fit(task(), folder=tmp_path / "new", progress=False)


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    class Second(Callback):
        recorded = False

        def epoch_end(self, ctx):
            with pytest.raises(OutputError, match="another process trains in the folder"):
                linear().fit(task(), folder=tmp_path, progress=False)

    linear(callbacks=[Second()], max_epochs=1).fit(task(), folder=tmp_path, progress=False)


def test_what_killed_processes_left_half_written_is_removed(tmp_path):
    kill(linear(), tmp_path, 3)
    leftover = tmp_path / ".network-1.safetensors.12345678.part"
    leftover.write_bytes((tmp_path / "network-1.safetensors").read_bytes()[:500])
    assert list(read_folder(tmp_path).networks) == [1]
    assert fit(linear(), tmp_path)[1] == 4
    assert not leftover.exists()


def test_a_damaged_file_is_named(tmp_path):
    kill(linear(), tmp_path, 3)
    file = tmp_path / "network-1.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"network-1.safetensors' cannot be read .* without it this network is trained anew"):
        linear().fit(task(), folder=tmp_path, progress=False)
    file.unlink()
    assert fit(linear(), tmp_path)[1] == 6


def test_a_flipped_bit_is_noticed(tmp_path):
    kill(linear(), tmp_path, 3)
    file = tmp_path / "network-1.safetensors"
    contents = bytearray(file.read_bytes())
    contents[-3] ^= 1
    file.write_bytes(contents)
    with pytest.raises(DataError, match="is damaged: its tensors are not those that were written"):
        linear().fit(task(), folder=tmp_path, progress=False)


@pytest.mark.parametrize("contents", ["{", "{}", "[]", '{"format_version": 1}'])
def test_a_damaged_description_is_told_with_a_way_out(contents, tmp_path):
    kill(linear(), tmp_path, 3)
    (tmp_path / DOCUMENT).write_text(contents)
    with pytest.raises(DataError, match=r"training.json' is damaged .* put back what it was, or train in another folder"):
        linear().fit(task(), folder=tmp_path, progress=False)


def test_other_test_rows_that_choose_the_epoch_are_another_training(tmp_path):
    data = task()
    (train, one), (_, other) = data.split(0.3, 0), data.split(0.3, 1)
    learner = linear(validation="test")
    learner.fit(train, test=one, folder=tmp_path, progress=False)
    with pytest.raises(ParameterError, match="other test rows chose its epochs"):
        learner.replace(max_epochs=7).fit(train, test=other, folder=tmp_path, progress=False)
    assert learner.replace(max_epochs=7).fit(train, test=one, folder=tmp_path, progress=False)


@pytest.mark.parametrize("folder", [3, "", ["runs"]])
def test_what_is_no_path_is_refused(folder):
    with pytest.raises(ParameterError, match="folder is the path of a folder, new or of this training, not"):
        linear().fit(task(), folder=folder, progress=False)


def test_a_training_that_is_over_can_be_read_where_nobody_may_write(tmp_path, monkeypatch):
    model, _ = fit(linear(), tmp_path)
    (tmp_path / ".lock").unlink()
    # Whoever may do everything is let in anyway: only a disk that is read-only stops the administrator.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    again, n = fit(linear(), tmp_path)
    assert (again.to_bytes(), n) == (model.to_bytes(), 0)
    assert not (tmp_path / ".lock").exists()


def test_a_checkpoint_of_another_version_is_refused_where_it_does_not_fit(tmp_path):
    kill(linear(), tmp_path, 3)
    file = tmp_path / "network-1.safetensors"
    tensors, metadata = read_safetensors(file)
    fewer = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    about = {**json.loads(metadata[KEY]), "sha256": tensors_digest(fewer)}
    file.write_bytes(save(fewer, {KEY: json.dumps(about)}))
    with pytest.raises(DataError, match=r"does not fit this training: onnxlearn .* wrote it, and this is"):
        linear().fit(task(), folder=tmp_path, progress=False)
    newer = {KEY: json.dumps({**json.loads(metadata[KEY]), "format_version": 99})}
    file.write_bytes(save(tensors, newer))
    with pytest.raises(DataError, match="has format 99, which is newer than this onnxlearn: update it"):
        linear().fit(task(), folder=tmp_path, progress=False)


class FullDisk(Callback):
    """No file may be larger than a kilobyte during some epochs."""

    recorded = False

    def __init__(self, first, last):
        self.first, self.last = first, last

    def epoch_begin(self, ctx):
        limit = 1000 if self.first <= ctx.epoch <= self.last else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def exit(self, ctx):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_full_disk_loses_neither_the_training_nor_the_checkpoint_before(tmp_path):
    with (
        pytest.warns(CheckpointWarning, match="without the checkpoint of epoch 3; one before it stays") as warned,
        pytest.raises(Killed),
    ):
        linear(callbacks=[FullDisk(3, 5), Killer(5)]).fit(task(), folder=tmp_path, progress=False)
    assert len(warned) == 1
    assert read_folder(tmp_path).networks[1].epoch == 2
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    with pytest.warns(CheckpointWarning, match="epoch 3"):
        model = linear(callbacks=[FullDisk(3, 5)]).fit(task(), folder=tmp_path, progress=False)
    assert read_folder(tmp_path).networks[1].epoch == 6, "later ones are tried"
    assert model.to_bytes() == linear().fit(task(), progress=False).to_bytes()


@pytest.mark.parametrize("keep", [False, True])
def test_an_interrupted_training_goes_on(keep, tmp_path):
    class Interrupting(Callback):
        recorded = False

        def batch_end(self, ctx):
            if ctx.epoch == 4:
                raise KeyboardInterrupt

    learner = linear(callbacks=[Interrupting()])
    if keep:
        model = learner.fit(task(), folder=tmp_path, keep_on_interrupt=True, progress=False)
        assert model.metadata["training"]["stopped"] == "interrupted"
    else:
        with pytest.raises(KeyboardInterrupt):
            learner.fit(task(), folder=tmp_path, progress=False)
    model, n = fit(linear(), tmp_path)
    assert n == 3
    assert model.to_bytes() == linear().fit(task(), progress=False).to_bytes()


def test_networks_that_are_finished_are_not_trained_again(tmp_path):
    bagging = ol.learner("bagging", base=linear(), n_folds=3)
    undisturbed = bagging.fit(task(), folder=tmp_path / "undisturbed", progress=False)
    tmp_path /= "killed"
    with pytest.raises(Killed):
        bagging.replace(callbacks=[KillerOfSecond()]).fit(task(), folder=tmp_path, progress=False)
    assert {number: each.epoch for number, each in read_folder(tmp_path).networks.items()} == {1: 6, 2: 2}
    before = (tmp_path / "network-1.safetensors").read_bytes()
    assert bagging.fit(task(), folder=tmp_path, progress=False).to_bytes() == undisturbed.to_bytes()
    assert (tmp_path / "network-1.safetensors").read_bytes() == before
    with pytest.raises(ParameterError, match="it has n_folds=3, not 2"):
        bagging.replace(n_folds=2).fit(task(), folder=tmp_path, progress=False)


class KillerOfSecond(Callback):
    """Ends the training of the second network."""

    recorded = False

    def batch_end(self, ctx):
        if ctx.config.seed == 1 and ctx.epoch == 3:
            raise Killed


def test_a_state_that_cannot_be_kept_is_refused_before_the_first_batch(tmp_path):
    class Odd(Callback):
        def state(self):
            return {"seen": {1, 2}}

    with pytest.raises(ParameterError, match=r"'callback.Odd.seen' of the training's state is neither"):
        linear(callbacks=[Odd(), Killer(1)]).fit(task(), folder=tmp_path, progress=False)


def test_states_of_callbacks_come_back(tmp_path):
    class Collecting(Callback):
        def begin(self, ctx):
            self.losses = getattr(self, "losses", [])
            self.best = getattr(self, "best", float("inf"))

        def epoch_end(self, ctx):
            self.losses.append(ctx.history[-1].train_loss)

        def state(self):
            return {"losses": self.losses, "best": self.best}

        def load_state(self, state):
            self.losses, self.best = state["losses"], state["best"]

    kill(linear(callbacks=[Collecting()]), tmp_path, 3)
    model, _ = fit(linear(callbacks=[Collecting()]), tmp_path)
    collecting = model.callbacks[0]
    assert collecting.losses == model.metadata["training"]["history"]["train_loss"]
    assert collecting.best == float("inf")


def test_checkpoints_are_written_as_often_as_asked_for(tmp_path):
    class Looking(Callback):
        recorded = False

        def __init__(self):
            self.seen = []

        def epoch_begin(self, ctx):
            found = read_folder(tmp_path / str(ctx.config.checkpoint_every)).networks
            self.seen.append(found[1].epoch if found else 0)

    def seen(every):
        learner = linear(checkpoint_every=every, callbacks=[Looking()], max_epochs=5)
        return learner.fit(task(), folder=tmp_path / str(every), progress=False).callbacks[0].seen

    assert seen(1) == [0, 1, 2, 3, 4]
    assert seen(2) == [0, 0, 2, 2, 4]
    assert seen(None)[:2] == [0, 1]
    assert {folder.name: read_folder(folder).networks[1].epoch for folder in tmp_path.iterdir()} == {"1": 5, "2": 5, "None": 5}


@pytest.mark.parametrize("name", ["entity_mlp", "linear"])
def test_the_weights_of_a_folder_are_the_best_ones(name, tmp_path):
    learner = quick(name, checkpoint_every=1).replace(max_epochs=5)
    prepared = learner.prepare(*task().split(0.3, 0))
    with training_folder(tmp_path, learner, task()) as files:
        network = learner.train_prepared(prepared, checkpoint=files(1), progress=False)
    found = read_folder(tmp_path).networks[1]
    assert found.best_epoch == network.result.best_epoch
    assert [epoch["train_loss"] for epoch in found.history] == [epoch.train_loss for epoch in network.result.epochs]
    # Rows of tables for codes without training rows are set when the best weights are put in place.
    shipped = {
        key: value for key, value in network.module.state_dict().items() if "embedding" not in key and "tables" not in key
    }
    assert shipped
    for key, value in shipped.items():
        torch.testing.assert_close(found.weights()[key], value, rtol=0, atol=0)


def test_a_process_that_is_killed_loses_little(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = {"max_epochs": 30, "patience": None, "checkpoint_every": 1, "d_block": 8, "batch_size": 16, "n_threads": 1}
    line = ["fit", "example:penguins", "--target", "species", "--folder", "runs/a"]
    line += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    repository = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(repository / part) for part in ("", "models", "cli"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "onnxlearn_cli", *line], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not Path("runs/a/network-1.safetensors").exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert not Path("model.onnx").exists()
    assert 1 <= read_folder("runs/a").networks[1].epoch < 30
    assert main(line) == 0
    assert "the training in runs/a goes on" in capsys.readouterr().err
    undisturbed = ol.learner("mlp", **settings).fit(ol.example_task("penguins"), progress=False)
    assert Path("model.onnx").read_bytes() == undisturbed.to_bytes()


def test_interrupted_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def interrupt(training):
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "run_epoch", interrupt)
    assert main(["fit", "example:penguins", "--target", "species", "--folder", "kept"]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "onnxlearn: interrupted; the same command goes on with the training in kept"


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_nothing(tmp_path, monkeypatch):
    import kept_runs  # which takes seconds

    draws = random.Random(0)
    # The server of processes does not look where this process imports from.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kept_runs"])
    kills = dict.fromkeys(kept_runs.RECIPES, 0)
    expected, seconds = {}, {}
    for name in kills:
        # The first one also waits for the imports.
        seconds[name] = min(
            kept_runs.timed(context, name, tmp_path / f"{name}-{i}", tmp_path / f"{name}.onnx") for i in range(3)
        )
        expected[name] = (tmp_path / f"{name}.onnx").read_bytes()
    for n in itertools.count():
        name = min(kills, key=kills.__getitem__)
        folder, out = tmp_path / f"run-{n}", tmp_path / f"run-{n}.onnx"
        while not out.exists():
            process = context.Process(target=kept_runs.run, args=(name, folder, out))
            process.start()
            process.join(draws.uniform(0, 1.2) * seconds[name])
            kills[name] += process.is_alive()
            process.kill()
            process.join()
            if (folder / DOCUMENT).exists():
                read_folder(folder)
        assert out.read_bytes() == expected[name]
        assert not list(folder.glob(f".*{PART}"))
        if sum(kills.values()) >= 50:
            break


def test_a_table_that_chooses_the_epoch_belongs_to_the_training(tmp_path):
    train, valid = task().split(0.3, 0)
    learner = linear(validation=valid.frame)
    model, n = fit(learner, tmp_path, train)
    assert (fit(learner, tmp_path, train)[0].to_bytes(), n) == (model.to_bytes(), 6)
    with pytest.raises(ParameterError, match="holds another training: it has validation="):
        linear(validation=valid.frame[:-1]).fit(train, folder=tmp_path, progress=False)
