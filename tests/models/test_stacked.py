"""Several networks trained as one: each comes to what it comes to alone."""

import copy
import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.shake import ShakeDrop
from onnxlearn_models.many import in_groups, train_group
from onnxlearn_models.stacked.choice import MOST, is_quicker
from onnxlearn_models.stacked.lanes import Lanes, padding_mask
from onnxlearn_models.stacked.layers import FORMS, UnstackableError
from onnxlearn_models.stacked.network import stack
from onnxlearn_models.stacked.together import Together
from onnxlearn_models.stacked.vmapped import Vmapped
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.split import hold_out

QUICK = {"max_epochs": 4, "batch_size": 32, "device": "cpu"}
# Folds of 96, 96 and 95 rows, less a share for validation: some have a row more in a batch than others.
TASKS = example_tasks(143)
TASKS["count"] = ol.Task.from_frame(
    TASKS["number"].frame.assign(**{TASKS["number"].schema.target.names[0]: np.arange(143) % 7 + 1.0}),
    TASKS["number"].schema.target.names[0],
    type="regression",
)


def prepared_folds(learner, task, k=3):
    folds = task.folds(k, 0)
    for fold in range(k):
        train, valid = hold_out(task.select(folds != fold), learner.values["validation"], fold)
        recipe = learner.replace(seed=fold)
        yield recipe, recipe.prepare(train, valid)


def begun(learner, task, k=3):
    """The training of each fold, before its first step, and where its random numbers stand."""
    found = []
    for recipe, prepared in prepared_folds(learner, task, k):
        with prepared.generators.resumed():
            training = Training(**recipe.arguments(prepared, lambda epoch: None))
        found.append((training, prepared.generators))
    return found


def alone(learner, task, k=3):
    """Each trained alone, and where its random numbers stand after it."""
    trainings = begun(learner, task, k)
    for training, generators in trainings:
        with generators.resumed():
            training.run()
    return [training for training, _ in trainings], [generators.state for _, generators in trainings]


def together(learner, task, k=3):
    trainings = begun(learner, task, k)
    engine = Together([training for training, _ in trainings], [generators.state for _, generators in trainings])
    with torch.random.fork_rng():
        assert engine.start()
        engine.run()
    return engine, [training for training, _ in trainings]


def outputs(training):
    with torch.no_grad():
        return training.module(**training.valid.inputs if training.valid else training.train.inputs)


def assert_alike(one, other, tolerance):
    assert [epoch.number for epoch in one.history] == [epoch.number for epoch in other.history]
    for name in ("train_loss", "valid_loss", "lr", "valid_score"):
        first, second = ([getattr(epoch, name) for epoch in training.history] for training in (one, other))
        if first[0] is not None:
            np.testing.assert_allclose(first, second, rtol=tolerance, atol=tolerance)
    assert one.result.best_epoch == other.result.best_epoch
    assert one.result.stopped == other.result.stopped
    torch.testing.assert_close(outputs(one), outputs(other), rtol=tolerance, atol=tolerance)


# The gradient of a bias before batch norm is nothing but rounding, and Adam's steps do not depend on a gradient's size.
AFTER_NORM = 5e-3

RECIPES = {
    "plain": ("classes", ol.learner("mlp", num_embedding="none", dropout=0.0, ema=0.0, warmup=0.0), 1e-5),
    "default": ("classes", ol.learner("mlp"), 1e-5),
    "regression": ("numbers", ol.learner("mlp", lr=None), 1e-5),
    "weights": ("two", ol.learner("mlp", class_weight="balanced", label_smoothing=0.1), 1e-5),
    "no validation": ("number", ol.learner("mlp", validation=None), 1e-5),
    "quantiles": ("number", ol.learner("mlp", head="quantile", quantiles=(0.1, 0.5, 0.9)), 1e-5),
    "embeddings": ("two", ol.learner("mlp", cat_encoding="embedding", grad_clip=0.5, monitor="score"), 1e-5),
    "batch norm": ("classes", ol.learner("mlp", norm="batch", num_embedding="periodic", activation="prelu"), AFTER_NORM),
    "layer norm": ("number", ol.learner("mlp", norm="layer", num_embedding="piecewise_linear", optimizer="sgd"), 1e-5),
    "rms norm": ("classes", ol.learner("mlp", norm="rms", num_embedding="linear", l1=1e-4, l2=1e-3), 1e-5),
    "shared map": ("number", ol.learner("mlp", num_embedding="periodic", periodic_lite=True, linear_path=True), 1e-5),
    "faded": ("number", ol.learner("mlp", dropout_schedule="fade", weight_decay_schedule="fade", input_dropout=0.1), 1e-5),
    "plateau": ("number", ol.learner("mlp", schedule="plateau", schedule_patience=0, lr=0.05, optimizer="sgd"), 1e-4),
    "one cycle": ("two", ol.learner("mlp", schedule="one_cycle", warmup=0.0, optimizer="adam"), 1e-5),
    "rmsprop": ("two", ol.learner("mlp", optimizer="rmsprop"), 1e-4),
    "loss in units": ("count", ol.learner("mlp", loss="poisson"), 1e-4),
    "balanced rows": ("two", ol.learner("mlp", sampling="balanced", measures=("auc",), monitor="auc"), 1e-5),
    "frozen": ("two", ol.learner("mlp", freeze=("blocks.0.*",)), 1e-5),
    "swa": ("number", ol.learner("mlp", swa=0.25, norm="batch", optimizer="sgd", lr=0.01), 1e-4),
    "entity_mlp": ("two", ol.learner("entity_mlp", dropout=0.2, embedding_dropout=0.2), 1e-4),
    "deep_wide": ("classes", ol.learner("deep_wide"), 1e-4),
    "shaped_mlp": ("number", ol.learner("shaped_mlp", n_max=16), 1e-4),
    "shaped_resnet": ("two", ol.learner("shaped_resnet", n_max=16, optimizer="sgd"), 1e-3),
    "tab_resnet": ("number", ol.learner("tab_resnet", d_block=16, activation="reglu"), AFTER_NORM),
    "realmlp": ("two", ol.learner("realmlp", d_block=16), 1e-3),
    "linear": ("classes", ol.learner("linear"), 1e-5),
}


@pytest.mark.parametrize("name", RECIPES)
def test_networks_trained_as_one_are_those_trained_alone(name):
    task, learner, tolerance = RECIPES[name]
    narrow = {"d_block": 16} if learner.name == "mlp" else {}
    learner = learner.replace(**{**QUICK, **narrow, **({"batch_size": 40} if name == "no validation" else {})})
    singles, states = alone(learner, TASKS[task])
    engine, trainings = together(learner, TASKS[task])
    assert not isinstance(engine.network, Vmapped)
    for one, other in zip(singles, trainings, strict=True):
        assert_alike(one, other, tolerance)
    # They have drawn the same random numbers, not one more.
    for one, other in zip(states, engine.states, strict=True):
        assert torch.equal(one, other)


def test_each_stops_by_itself_and_leaves_the_others():
    learner = ol.learner("mlp", d_block=16, **{**QUICK, "max_epochs": 40}, patience=2, lr=0.02, ema=0.9)
    singles, states = alone(learner, TASKS["two"], 4)
    engine, trainings = together(learner, TASKS["two"], 4)
    assert len({len(training.history) for training in trainings}) > 2
    for one, other in zip(singles, trainings, strict=True):
        assert_alike(one, other, 1e-3)
    assert all(torch.equal(one, other) for one, other in zip(states, engine.states, strict=True))


def test_afterwards_each_network_has_memory_of_its_own():
    _, trainings = together(ol.learner("mlp", d_block=16, norm="batch", **QUICK), TASKS["two"])
    storages = {
        tensor.untyped_storage().data_ptr()
        for training in trainings
        for tensor in (training.optimizer.flat.values, *training.module.buffers())
    }
    assert len(storages) == sum(1 + len(list(training.module.buffers())) for training in trainings)
    for training in trainings:
        weight = next(training.module.parameters())
        before = weight.detach().clone()
        training.optimizer.flat.values.add_(1.0)
        torch.testing.assert_close(weight, before + 1)


class Own(nn.Module):
    """A network whose forward is written for rows alone."""

    def __init__(self, n_num, n_outputs, drop: float = 0.0):
        super().__init__()
        self.first, self.out = nn.Linear(n_num, 8), nn.Linear(8, n_outputs)
        self.norm = nn.BatchNorm1d(8)
        self.drop = drop

    def forward(self, num):
        x = torch.cat([torch.relu(self.norm(self.first(num)))], dim=1)
        return self.out(nn.functional.dropout(x[:, :8], self.drop, self.training))


def test_what_has_no_batched_form_is_run_by_torch_func():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(150, 4)), columns=list("abcy"))
    learner = ol.learner(Own, optimizer="sgd", lr=0.05, **QUICK)
    task = ol.Task.from_frame(frame, "y")
    singles, _ = alone(learner.replace(validation=None), task)
    engine, trainings = together(learner.replace(validation=None), task)
    assert isinstance(engine.network, Vmapped)
    for one, other in zip(singles, trainings, strict=True):
        assert_alike(one, other, 1e-4)
        torch.testing.assert_close(one.module.network.norm.running_var, other.module.network.norm.running_var)


def test_what_has_no_form_at_all_is_trained_one_by_one_as_if_nothing_had_been_tried():
    task = TASKS["number"]
    learner = ol.learner(Own, drop=0.3, **QUICK)
    trainings = begun(learner, task)
    engine = Together([training for training, _ in trainings], [generators.state for _, generators in trainings])
    assert not engine.start()
    networks = train_group(list(prepared_folds(learner, task)))
    singles, _ = alone(learner, task)
    for one, network in zip(singles, networks, strict=True):
        for mine, theirs in zip(one.module.state_dict().values(), network.module.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs)


class Twice(nn.Module):
    """A layer that stands in two places."""

    def __init__(self):
        super().__init__()
        self.a = self.b = nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([Twice(), Twice()], "stands in several places"),
        ([nn.Linear(2, 2), nn.Linear(2, 3)], "differ in weight"),
        ([nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.ReLU())], "differ in what stands at Linear"),
        ([nn.Embedding(3, 2, padding_idx=0), nn.Embedding(3, 2, padding_idx=0)], "Embedding with padding_idx=0"),
        ([nn.BatchNorm1d(2, affine=False)] * 2, "stands in several places|affine=False"),
    ],
)
def test_networks_that_cannot_be_stacked_say_why(networks, message):
    lanes = Lanes([torch.get_rng_state()] * 2)
    with pytest.raises(UnstackableError, match=message):
        stack(networks, lanes, lambda parameters: (torch.stack([p.detach() for p in parameters]), None))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(Dropout(0.3), (5, 7)), (Dropout(0.3), (5, 2, 7)), (nn.Dropout(0.4), (5, 7)), (ShakeDrop(0.5), (5, 7))],
    ids=repr,
)
def test_masks_are_those_that_each_model_draws_alone(layer, shape):
    n_rows, k = [5, 4, 5], 3
    states = [torch.Generator().manual_seed(seed).get_state() for seed in range(k)]
    lanes = Lanes(states)
    lanes.set_rows(n_rows, padding_mask(n_rows))
    layers = [copy.deepcopy(layer).train() for _ in range(k)]
    stacked = FORMS[type(layer)](copy.copy(layers[0]), layers, lanes).train()
    x = torch.rand(k, *shape)
    found = [stacked(x) for _ in range(2)]
    for i in range(k):
        with torch.random.fork_rng():
            torch.set_rng_state(states[i])
            for each in found:
                assert torch.equal(each[i, : n_rows[i]], layers[i](x[i, : n_rows[i]]))


def test_padding_counts_for_nothing_in_batch_norm():
    layers = [nn.BatchNorm1d(4).train() for _ in range(2)]
    own = copy.deepcopy(layers)
    lanes, n_rows = Lanes([torch.get_rng_state()] * 2), [6, 5]
    lanes.set_rows(n_rows, padding_mask(n_rows))
    stacked = stack(own, lanes, lambda parameters: (torch.stack([p.detach() for p in parameters]), None)).train()
    x = torch.randn(2, 6, 4)
    found = stacked(x)
    for i, (layer, n) in enumerate(zip(layers, n_rows, strict=True)):
        torch.testing.assert_close(found[i, :n], layer(x[i, :n]))
        torch.testing.assert_close(own[i].running_mean, layer.running_mean)
        torch.testing.assert_close(own[i].running_var, layer.running_var)
        assert own[i].num_batches_tracked == 1


def test_one_that_diverges_leaves_the_others_as_they_are():
    """The loss of one is infinite from the third epoch on."""
    learner = ol.learner("mlp", d_block=16, **QUICK)

    class Poison(Callback):
        stackable = True

        def epoch_begin(self, ctx):
            if ctx.epoch == 3 and ctx.config.seed == 1:
                ctx.optimizer.flat.values.fill_(float("nan"))

    learner = learner.replace(callbacks=(Poison(),))
    singles, _ = alone(learner, TASKS["two"])
    _, trainings = together(learner, TASKS["two"])
    assert [training.stopped for training in trainings] == [None, "diverged", None]
    for one, other in zip(singles, trainings, strict=True):
        assert_alike(one, other, 1e-5)
        assert one.result.why == other.result.why


def test_who_of_several_diverges_at_once_is_told():
    bagging = ol.learner("bagging", base=ol.learner("mlp", d_block=16), n_folds=3, lr=1e30, optimizer="sgd", **QUICK)
    with pytest.raises(ParameterError, match=r"^fold 1 of 3: the loss is not finite in epoch 1"):
        bagging.fit(TASKS["number"], progress=False)


@pytest.mark.parametrize("keep", [True, False])
def test_an_interruption_ends_all_with_their_best_weights(keep):
    class Interrupt(Callback):
        stackable = True

        def epoch_end(self, ctx):
            if ctx.epoch == 2 and ctx.config.seed == 1:
                raise KeyboardInterrupt

    recipe = ol.learner("ensemble", members=[ol.learner("mlp", d_block=16, callbacks=(Interrupt(),))], n_seeds=3, max_epochs=5)
    if not keep:
        with pytest.raises(KeyboardInterrupt):
            recipe.fit(TASKS["two"], progress=False)
        return
    model = recipe.fit(TASKS["two"], keep_on_interrupt=True, progress=False)
    members = model.metadata["training"]["members"]
    assert [member["stopped"] for member in members] == ["interrupted"] * 3
    assert [member["epochs"] for member in members] == [2, 2, 1]
    assert model.metadata["training"]["stopped"] == "interrupted"


class Watching(Callback):
    """Looks at every batch."""

    def batch_end(self, ctx):
        assert len(ctx.batch)


@pytest.mark.parametrize(
    "options",
    [
        {"d_block": 1024}, {"mixup": 0.2}, {"accumulate": 2}, {"callbacks": (Watching(),)}, {"fold_parallel": "never"},
        {"time_budget": 60.0},
    ],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_some_are_trained_one_by_one(options):
    learner = ol.learner("mlp", **{"d_block": 16, **options}, **{**QUICK, "max_epochs": 1})
    ready = list(prepared_folds(learner, TASKS["two"], 2))
    if "time_budget" in options:
        networks = train_group(ready)
        assert len(networks) == 2
    else:
        assert in_groups(ready) == [[0], [1]]
        assert learner.n_together(TASKS["two"]) == 1


def test_neighbours_of_one_form_are_trained_at_once():
    def prepare(**options):
        learner = ol.learner("mlp", **{"d_block": 16, **QUICK, **options})
        return learner, learner.prepare(TASKS["two"])

    narrow, wide = prepare(), prepare(d_block=24)
    assert in_groups([narrow, narrow, wide, narrow, wide, wide]) == [[0, 1], [2], [3], [4, 5]]
    assert [len(group) for group in in_groups([narrow] * 23)] == [7, 8, 8]
    assert is_quicker(narrow[1], MOST)
    assert not is_quicker(dataclasses.replace(narrow[1], config=dataclasses.replace(narrow[1].config, batch_size=4096)), MOST)


def test_an_ensemble_trained_as_one_is_that_of_its_members():
    given = {"n_seeds": 3, "max_epochs": 4}
    models = [
        ol.learner("ensemble", members=[ol.learner("mlp", d_block=16, fold_parallel=how)], **given).fit(
            TASKS["classes"], progress=False
        )
        for how in ("auto", "never", "auto")
    ]
    probs = [model.predict(TASKS["classes"]).prob for model in models]
    np.testing.assert_allclose(probs[0], probs[1], atol=1e-6)
    # How they were trained is no setting of what came of it.
    assert models[0].metadata["learner"] == models[1].metadata["learner"]
    assert models[0].to_bytes() == models[2].to_bytes()


def test_training_as_one_does_not_import_what_takes_long():
    code = """
import sys
import onnxlearn as ol
task = ol.Task.from_file("example:penguins", "species")
learner = ol.learner("mlp", d_block=16, max_epochs=1)
assert len(learner.fit_together([task, task], [None, None], ["a", "b"])) == 2
for name in ("torch._dynamo", "sympy", "rich"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", code], check=True)
