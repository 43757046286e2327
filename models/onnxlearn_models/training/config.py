"""Settings of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from onnxlearn.params import param
from onnxlearn_models.training.schedule import ScheduleName


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. ``None`` means: by the number of training rows."""

    max_epochs: int = param(60, "passes over the training rows at most", low=1)
    patience: int | None = param(15, "stop after so many epochs without a better validation loss (None: never)", low=1)
    validation: float | tuple[int, ...] | pd.DataFrame | None = param(
        0.15, "what chooses the epoch: a share of the rows, their numbers, a table, or None (train all epochs on all rows)",
        low=0, low_open=True, high=0.9,
    )  # fmt: skip
    batch_size: int | None = param(None, "rows per step (None: by the number of rows)", low=1)
    optimizer: Literal["adamw", "sgd"] = param("adamw", "AdamW, or SGD with Nesterov momentum")
    lr: float | None = param(None, "highest learning rate (None: by the number of rows)", low=0, low_open=True)
    schedule: ScheduleName = param("cosine", "course of the learning rate over max_epochs")
    warmup: float = param(0.02, "share of the planned steps during which the learning rate rises", low=0, high=0.5)
    beta1: float = param(0.9, "AdamW's decay of the gradient's mean; SGD's momentum", low=0, high=0.9999)
    beta2: float = param(0.999, "AdamW's decay of the gradient's square", low=0, high=0.99999)
    weight_decay: float = param(0.01, "decoupled weight decay of matrices; biases and norms have none", low=0)
    embedding_weight_decay: float | None = param(None, "weight decay of embeddings (None: as weight_decay)", low=0)
    embedding_lr: float = param(1.0, "factor on the learning rate of embeddings", low=0)
    grad_clip: float | None = param(None, "largest norm of the gradient (None: no limit)", low=0, low_open=True)
    ema: float = param(0.0, "decay of the averaged weights that are validated and kept (0: no average)", low=0, high=0.9999)
    label_smoothing: float = param(0.0, "share of the target's weight that is spread over all classes", low=0, high=0.9)
    class_weight: Literal["none", "balanced"] = param("none", "balanced: every class counts the same in the loss")
    seed: int = param(0, "seed of the validation rows, the initial weights, the batches and dropout", low=0, high=2**63 - 1)
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where the network is trained; auto: a GPU where there is one")


def choose_batch_size(config: TrainConfig, n_rows: int) -> int:
    """Rows per step: as asked for, or such that small tables get enough steps; never more than there are.

    >>> [choose_batch_size(TrainConfig(), n) for n in (10, 1_000, 3_000, 10_000, 100_000)]
    [10, 32, 64, 128, 256]
    """
    if config.batch_size is not None:
        return min(config.batch_size, n_rows)
    steps = ((1_500, 32), (4_000, 64), (12_000, 128))
    return min(next((size for limit, size in steps if n_rows < limit), 256), n_rows)


def choose_lr(config: TrainConfig) -> float:
    """The learning rate as asked for, or the optimizer's usual one."""
    if config.lr is not None:
        return config.lr
    return 1e-3 if config.optimizer == "adamw" else 1e-2
