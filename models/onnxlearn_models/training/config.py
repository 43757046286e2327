"""Settings of training."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.loss import LOSSES
from onnxlearn_models.training.schedule import SCHEDULES
from onnxlearn_models.training.start import StartWeights


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. ``None`` means: by the number of training rows."""

    max_epochs: int | None = param(
        None, "passes over the training rows at most (None: 40, or 24 for many rows of classes)", low=1
    )
    patience: int | Literal["auto"] | None = param(
        "auto", "stop after so many epochs without a better validation loss (auto: 15, fewer for many rows; None: never)", low=1
    )
    validation: float | tuple[int, ...] | pd.DataFrame | None = param(
        0.15, "what chooses the epoch: a share of the rows, their numbers, a table, or None (train all epochs on all rows)",
        low=0, low_open=True, high=0.9,
    )  # fmt: skip
    batch_size: int | None = param(None, "rows per step (None: by the number of rows)", low=1)
    optimizer: Literal["adamw", "sgd"] = param("adamw", "AdamW, or SGD with Nesterov momentum")
    lr: float | None = param(None, "highest learning rate (None: by the number of rows)", low=0, low_open=True)
    loss: str | None = param(None, "what training minimises (None: cross_entropy or mse)", choices=LOSSES)
    monitor: Literal["loss", "score"] = param(
        "loss", "what chooses the epoch on the validation rows: the loss, or accuracy or RMSE (of equal ones the later)"
    )
    min_delta: float = param(0.0, "how much lower than the best one a monitored value has to be, to be better", low=0)
    keep: Literal["best", "last"] = param("best", "which weights are kept: those of the best epoch, or the last ones")
    dropout_schedule: Literal["constant", "fade"] | None = param(
        None, "fade: dropout goes to 0 over the second half of max_epochs (None: as suits the task)"
    )
    schedule: str = param("cosine", "course of the learning rate over max_epochs", choices=SCHEDULES)
    warmup: float = param(0.02, "share of the planned steps during which the learning rate rises", low=0, high=0.5)
    beta1: float = param(0.9, "AdamW's decay of the gradient's mean; SGD's momentum", low=0, high=0.9999)
    beta2: float = param(0.999, "AdamW's decay of the gradient's square", low=0, high=0.99999)
    weight_decay: float = param(0.01, "decoupled weight decay of matrices; biases and norms have none", low=0)
    weight_decay_schedule: Literal["constant", "fade"] = param(
        "constant", "fade: weight decay goes to 0 over the second half of max_epochs"
    )
    embedding_weight_decay: float | None = param(None, "weight decay of embeddings (None: as weight_decay)", low=0)
    embedding_lr: float = param(1.0, "factor on the learning rate of embeddings", low=0)
    l1: float = param(0.0, "l1 * sum |w| of matrices and embeddings is added to the loss: some become 0", low=0)
    l2: float | None = param(
        None, "l2 * sum w^2 of matrices and embeddings is added to the loss (None: as suits the learner)", low=0
    )
    grad_clip: float | None = param(None, "largest norm of the gradient (None: no limit)", low=0, low_open=True)
    accumulate: int = param(1, "batches whose gradients make one step", low=1)
    time_budget: float | None = param(None, "seconds of training after which it ends (None: no limit)", low=0, low_open=True)
    ema: float = param(0.99, "decay of the averaged weights that are validated and kept (0: no average)", low=0, high=0.9999)
    label_smoothing: float = param(0.0, "share of the target's weight that is spread over all classes", low=0, high=0.9)
    mixup: float = param(0.0, "alpha of the Beta distribution that pairs of rows are mixed by in training (0: none)", low=0)
    class_weight: Literal["none", "balanced"] = param("none", "balanced: every class counts the same in the loss")
    seed: int = param(0, "seed of the validation rows, the initial weights, the batches and dropout", low=0, high=2**63 - 1)
    callbacks: tuple[Callback, ...] = param((), "what stands beside the steps of the training, such as MyCallback()")
    start_from: StartWeights | None = param(
        None,
        "weights to begin with, as far as names and shapes agree: of a training folder, a .safetensors file, a network or its "
        "state dict",
    )
    checkpoint_every: int | None = param(
        None,
        "epochs between two checkpoints, where the training has a folder (None: as often as takes little of the time)",
        low=1,
        recorded=False,
    )
    device: Literal["auto", "cpu", "cuda"] = param(
        "auto", "where the network is trained; auto: a GPU where there is one", recorded=False
    )
    n_threads: int | None = param(
        None,
        "threads of training (None: one for small networks, else torch's own; on a busy machine one is quickest)",
        low=1,
        recorded=False,
    )


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as values that stay what they are: validation rows as integers, weights to begin with read from their file.

    Raises: ParameterError, DataError.
    """
    changed = dict(params)
    if "validation" in params:
        changed["validation"] = plain_validation(params["validation"])
    if params.get("start_from") is not None:
        changed["start_from"] = StartWeights.of(params["start_from"])
    return changed


def plain_validation(validation: Any) -> Any:
    """Row numbers in an array, Series or Index as a tuple of integers; anything else as it is.

    >>> plain_validation(np.array([3, 1])), plain_validation(0.2)
    ((3, 1), 0.2)

    Raises: ParameterError for an array of something else, and for a task.
    """
    if isinstance(validation, Task):
        raise ParameterError("validation takes a table, which is read by the task's schema: use validation=other.frame")
    if not isinstance(validation, np.ndarray | pd.Series | pd.Index):
        return validation
    rows = np.asarray(validation)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        way_out = "numpy.flatnonzero gives those of a mask" if rows.dtype.kind == "b" else "give integers from 0"
        raise ParameterError(f"validation takes row numbers; got an array {rows.dtype} {list(rows.shape)}: {way_out}")
    return tuple(rows.tolist())


# From this number of training rows on a table is treated as a large one.
MANY_ROWS = 8_000


def choose_training(config: TrainConfig, schema: Schema, n_rows: int) -> TrainConfig:
    """The settings with what was left to the task and the number of training rows filled in.

    Small tables get enough steps by small batches. On large tables of classes the best epoch comes early; large regressions
    go on improving, and bear higher learning rates.
    """
    regression, many = schema.target.type == "regression", n_rows >= MANY_ROWS
    usual: dict[str, Any] = {
        "max_epochs": 24 if many and not regression else 40,
        "batch_size": next((size for limit, size in ((1_500, 32), (4_000, 64), (12_000, 128)) if n_rows < limit), 256),
        "lr": _usual_lr(config.optimizer, n_rows, regression=regression),
        "dropout_schedule": "constant",
    }
    chosen = {name: value for name, value in usual.items() if getattr(config, name) is None}
    if config.patience == "auto":
        chosen["patience"] = 15 if not many else 12 if regression else 5
    return dataclasses.replace(config, **chosen)


def _usual_lr(optimizer: str, n_rows: int, *, regression: bool) -> float:
    if optimizer == "sgd":
        return 1e-2
    return min(3e-3, max(5e-4, 5e-4 * math.sqrt(n_rows / 1_000))) if regression else 5e-4
