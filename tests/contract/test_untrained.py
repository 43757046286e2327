"""What no training row has trained reaches no prediction, and not the choice of the epoch either.

Which initial values are untrained is not listed here but measured: those whose gradient is exactly 0 over all training rows.
They are then changed, and nothing may move.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from quick_learners import GRAPH

from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.registry import learner_infos
from onnxlearn.task import Task
from onnxlearn_models import network_learner
from onnxlearn_models.mlp import MLP
from onnxlearn_models.network_learner import NetworkLearner

N_TRAIN, N_VALID = 120, 40
# tanh: its gradient vanishes nowhere, so that a gradient of 0 means that no row reaches the weight.
OPTIONS = {"max_epochs": 8, "d_block": 16, "activation": "tanh", "device": "cpu", "lr": 0.01, "min_level_rows": 1}
VALIDATION = tuple(range(N_TRAIN, N_TRAIN + N_VALID))


def example():
    """Columns whose later rows, the validation rows, hold what no training row holds."""
    rng = np.random.default_rng(0)
    n = N_TRAIN + N_VALID
    late = np.arange(n) >= N_TRAIN
    some = late & (rng.random(n) < 0.5)
    many = np.where(some, rng.choice(list("KLM"), n), rng.choice(list("abcdefghij"), n))
    few = np.where(some, "r", rng.choice(list("pq"), n))
    rank = np.where(some, "top", rng.choice(["low", "high"], n))
    day = pd.Series(pd.Timestamp("2001-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"))
    signal = rng.normal(size=n)
    return pd.DataFrame(
        {
            "many": pd.Categorical(many, [*"abcdefghijKLM", "never"]),
            "few": pd.Series(pd.Categorical(few, ["p", "q", "r", "never"])).mask(late & (rng.random(n) < 0.3)),
            "rank": pd.Categorical(rank, ["never", "low", "high", "top"], ordered=True),
            "signal": pd.Series(signal).mask(late & (rng.random(n) < 0.3)),
            "flag": pd.Series(rng.random(n) < 0.5, dtype="boolean").mask(late & (rng.random(n) < 0.3)),
            "day": day.mask(late & (rng.random(n) < 0.3)),
            "empty": np.where(some, 1.0, np.nan),
            "still": np.where(late, signal, 3.0),
            "still flag": some,
            "still day": np.where(some, day, pd.Timestamp("1999-09-09")),
            "class": np.where(signal + rng.normal(0, 0.5, n) > 0, "yes", "no"),
            "number": 1.7e9 + signal + rng.normal(0, 0.5, n),
        }
    )


def task_of(target):
    other = {"class": "number", "number": "class"}[target]
    return Task.from_frame(example(), target, ignore=other)


def untrained(module, rows, loss):
    """For each parameter which of its entries no training row moves, whatever the weights."""
    parameters = list(module.parameters())
    kept = [parameter.detach().clone() for parameter in parameters]
    moved = [torch.zeros_like(parameter, dtype=torch.bool) for parameter in parameters]
    module.eval()
    # Small weights too: large numbers times large weights are where tanh is flat. And several draws: a ReLU that some
    # networks end in hides what stands before it, but not every time.
    for std in (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.02, 0.02, 1e-3, 1e-5):
        with torch.no_grad():
            for parameter in parameters:
                parameter.normal_(0, std)
        module.zero_grad()
        loss(module(**rows.inputs), rows.target, rows.weight).backward()
        for parameter, found in zip(parameters, moved, strict=True):
            found |= parameter.grad != 0
    module.zero_grad()
    with torch.no_grad():
        for parameter, values in zip(parameters, kept, strict=True):
            parameter.copy_(values)
    return [~found for found in moved]


class Disturbance:
    """Changes untrained initial values before the training; notes which."""

    def __init__(self, patch):
        self.size, self.found = 0.0, {}
        self.train_network = network_learner.train_network
        patch.setattr(network_learner, "train_network", self)

    def __call__(self, module, train, valid, *, objective, **options):
        with torch.random.fork_rng(), torch.no_grad():
            with torch.enable_grad():
                masks = untrained(module, train, objective.train)
            for (name, parameter), mask in zip(module.named_parameters(), masks, strict=True):
                self.found[name] = mask
                parameter[mask] += self.size * torch.randn(int(mask.sum()))
        return self.train_network(module, train, valid, objective=objective, **options)


def fit_twice(patch, target, recipe=MLP, **options):
    """Two models of one recipe, whose untrained initial values differ, and what was found to be untrained."""
    usual = {name: value for name, value in OPTIONS.items() if name in recipe().values}
    learner = recipe(**{**usual, "validation": VALIDATION, **options})
    disturbance = Disturbance(patch)
    models = []
    for disturbance.size in (0.0, 5.0):
        models.append(learner.fit(task_of(target), progress=False))
    return models, disturbance.found


def outputs_of(model):
    """Outputs for all rows, for hostile ones, and for rows of a column's new values with the rest from training."""
    feeds = task_of(model.schema.target.names[0]).feeds()
    found = [model.predict_feeds(feeds), model.predict_feeds(hostile_feeds(model.schema, 200))]
    return [array for outputs in found for name, array in outputs.items() if name != "label"]


@pytest.mark.parametrize("target", ["class", "number"])
@pytest.mark.parametrize(
    "options",
    [
        {"cat_encoding": "onehot"},
        {"cat_encoding": "embedding"},
        {},
        {"num_embedding": "none", "norm": "layer", "linear_path": True},
        {"cat_encoding": "embedding", "ema": 0.0, "num_scaler": "quantile", "ordered_encoding": "categorical"},
        {"cat_encoding": "onehot", "num_scaler": "none", "num_impute": "mean", "norm": "batch"},
        {"optimizer": "sgd", "num_scaler": "minmax", "min_level_rows": 4},
    ],
    ids=str,
)
def test_untrained_initial_values_move_nothing(monkeypatch, target, options):
    models, found = fit_twice(monkeypatch, target, **options)
    for before, after in zip(*map(outputs_of, models), strict=True):
        np.testing.assert_array_equal(before, after)
    assert models[0].history.equals(models[1].history)
    assert models[0].metadata["training"]["best_epoch"] == models[1].metadata["training"]["best_epoch"]
    assert models[0].scores == models[1].scores
    assert sum(int(mask.sum()) for mask in found.values()) > 50


# Dropout of units is no question of being trained; weights that are not reached for another reason would blur the count.
OTHERS = {
    "deep_wide": {"layer_units": (8,)},
    "entity_mlp": {"layer_units": (8,)},
    "ft_transformer": {"n_blocks": 1, "attention_n_heads": 2, "batch_size": 32},
    "graph": {"graph": GRAPH},
    "linear": {},
    "multimodal": {"n_blocks": 1, "d_block": 16},
    "realmlp": {},
    "shaped_mlp": {"n_max": 16},
    "shaped_resnet": {"n_max": 16},
    "tab_resnet": {"n_blocks": 1},
    "tabm": {"n_members": 3},
    "tabm_mini": {"n_members": 3},
    "tabnet": {"n_steps": 2},
}


def test_every_network_is_tried():
    networks = {
        name for name, info in learner_infos().items() if issubclass(info.load(), NetworkLearner) and not info.needs_kind
    }
    assert networks - {"mlp", "module"} == set(OTHERS)


@pytest.mark.parametrize("encoding", ["onehot", "embedding"])
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_untrained_initial_values_of_every_network_move_nothing(monkeypatch, name, encoding):
    recipe = learner_infos()[name].load()
    models, found = fit_twice(monkeypatch, "class", recipe, **OTHERS[name], cat_encoding=encoding)
    for before, after in zip(*map(outputs_of, models), strict=True):
        np.testing.assert_array_equal(before, after)
    assert models[0].history.equals(models[1].history)
    assert sum(int(mask.sum()) for mask in found.values()) > 20


def test_what_was_changed(monkeypatch):
    """The measured set holds what it has to: one-hot columns, indicators, constant columns, vectors of absent codes."""
    models, found = fit_twice(monkeypatch, "class", cat_encoding="onehot", num_embedding="none")
    columns = models[0].schema.ingress.num_names
    still = {columns[i] for i in range(len(columns)) if found["blocks.0.weight"][:, i].all()}
    assert {
        "few=r", "few=never", "few:missing", "many=K", "many=never", "rank=top", "rank=never", "signal:missing", "flag:missing",
        "day:missing", "empty", "still", "still flag", "still day.year", "still day.elapsed", "still day.month_sin",
    } <= still  # fmt: skip
    assert not {"few=p", "few=q", "many=a", "rank=low", "signal", "flag", "day.elapsed"} & still

    monkeypatch.undo()
    models, found = fit_twice(monkeypatch, "class", cat_encoding="embedding")
    many = models[0].schema.ingress.cat_names.index("many")
    absent = torch.tensor([0, 1, *range(12, 16)])
    table = found[f"inputs.embedding.tables.{many}.weight"]
    assert table[absent].all()
    assert not table[2:12].any()


def test_without_settling_predictions_would_move(monkeypatch):
    monkeypatch.setattr(network_learner, "settle", lambda module, counts: None)
    models, _ = fit_twice(monkeypatch, "class", cat_encoding="embedding")
    assert not np.array_equal(outputs_of(models[0])[1], outputs_of(models[1])[1])
    assert not models[0].history.equals(models[1].history)


@pytest.mark.parametrize("encoding", ["onehot", "embedding"])
def test_levels_without_training_rows_are_unseen_ones(encoding):
    task = task_of("class")
    model = MLP(**OPTIONS, validation=VALIDATION, cat_encoding=encoding).fit(task, progress=False)
    rows = {name: array[:N_TRAIN] for name, array in task.feeds().items()}
    for column, absent in (("many", ["K", "never"]), ("few", ["r", "never"]), ("rank", ["top", "never"])):
        found = [
            model.predict_feeds({**rows, column: np.full((N_TRAIN, 1), level, object)})["probabilities"]
            for level in ["never heard of", *absent]
        ]
        assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("empty", [np.nan, 0.0, -1.7e308]),
        ("still", [3.0, np.nan, 1e9]),
        ("still flag", [0.0, 1.0, np.nan]),
        ("still day", [936_835_200_000_000, 0, -(2**63)]),
    ],
)
def test_a_column_that_stood_still_says_nothing(column, values):
    task = task_of("number")
    model = MLP(**OPTIONS, validation=VALIDATION).fit(task, progress=False)
    rows = {name: array[:N_TRAIN] for name, array in task.feeds().items()}
    found = [
        model.predict_feeds({**rows, column: np.full((N_TRAIN, 1), value, rows[column].dtype)})["prediction"]
        for value in values
    ]
    assert all(np.array_equal(found[0], other) for other in found[1:])
