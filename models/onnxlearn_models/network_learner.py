"""Learners whose network is a torch module: from a task to a Model."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError, ExportError, ModelFileError, ParameterError, ParityError, ProviderError
from onnxlearn.graph.assemble import assemble
from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.params import to_json
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.runtime import Session
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn.wire.feeds import Feeds
from onnxlearn_models.layers.embedding import settle
from onnxlearn_models.lowering.lower import lower_or_export
from onnxlearn_models.packing import open_checked, pack, score_rows
from onnxlearn_models.parity import dtype_of, prove_parity
from onnxlearn_models.training.config import TrainConfig, choose_training, plain_validation
from onnxlearn_models.training.loop import Tensors, TrainResult, train_network
from onnxlearn_models.training.loss import Loss, accuracy, classification_loss, root_mean_squared_error, squared_error
from onnxlearn_models.training.progress import progress_bar
from onnxlearn_models.training.split import hold_out
from onnxlearn_models.training.threads import choose_threads, threads

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network and what stands before and behind it. ``scaling`` is ``None`` for classification.

    ``chosen``: the settings that were left to task and rows, with the values that were used.
    """

    module: nn.Module
    preprocessing: Preprocessing
    scaling: TargetScaling | None
    result: TrainResult
    chosen: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in: float32, in which it was trained, or float64."""
        return dtype_of(self.module)

    def in_float64(self) -> FittedNetwork:
        """The same weights, computing in float64."""
        return dataclasses.replace(self, module=copy.deepcopy(self.module).double())


class NetworkLearner(Learner):
    """A learner made of an architecture: a function of schema and settings that gives a network.

    A subclass sets ``name``, ``architecture`` and ``architecture_config``, the dataclass of its settings.
    """

    architecture: ClassVar[Callable[..., nn.Module]]
    architecture_config: ClassVar[type]

    def __init__(self, **params: Any) -> None:
        if "validation" in params:
            params["validation"] = plain_validation(params["validation"])
        super().__init__(**params)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "architecture_config" in vars(cls):
            cls.config_types = (cls.architecture_config, PreprocessConfig, TrainConfig)

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Settings of architecture and training with what they leave to task and training rows filled in.

        An architecture with such settings of its own overrides this; widths and depths must not depend on the rows.
        """
        del cls
        return config, choose_training(train_config, schema, n_rows)

    def fit(
        self, task: Task, *, test: Task | None = None, keep_on_interrupt: bool = False, progress: bool | None = None
    ) -> Model:
        """Hold rows out, fit the preprocessing, train, export, prove parity and score the file.

        Raises: DataError, ParameterError, ProviderError (no GPU), InterruptedFit, ParityError.
        """
        self.require_tasks(task, test)
        config: TrainConfig = self.configs[2]
        train, valid = hold_out(task, config.validation, config.seed)
        fitted = self.train(train, valid, keep_on_interrupt=keep_on_interrupt, progress=progress)
        fitted, graph, session, parity = export_proven(fitted, train.feeds())
        scores = score_rows(session, {"validation": valid, "test": test})
        n_valid = 0 if valid is None else valid.n_rows
        return pack(
            graph,
            schema=fitted.preprocessing.schema,
            learner=self,
            training={
                **_summary(fitted.result),
                "chosen": fitted.chosen,
                "n_rows": train.n_rows + n_valid,
                "n_validation_rows": n_valid,
                "seed": config.seed,
                "scores": scores,
            },
            parity=parity,
            packages=("numpy", "onnx", "onnxruntime", "torch"),
            notes=(*task.notes, *_notes(fitted)),
        )

    def train(
        self, train: Task, valid: Task | None, *, keep_on_interrupt: bool = False, progress: bool | None = None
    ) -> FittedNetwork:
        """Fit the preprocessing and the network on the first rows, choosing the epoch by the second."""
        given, preprocess_config, given_training = self.configs
        architecture_config, config = self.choose(given, given_training, train.schema, train.n_rows)
        device = choose_device(config.device)
        preprocessing = Preprocessing.fit(train.schema, preprocess_config, train.feeds())
        scaling = None
        if train.schema.target.type == "regression":
            scaling = TargetScaling.fit(train.truth(), preprocess_config.target_scaler, train.weights())
        rows = _Rows(preprocessing, scaling, _class_weights(train, config), device)
        score = accuracy()
        if scaling is not None:
            score = root_mean_squared_error(torch.as_tensor(scaling.unit, dtype=torch.float32, device=device))
        assert config.max_epochs is not None
        assert config.batch_size is not None
        with seeded(config.seed, device), progress_bar(config.max_epochs, show=progress) as on_epoch:
            module = type(self).architecture(preprocessing.schema, architecture_config).to(device)
            n_weights = sum(parameter.numel() for parameter in module.parameters())
            with threads(choose_threads(config.n_threads, n_weights, config.batch_size)):
                result = train_network(
                    module,
                    rows.tensors(train, "training"),
                    None if valid is None else rows.tensors(valid, "validation"),
                    loss=_loss(scaling, config),
                    config=config,
                    score=score,
                    settle=lambda: settle(module, preprocessing.code_counts),
                    on_epoch=on_epoch,
                    keep_on_interrupt=keep_on_interrupt,
                )
        chosen = _filled_in(given, architecture_config) | _filled_in(given_training, config)
        return FittedNetwork(module.cpu(), preprocessing, scaling, result, chosen)


def export_proven(fitted: FittedNetwork, feeds: Feeds) -> tuple[FittedNetwork, onnx.ModelProto, Session, dict[str, Any]]:
    """What was exported, its graph, the graph opened, and what the proof of parity measured on these training rows.

    Where large numbers cancel (columns left unscaled, a wide ``clip``, a very high learning rate), the rounding errors of
    float32 exceed the tolerance whoever sums: such a network is exported in float64.

    Raises: ExportError, ParityError.
    """
    try:
        return _prove(fitted, feeds)
    except ParityError as error:
        try:
            return _prove(fitted.in_float64(), feeds)
        except (ExportError, ModelFileError):
            # Something in the network knows float32 alone.
            raise error from None


def _prove(fitted: FittedNetwork, feeds: Feeds) -> tuple[FittedNetwork, onnx.ModelProto, Session, dict[str, Any]]:
    graph = export(fitted)
    session = open_checked(graph)
    return fitted, graph, session, prove_parity(session, fitted.module, fitted.preprocessing, fitted.scaling, feeds)


def export(fitted: FittedNetwork) -> onnx.ModelProto:
    """The graph from raw columns to labels and probabilities, or predictions. Raises: ExportError."""
    ingress, double = fitted.preprocessing.plan.ingress, fitted.dtype == torch.float64
    samples = {
        "num": torch.zeros(1, ingress.n_num, dtype=fitted.dtype),
        "cat": torch.zeros(1, ingress.n_cat, dtype=torch.int64),
    }

    def emit(g: GraphBuilder, inputs: Mapping[str, Value]) -> Value:
        # The numbers are those that training read, float32, in both cases.
        values = {name: g.op("Cast", value, to=DOUBLE) if double and name == "num" else value for name, value in inputs.items()}
        return lower_or_export(g, fitted.module, values, {name: samples[name] for name in inputs})

    return assemble(fitted.preprocessing, emit, fitted.scaling, double=double)


def choose_device(name: str) -> torch.device:
    """The device to train on. Raises: ProviderError where there is no GPU and one is asked for."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ProviderError("device='cuda' is not available: torch finds no GPU; use device='cpu' or device='auto'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers of torch from this seed inside; the caller's generators are as before afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class _Rows:
    """Makes the tensors that training reads, by running the preprocessing graph."""

    preprocessing: Preprocessing
    scaling: TargetScaling | None
    class_weights: Array | None
    device: torch.device

    def tensors(self, task: Task, what: str) -> Tensors:
        inputs = {name: self._tensor(array) for name, array in self.preprocessing.transform(task.feeds()).items()}
        truth = task.truth()
        target = self._tensor(truth if self.scaling is None else self.scaling.transform(truth))
        return Tensors(inputs, target, self._weight(task, what))

    def _weight(self, task: Task, what: str) -> Tensor | None:
        weights = task.weights()
        if self.class_weights is not None:
            weights = self.class_weights[task.truth()] * (1.0 if weights is None else weights)
        if weights is None:
            return None
        if not weights.sum() > 0:
            raise DataError(f"the weights of the {task.n_rows} {what} rows sum to 0: at least one has to be positive")
        return self._tensor((weights / weights.mean()).astype(np.float32))

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _class_weights(train: Task, config: TrainConfig) -> Array | None:
    """Weight of each class such that all count the same, float64 ``[C]``; 0 for a class without rows."""
    if config.class_weight == "none":
        return None
    target = train.schema.target
    if target.type != "classification":
        raise ParameterError("class_weight='balanced' is for classification; this task is a regression")
    counts = np.bincount(train.truth(), weights=train.weights(), minlength=len(target.classes))
    return np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)


def _loss(scaling: TargetScaling | None, config: TrainConfig) -> Loss:
    return classification_loss(config.label_smoothing) if scaling is None else squared_error


def _filled_in(given: Any, used: Any) -> dict[str, Any]:
    """The settings that ``given`` leaves open, as ``used`` has them."""
    values = {field.name: (getattr(given, field.name), getattr(used, field.name)) for field in dataclasses.fields(given)}
    return {
        name: to_json(value)
        for name, (left, value) in values.items()
        if value is not None and (left is None or (isinstance(left, str) and left == "auto" != value))
    }


def _summary(result: TrainResult) -> dict[str, Any]:
    """What the metadata says of the training."""
    history: dict[str, list[Any]] = {
        "epoch": [epoch.number for epoch in result.epochs],
        "train_loss": [epoch.train_loss for epoch in result.epochs],
        "lr": [epoch.lr for epoch in result.epochs],
    }
    if result.epochs[0].valid_loss is not None:
        history["valid_loss"] = [epoch.valid_loss for epoch in result.epochs]
        history[f"valid_{result.score_name}"] = [epoch.valid_score for epoch in result.epochs]
    return {
        "epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        "batch_size": result.batch_size,
        "lr": result.lr,
        "stopped": result.stopped,
        "history": history,
    }


def _notes(fitted: FittedNetwork) -> list[str]:
    result, notes = fitted.result, []
    best = f"the weights of epoch {result.best_epoch} are kept"
    if result.stopped == "interrupted":
        notes.append(f"training was interrupted in epoch {len(result.epochs) + 1}: {best}")
    if result.stopped == "diverged":
        notes.append(f"the loss was not finite in epoch {len(result.epochs) + 1}: {best}; a lower lr would help")
    if fitted.dtype == torch.float64:
        notes.append("the network computes in DOUBLE: large numbers cancel in it, which FLOAT does not resolve")
    return notes
