"""Settings of training."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from onnxlearn.effects import GIVEN, Values, above
from onnxlearn.errors import ParameterError, listing
from onnxlearn.images.extractor import Extractor
from onnxlearn.measures import Measure
from onnxlearn.networks.data import graph_of
from onnxlearn.params import REQUIRED, check_value, param
from onnxlearn.preprocess.config import AS_CODES
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn.text.vectors import VectorFile
from onnxlearn_models.training import losses, optimizers, samplers, schedules
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks.named import callback_of
from onnxlearn_models.training.callbacks.unfreeze import Unfreeze
from onnxlearn_models.training.devices import DEVICES
from onnxlearn_models.training.loss import ELSEWHERE
from onnxlearn_models.training.measuring import MEASURED_ROWS
from onnxlearn_models.training.modes import NormStatistics
from onnxlearn_models.training.precision import Precision
from onnxlearn_models.training.registry import Registry, said
from onnxlearn_models.training.start import StartWeights

WHERE = "it says where and how to compute, not what; only rounding may differ"
# A GPU draws numbers of its own; so do compiled networks of members, on CPUs (layers/fused_members.py).
DRAWN = f"{WHERE}, and which units dropout drops"
VALIDATED = {"validation": GIVEN}
# Where it matters which epoch is the best one.
JUDGED = ({**VALIDATED, "keep": "best"}, {**VALIDATED, "patience": GIVEN})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. ``None`` means: by the number of training rows."""

    max_epochs: int | None = param(
        None, "passes over the training rows at most (None: 40, or 24 for many rows of classes)", low=1
    )
    stop_epoch: int | None = param(
        None, "stop after this epoch; schedules go over max_epochs nevertheless (None: after the last one)", low=1
    )
    patience: int | Literal["auto"] | None = param(
        "auto", "stop after so many epochs without a better validation loss (auto: 15, fewer for many rows; None: never)",
        low=1, when=VALIDATED,
    )  # fmt: skip
    validation: float | Literal["test"] | tuple[int, ...] | pd.DataFrame | Task | None = param(
        0.15, "what chooses the epoch: a share of the rows, their numbers, a table, the test rows, or None (train all epochs)",
        low=0, low_open=True, high=0.9,
    )  # fmt: skip
    batch_size: int | None = param(None, "rows per step (None: by the number of rows)", low=1)
    optimizer: str | Callable[..., Any] = param(
        "adamw", "what makes steps of gradients, or a class of torch.optim's kind; its settings are parameters: opt_...",
        choices=optimizers,
    )  # fmt: skip
    lr: float | None = param(
        None, "highest learning rate (None: by the number of rows, or the optimizer's usual one)", low=0, low_open=True
    )
    loss: str | Callable[..., Any] | None = param(
        None, "what training minimises, or a function (output, target) (None: cross_entropy or mse); its settings: loss_...",
        choices=losses, refused=ELSEWHERE,
    )  # fmt: skip
    monitor: str = param(
        "loss",
        "what chooses the epoch by validation rows: loss, score (accuracy or RMSE) or a measure (of equals the later)",
        when=JUDGED,
    )
    measures: tuple[str | Measure, ...] = param(
        (), f"what the history tells of validation rows and of training rows ({MEASURED_ROWS:,} of them at most)"
    )
    eval_every: int = param(
        1, "epochs after which the measures are computed; always after the last one", low=1,
        when={"measures": Values(" given", bool)},
    )  # fmt: skip
    min_delta: float = param(
        0.0, "how much lower than the best one a monitored value has to be, to be better", low=0, when=JUDGED
    )
    keep: Literal["best", "last"] = param(
        "best", "which weights are kept: those of the best epoch, or the last ones", when=VALIDATED
    )
    dropout_schedule: Literal["constant", "fade"] | None = param(
        None, "fade: dropout goes to 0 over the second half of max_epochs (None: as suits the task)"
    )
    schedule: str | Callable[..., Any] = param(
        "cosine", "course of the learning rate over max_epochs, or a function (progress); its settings: schedule_...",
        choices=schedules,
    )  # fmt: skip
    warmup: float = param(0.02, "share of the planned steps during which the learning rate rises", low=0, high=0.5)
    weight_decay: float = param(
        0.01, "weight decay of matrices, not of biases and norms: decoupled in adamw and schedule_free, in others added to the "
        "gradient", low=0,
    )  # fmt: skip
    weight_decay_schedule: Literal["constant", "fade"] = param(
        "constant", "fade: weight decay goes to 0 over the second half of max_epochs",
        when=({"weight_decay": above(0)}, {"embedding_weight_decay": Values(" > 0", bool)}),
    )  # fmt: skip
    embedding_weight_decay: float | None = param(
        None, "weight decay of embeddings (None: as weight_decay)", low=0, when=AS_CODES, on="categories"
    )
    embedding_lr: float = param(1.0, "factor on the learning rate of embeddings", low=0, when=AS_CODES, on="categories")
    param_groups: Mapping[str, Any] | Callable[..., Any] | None = param(
        None, "rates of some parameters: {name pattern: {'lr': factor, 'weight_decay': value}}, or a function (name, parameter)"
    )
    lr_layer_decay: float = param(
        1.0, "factor on the learning rate for each layer that lies further from the output (1: all learn alike)",
        low=0, low_open=True, high=1,
    )  # fmt: skip
    freeze: tuple[str, ...] = param((), "names of parameters that are not trained, or patterns of them, such as 'blocks.*'")
    unfreeze: Mapping[str, Any] | None = param(
        None, "parameters, also of freeze, that are trained from an epoch on: {name pattern: epoch, from 1}"
    )
    norm_statistics: NormStatistics = param(
        "trained", "batch norms whose running statistics follow the batches: those that are trained themselves, all or none; "
        "the others compute as in evaluation", when=({"norm": "batch"}, {"num_norm": True}),
    )  # fmt: skip
    l1: float = param(0.0, "l1 * sum |w| of matrices and embeddings is added to the loss: some become 0", low=0)
    l2: float | None = param(
        None, "l2 * sum w^2 of matrices and embeddings is added to the loss (None: as suits the learner)", low=0
    )
    grad_clip: float | None = param(None, "largest norm of the gradient (None: no limit)", low=0, low_open=True)
    accumulate: int = param(1, "batches whose gradients make one step", low=1)
    time_budget: float | None = param(None, "seconds of training after which it ends (None: no limit)", low=0, low_open=True)
    ema: float = param(
        0.99, "decay of the averaged weights that are validated and kept (0: no average)", low=0, high=0.9999,
        when={"swa": None},
    )  # fmt: skip
    swa: float | None = param(
        None, "share of max_epochs after which the mean of the weights at epochs' ends is validated and kept (None: no mean)",
        low=0, high=1, high_open=True,
    )  # fmt: skip
    label_smoothing: float = param(
        0.0, "share of the target's weight that is spread over all classes", low=0, high=0.9, on="classification"
    )
    mixup: float = param(0.0, "alpha of the Beta distribution that pairs of rows are mixed by in training (0: none)", low=0)
    class_weight: Literal["none", "balanced"] | Mapping[Any, Any] = param(
        "none", "balanced: every class counts the same in the loss; or what each counts, {class: weight}",
        on="classification",
    )  # fmt: skip
    sampling: str | Callable[..., Any] = param(
        "shuffled", "rows of an epoch: all; as many of each class (balanced); by weights, not in the loss (weighted); all, "
        "with each class's share in every batch (stratified); or a function (rows); its settings: sampling_...",
        choices=samplers,
    )  # fmt: skip
    subsample: float = param(
        1.0, "rows of an epoch as a share of those there are, drawn anew for each", low=0, low_open=True, high=1
    )
    oversample: float = param(
        0.0, "rows of small classes come so often that these have this share of the largest one's rows (0: each row once)",
        low=0, high=1, on="classification",
    )  # fmt: skip
    seed: int = param(0, "seed of the validation rows, the initial weights, the batches and dropout", low=0, high=2**63 - 1)
    callbacks: tuple[Callback | str, ...] = param(
        (), "what stands beside the steps: MyCallback(), or by name, such as tensorboard or unfreeze('head.*', epoch={3: '*'})"
    )
    start_from: StartWeights | None = param(
        None,
        "weights to begin with, as far as names and shapes agree: of a training folder, a .safetensors file, a network or its "
        "state dict",
    )
    checkpoint_every: int | None = param(
        None,
        "epochs between two checkpoints, where the training has a folder (None: as often as takes little of the time)",
        low=1,
        inert="it says how much is lost where a training is killed",
    )
    precision: Precision = param(
        "float32", "numbers of matrix products in training: bf16 and fp16 pay for wide networks, tf32 on NVIDIA GPUs"
    )
    fold_parallel: Literal["auto", "never"] = param(
        "auto", "auto: folds and seeds are trained as one network where that is quicker", inert="it changes rounding alone"
    )
    device: str = param("auto", "where the network is trained; auto: a GPU where there is one", choices=DEVICES, inert=DRAWN)
    compile: bool = param(
        False, "compile the training step: takes seconds at first, pays for long trainings; needs a compiler", inert=DRAWN
    )
    deterministic: bool = param(
        False, "on a GPU use only algorithms that give the same numbers in every run, which may be slower", inert=WHERE
    )
    n_threads: int | None = param(
        None,
        "threads of training (None: one for small networks, else torch's own; on a busy machine one is quickest)",
        low=1,
        inert=WHERE,
    )

    def __post_init__(self) -> None:
        """Callbacks that are named become callbacks. Raises: ParameterError, UnknownNameError."""
        object.__setattr__(self, "callbacks", tuple(callback_of(each) for each in self.callbacks))
        if self.unfreeze is not None:
            Unfreeze.by_pattern(self.unfreeze)


CHOICES: dict[str, Registry[Any]] = {"optimizer": optimizers, "loss": losses, "schedule": schedules, "sampling": samplers}
"""The parameters whose choice brings settings, which are parameters too."""


def train_config_type(values: Mapping[str, Any]) -> type[TrainConfig]:
    """The dataclass of training with the settings of what these values choose.

    >>> names = [field.name for field in dataclasses.fields(train_config_type({"optimizer": "sgd"}))]
    >>> [name for name in names if name.startswith("opt_")]
    ['opt_momentum', 'opt_dampening', 'opt_nesterov']

    Raises: ParameterError for a choice that is none.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    choices = {name: check_value(TrainConfig, name, values.get(name, defaults[name])) for name in CHOICES}
    return _config_type(tuple((name, CHOICES[name].entry(choice)) for name, choice in choices.items()))


# Every learner asks for one, also every copy of a learner.
@functools.lru_cache(maxsize=256)
def _config_type(chosen: tuple[tuple[str, Any], ...]) -> type[TrainConfig]:
    fields = [field for name, entry in chosen if entry is not None for field in CHOICES[name].fields(entry)]
    return dataclasses.make_dataclass("TrainConfig", fields, bases=(TrainConfig,), frozen=True, kw_only=True)


def make_train_config(**values: Any) -> TrainConfig:
    """Settings of training, those of the chosen optimizer, loss and schedule among them.

    >>> make_train_config(optimizer="sgd", opt_momentum=0.8).opt_momentum
    0.8
    """
    return train_config_type(values)(**values)


def is_setting(name: str) -> bool:
    """Whether a parameter is one that comes with a choice."""
    return name.startswith(tuple(registry.prefix for registry in CHOICES.values()))


def stranger(name: str, values: Mapping[str, Any]) -> str:
    """What a setting is that these values do not bring; empty for what is none.

    >>> stranger("opt_momentum", {"optimizer": "adamw"})
    "it is a setting of optimizer='sgd', optimizer='rmsprop'; here optimizer='adamw'"
    """
    for parameter, registry in CHOICES.items():
        if having := registry.choices_with(name):
            choices = ", ".join(f"{parameter}={each!r}" for each in having)
            return f"it is a setting of {choices}; here {parameter}={said(values.get(parameter))}"
    return ""


def require_settings(config: TrainConfig) -> None:
    """Raise ``ParameterError`` where a setting without a default was not given."""
    for field in dataclasses.fields(config):
        if getattr(config, field.name) is REQUIRED:
            parameter, registry = next((name, each) for name, each in CHOICES.items() if field.name.startswith(each.prefix))
            filled = f"; what is filled in is called {listing(registry.filled)}" if registry.filled else ""
            raise ParameterError(
                f"{parameter}={said(getattr(config, parameter))} needs {field.name}, which has no default: give it "
                f"({field.metadata['meaning']}){filled}"
            )


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as values that stay what they are.

    Validation rows are integers, a single pattern is a list of one, weights and networks are read from their files, a file of
    word vectors is looked at.

    Raises: ParameterError, DataError.
    """
    changed = dict(params)
    if isinstance(params.get("freeze"), str):
        changed["freeze"] = (params["freeze"],)
    if "validation" in params:
        changed["validation"] = plain_validation(params["validation"])
    if params.get("start_from") is not None:
        changed["start_from"] = StartWeights.of(params["start_from"])
    if params.get("image_extractor") is not None:
        changed["image_extractor"] = Extractor.of(params["image_extractor"])
    if params.get("text_vectors") is not None:
        changed["text_vectors"] = VectorFile.of(params["text_vectors"])
    if isinstance(params.get("graph"), str | os.PathLike | Mapping):
        changed["graph"] = graph_of(params["graph"])
    return changed


def plain_validation(validation: Any) -> Any:
    """Row numbers in an array, Series or Index as a tuple of integers; anything else as it is.

    >>> plain_validation(np.array([3, 1])), plain_validation(0.2)
    ((3, 1), 0.2)

    Raises: ParameterError for an array of something else.
    """
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
        "batch_size": _usual_batch_size(config, n_rows),
        "lr": _usual_lr(config, n_rows, regression=regression),
        "dropout_schedule": "constant",
    }
    chosen = {name: value for name, value in usual.items() if getattr(config, name) is None}
    if config.patience == "auto":
        chosen["patience"] = 15 if not many else 12 if regression else 5
    return dataclasses.replace(config, **chosen)


def _usual_batch_size(config: TrainConfig, n_rows: int) -> int:
    entry = optimizers.entry(config.optimizer)
    if entry is not None and entry.full_batch:
        return n_rows
    return next((size for limit, size in ((1_500, 32), (4_000, 64), (12_000, 128)) if n_rows < limit), 256)


def _usual_lr(config: TrainConfig, n_rows: int, *, regression: bool) -> float:
    entry = optimizers.entry(config.optimizer)
    if entry is not None and entry.lr is not None:
        return entry.lr
    return min(3e-3, max(5e-4, 5e-4 * math.sqrt(n_rows / 1_000))) if regression else 5e-4
