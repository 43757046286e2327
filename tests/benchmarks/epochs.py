"""Our training loop against the best loop that people write by hand, on the same tensors and networks."""

from __future__ import annotations

import copy

import torch
from timing import Row, paired, row
from torch import nn

from onnxlearn.schema import Ingress, Schema, Target
from onnxlearn_models.mlp import MLPConfig, build_mlp
from onnxlearn_models.training.config import TrainConfig, choose_training
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import train_network
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, root_mean_squared_error
from onnxlearn_models.training.tensors import Tensors

EPOCHS = 3


def by_hand(net: nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int) -> None:
    """Tensors in memory, fused AdamW, shuffle once an epoch, then slice."""
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        shuffled, target = x[order], y[order]
        for start in range(0, len(x), batch_size):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(net(shuffled[start : start + batch_size]), target[start : start + batch_size]).backward()
            optimizer.step()


def ours(net: nn.Module, x: torch.Tensor, y: torch.Tensor, config: TrainConfig) -> None:
    rows = Tensors({"num": x}, y)
    objective = Objective(row_loss("mse", "regression"), classes=False, score=root_mean_squared_error(torch.ones(1)))
    groups = parameter_groups(net, config)
    train_network(
        net, rows, None, objective=objective, config=config, groups=groups, settle=lambda: None, on_epoch=lambda _: None
    )


def ratios(n_rows: int, n_columns: int, shape: MLPConfig, batch_size: int, pairs: int) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_rows, n_columns, generator=generator)
    y = x[:, :1] * x[:, 1:2] + 0.1 * torch.randn(n_rows, 1, generator=generator)
    names = tuple(f"x{i}" for i in range(n_columns))
    ingress = Ingress(num_names=names, num_kinds=("number",) * n_columns)
    schema = Schema(name="t", features=(), target=Target(names=("y",), type="regression", dtype="float64"), ingress=ingress)
    net = build_mlp(schema, shape)
    # As it is by default (averaged weights and all), but for the number of epochs.
    given = TrainConfig(max_epochs=EPOCHS, batch_size=batch_size, patience=None)
    config = choose_training(given, schema, n_rows)
    return paired(lambda: ours(copy.deepcopy(net), x, y, config), lambda: by_hand(copy.deepcopy(net), x, y, batch_size), pairs)


def compare_epochs() -> list[Row]:
    """Diamonds-sized and small."""
    default = MLPConfig()
    return [
        row(
            "epoch, 43,152 x 26, batch 256, default `mlp` / hand-written loop",
            ratios(43_152, 26, default, 256, 5),
            "at most 1.05",
        ),
        row(
            "epoch, 2,000 x 20, batch 64, default `mlp` / hand-written loop", ratios(2_000, 20, default, 64, 9), "at most 1.05"
        ),
    ]
