"""Learner mlp from table to file: parity, determinism, what goes wrong."""

# ruff: noqa: E501

import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import rtdl_revisiting_models as rtdl
import torch

from onnxlearn.errors import DataError, InterruptedFit, ParameterError, ParityError, ProviderError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.model import Model
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.schema import Ingress
from onnxlearn.task import Task
from onnxlearn.testing import example_frame, example_tasks
from onnxlearn_models import network_learner, parity, shipping
from onnxlearn_models.entity_mlp import EntityMLP
from onnxlearn_models.mlp import MLP, MLPConfig, MLPNet
from onnxlearn_models.shipping import export_proven

QUICK = {"max_epochs": 3, "d_block": 16, "device": "cpu", "lr": 0.001}


def two_task(n_rows=120, **roles):
    return Task.from_frame(example_frame(n_rows), "two", ignore=["amount", "sort"], **roles)


# Parity: fit() itself proves it on training and hostile rows and raises otherwise. tests/contract has it at length.


@pytest.mark.parametrize("options", [
    {"norm": "batch"}, {"norm": "layer"}, {"activation": "mish", "input_dropout": 0.1}, {"linear_path": True, "n_blocks": 1},
    {"n_blocks": 0}, {"num_embedding": "none"}, {"n_frequencies": 4, "d_num_embedding": 7, "dropout_schedule": "fade"}, {"num_embedding": "periodic"},
    {"num_embedding": "piecewise_linear"}, {"num_embedding": "linear"}, {"norm": "rms", "loss": "focal"}, {"mixup": 0.3}, {"monitor": "score"}, {"cat_encoding": "embedding", "ordered_encoding": "both"}, {"num_scaler": "quantile"}, {"optimizer": "sgd"},
    {"ema": 0.9, "label_smoothing": 0.1, "grad_clip": 1.0}, {"schedule": "flat_cosine", "warmup": 0.1}, {"class_weight": "balanced"},
])  # fmt: skip
def test_every_setting_gives_a_file_that_agrees(options):
    quick = {name: value for name, value in QUICK.items() if name != "d_block" or options.get("n_blocks", 1)}
    model = MLP(**{**quick, **options}).fit(example_tasks(90)["classes"], progress=False)
    assert model.metadata["parity"]["max_difference"] <= 2e-5


def test_a_file_that_disagrees_is_not_written(monkeypatch):
    class Shifted(MLP):
        """Exports other weights than those that it trained."""

        name = "shifted"

    assemble = shipping.assemble

    def shifted(parts, *rest):
        graph = assemble(parts, *rest)
        with torch.no_grad():
            parts[0].emit.__self__.module.head.bias[0] += 0.01
        return graph

    monkeypatch.setattr(shipping, "assemble", shifted)
    with pytest.raises(
        ParityError, match=r"the exported file and the network (differ by .* no file was written|choose different labels)"
    ):
        Shifted(**QUICK).fit(two_task(), progress=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_no_parity(bad):
    with pytest.raises(ParityError, match="differ by"):
        parity._require([(0.0, 0.0), (bad, bad), (0.0, 0.0)], 1e-5)


def test_a_target_far_from_zero_keeps_its_digits():
    task = example_tasks(200)["number"]
    model = MLP(max_epochs=40, device="cpu", seed=1).fit(task, progress=False)
    assert model.score(task)["rmse"] < 0.5
    assert len(np.unique(model.predict(task).response)) > 150


# The same inputs give the same bytes.


def digest(seed):
    return hashlib.sha256(MLP(**QUICK, seed=seed).fit(two_task(), progress=False).to_bytes()).hexdigest()


def test_same_seed_same_bytes_and_the_callers_generators_stay():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = digest(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    np.random.seed(6)  # noqa: NPY002
    assert first == digest(0) != digest(1)


FIT_IN_A_PROCESS = """
import hashlib, sys
import torch
torch.set_num_threads(1)
before = set(sys.modules)
from onnxlearn.task import Task
from onnxlearn.testing import example_frame
from onnxlearn_models.mlp import MLP
task = Task.from_frame(example_frame(120), "two", ignore=["amount", "sort"])
model = MLP(max_epochs=3, d_block=16, device="cpu").fit(task)
for name in ("sklearn", "torch._dynamo", "torch.onnx", "onnxscript", "sympy", "rich", "scipy", "pyarrow.parquet"):
    assert name not in sys.modules or name in before, name
print(hashlib.sha256(model.to_bytes()).hexdigest())
"""


def test_two_processes_give_the_same_bytes_and_import_nothing_dear():
    runs = [
        subprocess.run([sys.executable, "-c", FIT_IN_A_PROCESS], capture_output=True, text=True, check=False) for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout) == 65
    assert not runs[0].stderr


# Weights, validation, scores, history.


def test_weights_shift_the_prediction():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "y": ["a", "b", "b"] * 100})
    frame["w"] = np.where(frame["y"] == "a", 8.0, 1.0)
    options = {**QUICK, "max_epochs": 30, "lr": 0.01, "ema": 0.0}
    shares = {}
    for name, learner, roles in (
        ("plain", MLP(**options), {"ignore": "w"}),
        ("weighted", MLP(**options), {"weight": "w"}),
        ("balanced", MLP(**options, class_weight="balanced"), {"ignore": "w"}),
    ):
        shares[name] = learner.fit(Task.from_frame(frame, "y", **roles), progress=False).predict(frame).prob[:, 0].mean()
    assert shares == pytest.approx({"plain": 1 / 3, "weighted": 0.8, "balanced": 0.5}, abs=0.08)


def test_balanced_is_for_classification():
    with pytest.raises(ParameterError, match="class_weight='balanced' is for classification"):
        MLP(**QUICK, class_weight="balanced").fit(example_tasks()["number"], progress=False)


def test_validation_rows_without_weight():
    frame = example_frame(40).assign(w=[1.0] * 30 + [0.0] * 10)
    task = Task.from_frame(frame, "two", weight="w", ignore=["amount", "sort"])
    with pytest.raises(DataError, match="weights of the 10 validation rows sum to 0"):
        MLP(**QUICK, validation=tuple(range(30, 40))).fit(task, progress=False)


def test_the_file_tells_how_it_was_trained():
    train, test = two_task().split(0.25, 0)
    model = Model(MLP(**QUICK, validation=0.2, batch_size=10, seed=3).fit(train, test=test, progress=False).to_bytes())
    training = model.metadata["training"]
    assert {key: training[key] for key in ("epochs", "n_rows", "n_validation_rows", "seed", "batch_size", "lr", "stopped")} == {
        "epochs": 3, "n_rows": 90, "n_validation_rows": 18, "seed": 3, "batch_size": 10, "lr": 0.001, "stopped": "max_epochs",
    }  # fmt: skip
    assert list(model.history.columns) == ["epoch", "lr", "train_loss", "valid_acc", "valid_loss"]
    assert len(model.history) == 3
    assert 1 <= training["best_epoch"] <= 3
    assert model.scores["test"] == pytest.approx(model.score(test.frame))
    assert set(model.scores) == {"test", "validation"}
    assert model.metadata["parity"]["tolerance"] == 1e-5
    assert model.metadata["learner"]["params"]["lr"] == 0.001


def test_validation_score_is_that_of_the_held_out_rows():
    task = two_task()
    model = MLP(**QUICK, validation=(0, 1, 2, 3, 4, 5, 6, 7)).fit(task, progress=False)
    assert model.scores["validation"] == pytest.approx(model.score(task.frame.head(8)))


@pytest.mark.parametrize(("target", "measure"), [("label", "acc"), ("size", "rmse")])
@pytest.mark.parametrize("weight", [None, "w"])
def test_the_history_of_scores_agrees_with_the_file(target, measure, weight):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=90), "w": rng.uniform(0.5, 2, 90)})
    frame["label"] = np.where(frame["x"] + rng.normal(size=90) > 0, "a", "b")
    frame["size"] = 1000 + 50 * frame["x"] + rng.normal(size=90)
    others = {"label": "size", "size": "label"}[target]
    task = Task.from_frame(frame, target, weight=weight, ignore=[others] + ([] if weight else ["w"]))
    model = MLP(**QUICK).fit(task, progress=False)
    at_best = model.history[f"valid_{measure}"].iloc[model.metadata["training"]["best_epoch"] - 1]
    assert at_best == pytest.approx(model.scores["validation"][measure], rel=1e-5)


def test_without_validation_all_rows_train():
    model = MLP(**QUICK, validation=None).fit(two_task(), progress=False)
    assert model.metadata["training"]["n_validation_rows"] == 0
    assert model.scores == {}
    assert "valid_loss" not in model.history
    assert model.metadata["training"]["best_epoch"] == 3


def test_a_validation_table_is_told_by_its_digest():
    task = two_task()
    learner = MLP(**QUICK, validation=task.frame.head(20))
    model = learner.fit(task, progress=False)
    told = model.metadata["learner"]["params"]["validation"]
    assert told["n_rows"] == 20
    assert len(told["sha256"]) == 64
    assert learner == learner.replace()
    assert learner != learner.replace(validation=task.frame.head(21))


# Ctrl-C.


class Interrupted(MLP):
    """Is interrupted while it trains epoch 3."""

    name = "mlp"
    n_steps = 0

    def train_prepared(self, *args, **options):
        calls = iter(range(10**6))
        original = network_learner.train_network

        def train_network(*args, on_epoch, **more):
            def interrupt(epoch):
                on_epoch(epoch)
                if next(calls) == self.n_steps:
                    raise KeyboardInterrupt

            return original(*args, on_epoch=interrupt, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network_learner, "train_network", train_network)
            return super().train_prepared(*args, **options)


def test_interrupted_and_kept():
    learner = Interrupted(**{**QUICK, "max_epochs": 50, "patience": None})
    learner.n_steps = 2
    model = learner.fit(two_task(), keep_on_interrupt=True, progress=False)
    assert model.metadata["training"]["stopped"] == "interrupted"
    assert model.metadata["training"]["epochs"] == 3
    assert any("training was interrupted in epoch 4" in note for note in model.metadata["notes"])


def test_interrupted_and_not_kept():
    with pytest.raises(KeyboardInterrupt):
        Interrupted(**QUICK).fit(two_task(), progress=False)


# Tables at the edge.


def test_tiny_tables():
    for n_rows in (2, 3, 5):
        frame = pd.DataFrame({"x": np.arange(n_rows) * 1.0, "y": ["a", "b"] + ["a"] * (n_rows - 2)})
        task = Task.from_frame(frame, "y")
        if n_rows == 2:
            with pytest.raises(ParameterError, match="2 rows cannot be parted"):
                MLP(**QUICK).fit(task, progress=False)
            task_model = MLP(**QUICK, validation=None).fit(task, progress=False)
        else:
            task_model = MLP(**QUICK).fit(task, progress=False)
        assert len(task_model.predict(frame)) == n_rows


@pytest.mark.parametrize(
    ("made", "way_out"),
    [
        (MLP(**QUICK, norm="batch", validation=0.5), "'mlp': batch norm needs .*: give more rows, or norm='layer'$"),
        (EntityMLP(validation=0.5), "'entity_mlp': batch norm .*: give more rows, or num_norm=False$"),
        (EntityMLP(validation=0.5, norm="batch"), "'entity_mlp': .*: give more rows, or norm='layer' and num_norm=False$"),
    ],
)
def test_batch_norm_with_one_training_row(made, way_out):
    task = Task.from_frame(pd.DataFrame({"x": [1.0, 2.0], "y": [1.5, 2.5]}), "y")
    with pytest.raises(ParameterError, match=f"learner {way_out}"):
        made.fit(task, progress=False)


def test_label_smoothing_is_for_classes():
    with pytest.raises(ParameterError, match=r"label_smoothing=0\.1 is for classification; this task is a regression: leave"):
        MLP(**QUICK, label_smoothing=0.1).fit(example_tasks()["number"], progress=False)


@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_l1_makes_some_weights_0(ema):
    fitted = MLP(**{**QUICK, "max_epochs": 20, "lr": 0.01}, ema=ema, l1=0.003).train(two_task(), None, progress=False)
    share = float((fitted.module.blocks[0].weight == 0).float().mean())
    assert 0.1 < share < 1


@pytest.mark.parametrize("settings", [{"n_blocks": 1, "d_block": 7}, {"n_blocks": 4, "d_block": 32}], ids=str)
def test_it_is_the_published_network(settings):
    theirs = rtdl.MLP(d_in=5, d_out=3, dropout=0.1, **settings).eval()
    ingress = Ingress(num_names=tuple("abcde"), num_kinds=("number",) * 5)
    ours = MLPNet(ingress, 3, MLPConfig(num_embedding="none", dropout=0.1, **settings)).eval()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.data.copy_(other)
    x = torch.randn(64, 5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_cuda_without_a_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ProviderError, match="device='cuda' is not available: torch finds no GPU"):
        MLP(device="cuda").fit(two_task(), progress=False)


def test_wide_tables_have_few_nodes():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(50, 500)), columns=[f"x{i}" for i in range(500)])
    model = MLP(**QUICK).fit(Task.from_frame(frame.assign(y=rng.normal(size=50)), "y"), progress=False)
    assert len(onnx.load_from_string(model.to_bytes()).graph.node) < 50


def test_parameters_are_documented_and_unique():
    params = MLP().params
    assert len({param.name for param in params}) == len(params)
    assert {"max_epochs", "batch_size", "lr", "weight_decay", "optimizer", "validation", "patience", "seed", "device", "n_blocks", "d_block", "dropout", "activation"} <= {param.name for param in params}  # fmt: skip
    json.dumps(MLP().to_dict(), allow_nan=False)
    assert MLPConfig().n_blocks == MLP().values["n_blocks"]


def test_interruption_before_the_first_epoch():
    def architecture(schema, config):
        module = MLP.architecture(schema, config)
        module.register_forward_pre_hook(interrupt)
        return module

    def interrupt(*args):
        raise KeyboardInterrupt

    class AtOnce(MLP):
        """Is interrupted in its first step."""

        name = "mlp"

    AtOnce.architecture = staticmethod(architecture)
    with pytest.raises(InterruptedFit, match="interrupted before the first epoch ended"):
        AtOnce(**QUICK).fit(two_task(), keep_on_interrupt=True, progress=False)


def test_parity_is_measured_on_hostile_rows_too():
    learner = MLP(**QUICK)
    task = two_task()
    train, valid = task.split(0.2, 0)
    fitted = learner.train(train, valid, progress=False)
    _, _, found = export_proven([fitted], Postprocessing(), train.feeds())
    assert found["n_rows"] == train.n_rows + len(hostile_feeds(task.schema)["size"])
