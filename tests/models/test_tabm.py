"""TabM: against the published package with the same weights; members, what is shipped of them, and how it is trained."""

import copy
import dataclasses

import numpy as np
import pandas as pd
import pytest
import rtdl_num_embeddings as rtdl
import tabm
import torch
from networks import CODES, MIXED, NUMBERS, assert_lowers, count, rows

from onnxlearn.errors import ParameterError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Ingress, Schema, Target
from onnxlearn.task import Task
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models import network_learner
from onnxlearn_models.tabm import ShippedTabM, TabM, TabMConfig, TabMMini, build_tabm, choose_members, flag_widths
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, accuracy, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

NUMERIC = Ingress(num_names=("a", "b", "c"), num_kinds=("number",) * 3)
TARGET = Target(names=("y",), type="regression", dtype="float64")
SMALL = {"n_members": 4, "d_block": 12, "n_blocks": 2}
SETTINGS = {
    "none": {}, "linear": {"d_num_embedding": 3}, "periodic": {"d_num_embedding": 3, "n_frequencies": 5},
    "piecewise_linear": {"d_num_embedding": 3, "n_bins": 6}, "pbld": {"d_num_embedding": 3},
}  # fmt: skip
EMBEDDINGS = ["none", "linear", "periodic", "piecewise_linear"]


def small(**options):
    return {**SMALL, **SETTINGS[options.get("num_embedding", "piecewise_linear")], **options}


def quick(**options):
    return small(**{"max_epochs": 3, "device": "cpu", "lr": 0.01, **options})


QUICK = quick()


def schema_of(ingress, n_outputs=1):
    target = TARGET if n_outputs == 1 else dataclasses.replace(TARGET, names=tuple(f"y{i}" for i in range(n_outputs)))
    return Schema(name="t", features=(), target=target, ingress=ingress)


def make_net(ingress=NUMERIC, n_outputs=2, *, random=True, **options):
    """A small network in evaluation mode, all of its weights random: scalings of both signs among them."""
    torch.manual_seed(0)
    net = build_tabm(schema_of(ingress, n_outputs), TabMConfig(**small(**options)))
    if ingress.n_num:
        net.initialize(rows(ingress, 200))
    if random:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(0.5 * torch.randn_like(parameter))
    return net.eval()


# The published package.


def package_embedding(name, x, config):
    width = config.d_num_embedding
    if name == "linear":
        return rtdl.LinearReLUEmbeddings(x.shape[1], width)
    if name == "periodic":
        return rtdl.PeriodicEmbeddings(x.shape[1], width, n_frequencies=5, lite=False)
    if name == "piecewise_linear":
        bins = rtdl.compute_bins(x, config.n_bins)
        return rtdl.PiecewiseLinearEmbeddings(bins, width, activation=False, version="B")
    return None


def copy_embedding(ours, theirs):
    """Weights of one of the package's embeddings into ours."""
    state = dict(theirs.named_parameters())
    if isinstance(theirs, rtdl.LinearReLUEmbeddings):
        pairs = {"weight": state["linear.weight"], "bias": state["linear.bias"]}
    elif isinstance(theirs, rtdl.PeriodicEmbeddings):
        pairs = {
            "frequency": state["periodic.weight"],
            "linear.weight": state["linear.weight"],
            "linear.bias": state["linear.bias"],
        }
    else:
        weight = torch.cat([state["linear0.weight"].unsqueeze(1), state["linear.weight"]], dim=1)
        pairs = {"linear.weight": weight, "linear.bias": state["linear0.bias"]}
    ours.load_state_dict(pairs, strict=False)


def copy_net(ours, theirs):
    """Weights of the package's TabM into ours."""
    state = dict(theirs.named_parameters())
    if ours.features.num is not None:
        copy_embedding(ours.features.num, theirs.num_module)
    with torch.no_grad():
        for i in range(len(ours.weight)):
            weight, bias = state[f"backbone.blocks.{i}.0.weight"], state[f"backbone.blocks.{i}.0.bias"]
            ours.weight[i].copy_(weight.mT if ours.sharing == "packed" else weight)
            ours.bias[i].copy_(bias)
            if ours.sharing == "batch":
                ours.s[i].copy_(state[f"backbone.blocks.{i}.0.s"])
                (ours.r[i - 1] if i else ours.start).copy_(state[f"backbone.blocks.{i}.0.r"])
        if ours.sharing == "mini":
            ours.start.copy_(state["backbone.affine.weight"])
        ours.head.weight.copy_(state["output.weight"].mT)
        ours.head.bias.copy_(state["output.bias"])


def pair_of(sharing, embedding, n_outputs=2, cardinalities=None, ingress=NUMERIC, **options):
    """Our network and the package's with the same random weights."""
    x = rows(NUMERIC, 200)["num"]
    ours = make_net(ingress, n_outputs, sharing=sharing, num_embedding=embedding, **options)
    if ours.features.num is not None:
        ours.features.num.initialize(x)
    theirs = tabm.TabM.make(
        n_num_features=x.shape[1], cat_cardinalities=cardinalities, d_out=n_outputs, k=4, n_blocks=2, d_block=12,
        num_embeddings=package_embedding(embedding, x, TabMConfig(**small())), dropout=0.0,
        arch_type={"batch": "tabm", "mini": "tabm-mini", "packed": "tabm-packed"}[sharing],
    )  # fmt: skip
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.5)
    copy_net(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("sharing", ["batch", "mini", "packed"])
def test_outputs_are_those_of_the_package(sharing, embedding):
    ours, theirs = pair_of(sharing, embedding)
    assert count(ours) == count(theirs)
    x = rows(NUMERIC, 50, 1)["num"]
    expected = theirs.eval()(x)
    assert expected.shape == (50, 4, 2)
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)
    shipped = ShippedTabM(ours, torch.arange(4))
    torch.testing.assert_close(shipped(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share_batches", [False, True])
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("sharing", ["batch", "mini", "packed"])
def test_gradients_are_those_of_the_package(sharing, embedding, share_batches):
    ours, theirs = pair_of(sharing, embedding, share_batches=share_batches, dropout=0.0)
    ours, theirs = ours.double().train(), theirs.double().train()
    x = rows(NUMERIC, 200 if share_batches else 800, 1, torch.float64)["num"]
    x = x if share_batches else x.unflatten(0, (200, 4))
    found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradients = []
    for output, net in ((found, ours), (expected, theirs)):
        output.square().sum().backward()
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    wanted = copy.deepcopy(ours)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(gradients[1][name])
    copy_net(wanted, theirs)
    for name, parameter in wanted.named_parameters():
        torch.testing.assert_close(gradients[0][name], parameter.data, rtol=1e-5, atol=1e-4)


def test_one_hot_columns_are_the_packages_categories():
    flags = Ingress(num_names=("a", "b", "c", *"uvwxy"), num_kinds=(*["number"] * 3, *["flag"] * 5))
    ours, theirs = pair_of("batch", "piecewise_linear", cardinalities=[2, 3], ingress=flags)
    assert count(ours) == count(theirs)
    x, codes = rows(NUMERIC, 50, 1)["num"], torch.stack([torch.arange(50) % 2, torch.arange(50) % 3], dim=1)
    onehot = [torch.nn.functional.one_hot(codes[:, i], n).float() for i, n in enumerate((2, 3))]
    expected = theirs.eval()(x, codes)
    torch.testing.assert_close(ours(torch.cat([x, *onehot], dim=1)), expected, rtol=1e-5, atol=1e-5)


def test_one_column_is_added_for_missing_values():
    """The package has a column for each level; here missing is a level too, and unseen ones are all zeros."""
    frame = pd.DataFrame({"c": ["u", "v", "w", None] * 10, "y": np.arange(40.0)})
    schema = Task.from_frame(frame, "y").schema
    ingress = Preprocessing.fit(schema, PreprocessConfig(), Task.from_frame(frame, "y").feeds()).schema.ingress
    net = build_tabm(dataclasses.replace(schema, ingress=ingress), TabMConfig(**small()))
    theirs = tabm.TabM.make(cat_cardinalities=[3], d_out=1, k=4, n_blocks=2, d_block=12)
    # Each column has a weight for each unit and a scaling for each member.
    assert count(net) - count(theirs) == 12 + 4


@pytest.mark.parametrize("sharing", ["batch", "mini"])
def test_shape_and_initial_values_by_default(sharing):
    torch.manual_seed(0)
    net = build_tabm(schema_of(NUMBERS), TabMConfig(sharing=sharing))
    assert [tuple(weight.shape) for weight in net.weight] == [(512, 33), (512, 512)]
    assert net.head.weight.shape == (32, 1, 512)
    assert len(build_tabm(schema_of(NUMBERS), TabMConfig(num_embedding="none")).weight) == 3
    flags = Ingress(num_names=("f",), num_kinds=("flag",))
    assert len(build_tabm(schema_of(flags), TabMConfig()).weight) == 3
    # One random number for each feature and member, the rest alike.
    start = net.start.detach()
    assert (start[:, :16] == start[:, :1]).all()
    assert len(start[:, [0, 16, 32]].unique()) == 96
    assert start.std() == pytest.approx(1, abs=0.2)
    assert all((scaling == 1).all() for scaling in (*net.s, *net.r))
    assert all((bias == bias[0]).all() for bias in net.bias if bias.ndim == 2)
    assert net.weight[1].abs().max() <= 512**-0.5
    signs = build_tabm(schema_of(NUMBERS), TabMConfig(num_embedding="none", sharing=sharing)).start
    assert set(signs.unique().tolist()) == {-1.0, 1.0}


def test_the_columns_of_one_feature_share_their_initial_scaling():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": pd.Series(rng.normal(size=80)).mask(rng.random(80) < 0.2),
            "a": rng.choice(["u", "v=w", "w"], 80),
            "a=v": pd.Series(rng.choice(["w", "x"], 80)).mask(rng.random(80) < 0.2),
            "rank": pd.Categorical(rng.choice(["low", "high"], 80), ["low", "high"], ordered=True),
            "flag": rng.random(80) < 0.5,
            "many": rng.integers(0, 70, 80).astype(str),
            "y": rng.normal(size=80),
        }
    )
    task = Task.from_frame(frame, "y")
    for options, widths in (
        ({}, [1, 1, 3, 3, 2]),
        ({"min_level_rows": 2}, [1, 1, 4, 4, 3]),
        ({"ordered_encoding": "rank"}, [1, 1, 3, 3]),
        ({"missing_indicator": False, "cat_encoding": "embedding"}, [1]),
    ):
        schema = Preprocessing.fit(task.schema, PreprocessConfig(**options), task.feeds()).schema
        assert flag_widths(schema) == widths
        net = build_tabm(schema, TabMConfig(**small()))
        assert net.start.shape[1] == net.features.d_out


# Members.


@pytest.mark.parametrize("sharing", ["batch", "mini", "packed"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_every_member_has_rows_of_its_own(sharing, activation):
    net = make_net(MIXED, sharing=sharing, activation=activation, dropout=0.0)
    assert net.n_batch_members == 4
    inputs = rows(MIXED, 40 * 4)
    own = {name: tensor.unflatten(0, (40, 4)) for name, tensor in inputs.items()}
    output = net.train()(**own)
    net.eval()
    for i in range(4):
        alone = net(**{name: tensor[:, i] for name, tensor in own.items()})[:, i]
        torch.testing.assert_close(output[:, i], alone, rtol=1e-5, atol=1e-5)
    shared = make_net(MIXED, sharing=sharing, activation=activation, dropout=0.0, share_batches=True)
    assert shared.n_batch_members == 1
    torch.testing.assert_close(shared.train()(**inputs), shared.eval()(**inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_dropout_drops_in_training_alone(activation):
    net = make_net(activation=activation, dropout=0.5, share_batches=True)
    x = rows(NUMERIC, 30)["num"]
    first, second = net.train()(x), net(x)
    assert not torch.allclose(first, second)
    # A share that a schedule sets counts at once.
    net.dropout.p = 0.0
    torch.testing.assert_close(net(x), net.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [
    {}, {"sharing": "mini"}, {"sharing": "packed"}, {"activation": "mish"}, {"activation": "tanh", "sharing": "mini"},
    {"num_embedding": "pbld"},
])  # fmt: skip
@pytest.mark.parametrize("ingress", [NUMBERS, CODES, MIXED], ids=["numbers", "codes", "mixed"])
@pytest.mark.parametrize("positive", [False, True], ids=["any sign", "positive"])
def test_what_is_shipped_gives_the_same(options, ingress, positive):
    net = make_net(ingress, **options)
    if positive:
        with torch.no_grad():
            for scaling in (*net.s, *net.r):
                scaling.abs_().add_(0.1)
    members = torch.tensor([0, 2, 3])
    shipped = ShippedTabM(net, members)
    torch.testing.assert_close(shipped(**rows(ingress, 60)), net(**rows(ingress, 60))[:, members], rtol=1e-4, atol=1e-5)
    folds = [(layer.scale is None, layer.after is None) for layer in shipped.layers]
    if net.sharing == "batch":
        assert folds == ([(False, True), (True, True)] if positive and net.is_relu else [(False, False), (False, True)])
    assert_lowers(shipped, ingress)
    assert_lowers(net, ingress)


# From table to file.


def objective_of(task_type):
    score = accuracy() if task_type == "classification" else root_mean_squared_error(torch.ones(1))
    return Objective(row_loss(None, task_type), classes=task_type == "classification", score=score)


@pytest.mark.parametrize("task_type", ["classification", "regression"])
def test_members_are_chosen_one_by_one(task_type):
    net, inputs = make_net(n_outputs=3), rows(NUMERIC, 100, 2)
    objective = objective_of(task_type)
    target = torch.arange(100) % 3 if task_type == "classification" else torch.randn(100, 3)
    valid = Tensors(inputs, target, torch.rand(100))
    output = net(**inputs).detach()

    def loss(members):
        return float(objective.valid(output[:, members], valid.target, valid.weight)[0])

    first = min(range(4), key=lambda i: loss([i]))
    second = min((i for i in range(4) if i != first), key=lambda i: loss([first, i]))
    assert choose_members(net, 1, valid, objective) == [first]
    assert choose_members(net, 2, valid, objective) == sorted([first, second])
    assert choose_members(net, 4, valid, objective) == [0, 1, 2, 3]


def test_weights_count_where_members_are_chosen():
    net, inputs, objective = make_net(n_outputs=3), rows(NUMERIC, 100, 2), objective_of("classification")
    target, output = torch.arange(100) % 3, net(**inputs).detach()
    losses = torch.stack([torch.nn.functional.cross_entropy(output[:, i], target, reduction="none") for i in range(4)])
    # On the rows where a member is better than all others it is the one to keep.
    best_of_rows = losses.argmin(dim=0)
    assert len(best_of_rows.unique()) > 1
    for best in best_of_rows.unique().tolist():
        weight = (best_of_rows == best).float()
        assert choose_members(net, 1, Tensors(inputs, target, weight / weight.mean()), objective) == [best]


class Watched(TabM):
    """Keeps the network that was trained."""

    @classmethod
    def finish(cls, module, config, valid, objective):
        cls.whole = module
        return super().finish(module, config, valid, objective)


@pytest.mark.parametrize("target", ["classes", "number"])
@pytest.mark.parametrize("sharing", ["batch", "packed"])
def test_a_file_of_some_members(target, sharing):
    task = example_tasks(150)[target]
    files = {}
    for n_export_members in (None, 2):
        learner = Watched(**QUICK, sharing=sharing, n_export_members=n_export_members)
        files[n_export_members] = learner.fit(task, progress=False)
    pruned, rows_of = files[2], task.feeds()
    assert len(pruned.to_bytes()) < len(files[None].to_bytes())
    fitted = Watched(**QUICK, sharing=sharing, n_export_members=2).train(*task.split(0.2, 0))
    assert fitted.module.weight.shape[0] == 2
    # It is what the file computes: two of the trained members, averaged.
    assert pruned.metadata["parity"]["max_difference"] < 1e-5
    everyone = fitted.outputs(rows_of)
    inputs = {name: torch.from_numpy(array) for name, array in fitted.preprocessing.transform(rows_of).items()}
    with torch.no_grad():
        output = Watched.whole(**inputs).double().numpy()
    pairs = [fitted.head.apply(output[:, [i, j]], fitted.scaling) for i in range(4) for j in range(i)]
    key = "probabilities" if target == "classes" else "prediction"
    assert min(np.abs(pair[key] - everyone[key]).max() for pair in pairs) < 1e-4


def test_settings_that_cannot_be():
    with pytest.raises(ParameterError, match=r"n_export_members=9 has to be at most n_members=4: choose fewer"):
        TabM(**QUICK, n_export_members=9)
    with pytest.raises(ParameterError, match=r"n_export_members=2 changes nothing with validation=None: leave it out"):
        TabM(**QUICK, n_export_members=2, validation=None)
    with pytest.raises(ParameterError, match=r"sharing has to be batch \| mini \| packed, not 'all'"):
        TabM(sharing="all")
    assert TabM(**QUICK, validation=None).fit(example_tasks()["two"], progress=False).scores == {}


@pytest.mark.parametrize("learner", [
    TabM(**QUICK, n_export_members=3, dropout_schedule="fade"), TabMMini(**QUICK),
    TabM(**QUICK, sharing="packed", share_batches=True),
    TabM(**quick(n_members=1, activation="gelu", num_embedding="periodic", cat_encoding="embedding", mixup=0.2)),
])  # fmt: skip
def test_settings_keep_the_contract(learner):
    for name in ("classes", "number"):
        check_learner(learner, [example_tasks()[name]])


@pytest.mark.parametrize(("n_rows", "batch_size"), [(100, 256), (3000, 256), (20_000, 256), (10**5, 512), (10**6, 1024)])
def test_rows_of_a_batch(n_rows, batch_size):
    config, training = TabM.choose(TabMConfig(), TrainConfig(), schema_of(NUMBERS), n_rows)
    assert (config, training.batch_size) == (TabMConfig(), batch_size)
    _, training = TabM.choose(TabMConfig(), TrainConfig(batch_size=7), schema_of(NUMBERS), n_rows)
    assert training.batch_size == 7


def test_defaults_are_those_of_the_paper():
    values = TabM().values
    wanted = {"n_members": 32, "d_block": 512, "dropout": 0.1, "lr": 2e-3, "weight_decay": 3e-4, "patience": 16, "n_bins": 48,
              "num_embedding": "piecewise_linear", "num_scaler": "quantile", "schedule": "constant", "ema": 0.0}  # fmt: skip
    assert {name: values[name] for name in wanted} == wanted
    assert (values["sharing"], TabMMini().values["sharing"]) == ("batch", "mini")
    assert {**values, "sharing": "mini"} == TabMMini().values


def test_matrices_decay_and_nothing_else():
    net = make_net(MIXED)
    decaying, free, codes = TabM.parameter_groups(net, TrainConfig(weight_decay=0.1, embedding_weight_decay=0.2))
    assert [id(p) for p in decaying.parameters] == [id(p) for p in (*net.weight, net.head.weight)]
    assert (decaying.weight_decay, free.weight_decay, codes.weight_decay) == (0.1, 0.0, 0.2)
    everything = [p for group in (decaying, free, codes) for p in group.parameters]
    assert {id(p) for p in everything} == {id(p) for p in net.parameters()}
    assert len(everything) == len(list(net.parameters()))


def test_a_wave_is_learned():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.uniform(-3, 3, 600), "z": rng.normal(size=600)})
    frame["y"] = np.sin(4 * frame["x"])
    train, test = Task.from_frame(frame, "y").split(0.25, 0)
    model = TabM(n_members=8, d_block=64, max_epochs=60, device="cpu").fit(train, progress=False)
    assert model.score(test)["r2"] > 0.9


# What training rows never reached reaches no prediction.

N_TRAIN = 90


def late_frame():
    """Rows whose last ones, held out, have levels and missing values that no training row has."""
    rng = np.random.default_rng(0)
    n = N_TRAIN + 30
    late = np.arange(n) >= N_TRAIN
    day = pd.Timestamp("2001-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    frame = pd.DataFrame({"x": rng.normal(size=n), "day": day})
    frame["few"] = pd.Categorical(np.where(late, "r", rng.choice(["p", "q"], n)), ["p", "q", "r", "never"])
    frame["many"] = pd.Categorical(np.where(late, "late", rng.integers(0, 40, n).astype(str)))
    frame["holes"] = pd.Series(rng.normal(size=n)).mask(late & (rng.random(n) < 0.5))
    frame["still"] = np.where(late, rng.normal(size=n), 3.0)
    frame["y"] = frame["x"] + rng.normal(0, 0.1, n)
    return frame


def disturbed(original, size):
    """Training that begins with other values of all weights that no training row moves."""

    def train_network(module, train, valid, *, objective, **options):
        kept = [parameter.detach().clone() for parameter in module.parameters()]
        moved = [torch.zeros_like(parameter, dtype=torch.bool) for parameter in kept]
        with torch.random.fork_rng():
            for _ in range(3):
                for parameter in module.parameters():
                    torch.nn.init.normal_(parameter, std=0.1)
                module.eval()
                objective.train(module(**train.inputs), train.target, train.weight).backward()
                for parameter, found in zip(module.parameters(), moved, strict=True):
                    found |= parameter.grad != 0
                    parameter.grad = None
            with torch.no_grad():
                for parameter, before, found in zip(module.parameters(), kept, moved, strict=True):
                    parameter.copy_(torch.where(found, before, before + size * torch.randn_like(before)))
        disturbed.n_untrained = sum(int((~found).sum()) for found in moved)
        return original(module, train, valid, objective=objective, **options)

    return train_network


@pytest.mark.parametrize("options", [
    {}, {"cat_encoding": "embedding"}, {"num_embedding": "none", "sharing": "mini"},
    {"sharing": "packed", "cat_encoding": "onehot"},
])  # fmt: skip
def test_untrained_initial_values_move_nothing(monkeypatch, options):
    task = Task.from_frame(late_frame(), "y")
    # tanh: a gradient of 0 means that no row reaches the weight.
    validation = tuple(range(N_TRAIN, N_TRAIN + 30))
    learner = TabM(**quick(activation="tanh", min_level_rows=1, validation=validation, **options))
    original, models = network_learner.train_network, []
    for size in (0.0, 5.0):
        monkeypatch.setattr(network_learner, "train_network", disturbed(original, size))
        models.append(learner.fit(task, progress=False))
    assert disturbed.n_untrained > 20
    for feeds in (task.feeds(), hostile_feeds(task.schema)):
        first, second = (model.predict_feeds(feeds)["prediction"] for model in models)
        np.testing.assert_array_equal(first, second)
    assert models[0].history.equals(models[1].history)


def test_penalties_hold_the_weights_down():
    task = example_tasks(90)["classes"]
    learner = TabM(**QUICK, validation=None)
    sizes = {}
    for name, options in {"none": {}, "l2": {"l2": 0.1}, "l1": {"l1": 0.01}}.items():
        module = learner.replace(max_epochs=10, **options).train(task, None, progress=False).module
        weights = [layer.weight.detach() for layer in module.layers]
        sizes[name] = (sum(float(w.abs().sum()) for w in weights), sum(int((w == 0).sum()) for w in weights))
    assert max(sizes["l1"][0], sizes["l2"][0]) < 0.7 * sizes["none"][0]
    assert sizes["l1"][1] > 0 == sizes["none"][1]


def test_settings_that_cannot_count_are_refused():
    with pytest.raises(ParameterError, match="scaling_init='normal' changes nothing with sharing='packed': leave it out"):
        TabM(sharing="packed", scaling_init="normal")
