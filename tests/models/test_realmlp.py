"""RealMLP against the network, the training steps and the schedules of the package pytabkit."""

import importlib.util
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.registry import learner
from onnxlearn.runtime import open_session
from onnxlearn.task import Task
from onnxlearn_models.layers.numeric import PBLDEmbedding
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.realmlp import RealMLP
from onnxlearn_models.training.courses import coslog4
from onnxlearn_models.training.optimizer import make_optimizer
from onnxlearn_models.training.schedule import fade, make_schedule

N = 300
NUMBERS, BINARY, FEW, MANY = ["x", "tail", "mostly 0"], "binary", "few", "many"


@pytest.fixture(scope="module")
def pytabkit():
    """The parts of the package that are needed here: all of it takes three times as long, and brings lightning."""
    known = set(sys.modules)
    if "pytabkit" not in sys.modules:
        bare = types.ModuleType("pytabkit")
        bare.__path__ = [str(Path(importlib.util.find_spec("pytabkit").origin).parent)]
        sys.modules["pytabkit"] = bare
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=DeprecationWarning)
        from pytabkit.models.data import data
        from pytabkit.models.nn_models import base, models
        from pytabkit.models.optim import optimizers
        from pytabkit.models.sklearn.default_params import DefaultParams
        from pytabkit.models.training import coord, scheduling
    yield types.SimpleNamespace(
        defaults=DefaultParams, data=data, base=base, models=models, coord=coord, scheduling=scheduling, optimizers=optimizers
    )
    for name in set(sys.modules) - known:
        if name.partition(".")[0] == "pytabkit":
            del sys.modules[name]


def table(kind="classification", seed=0):
    """Numbers (heavy tails, quartiles that are equal), a category of each size, holes in the largest."""
    rng = np.random.default_rng(seed)
    many = pd.Series(rng.choice(list("abcdefghijkl"), N)).mask(rng.random(N) < 0.1)
    frame = pd.DataFrame(
        {
            "x": rng.normal(5, 2, N),
            "tail": rng.standard_cauchy(N),
            "mostly 0": np.where(rng.random(N) < 0.9, 0.0, rng.normal(size=N)),
            BINARY: pd.Categorical(rng.choice(["u", "v"], N, p=[0.7, 0.3])),
            FEW: pd.Categorical(rng.choice(list("pqrst"), N, p=[0.4, 0.3, 0.1, 0.1, 0.1])),
            MANY: pd.Categorical(many),
        }
    )
    score = frame["x"] - 5 + 2 * (frame[BINARY] == "u") + rng.normal(size=N)
    frame["y"] = pd.cut(score, 3, labels=["low", "mid", "high"]).astype(str) if kind == "classification" else 100 + 7 * score
    return frame


def ours(kind="classification", *, frame=None, **params):
    """Task, tensors and network of ours, initialized by the training rows."""
    task = Task.from_frame(table(kind) if frame is None else frame, "y", type=kind)
    # Theirs bends numbers without cutting them off first, which moves none by more than 0.0014.
    recipe = RealMLP(**{"min_level_rows": 1, "clip": 1e6, **params})
    config, train_config = recipe.choose(recipe.configs[0], recipe.configs[2], task.schema, task.n_rows)
    preprocessing = Preprocessing.fit(task.schema, recipe.configs[1], task.feeds())
    tensors = {name: torch.from_numpy(array) for name, array in preprocessing.transform(task.feeds()).items()}
    torch.manual_seed(0)
    net = RealMLP.architecture(preprocessing.schema, config)
    net.initialize(tensors)
    return types.SimpleNamespace(task=task, tensors=tensors, net=net, config=train_config, preprocessing=preprocessing)


def theirs(package, settings, frame, kind="classification", **more):
    """The package's network, fitted to the same rows; its inputs; its manager of hyperparameters."""
    numbers = [name for name in frame if pd.api.types.is_float_dtype(frame[name]) and name != "y"]
    categories = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    tensors = {
        "x_cont": torch.tensor(frame[numbers].to_numpy(np.float32)),
        "x_cat": torch.tensor(np.stack([frame[name].cat.codes + 1 for name in categories], 1).astype(np.int64))
        if categories
        else torch.zeros(len(frame), 0, dtype=torch.int64),
    }
    info = package.data.TensorInfo
    infos = {
        "x_cont": info(feat_shape=[len(numbers)]),
        "x_cat": info(cat_sizes=[len(frame[name].cat.categories) + 1 for name in categories]),
    }
    if kind == "classification":
        classes, codes = np.unique(frame["y"], return_inverse=True)
        tensors["y"], infos["y"] = torch.tensor(codes)[:, None], info(cat_sizes=[len(classes)])
    else:
        tensors["y"], infos["y"] = torch.tensor(frame[["y"]].to_numpy(np.float32)), info(feat_shape=[1], cat_sizes=[0])
    config = {**settings, "use_ls": False, **more}
    manager = package.coord.HyperparamManager(**config)
    rows = package.data.DictDataset(tensors, infos)
    manager.get_more_info_dict()["trainval_ds"] = rows
    torch.manual_seed(1)
    with package.base.set_hp_context(manager), torch.no_grad():
        net, _ = package.models.NNFactory(**config).create(infos).fit_transform(rows, needs_tensors=False)
    net.eval()
    return types.SimpleNamespace(net=net, tensors=tensors, manager=manager)


def scopes(net):
    return {str(parameter.context.scope): parameter for parameter in net.parameters()}


def copy_weights(package_net, net):
    """The package's weights in ours; what ours has beyond them becomes 0."""
    found = scopes(package_net)
    with torch.no_grad():
        for i, linear in enumerate([*(block.linear for block in net.blocks()), net.head]):
            layer = next(name for name in found if name.endswith(f"layer-{i}/weight")).removesuffix("/weight")
            weight = found[f"{layer}/weight"]
            linear.weight.copy_(weight.T / linear.in_features**0.5)
            linear.bias.copy_(found[f"{layer}/bias"][0])
            if f"{layer}/act" in found:
                net.blocks()[i].activation.share.copy_(found[f"{layer}/act"][0])
            if f"{layer}/scale" in found:
                net.scale.copy_(found[f"{layer}/scale"][0])
        if net.num_embedding is not None:
            pbld = net.num_embedding
            pbld.frequency.copy_(found["/plr/weight_1"][:, 0])
            pbld.phase.copy_(found["/plr/bias_1"][:, 0])
            pbld.linear.weight.copy_(found["/plr/weight_2"])
            pbld.linear.bias.copy_(found["/plr/bias_2"][:, 0])
        if net.embedding is not None:
            # Theirs: 0 missing, then the levels; ours has the row of unseen levels before.
            net.embedding.tables[0].weight.zero_()[1:] = found["/tfms/emb"]


def output_of(package):
    with torch.no_grad():
        return package.net({name: tensor for name, tensor in package.tensors.items() if name != "y"})["x_cont"]


TD_S = {
    "initialization": "normal", "num_embedding": "none", "parametric_activation": False, "dropout": 0.0, "weight_decay": 0.0,
    "cat_encoding": "onehot", "target_clip": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "settings", "params"),
    [
        ("classification", "RealMLP_TD_CLASS", {}),
        ("regression", "RealMLP_TD_REG", {}),
        ("classification", "RealMLP_TD_S_CLASS", TD_S),
        ("regression", "RealMLP_TD_S_REG", TD_S),
    ],
)
def test_same_weights_same_outputs(pytabkit, kind, settings, params):
    """From raw columns: the scaling of numbers and flags is each one's own."""
    frame = table(kind)
    if "cat_encoding" in params:
        frame = frame.drop(columns=MANY)  # one-hot, missing is a column of ours and none of theirs: see below
    mine = ours(kind, frame=frame, **params)
    package = theirs(pytabkit, getattr(pytabkit.defaults, settings), frame, kind)
    with torch.no_grad():
        for parameter in package.net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    copy_weights(package.net, mine.net)
    mine.net.eval()
    with torch.no_grad():
        found = mine.net(**mine.tensors)
    expected, unit = output_of(package), 1.0
    assert expected.std() > 0.1
    if kind == "regression":
        # Theirs ends in the target's own unit.
        y = package.tensors["y"]
        unit = y.std(correction=0)
        found = found * unit + y.mean()
        if "target_clip" not in params:
            found = found.clamp(y.min(), y.max())
    assert (found - expected).abs().max() <= 1e-5 * unit


def test_missing_categories_that_are_one_hot(pytabkit):
    """Theirs has zeros for them, ours a column of its own, which weights of 0 switch off."""
    frame = table().drop(columns=MANY)
    frame[FEW] = frame[FEW].mask(np.arange(N) % 7 == 0)
    mine, package = ours(frame=frame), theirs(pytabkit, pytabkit.defaults.RealMLP_TD_CLASS, frame)
    names = mine.preprocessing.schema.ingress.num_names
    assert names[3:6] == (f"{BINARY}=u", f"{BINARY}=v", f"{FEW}:missing")
    kept = [i for i in range(mine.net.scale.numel()) if i != mine.net.num_embedding.d_out + 3 + 1]
    narrow = ours(frame=frame.assign(**{FEW: frame[FEW].fillna("p")})).net
    copy_weights(package.net, narrow)
    with torch.no_grad():
        for mine_parameter, other in zip(mine.net.parameters(), narrow.parameters(), strict=True):
            if mine_parameter.shape == other.shape:
                mine_parameter.copy_(other)
            else:
                mine_parameter.zero_()[..., kept] = other
        found = mine.net.eval()(**mine.tensors)
    expected = output_of(package)
    assert (found - expected).abs().max() <= 1e-5 * expected.std()


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("columns", [NUMBERS, [*NUMBERS, BINARY, FEW, MANY]])
def test_number_of_parameters(pytabkit, columns):
    frame = table()[[*columns, "y"]]
    extra = 8 if MANY in columns else 0  # the row of unseen levels
    package = theirs(pytabkit, pytabkit.defaults.RealMLP_TD_CLASS, frame)
    assert count(ours(frame=frame).net) == count(package.net) + extra


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_training_steps_are_the_same(pytabkit, kind):
    """Gradients, factors on learning rates, weight decays (with factors that count twice), schedules and Adam.

    In float64: at these learning rates the rounding errors of float32 grow within a few steps.
    """
    frame, n_steps = table(kind), 20
    mine = ours(kind, dropout=0.0, weight_decay=0.5, d_block=32)
    settings = getattr(pytabkit.defaults, "RealMLP_TD_CLASS" if kind == "classification" else "RealMLP_TD_REG")
    package = theirs(pytabkit, settings, frame, kind, p_drop=0.0, wd=0.5, hidden_sizes=[32] * 3)
    for each in (mine, package):
        each.net.double()
        each.tensors = {name: x.double() if x.is_floating_point() else x for name, x in each.tensors.items()}
    copy_weights(package.net, mine.net)
    groups = [{"params": [parameter], "lr": 0.01} for parameter in package.net.parameters()]
    optimizer = pytabkit.optimizers.get_opt_class("adam")(groups, package.manager)
    progress = types.SimpleNamespace(get_fit_progress=lambda: step / n_steps)
    config = mine.config
    schedule = make_schedule(config, n_steps, 1)
    adam = make_optimizer(config, mine.net.groups(config))
    target = package.tensors["y"].squeeze(1) if kind == "classification" else package.tensors["y"]
    scaled = target if kind == "classification" else (target - target.mean()) / target.std(correction=0)
    loss = torch.nn.functional.cross_entropy if kind == "classification" else torch.nn.functional.mse_loss
    package.net.train()
    start = copy_of(mine.net)
    for step in range(n_steps):
        package.manager.update_hypers(types.SimpleNamespace(progress=progress))
        found = package.net(package.tensors)
        loss(found["x_cont"], found["y"].squeeze(1) if kind == "classification" else found["y"]).backward()
        optimizer.step()
        optimizer.opt.zero_grad()
        adam.flat.grads.zero_()
        loss(mine.net(**mine.tensors), scaled).backward()
        adam.step(config.lr * schedule.factor(step), fade(step / n_steps))
    mine_end = copy_of(mine.net)
    copy_weights(package.net, mine.net)
    for (name, parameter), before, after in zip(mine.net.named_parameters(), start, mine_end, strict=True):
        if "tables" in name:
            before, after, parameter = before[1:], after[1:], parameter[1:]
        moved = (parameter - before).abs().mean()
        assert moved > 0, name
        assert (parameter - after).abs().mean() <= 1e-4 * moved, name


def copy_of(net):
    return [parameter.detach().clone() for parameter in net.parameters()]


@pytest.mark.parametrize(("ours_name", "theirs_name"), [("coslog4", "coslog4"), ("fade", "flat_cos")])
def test_schedules_have_the_same_values(pytabkit, ours_name, theirs_name):
    schedule = pytabkit.scheduling.get_schedule(theirs_name)
    for progress in np.linspace(0, 0.999, 101):
        found = fade(progress) if ours_name == "fade" else coslog4(progress)
        assert found == pytest.approx(schedule.call_time_(progress), abs=1e-12)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_pre_activations_begin_with_deviation_1(kind):
    mine = ours(kind)
    x = mine.net._inputs(**mine.tensors)
    for linear, after in [*((block.linear, block.activation) for block in mine.net.blocks()), (mine.net.head, None)]:
        output = linear(x)
        torch.testing.assert_close(output.std(dim=0, correction=0), torch.ones(linear.out_features), atol=1e-4, rtol=0)
        # Every unit is 0 between some of the rows.
        assert (output.amin(dim=0) <= 0).all()
        assert (output.amax(dim=0) >= 0).all()
        x = output if after is None else after(output)


def test_initial_biases_are_spread_as_theirs(pytabkit):
    package = theirs(pytabkit, pytabkit.defaults.RealMLP_TD_CLASS, table())
    expected = scopes(package.net)["/net/middle_layer/layer-1/bias"][0].detach()
    found = ours().net.blocks()[1].linear.bias.detach()
    # Minus a mean of five of 300 rows of deviation 1, with random shares.
    assert float(found.std()) == pytest.approx(float(expected.std()), rel=0.25)
    assert abs(float(found.mean()) - float(expected.mean())) < 0.2


def test_inputs_that_do_not_vary_give_finite_weights():
    frame = pd.DataFrame({"x": np.full(40, 3.0), "c": ["only"] * 40, "y": ["a", "b"] * 20})
    net = ours(frame=frame).net
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())
    # PBLD of a constant is constant: its rounding errors must not be blown up.
    assert max(float(block.linear.weight.detach().abs().max()) for block in net.blocks()) < 10


def test_initialization_normal_starts_from_an_output_of_0():
    mine = ours(initialization="normal")
    assert not mine.net(**mine.tensors).any()
    linear = mine.net.blocks()[1].linear
    assert float(linear.weight.detach().std()) == pytest.approx(1 / 16, rel=0.05)
    assert float(linear.bias.detach().std()) == pytest.approx(1, rel=0.2)


def test_two_levels_are_one_column():
    """1 for the first, -1 for the second, 0 for missing, then robust scaling: the first is the median here."""
    mine = ours()
    flags = mine.tensors["num"][:, 3:]
    assert flags.shape[1] == 2 + 5
    scaled = mine.net.flags(flags)
    assert scaled.shape[1] == 1 + 5
    first = flags[:, 0] == 1
    assert not scaled[first, 0].any()
    # Quartiles 1 and -1: the second level is one unit of scale, 2, away from the median.
    torch.testing.assert_close(scaled[~first, 0], torch.full((int((~first).sum()),), -1 / (1 + 1 / 9) ** 0.5))


def test_a_flag_without_variation_says_nothing():
    mine = ours()
    mine.net.flags.fit(torch.ones(50, 7))
    assert not mine.net.flags(torch.tensor([[0.0] * 7, [1.0] * 7, [-1.0] * 7])).any()


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("params", [{}, {"n_blocks": 0, "scale_layer": False}, {"num_embedding": "none"}, TD_S], ids=str)
def test_the_table_lowers_it(kind, params):
    mine = ours(kind, **({"d_block": 32} if params.get("n_blocks", 1) else {}), **params)
    net, tensors = mine.net.eval(), mine.tensors
    for double in (False, True):
        g = GraphBuilder()
        kinds = {"num": "DOUBLE" if double else "FLOAT", "cat": "INT64"}
        inputs = {name: g.input(name, kinds[name], ["N", tensor.shape[1]]) for name, tensor in tensors.items()}
        rows = {name: tensor.double() if double and name == "num" else tensor for name, tensor in tensors.items()}
        output = lower(g, net.double() if double else net, inputs, rows)
        g.output(output, "y", kinds["num"], ["N", net.head.out_features])
        model = g.to_model()
        check(model)
        session = open_session(model.SerializeToString(), "cpu")
        for n in (0, 1, 37):
            with torch.no_grad():
                expected = net(**{name: tensor[:n] for name, tensor in rows.items()}).numpy()
            found = session.run(None, {name: tensor[:n].numpy() for name, tensor in rows.items()})[0]
            np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-5)


def test_defaults_are_those_of_the_paper():
    recipe = learner("realmlp")
    values = recipe.values
    assert (values["max_epochs"], values["batch_size"], values["validation"], values["patience"]) == (256, 256, 0.2, None)
    assert (values["n_blocks"], values["d_block"], values["dropout"], values["weight_decay"]) == (3, 256, 0.15, 0.02)
    for kind, activation, lr in (("classification", "selu", 0.04), ("regression", "mish", 0.2)):
        mine = ours(kind)
        assert (mine.net.config.activation, mine.config.lr) == (activation, lr)
    assert ours(lr=0.07).config.lr == 0.07


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"activation": "glow"}, "activation has to be relu .*not 'glow'"),
        ({"initialization": "zeros"}, "initialization has to be data | normal, not 'zeros'"),
        ({"scale_lr": -1.0}, "scale_lr has to be float >= 0, not -1.0"),
    ],
)
def test_wrong_settings_are_refused(params, message):
    with pytest.raises(ParameterError, match=message):
        RealMLP(**params)


@pytest.mark.parametrize("params", [{}, {"monitor": "score", "label_smoothing": 0.1}])
def test_a_fit(params):
    """It learns, the epoch is the last of the best, and the file's predictions stay within the training range."""
    for kind, measure, bound in (("classification", "acc", 0.6), ("regression", "r2", 0.5)):
        task = Task.from_frame(table(kind), "y", type=kind)
        options = params if kind == "classification" else {}
        model = RealMLP(max_epochs=40, d_block=64, batch_size=64, device="cpu", **options).fit(task, progress=False)
        assert model.score(task)[measure] > bound
        if kind == "regression":
            far = task.frame.assign(x=1e9)
            assert model.predict(far).response.max() <= task.frame["y"].max()
        elif params:
            history = model.history
            best = history["valid_acc"].max()
            assert model.metadata["training"]["best_epoch"] == history["epoch"][history["valid_acc"] == best].max()


def test_numbers_are_embedded_in_training_as_in_evaluation():
    part, num = PBLDEmbedding(torch.full((5, 16), 0.5), 3).double(), torch.randn(40, 5, dtype=torch.float64)
    grad, found = torch.randn(40, 5, 3, dtype=torch.float64), []
    for training in (True, False):
        part.train(training).zero_grad()
        output = part(num)
        output.backward(grad)
        found.append([output, *(parameter.grad.clone() for parameter in part.parameters())])
    for in_training, in_evaluation in zip(*found, strict=True):
        torch.testing.assert_close(in_training, in_evaluation, rtol=1e-9, atol=1e-9)


class Arithmetic(torch.nn.Module):
    """What the network's parts need of the lowering table and nothing else did."""

    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.tensor([0.5, -1.0, 2.0]))

    def forward(self, num):
        """Both ways round."""
        x = torch.lerp(num, num * num, self.a) + torch.lerp(num, self.a, 0.25)
        return torch.addcmul(self.a, x, num) + torch.addcmul(x, num, self.a, value=-0.5)


def test_lowering_of_lerp_and_addcmul():
    g, net, x = GraphBuilder(), Arithmetic(), torch.randn(37, 3)
    output = lower(g, net, {"num": g.input("num", "FLOAT", ["N", 3])}, {"num": x})
    g.output(output, "y", "FLOAT", ["N", 3])
    model = g.to_model()
    check(model)
    session = open_session(model.SerializeToString(), "cpu")
    for n in (0, 1, 37):
        np.testing.assert_allclose(session.run(None, {"num": x[:n].numpy()})[0], net(x[:n]).numpy(), rtol=1e-5, atol=1e-6)
