"""Our training loop against a bare one in the grid of the mlr3torch paper, and on a small network.

python tests/benchmarks/grid.py            the whole grid, a table on stdout
python tests/benchmarks/grid.py --quick    fewer epochs and pairs
python tests/benchmarks/grid.py --write    also into docs/benchmarks.md

The grid of Fischer et al., "mlr3torch" (arXiv 2604.18152): 2,000 rows of 1,000 numbers, batches of 32, 20 epochs, perceptrons
of 0 to 16 layers of 100 to 400 units, SGD and AdamW, one thread. CPU seconds of whole trainings, in turn in one process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from timing import Row, markdown, paired, row, write_section

import onnxlearn as ol
from onnxlearn.schema import Ingress, Schema, Target
from onnxlearn_models.mlp import MLPConfig, build_mlp
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.config import choose_training
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import Training, train_network
from onnxlearn_models.training.loss import losses
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
N_ROWS, N_VALID, BATCH_SIZE, LR = 2_000, 300, 32, 1e-4
OPTIMIZERS: dict[str, dict[str, object]] = {
    "adamw": {"optimizer": "adamw"},
    "sgd": {"optimizer": "sgd", "opt_momentum": 0.0, "opt_nesterov": False},
}


class Cell(NamedTuple):
    """A network and what trains it."""

    optimizer: str
    n_columns: int
    n_layers: int
    width: int


WIDTHS, DEPTHS = (100, 200, 400), (0, 4, 8, 12, 16)
GRID = [Cell(optimizer, 1_000, depth, width) for optimizer in OPTIMIZERS for width in WIDTHS for depth in DEPTHS]
SMALL = [Cell(optimizer, 20, 3, 64) for optimizer in OPTIMIZERS]


class Losses(Callback):
    """A callback such as people write: the loss of every step."""

    def begin(self, ctx: Training) -> None:
        self.values: list[float] = []

    def batch_end(self, ctx: Training) -> None:
        self.values.append(float(ctx.loss))


def rows(n_rows: int, n_columns: int) -> tuple[Tensor, Tensor]:
    """A linear function of random numbers, and noise."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(n_columns, 1, generator=generator)
    x = torch.randn(n_rows, n_columns, generator=generator)
    return x, x @ weights + 0.01 * torch.randn(n_rows, 1, generator=generator)


def our_network(cell: Cell) -> nn.Module:
    """The network of learner ``mlp``, with nothing around its layers."""
    names = tuple(f"x{i}" for i in range(cell.n_columns))
    ingress = Ingress(num_names=names, num_kinds=("number",) * cell.n_columns)
    schema = Schema(name="t", features=(), target=Target(names=("y",), type="regression", dtype="float64"), ingress=ingress)
    dropout = 0.0 if cell.n_layers else None
    config = MLPConfig(n_blocks=cell.n_layers, d_block=cell.width, num_embedding="none", dropout=dropout)
    torch.manual_seed(0)
    return build_mlp(schema, config)


def bare_network(cell: Cell) -> nn.Module:
    """The same one as people write it."""
    torch.manual_seed(0)
    widths = [cell.n_columns] + [cell.width] * cell.n_layers
    hidden = [part for i in range(cell.n_layers) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], 1))


def ours(cell: Cell, epochs: int) -> Callable[[], object]:
    """Our whole loop: validation rows judged after every epoch, the best weights kept, history, a callback."""
    x, y = rows(N_ROWS + N_VALID, cell.n_columns)
    train, valid = (Tensors({"num": x[part]}, y[part]) for part in (slice(N_ROWS), slice(N_ROWS, None)))
    learner = ol.learner(
        "mlp", **OPTIMIZERS[cell.optimizer], max_epochs=epochs, patience=None, batch_size=BATCH_SIZE, lr=LR, ema=0,
        schedule="constant", warmup=0, callbacks=(Losses(),),
    )  # fmt: skip
    objective = Objective(losses["mse"].make, classes=False, score=root_mean_squared_error(torch.ones(1)))

    def train_ours() -> None:
        network = our_network(cell)
        schema = Schema(name="t", features=(), target=Target(names=("y",), type="regression", dtype="float64"))
        config = choose_training(learner.configs[2], schema, N_ROWS)
        train_network(
            network, train, valid, objective=objective, config=config, groups=parameter_groups(network, config),
            settle=lambda: None, on_epoch=lambda _: None,
        )  # fmt: skip

    return train_ours


def bare(cell: Cell, epochs: int) -> Callable[[], object]:
    """Tensors in memory, the fused optimizer, shuffled once an epoch, then slices: nothing else."""
    x, y = rows(N_ROWS, cell.n_columns)

    def train_bare() -> None:
        network = bare_network(cell)
        if cell.optimizer == "adamw":
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), lr=LR, fused=True)
        else:
            optimizer = torch.optim.SGD(network.parameters(), lr=LR, fused=True)
        for _ in range(epochs):
            order = torch.randperm(N_ROWS)
            shuffled, target = x[order], y[order]
            for start in range(0, N_ROWS, BATCH_SIZE):
                optimizer.zero_grad(set_to_none=True)
                output = network(shuffled[start : start + BATCH_SIZE])
                nn.functional.mse_loss(output, target[start : start + BATCH_SIZE]).backward()
                optimizer.step()

    return train_bare


def ratios(cell: Cell, epochs: int, pairs: int) -> list[float]:
    """Ours / bare."""
    return paired(ours(cell, epochs), bare(cell, epochs), pairs, clock=time.process_time)


def table(found: dict[Cell, list[float]]) -> str:
    """A line for each optimizer and width, a column for each number of layers."""
    lines = [["", *(f"{depth} layers" for depth in DEPTHS)], ["---"] * (len(DEPTHS) + 1)]
    for optimizer in OPTIMIZERS:
        for width in WIDTHS:
            cells = [found[Cell(optimizer, 1_000, depth, width)] for depth in DEPTHS]
            lines.append([f"{optimizer}, {width} units", *(f"{statistics.median(values):.2f}" for values in cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(found: dict[Cell, list[float]]) -> list[Row]:
    """Median and worst of the grid, and the small network."""
    medians = [statistics.median(found[cell]) for cell in GRID]
    worst = max(GRID, key=lambda cell: statistics.median(found[cell]))
    named = f"{worst.optimizer}, {worst.n_layers} layers of {worst.width}"
    small = [row(f"3 layers of 64, 20 columns, batches of 32, {cell.optimizer}", found[cell], "at most 0.6") for cell in SMALL]
    return [
        row("median of the grid", medians, "at most 0.9"),
        row(f"its worst cell: {named}", found[worst], "at most 1.05"),
        *small,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 epochs, 3 pairs")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    epochs, pairs = (3, 3) if options.quick else (20, 5)
    found = {}
    for cell in [*SMALL, *GRID]:
        found[cell] = ratios(cell, epochs, pairs)
        print(f"{cell}: {statistics.median(found[cell]):.3f}", file=sys.stderr)
    text = table(found) + "\n\n" + markdown(summary(found))
    print(text)
    if options.write:
        write_section(PAGE, "grid", text)


if __name__ == "__main__":
    main()
