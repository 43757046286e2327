"""Time per epoch and of a whole fit on the diamonds, against skorch, pytorch_tabular and pytabkit.

python tests/benchmarks/epoch_rivals.py           those that are installed, a table on stdout
python tests/benchmarks/epoch_rivals.py skorch    some of them
python tests/benchmarks/epoch_rivals.py --write   also into docs/benchmarks.md

Both sides start from the data frame, 80 % of its rows, and hold 15 % of these out; one thread, CPU seconds, in turn in one
process. The time of an epoch is what more epochs take longer. Ours ends with an exported, proven file. pytorch_tabular wants
pandas 2: it needs an environment of its own, in which this script runs as well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from datasets import load
from timing import Row, markdown, row, seconds, write_section

import onnxlearn as ol

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FEW, MANY, BATCH_SIZE, LR, WIDTHS = 2, 6, 256, 1e-3, (256, 256, 256)
Fit = Callable[[int], object]
"""From the number of epochs to what was fitted."""

PLAIN = {
    "num_embedding": "none", "cat_encoding": "onehot", "num_scaler": "standard", "smooth_clip": False, "d_block": WIDTHS[0],
    "n_blocks": len(WIDTHS), "dropout": 0.0, "ema": 0, "schedule": "constant", "warmup": 0, "lr": LR,
}  # fmt: skip
"""The network and the training that the packages have too."""


class Rival(NamedTuple):
    """A package, what it fits, and our learner of the same network with its settings."""

    module: str
    title: str
    fit: Callable[[pd.DataFrame, str], Fit]
    learner: str
    params: Mapping[str, object]


def skorch_fit(frame: pd.DataFrame, target: str) -> Fit:
    """The pipeline that people write with scikit-learn and skorch, 15 % of the rows held out."""
    import torch
    from sklearn.pipeline import make_pipeline
    from skorch import NeuralNetRegressor
    from skorch.dataset import ValidSplit
    from skorch_cv import prepare
    from torch import nn

    x, y = frame.drop(columns=target), frame[target].to_numpy(np.float32).reshape(-1, 1)
    y = (y - y.mean()) / y.std()
    d_in = prepare().fit_transform(x).shape[1]

    def network() -> nn.Sequential:
        widths = [d_in, *WIDTHS]
        hidden = [part for i in range(len(WIDTHS)) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(widths[-1], 1))

    def fit(epochs: int) -> object:
        net = NeuralNetRegressor(
            network, optimizer=torch.optim.AdamW, lr=LR, max_epochs=epochs, batch_size=BATCH_SIZE,
            iterator_train__shuffle=True, train_split=ValidSplit(7), verbose=0,
        )  # fmt: skip
        return make_pipeline(prepare(), net).fit(x, y)

    return fit


def pytorch_tabular_fit(frame: pd.DataFrame, target: str) -> Fit:
    """CategoryEmbedding, which embeds the categories."""
    from pytorch_tabular import TabularModel
    from pytorch_tabular.config import DataConfig, OptimizerConfig, TrainerConfig
    from pytorch_tabular.models import CategoryEmbeddingModelConfig

    numbers = [name for name in frame.columns.drop(target) if pd.api.types.is_numeric_dtype(frame[name])]
    words = [name for name in frame.columns.drop(target) if name not in numbers]
    plain = frame.astype(dict.fromkeys(words, str))

    def fit(epochs: int) -> object:
        model = TabularModel(
            data_config=DataConfig(target=[target], continuous_cols=numbers, categorical_cols=words, validation_split=0.15),
            model_config=CategoryEmbeddingModelConfig(task="regression", layers="-".join(map(str, WIDTHS)), learning_rate=LR),
            optimizer_config=OptimizerConfig(optimizer="AdamW"),
            trainer_config=TrainerConfig(
                batch_size=BATCH_SIZE, max_epochs=epochs, accelerator="cpu", early_stopping=None, checkpoints=None,
                load_best=False, progress_bar="none", trainer_kwargs={"enable_model_summary": False},
            ),
            verbose=False,
        )  # fmt: skip
        # It leaves files where it is run.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            model.fit(train=plain)
        return model

    return fit


def pytabkit_fit(frame: pd.DataFrame, target: str) -> Fit:
    """RealMLP."""
    from pytabkit import RealMLP_TD_Regressor

    x, y = frame.drop(columns=target), frame[target].to_numpy(np.float64)

    def fit(epochs: int) -> object:
        return RealMLP_TD_Regressor(
            n_epochs=epochs, batch_size=BATCH_SIZE, n_threads=1, device="cpu", random_state=0, val_fraction=0.15
        ).fit(x, y)

    return fit


RIVALS = {
    "skorch": Rival("skorch", "skorch, 3 layers of 256", skorch_fit, "mlp", PLAIN),
    "pytorch_tabular": Rival(
        "pytorch_tabular", "pytorch_tabular, CategoryEmbedding, 3 layers of 256", pytorch_tabular_fit, "mlp",
        PLAIN | {"cat_encoding": "embedding"},
    ),
    "pytabkit": Rival("pytabkit", "pytabkit, RealMLP", pytabkit_fit, "realmlp", {}),
}  # fmt: skip


def our_fit(rival: Rival, frame: pd.DataFrame, target: str) -> Fit:
    """A fit with the same epochs and batches; 15 % of the rows are held out."""
    task = ol.Task.from_frame(frame, target)

    def fit(epochs: int) -> object:
        settings = {**rival.params, "max_epochs": epochs, "patience": None, "batch_size": BATCH_SIZE, "validation": 0.15}
        return ol.learner(rival.learner, **settings).fit(task, progress=False)

    return fit


def times(fit: Fit) -> tuple[float, float]:
    """CPU seconds of an epoch, and of the fit with many."""
    few, many = (seconds(lambda n=n: fit(n), time.process_time) for n in (FEW, MANY))
    return (many - few) / (MANY - FEW), many


def compare(name: str, pairs: int) -> list[Row]:
    """Theirs / ours."""
    rival, dataset = RIVALS[name], load("diamonds")
    frame = dataset.frame.sample(frac=0.8, random_state=0, ignore_index=True)
    theirs, ours = rival.fit(frame, dataset.target), our_fit(rival, frame, dataset.target)
    for fit in (theirs, ours):
        fit(1)
    found = [(times(theirs), times(ours)) for _ in range(pairs)]
    of_epoch, of_fit = ([a[i] / b[i] for a, b in found] for i in (0, 1))
    title = f"{rival.title} / `{rival.learner}`"
    return [
        row(f"epoch of {title}", of_epoch, "at least 1"),
        row(f"fit of {MANY} epochs, {title}", of_fit, "at least 1"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *RIVALS])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--keep", action="store_true", help="with --write: keep the lines of the others that are there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    for name in options.names or RIVALS:
        if find_spec(RIVALS[name].module) is None:
            print(f"{name} is not installed here: left out", file=sys.stderr)
            continue
        rows += compare(name, options.pairs)
        print(markdown(rows[-2:]), file=sys.stderr)
    print(markdown(rows))
    if options.write:
        kept = [line for line in lines_of_page() if not any(row.what in line for row in rows)] if options.keep else []
        write_section(PAGE, "epochs of rivals", "\n".join([markdown(rows), *kept]))


def lines_of_page() -> list[str]:
    """What the table holds already."""
    text = PAGE.read_text(encoding="utf-8").split("<!-- epochs of rivals -->\n")[1].split("<!-- /epochs of rivals -->")[0]
    return [line for line in text.splitlines() if line.startswith(("| epoch of", "| fit of"))]


if __name__ == "__main__":
    main()
