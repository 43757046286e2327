"""Ten folds trained as one network against one after the other by a hand-written loop; whole resamplings against skorch.

python tests/benchmarks/fold_parallel.py            everything, tables on stdout
python tests/benchmarks/fold_parallel.py --quick    fewer pairs
python tests/benchmarks/fold_parallel.py --write    also into docs/benchmarks.md

Wall time by two threads, which both sides have; ``--threads 1`` for one. The machine has to be quiet: other work on the same
cores makes threads wait for each other.
"""

from __future__ import annotations

import argparse
import os
import sys

N_THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "2"
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, N_THREADS)

import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
import pandas as pd
import skorch_cv
import torch
from timing import Row, markdown, paired, row, seconds, write_section
from torch import nn

import onnxlearn as ol
from onnxlearn_models.many import train_group

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FOLDS, EPOCHS, LR, WEIGHT_DECAY, N_BLOCKS = 10, 10, 1e-3, 0.01, 3


class Case(NamedTuple):
    """Three hidden layers of a width, trained in batches of a size on so many rows of 20 numbers."""

    width: int
    batch_size: int
    n_rows: int
    target: str = ""

    @property
    def title(self) -> str:
        return f"width {self.width}, batch {self.batch_size}, {self.n_rows:,} rows"


CASES = (
    Case(32, 32, 500), Case(64, 32, 2000), Case(64, 64, 2000, "at least 4"), Case(64, 256, 2000), Case(128, 64, 2000),
    Case(256, 32, 2000), Case(256, 256, 2000),
)  # fmt: skip


def a_task(n_rows: int) -> ol.Task:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_rows, 20)).astype(np.float32)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(20)])
    return ol.Task.from_frame(frame.assign(y=np.tanh(x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=n_rows)), "y")


def a_learner(case: Case) -> ol.Learner:
    """The plainest training, as the hand-written loop has it."""
    return ol.learner(
        "mlp", num_embedding="none", n_blocks=N_BLOCKS, d_block=case.width, dropout=0.0, dropout_schedule="constant",
        validation=None, max_epochs=EPOCHS, patience=None, batch_size=case.batch_size, lr=LR, weight_decay=WEIGHT_DECAY,
        schedule="constant", warmup=0.0, ema=0.0, n_threads=int(N_THREADS),
    )  # fmt: skip


def by_hand(net: nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int) -> None:
    """Tensors in memory, fused AdamW, an index for each batch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(net(x[rows]), y[rows]).backward()
            optimizer.step()


def network(width: int) -> nn.Module:
    widths = [20] + [width] * N_BLOCKS
    layers = [part for i in range(N_BLOCKS) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def speed_ups(case: Case, pairs: int) -> list[float]:
    """Of the training of all folds; what makes their tensors is prepared before."""
    task, learner = a_task(case.n_rows), a_learner(case)
    splits = ol.CV(FOLDS).split(task)
    parts = [task.select(splits.train(i)) for i in range(FOLDS)]
    tensors = [
        (each.tensors(each.train).inputs["num"], each.tensors(each.train).target) for each in map(learner.prepare, parts)
    ]

    def hand() -> None:
        for x, y in tensors:
            by_hand(network(case.width), x, y, case.batch_size)

    found = []
    for _ in range(pairs + 1):
        ready = [(learner, learner.prepare(part)) for part in parts]
        ours = seconds(lambda ready=ready: train_group(ready))
        found.append(seconds(hand) / ours)
    return found[1:]


def compare_folds(pairs: int) -> list[Row]:
    what = "10 folds trained one after the other by hand / as one network, {}, {} threads"
    return [row(what.format(case.title, N_THREADS), speed_ups(case, pairs), case.target) for case in CASES]


def compare_resampling(pairs: int, widths: Sequence[int] = (64, 256)) -> list[Row]:
    """10-fold cross-validation of the penguins, everything counted. Raises: ValueError where the networks are not the same."""
    task = ol.Task.from_file("example:penguins", "species")
    splits, found = ol.CV(folds=FOLDS).split(task), []
    for width in widths:
        skorch_cv.D_BLOCK = width
        learner = skorch_cv.our_learner().replace(n_threads=int(N_THREADS))
        ours, theirs = skorch_cv.count_parameters(task)
        if ours != theirs:
            raise ValueError(f"{ours} parameters against {theirs}: not the same network")
        ratios = paired(
            lambda: skorch_cv.theirs(task, splits),
            lambda learner=learner: ol.resample(task, learner, splits, list(skorch_cv.MEASURES), progress=False),
            pairs,
        )
        print(f"width {width}: {statistics.median(ratios):.2f}", file=sys.stderr)
        what = f"10-fold cross-validation of the penguins, 3 layers of {width}: skorch in `cross_validate` / `resample`"
        # Of wide networks most of the time is arithmetic, which both sides have.
        found.append(row(f"{what}, {N_THREADS} threads", ratios, "at least 5" if width < 128 else ""))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pairs")
    parser.add_argument("--threads", default="2", help="threads of both sides")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the packages
    torch.set_num_threads(int(options.threads))
    rows = [*compare_folds(2 if options.quick else 9), *compare_resampling(1 if options.quick else 5)]
    print(markdown(rows))
    if options.write:
        write_section(PAGE, "fold parallel", markdown(rows))


if __name__ == "__main__":
    main()
