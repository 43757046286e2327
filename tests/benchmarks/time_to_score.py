"""Processor time to the same validation loss: each learner with its defaults against the published package of its network.

python tests/benchmarks/time_to_score.py                     what time_to_score.csv lacks; hours on one core from nothing
python tests/benchmarks/time_to_score.py tabm realmlp        of some learners
python tests/benchmarks/time_to_score.py --again             also what there is
python tests/benchmarks/time_to_score.py --write             also into docs/benchmarks.md; with --kept nothing is computed

Both sides train on the same rows and are judged after each epoch on the same others. The loss to reach is the worse of the
two sides' best.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import itertools
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unittest import mock

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import torch
from datasets import load
from published import Numbers
from timing import write_section
from torch import Tensor, nn

import onnxlearn as ol
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn_models import network_learner
from onnxlearn_models.training.progress import Epoch

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
KEPT = Path(__file__).with_suffix(".csv")
TABLES = ("diabetes", "digits", "credit_data")
SEEDS = (0, 1)
MAX_EPOCHS, PATIENCE = 256, 16


class Row(NamedTuple):
    """One comparison: the ratio of the times, and the best validation loss of either side."""

    learner: str
    data: str
    seed: int
    ratio: float
    loss: float
    loss_package: float


@dataclass
class Curve:
    """Validation losses and the processor seconds at which they were reached."""

    start: float = field(default_factory=time.process_time)
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def add(self, loss: float) -> None:
        self.seconds.append(time.process_time() - self.start)
        self.losses.append(loss)

    @property
    def is_out_of_patience(self) -> bool:
        return len(self.losses) - 1 - int(np.argmin(self.losses)) >= PATIENCE

    def seconds_to(self, loss: float) -> float:
        return next(second for second, reached in zip(self.seconds, self.losses, strict=True) if reached <= loss)


@dataclass(frozen=True)
class Data:
    """One split of a table, as a task and as the matrices that packages take: categories one-hot, targets standardized."""

    train: ol.Task
    valid: ol.Task
    x: np.ndarray
    x_valid: np.ndarray
    y: np.ndarray
    y_valid: np.ndarray
    seed: int

    @classmethod
    def of(cls, name: str, seed: int) -> Data:
        table = load(name)
        is_classification = table.measure == "logloss"
        task = ol.Task.from_frame(table.frame, table.target, type="classification" if is_classification else "regression")
        train, valid = task.split(0.2, seed)
        config = PreprocessConfig(num_scaler="quantile", cat_encoding="onehot", ordered_encoding="rank")
        preprocessing = Preprocessing.fit(train.schema, config, train.feeds())
        x, x_valid = (preprocessing.transform(part.feeds())["num"] for part in (train, valid))
        varied = (x != x[:1]).any(axis=0)
        y, y_valid = train.truth(), valid.truth()
        if not is_classification:
            y, y_valid = ((part - y.mean()) / y.std() for part in (y, y_valid))
        return cls(train, valid, x[:, varied], x_valid[:, varied], np.squeeze(y), np.squeeze(y_valid), seed)

    @property
    def is_classification(self) -> bool:
        return self.y.dtype == np.int64

    @property
    def d_out(self) -> int:
        return int(self.y.max()) + 1 if self.is_classification else 1

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, y_valid = (torch.from_numpy(part) for part in (self.y, self.y_valid))
        if not self.is_classification:
            y, y_valid = y.float(), y_valid.float()
        return torch.from_numpy(self.x), y, torch.from_numpy(self.x_valid), y_valid


def ours(name: str, data: Data) -> tuple[Curve, int]:
    """Defaults; also the rows of a step that they come to."""
    curve = Curve()

    @contextlib.contextmanager
    def recorded(*_: object, **__: object) -> Iterator[Callable[[Epoch], None]]:
        yield lambda epoch: curve.add(epoch.valid_loss)

    learner = ol.learner(name, seed=data.seed)
    with mock.patch.object(network_learner, "progress_bar", recorded):
        network = learner.train(data.train, data.valid, progress=False)
    return curve, network.result.batch_size


def in_a_loop(make: Callable[[Data], nn.Module], lr: float, weight_decay: float) -> Callable[[Data, int], Curve]:
    """A network trained by AdamW at a constant rate until it no longer improves. Members get the same batches."""

    def run(data: Data, batch_size: int) -> Curve:
        curve = Curve()
        torch.manual_seed(data.seed)
        x, y, x_valid, y_valid = data.tensors()
        module = make(data)
        optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
        for _ in range(MAX_EPOCHS):
            module.train()
            for rows in torch.randperm(len(x)).split(batch_size):
                if len(rows) == 1:
                    continue  # batch norm
                optimizer.zero_grad(set_to_none=True)
                loss_of(module(x[rows]), y[rows], data.is_classification).backward()
                optimizer.step()
            module.eval()
            with torch.no_grad():
                output = torch.cat([module(part) for part in x_valid.split(1_024)])
                curve.add(float(loss_of(together(output, data.is_classification), y_valid, data.is_classification)))
            if curve.is_out_of_patience:
                break
        return curve

    return run


def loss_of(output: Tensor, y: Tensor, is_classification: bool) -> Tensor:
    if output.ndim == 3:
        output, y = output.flatten(0, 1), y.repeat_interleave(output.shape[1])
    return nn.functional.cross_entropy(output, y) if is_classification else nn.functional.mse_loss(output[:, 0], y)


def together(output: Tensor, is_classification: bool) -> Tensor:
    """What members say on average."""
    if output.ndim == 2:
        return output
    return output.softmax(dim=-1).mean(dim=1).log() if is_classification else output.mean(dim=1)


def rtdl_mlp(data: Data) -> nn.Module:
    from rtdl_revisiting_models import MLP

    return MLP(d_in=data.x.shape[1], d_out=data.d_out, n_blocks=3, d_block=256, dropout=0.1)


def rtdl_resnet(data: Data) -> nn.Module:
    from rtdl_revisiting_models import ResNet

    shape = {"n_blocks": 2, "d_block": 192, "d_hidden_multiplier": 2.0, "dropout1": 0.15, "dropout2": 0.0}
    return ResNet(d_in=data.x.shape[1], d_out=data.d_out, **shape)


def rtdl_ft_transformer(data: Data) -> nn.Module:
    from rtdl_revisiting_models import FTTransformer

    shape = FTTransformer.get_default_kwargs()
    return Numbers(FTTransformer(n_cont_features=data.x.shape[1], cat_cardinalities=[], d_out=data.d_out, **shape))


def tabm_package(data: Data) -> nn.Module:
    """With the embeddings that its documentation advises."""
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
    from tabm import TabM

    bins = compute_bins(torch.from_numpy(data.x), n_bins=48)
    embeddings = PiecewiseLinearEmbeddings(bins, d_embedding=16, activation=False, version="B")
    return Numbers(TabM.make(n_num_features=data.x.shape[1], num_embeddings=embeddings, d_out=data.d_out))


def pytorch_tabnet(data: Data, batch_size: int) -> Curve:
    """Its own loop with its defaults, but for the size of batches."""
    from pytorch_tabnet.callbacks import Callback
    from pytorch_tabnet.tab_model import TabNetClassifier, TabNetRegressor

    curve = Curve()
    metric = "logloss" if data.is_classification else "mse"

    class Recorder(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            assert logs is not None
            curve.add(logs[f"valid_{metric}"])

    make = TabNetClassifier if data.is_classification else TabNetRegressor
    y, y_valid = (part if data.is_classification else part[:, None] for part in (data.y, data.y_valid))
    network = make(verbose=0, device_name="cpu", seed=data.seed)
    network.fit(
        data.x, y, eval_set=[(data.x_valid, y_valid)], eval_name=["valid"], eval_metric=[metric], max_epochs=MAX_EPOCHS,
        patience=PATIENCE, batch_size=batch_size, virtual_batch_size=min(128, batch_size), compute_importance=False,
        callbacks=[Recorder()],
    )  # fmt: skip
    return curve


class _Lines(io.StringIO):
    """Reads the validation losses off what is printed, as it is printed."""

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self.curve = curve

    def write(self, text: str) -> int:
        _, found, loss = text.partition(" = ")
        if found and text.startswith("Epoch"):
            self.curve.add(float(loss))
        return len(text)


def pytabkit_realmlp(data: Data, batch_size: int) -> Curve:
    """Its own loop with its defaults; it chooses the epoch by what is measured here."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    given = {"device": "cpu", "n_threads": 1, "random_state": data.seed, "batch_size": batch_size, "verbosity": 2, "n_cv": 1}
    if data.is_classification:
        network = RealMLP_TD_Classifier(val_metric_name="cross_entropy", use_ls=False, **given)
    else:
        network = RealMLP_TD_Regressor(**given)
    curve = Curve()
    with contextlib.redirect_stdout(_Lines(curve)):
        network.fit(data.x, data.y, X_val=data.x_valid, y_val=data.y_valid)
    # Regression is printed as the root of the loss.
    return curve if data.is_classification else Curve(curve.start, curve.seconds, [loss**2 for loss in curve.losses])


# Learning rates and weight decays are those of the packages' examples.
PACKAGES: dict[str, tuple[str, Callable[[Data, int], Curve]]] = {
    "mlp": ("MLP of rtdl_revisiting_models", in_a_loop(rtdl_mlp, 1e-3, 1e-5)),
    "tab_resnet": ("ResNet of rtdl_revisiting_models", in_a_loop(rtdl_resnet, 1e-3, 1e-5)),
    "ft_transformer": ("FTTransformer of rtdl_revisiting_models", in_a_loop(rtdl_ft_transformer, 1e-4, 1e-5)),
    "tabnet": ("pytorch_tabnet", pytorch_tabnet),
    "tabm": ("TabM of tabm", in_a_loop(tabm_package, 2e-3, 3e-4)),
    "realmlp": ("RealMLP_TD of pytabkit", pytabkit_realmlp),
}


def compare(name: str, table: str, seed: int) -> Row:
    """One ratio: ours to the package's processor time to the worse of the two best losses."""
    _, train = PACKAGES[name]
    data = Data.of(table, seed)
    mine, batch_size = ours(name, data)
    theirs = train(data, batch_size)
    best, best_theirs = min(mine.losses), min(theirs.losses)
    loss = max(best, best_theirs)
    return Row(name, table, seed, mine.seconds_to(loss) / theirs.seconds_to(loss), best, best_theirs)


def read() -> dict[tuple[str, str, int], Row]:
    """What was measured; of several about the same the last."""
    if not KEPT.exists():
        return {}
    with KEPT.open(encoding="utf-8", newline="") as file:
        rows = [Row(r["learner"], r["data"], int(r["seed"]), *map(float, list(r.values())[3:])) for r in csv.DictReader(file)]
    return {row[:3]: row for row in rows}


def append(row: Row) -> None:
    """One line, written at once."""
    is_new = not KEPT.exists()
    with KEPT.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(Row._fields)
        writer.writerow([*row[:3], *(f"{value:.4g}" for value in row[3:])])


def report(rows: Iterable[Row]) -> str:
    """The table of what there is."""
    head = ["learner", "package", "time to the same loss, median", "spread", "our best loss is lower", "tables"]
    lines = [head, ["---"] * len(head)]
    by_learner = {name: [row for row in rows if row.learner == name] for name in PACKAGES}
    for name, found in by_learner.items():
        if not found:
            continue
        ratios = [row.ratio for row in found]
        lower = sum(row.loss < row.loss_package for row in found)
        spread, tables = f"{min(ratios):.2g} to {max(ratios):.2g}", ", ".join(dict.fromkeys(row.data for row in found))
        median = f"{statistics.median(ratios):.2g}"
        lines.append([f"`{name}`", PACKAGES[name][0], median, spread, f"{lower} of {len(found)}", tables])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *PACKAGES])
    parser.add_argument("--again", action="store_true", help="also what there is")
    parser.add_argument("--kept", action="store_true", help="compute nothing")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the packages
    known = {} if options.again else read()
    for key in itertools.product(options.names or PACKAGES, TABLES, SEEDS):
        if key not in known and not options.kept:
            append(row := compare(*key))
            print(*row, file=sys.stderr, sep=" | ")
    text = report(list(read().values()))
    print(text)
    if options.write:
        write_section(PAGE, "time to score", text)


if __name__ == "__main__":
    main()
