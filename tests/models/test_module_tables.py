"""Learner ``module``: how the user's network leaves as ONNX, and what its tables give for codes without training rows."""

import copy

import numpy as np
import pytest
import torch
from networks import CODES, assert_lowers
from own_networks import (
    ENDLESS,
    QUICK,
    Codes,
    Numbers,
    codes_only,
    fit,
    numbers_with,
    outputs,
    with_forward,
)
from torch import nn
from torch.nn import functional

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.task import Task
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.lookup import N_ROWS, find_lookups
from onnxlearn_models.module import UntrainedRowsWarning
from onnxlearn_models.rehearsal import Rehearsal


@pytest.fixture(scope="module")
def task() -> Task:
    return example_tasks()["classes"]


@pytest.fixture(scope="module", name="codes_only")
def codes_only_task() -> Task:
    return codes_only()


# Export


def test_networks_that_the_table_lacks_take_the_long_way(codes_only, capfd):
    near, far = (
        with_forward(
            lambda self, cat, shift=shift: self.out(torch.atan2(self.looked_up(cat), self.out.weight.new_full((1,), shift))),
            Codes,
        )
        for shift in (1.0, 9.0)
    )
    model = fit(near, codes_only)
    assert model.metadata["parity"]["max_difference"] < 1e-5
    # Of one name and shapes, but another network: an exported graph must not stand in for another's.
    assert not np.array_equal(outputs(fit(far, codes_only), codes_only), outputs(model, codes_only))
    assert fit(near, codes_only).to_bytes() == model.to_bytes()
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_exported_is_refused_before_training(task, capfd):
    net = numbers_with(lambda self, num: self.layers(num) * torch.linalg.svdvals(num[:, None, :].expand(-1, 3, -1))[:, :1])
    line = (
        r"Net cannot be exported to ONNX, and so is not trained: no lowering for .*svdvals.*; torch\.onnx cannot export Net: "
    )
    with pytest.raises(ParameterError, match=line):
        fit(net, task, **ENDLESS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, num: torch.stack([self.layers(row) for row in num]),
        lambda self, num: torch.stack([self.layers(num), self.layers(-num)], 1)[torch.arange(len(num)), num[:, :2].argmax(1)],
    ],
    ids=["loop over rows", "numbers of rows"],
)
def test_what_only_runs_for_some_numbers_of_rows_is_refused(task, forward, capfd):
    with pytest.raises(ParameterError, match=r"Net cannot be (run as|exported to) ONNX.*, and so is not trained: "):
        fit(numbers_with(forward), task, **ENDLESS)
    assert capfd.readouterr() == ("", "")


def test_no_row_and_one_row_are_rehearsed_too(task, monkeypatch):
    run, tried = Rehearsal._run_session, []

    def spy(self, session, n_rows):
        tried.append(n_rows)
        found = run(self, session, n_rows)
        return found + 1 if n_rows == 1 else found

    monkeypatch.setattr(Rehearsal, "_run_session", spy)
    with pytest.raises(ParameterError, match="Net gives other numbers as ONNX than in torch, by 1"):
        fit(numbers_with(lambda self, num: self.layers(num)), task, **ENDLESS)
    assert tried == [0, 1]


def test_what_a_trace_does_not_show_is_refused(task):
    def forward(self, num):
        # Tracing takes the number for a constant.
        return self.layers(num) * float(torch.ones(()) if torch.jit.is_tracing() or type(num) is torch.Tensor else 0)

    with pytest.raises(
        ParameterError, match=r"Net gives other numbers as ONNX than in torch, by .*: forward does something that"
    ):
        fit(numbers_with(forward), task, **ENDLESS)


class Recurrent(nn.Module):
    """Reads the numbers one after the other; ONNX Runtime fails on such layers where there are no rows."""

    def __init__(self, schema):
        super().__init__()
        self.layer = nn.LSTM(1, 4, batch_first=True)
        self.out = nn.Linear(4, schema.n_outputs)

    def forward(self, num):
        return self.out(self.layer(num[..., None])[0][:, -1])


def test_recurrent_layers_take_a_batch_of_no_rows(task):
    model = fit(Recurrent, task)
    assert model.metadata["parity"]["max_difference"] < 1e-5
    assert len(model.predict(task.frame.head(0))) == 0


@pytest.mark.parametrize(
    "look_up",
    [
        lambda table, cat: table[cat].flatten(1),
        lambda table, cat: torch.cat([table[cat[:, 0]], table.index_select(0, cat[:, 1])], dim=1),
        lambda table, cat: functional.one_hot(cat, 22).to(table.dtype).flatten(1),
    ],
)
def test_lookups_lower_by_the_table(look_up):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(22, 3))

        def forward(self, num=None, cat=None):
            return look_up(self.table, cat)

    assert_lowers(Net(), CODES)


# Rows of tables without training rows


class OneTable(nn.Module):
    """One table for all columns, each of which has its part."""

    def __init__(self, cardinalities, n_outputs, width=4):
        super().__init__()
        self.table = nn.Embedding(sum(cardinalities), width)
        self.register_buffer("starts", torch.tensor([0, *cardinalities[:-1]]).cumsum(0))
        self.out = nn.Linear(width * len(cardinalities), n_outputs)

    def forward(self, cat):
        return self.out(self.table(cat + self.starts).flatten(1))


class Shared(OneTable):
    """One table whose rows several columns share."""

    def forward(self, cat):
        return self.out(self.table(cat).flatten(1))


class Indexed(OneTable):
    def forward(self, cat):
        return self.out(
            torch.cat([self.table.weight[cat[:, 0]], functional.embedding(cat[:, 1:], self.table.weight).flatten(1)], 1)
        )


class Selected(OneTable):
    def forward(self, cat):
        return self.out(torch.cat([self.table.weight.index_select(0, cat[:, i]) for i in range(len(CARDINALITIES))], 1))


CARDINALITIES = (6, 4, 5)


def disturbed(network, untrained):
    """A copy whose rows that no training row looks up start elsewhere."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        for name, rows in untrained.items():
            other.get_parameter(name)[rows] += 5.0
    return other


@pytest.mark.parametrize(
    ("kind", "untrained"),
    [
        (Codes, {"tables.0.weight": [0, 1], "tables.1.weight": [0, 1], "tables.2.weight": [0, 1, 2]}),
        (OneTable, {"table.weight": [0, 1, 6, 7, 10, 11, 12]}),
        (Shared, {"table.weight": [0, 1]}),
        (Indexed, {"table.weight": [0, 1]}),
        (Selected, {"table.weight": [0, 1]}),
    ],
)
def test_rows_without_training_rows_reach_no_prediction(kind, untrained, codes_only):
    network = kind(CARDINALITIES, 2)
    # The rows of the level "rare" choose the epoch and train nothing.
    params = {"validation": tuple(range(80, 90)), "lr": 0.05, "max_epochs": 3, "min_level_rows": 1}
    found = [fit(each, codes_only, **params) for each in (network, disturbed(network, untrained))]
    assert found[0].schema.ingress.cardinalities == CARDINALITIES
    np.testing.assert_array_equal(*(outputs(model, codes_only) for model in found))
    assert found[0].history.equals(found[1].history)


def test_other_rows_do_reach_it(codes_only):
    network = Codes(CARDINALITIES, 2)
    found = [fit(each, codes_only) for each in (network, disturbed(network, {"tables.0.weight": [2]}))]
    assert not np.array_equal(*(outputs(model, codes_only) for model in found))


def test_tables_settle_as_code_embeddings_do(codes_only):
    class Settled(Codes):
        def __init__(self, cardinalities, n_outputs):
            super().__init__(cardinalities, n_outputs)
            self.tables = CodeEmbedding(cardinalities, [4] * len(cardinalities)).tables

        def looked_up(self, cat):
            return CodeEmbedding.forward(self, cat)

    plain, settled = Codes(CARDINALITIES, 2), Settled(CARDINALITIES, 2)
    settled.load_state_dict(plain.state_dict())
    np.testing.assert_array_equal(*(outputs(fit(net, codes_only), codes_only) for net in (plain, settled)))


def test_a_row_of_padding_stays(codes_only):
    network = Codes(CARDINALITIES, 2)
    network.tables[0] = nn.Embedding(6, 4, padding_idx=0)
    trained = ol.learner(network, **QUICK).train(codes_only, None, progress=False).module.network
    assert trained.tables[0].weight[0].tolist() == [0.0] * 4
    assert trained.tables[0].weight[1].tolist() != network.tables[0].weight[1].tolist()


def test_a_frozen_table_stays(codes_only):
    network = Codes(CARDINALITIES, 2)
    network.tables[0].requires_grad_(False)
    trained = ol.learner(network, **QUICK).train(codes_only, None, progress=False).module.network
    assert torch.equal(trained.tables[0].weight, network.tables[0].weight)


class Clamped(Codes):
    def looked_up(self, cat):
        return torch.cat([table(cat[:, i].clamp(max=3)) for i, table in enumerate(self.tables)], dim=1)


class Binned(Numbers):
    def __init__(self, n_num, n_outputs):
        super().__init__(n_num, n_outputs)
        self.bins = nn.Parameter(torch.zeros(2, n_outputs))

    def forward(self, num):
        return self.layers(num) + self.bins[(num[:, 0] > 0).long()]


def test_lookups_that_cannot_be_told_are_warned_of(codes_only, task):
    line = (
        r"which rows of 'tables\.0\.weight', .* of Clamped training reaches cannot be told, .*: look codes up by CodeEmbedding"
    )
    with pytest.warns(UntrainedRowsWarning, match=line):
        fit(Clamped, codes_only)
    with pytest.warns(UntrainedRowsWarning, match="which rows of 'bins' of Binned"):
        fit(Binned, task)


def test_positions_are_no_lookup(codes_only):
    class Positions(Codes):
        def __init__(self, cardinalities, n_outputs):
            super().__init__(cardinalities, n_outputs)
            self.places = nn.Embedding(len(cardinalities), 4)
            self.register_buffer("order", torch.arange(len(cardinalities)))

        def looked_up(self, cat):
            return super().looked_up(cat) + self.places(self.order).flatten()

    fit(Positions, codes_only)


@pytest.mark.parametrize(
    "look_up",
    [
        lambda table, cat: table[:, cat[:, 0]],
        lambda table, cat: table[cat[:, 0], cat[:, 1]],
        lambda table, cat: table.index_select(1, cat[:, 0]),
        lambda table, cat: table[cat[:, 1] * 2],
        lambda table, cat: table[9 - cat[:, 1]],
    ],
)
def test_lookups_that_are_no_rows_of_one_column_are_unknown(look_up):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(10, 10))

        def forward(self, cat):
            return look_up(self.table, cat)

    cat = torch.randint(0, 5, (N_ROWS, 2), generator=torch.Generator().manual_seed(0))
    found = find_lookups(Net(), {"cat": cat}, (5, 5))
    assert (found.known, found.unknown) == ((), ("table",))
