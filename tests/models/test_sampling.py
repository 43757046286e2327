"""Samplers: which rows an epoch trains on."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.mlp import MLP
from onnxlearn_models.training import samplers
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.sampling import Drawing, Population, balanced, even_sizes, shuffled, stratified, weighted

QUICK = {"max_epochs": 2, "d_block": 8, "device": "cpu", "validation": None}


def classes_of(*counts):
    """Codes of classes with so many rows each, mixed."""
    codes = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))]


def population(*counts, **options):
    return Population(n_rows=sum(counts), classes=classes_of(*counts), **options)


def per_class(rows, drawn):
    return torch.bincount(rows.classes[drawn], minlength=int(rows.classes.max()) + 1).tolist()


counts = st.lists(st.integers(1, 60), min_size=1, max_size=6)


def test_all_rows_are_shuffled_as_torch_shuffles_them():
    torch.manual_seed(3)
    expected = torch.randperm(50)
    torch.manual_seed(3)
    assert torch.equal(shuffled(population(40, 10)), expected)


@given(counts, st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_stratified_batches_have_every_classes_share(n, batch_size, seed):
    torch.manual_seed(seed)
    rows = population(*n, batch_size=batch_size)
    drawn = stratified(rows)
    assert sorted(drawn.tolist()) == list(range(sum(n)))
    sizes = even_sizes(sum(n), batch_size)
    for batch in torch.split(drawn, sizes):
        for found, all_rows in zip(per_class(rows, batch), n, strict=True):
            assert found in (all_rows // len(sizes), -(-all_rows // len(sizes)))


@given(counts, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_balanced_epochs_have_as_many_rows_of_every_class(n, seed):
    torch.manual_seed(seed)
    rows = population(*n)
    drawn = balanced(rows)
    found = per_class(rows, drawn)
    assert sum(found) == sum(n)
    assert max(found) - min(found) <= 1
    # No row of a class comes much more often than another one of it.
    times = torch.bincount(drawn, minlength=sum(n))
    for code in range(len(n)):
        of_class = times[rows.classes == code]
        assert int(of_class.max() - of_class.min()) <= 1


def test_a_class_without_rows_is_not_missed():
    rows = Population(n_rows=6, classes=torch.tensor([0, 0, 0, 0, 2, 2]))
    assert per_class(rows, balanced(rows)) == [3, 0, 3]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=40).filter(lambda values: sum(values) > 0.1), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_rows_come_as_often_as_they_weigh_rounded_up_or_down(values, seed):
    torch.manual_seed(seed)
    weights = torch.tensor(values, dtype=torch.float64)
    weights = weights / weights.mean()
    drawn = weighted(Population(n_rows=len(values), weights=weights))
    assert len(drawn) == len(values)
    times = torch.bincount(drawn, minlength=len(values)).double()
    assert bool((times >= (weights - 1e-9).floor()).all())
    assert bool((times <= (weights + 1e-9).ceil()).all())


def test_rows_come_as_often_as_they_weigh_on_average():
    torch.manual_seed(0)
    weights = torch.tensor([0.0, 0.25, 0.5, 1.25, 3.0], dtype=torch.float64)
    rows = Population(n_rows=5, weights=weights)
    times = sum(torch.bincount(weighted(rows), minlength=5) for _ in range(4000)).double() / 4000
    # Each is 0 or 1 beside its whole part: the standard error is at most 0.5 / sqrt(4000).
    torch.testing.assert_close(times, weights, atol=4 * 0.5 / 4000**0.5, rtol=0)


@pytest.mark.parametrize(
    ("oversample", "expected"), [(0.0, [60, 30, 4]), (0.25, [60, 30, 15]), (0.5, [60, 30, 30]), (1.0, [60, 60, 60])]
)
def test_small_classes_come_more_often_up_to_a_ratio(oversample, expected):
    rows = population(60, 30, 4, oversample=oversample)
    for sampler in (shuffled, stratified):
        drawn = sampler(rows)
        assert per_class(rows, drawn) == expected
        assert set(drawn.tolist()) == set(range(94)), "every row comes"


def test_a_subsample_has_other_rows_in_each_epoch():
    torch.manual_seed(0)
    rows = population(60, 40, subsample=0.3)
    first, second = shuffled(rows), shuffled(rows)
    for drawn in (first, second):
        assert len(set(drawn.tolist())) == 30
        assert per_class(rows, drawn) == [18, 12]
    assert set(first.tolist()) != set(second.tolist())
    times = sum(torch.bincount(shuffled(rows), minlength=100) for _ in range(2000)).double() / 2000
    torch.testing.assert_close(times, torch.full((100,), 0.3, dtype=torch.float64), atol=0.05, rtol=0)


def test_numbers_are_subsampled_without_classes():
    drawn = shuffled(Population(n_rows=100, subsample=0.25))
    assert len(drawn) == len(set(drawn.tolist())) == 25


class Rows(Callback):
    """Notes the targets and weights of every batch."""

    def begin(self, ctx):
        self.batches = []

    def batch_begin(self, ctx):
        self.batches.append((ctx.batch.target.clone(), None if ctx.batch.weight is None else ctx.batch.weight.clone()))


def batches_of(task, **options):
    learner = MLP(**{**QUICK, "callbacks": (Rows(),), **options})
    return learner.fit(task, progress=False).callbacks[0].batches


def frame(n=200, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"x": rng.normal(size=n), "y": np.where(rng.random(n) < 0.15, "a", "b"), "w": rng.integers(0, 9, n)})
    return table.assign(z=table["x"] * 3)


def task_of(target, **roles):
    return ol.Task.from_frame(frame(), target, ignore=sorted({"y", "z", "w"} - {target, *roles.values()}), **roles)


@pytest.mark.parametrize("sampling", ["balanced", "stratified"])
@pytest.mark.parametrize("name", ["mlp", "tabm"])
def test_batches_of_a_fit_have_the_shares_asked_for(sampling, name):
    task = task_of("y")
    share = 0.5 if sampling == "balanced" else float((task.truth() == 0).mean())
    learner = ol.learner(name, **{**QUICK, "callbacks": (Rows(),), "sampling": sampling, "batch_size": 50})
    batches = learner.fit(task, progress=False).callbacks[0].batches
    for epoch in (batches[:4], batches[4:]):
        # Members of tabm have batches of their own, [rows, members].
        rows = torch.cat([target.reshape(len(target), -1) for target, _ in epoch])
        assert rows.shape[0] == 200
        shares = (rows == 0).double().mean(dim=0)
        torch.testing.assert_close(shares, torch.full_like(shares, share), atol=0.006, rtol=0)
    if sampling == "stratified":
        in_batches = torch.cat([(t.reshape(len(t), -1) == 0).double().mean(dim=0) for t, _ in batches])
        assert float((in_batches - share).abs().max()) <= 1 / 50


def test_weights_that_rows_are_drawn_by_do_not_weigh_the_loss_too():
    task = task_of("y", weight="w")
    plain, drawn = batches_of(task), batches_of(task, sampling="weighted")
    assert all(weight is not None for _, weight in plain)
    assert all(weight is None for _, weight in drawn)
    share = float(task.weights()[task.truth() == 0].sum() / task.weights().sum())
    of_epoch = torch.cat([target for target, _ in drawn])[:200]
    assert float((of_epoch == 0).double().mean()) == pytest.approx(share, abs=0.006)


def test_drawing_by_weights_of_classes_is_drawing_in_balance():
    task = task_of("y")
    balanced, weighted = batches_of(task, sampling="balanced"), batches_of(task, sampling="weighted", class_weight="balanced")
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(balanced, weighted, strict=True))


def test_validation_rows_stay_as_they_are():
    task = task_of("y")

    class Valid(Callback):
        def begin(self, ctx):
            self.target = ctx.valid.target.clone()

    def valid(**options):
        return (
            MLP(**{**QUICK, "validation": 0.2, **options}, callbacks=(Valid(),)).fit(task, progress=False).callbacks[0].target
        )

    assert torch.equal(valid(), valid(sampling="balanced"))
    assert torch.equal(valid(), valid(oversample=1.0))


def test_steps_follow_the_rows_of_an_epoch():
    task = task_of("y")
    assert len(batches_of(task, batch_size=25)) == 2 * 8
    assert len(batches_of(task, batch_size=25, subsample=0.5)) == 2 * 4
    n = int((task.truth() == 1).sum())
    assert len(batches_of(task, batch_size=25, oversample=1.0)) == 2 * (2 * n // 25)


@pytest.mark.parametrize(
    "options", [{"sampling": "balanced"}, {"sampling": "stratified", "subsample": 0.7}, {"oversample": 0.8}]
)
def test_same_seed_same_file(options):
    task = task_of("y")
    files = [MLP(**QUICK, **options, seed=seed).fit(task, progress=False).to_bytes() for seed in (0, 0, 1)]
    assert files[0] == files[1] != files[2]
    assert MLP(**QUICK).fit(task, progress=False).to_bytes() != files[0]


@pytest.mark.parametrize(
    ("target", "options", "text"),
    [
        ("z", {"sampling": "balanced"}, "sampling='balanced' is for classification; this task is a regression"),
        ("z", {"sampling": "stratified"}, "sampling='stratified' is for classification"),
        ("z", {"oversample": 0.5}, "oversample=0.5 is for classification"),
        ("y", {"sampling": "weighted"}, "draws rows by their weights, and these have none"),
        ("y", {"sampling": "balanced", "oversample": 0.5}, "says itself how often a row comes: leave out oversample=0.5"),
        ("y", {"sampling": "balanced", "class_weight": "balanced"}, "would balance the classes twice"),
        ("y", {"oversample": 1.0, "class_weight": "balanced"}, "would balance the classes twice"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_first_batch(target, options, text):
    with pytest.raises(ParameterError, match=text):
        MLP(**QUICK, **options).prepare(task_of(target))


def test_regression_rows_are_drawn_by_their_weights():
    task = task_of("z", weight="w")
    drawn = torch.cat([target for target, _ in batches_of(task, sampling="weighted")])[:200]
    scaling = MLP(**QUICK).prepare(task).scaling
    expected = scaling.transform(np.average(task.truth(), axis=0, weights=task.weights())[None])
    # Rounding copies up or down moves the mean of 200 rows a little.
    assert float(drawn.mean()) == pytest.approx(float(expected[0, 0]), abs=0.1)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"subsample": 0.01}, "subsample=0.01 leaves 1: choose a larger share"), ({}, "choose a larger batch")],
)
def test_batch_norm_counts_the_rows_of_an_epoch(options, text):
    learner = ol.learner("mlp", norm="batch", batch_size=1, device="cpu", **options)
    with pytest.raises(ParameterError, match=text):
        learner.fit(example_tasks()["two"], progress=False)


def test_a_population_says_how_often_rows_come():
    rows = population(6, 3, subsample=0.5, oversample=1.0)
    found = dict(zip(rows.classes.tolist(), rows.copies.tolist(), strict=True))
    assert found == {0: 0.5, 1: 1.0}
    assert dataclasses.replace(rows, subsample=1.0, oversample=0.0).copies is None
    assert len(list(itertools.chain(shuffled(rows)))) == 6


def latest(rows, *, share: float = 0.5):
    """The last rows of the table alone."""
    n = round(share * rows.n_rows)
    return rows.n_rows - n + torch.randperm(n)


def numbers_of(task, **options):
    """The rows of each epoch by their numbers: a feature counts them."""
    batches = batches_of(task, batch_size=10, max_epochs=2, target_scaler="none", **options)
    rows = torch.cat([target for target, _ in batches]).reshape(2, -1).long()
    return [sorted(set(epoch.tolist())) for epoch in rows]


def counted():
    return ol.Task.from_frame(pd.DataFrame({"x": np.linspace(0, 1, 40), "z": np.arange(40.0)}), "z")


def test_a_function_of_ones_own_draws_the_rows():
    assert numbers_of(counted(), sampling=latest, sampling_share=0.25) == [list(range(30, 40))] * 2
    model = MLP(**QUICK, sampling=latest).fit(counted(), progress=False)
    params = model.metadata["learner"]["params"]
    assert (params["sampling"], params["sampling_share"]) == (f"{__name__}:latest", 0.5)


def test_a_decorator_makes_a_function_a_choice(monkeypatch):
    monkeypatch.setitem(samplers, "latest", Drawing(make=latest))
    assert samplers.register("latest")(latest) is latest
    assert numbers_of(counted(), sampling="latest") == [list(range(20, 40))] * 2
    learner = MLP(**QUICK, sampling="latest", sampling_share=0.25)
    assert next(each for each in learner.params if each.name == "sampling_share").default == 0.5
    with pytest.raises(ParameterError, match="it is a setting of sampling='latest'; here sampling='shuffled'"):
        MLP(**QUICK, sampling_share=0.25)


def test_a_choice_that_draws_by_weights_takes_them_out_of_the_loss(monkeypatch):
    monkeypatch.setitem(samplers, "heavy", Drawing(make=lambda rows: rows.weights.topk(100).indices, weighs=True))
    assert all(weight is None for _, weight in batches_of(task_of("y", weight="w"), sampling="heavy"))
    with pytest.raises(ParameterError, match="draws rows by their weights, and these have none"):
        batches_of(task_of("y"), sampling="heavy")


@pytest.mark.parametrize(
    ("draw", "options", "text"),
    [
        (lambda rows: list(range(5)), {}, "an int64 tensor .*; it gave list"),
        (lambda rows: torch.zeros(5), {}, r"it gave torch.float32 \[5\]"),
        (lambda rows: torch.arange(0), {}, r"it gave torch.int64 \[0\]"),
        (lambda rows: torch.arange(rows.n_rows) + 1, {}, "sampling gave row 200; there are 200, numbered from 0"),
        (lambda rows: torch.arange(5) - 1, {}, "sampling gave row -1"),
        (latest, {"subsample": 0.5}, "says itself how often a row comes: leave out subsample=0.5"),
        (latest, {"oversample": 0.5}, "says itself how often a row comes: leave out oversample=0.5"),
    ],
)
def test_what_a_function_must_not_give_is_refused_before_the_first_batch(draw, options, text):
    with pytest.raises(ParameterError, match=text):
        MLP(**QUICK, sampling=draw, **options).prepare(task_of("y"))


def test_epochs_of_a_function_have_the_same_number_of_rows():
    def growing(rows, seen=[0]):  # noqa: B006
        seen[0] += 1
        return torch.randperm(10 * seen[0])

    with pytest.raises(ParameterError, match="let all epochs have the same number"):
        batches_of(task_of("y"), sampling=growing)


def test_rows_drawn_by_their_weights_may_be_a_part_of_them():
    rows = Population(n_rows=50, weights=torch.ones(50), subsample=0.4)
    assert len(samplers["weighted"].make(rows)) == 20
