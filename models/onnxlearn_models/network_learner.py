"""Learners whose network is a torch module: from a task to a Model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError, ParameterError, ProviderError
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.params import to_json
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Schema
from onnxlearn.task import Task
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.layers.embedding import settle
from onnxlearn_models.shipping import Rows, ship, summary
from onnxlearn_models.training.config import TrainConfig, choose_training, plain_validation
from onnxlearn_models.training.groups import parameter_groups
from onnxlearn_models.training.loop import train_network
from onnxlearn_models.training.objective import Objective, make_objective
from onnxlearn_models.training.optimizer import Group
from onnxlearn_models.training.progress import progress_bar
from onnxlearn_models.training.tensors import Tensors
from onnxlearn_models.training.threads import choose_threads, threads

Array = np.ndarray[Any, np.dtype[Any]]


SHARED: tuple[type, ...] = (PreprocessConfig, TrainConfig, OutputConfig)
"""The parameters that every network has beside those of its architecture."""


class NetworkLearner(Learner):
    """A learner made of an architecture: a function of schema and settings that gives a network.

    A subclass sets ``name``, ``architecture`` and ``architecture_config``, the dataclass of its settings. The network's
    ``forward(num, cat)`` takes float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no such columns, and
    gives ``[N, schema.n_outputs]``, or ``[N, k, schema.n_outputs]`` for k members that are averaged. It may have
    ``initialize(inputs)``, which sets weights and buffers by the training rows before training, but no shape.
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
            cls.config_types = (cls.architecture_config, *SHARED)

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Settings of architecture and training with what they leave to task and training rows filled in.

        An architecture with such settings of its own overrides this; widths and depths must not depend on the rows.
        """
        del cls
        return config, choose_training(train_config, schema, n_rows)

    @classmethod
    def parameter_groups(cls, module: nn.Module, config: TrainConfig) -> list[Group]:
        """The parameters to train, by their weight decay and factor on the learning rate."""
        del cls
        return parameter_groups(module, config)

    @classmethod
    def finish(cls, module: nn.Module, config: Any, valid: Tensors | None, objective: Objective) -> nn.Module:
        """The network to ship, of the trained one with the best weights, in evaluation mode."""
        del cls, config, valid, objective
        return module

    def choose_preprocessing(self, config: PreprocessConfig, schema: Schema, n_rows: int) -> PreprocessConfig:
        """Settings of preprocessing with what the architecture makes of them for this table and these training rows."""
        del schema, n_rows
        return config

    def further_outputs(self) -> tuple[str, ...]:
        """Names of what the file gives beside the head's outputs, which is of one network alone."""
        return ()

    def build(self, schema: Schema, config: Any) -> nn.Module:
        """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
        return type(self).architecture(schema, config)

    def untrained(self, task: Task) -> nn.Module:
        """The network that :meth:`fit` would train on these rows, with its initial weights."""
        config, _ = self.choose(self.configs[0], self.configs[2], task.schema, task.n_rows)
        preprocess_config = self.choose_preprocessing(self.configs[1], task.schema, task.n_rows)
        ingress = plan_ingress(task.schema, preprocess_config)
        head = Head.of(task.schema.target, self.configs[3])
        schema = dataclasses.replace(task.schema, ingress=ingress).for_network(head.width)
        with seeded(self.configs[2].seed, torch.device("cpu")):
            return self.build(schema, config)

    def fit(
        self, task: Task, *, test: Task | None = None, keep_on_interrupt: bool = False, progress: bool | None = None
    ) -> Model:
        """Hold rows out, fit the preprocessing, train, export, prove parity and score the file.

        Raises: DataError, ParameterError, ProviderError (no GPU), InterruptedFit, ParityError.
        """
        self.require_tasks(task, test)
        config: TrainConfig = self.configs[2]
        outputs: OutputConfig = self.configs[3]
        outputs.require(task.schema.target)
        rows = Rows.of(task, config.validation, outputs, config.seed)
        network = self.train(rows.train, rows.valid, keep_on_interrupt=keep_on_interrupt, progress=progress)
        training = {**summary(network.result), "chosen": network.chosen, "seed": config.seed}
        return ship((network,), rows, learner=self, outputs=outputs, training=training, notes=task.notes, test=test)

    def train(
        self, train: Task, valid: Task | None, *, keep_on_interrupt: bool = False, progress: bool | None = None
    ) -> FittedNetwork:
        """Fit the preprocessing and the network on the first rows, choosing the epoch by the second."""
        given, given_preprocessing, given_training, outputs = self.configs
        architecture_config, config = self.choose(given, given_training, train.schema, train.n_rows)
        preprocess_config = self.choose_preprocessing(given_preprocessing, train.schema, train.n_rows)
        device = choose_device(config.device)
        head = Head.of(train.schema.target, outputs)
        preprocessing = Preprocessing.fit(train.schema, preprocess_config, train.feeds())
        scaling = None
        if train.schema.target.type == "regression":
            kind, clip = preprocess_config.target_scaler, preprocess_config.target_clip
            scaling = TargetScaling.fit(train.truth(), kind, train.weights(), clip=clip)
        rows = _Rows(preprocessing, scaling, _class_weights(train, config), device)
        objective = make_objective(head, config, scaling, device)
        assert config.max_epochs is not None
        assert config.batch_size is not None
        with seeded(config.seed, device), progress_bar(config.max_epochs, show=progress) as on_epoch:
            module = self.build(preprocessing.schema.for_network(head.width), architecture_config).to(device)
            tensors = rows.tensors(train, "training")
            valid_tensors = None if valid is None else rows.tensors(valid, "validation")
            _initialize(module, tensors)
            n_weights = sum(parameter.numel() for parameter in module.parameters())
            with threads(choose_threads(config.n_threads, n_weights, config.batch_size)):
                result = train_network(
                    module,
                    tensors,
                    valid_tensors,
                    objective=objective,
                    config=config,
                    groups=self.parameter_groups(module, config),
                    settle=lambda: settle(module, preprocessing.code_counts),
                    on_epoch=on_epoch,
                    keep_on_interrupt=keep_on_interrupt,
                )
                module = self.finish(module, architecture_config, valid_tensors, objective)
        pairs = ((given, architecture_config), (given_preprocessing, preprocess_config), (given_training, config))
        chosen = {name: value for left, used in pairs for name, value in _filled_in(left, used).items()}
        return FittedNetwork(module.cpu(), preprocessing, head, scaling, result, chosen)


@torch.no_grad()
def _initialize(module: nn.Module, train: Tensors) -> None:
    """What the network sets up by the training rows itself."""
    initialize: Callable[[Mapping[str, Tensor]], None] | None = getattr(module, "initialize", None)
    if initialize is not None:
        initialize(train.inputs)


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


def _filled_in(given: Any, used: Any) -> dict[str, Any]:
    """The settings that ``given`` leaves open, as ``used`` has them."""
    values = {field.name: (getattr(given, field.name), getattr(used, field.name)) for field in dataclasses.fields(given)}
    return {
        name: to_json(value)
        for name, (left, value) in values.items()
        if value is not None and (left is None or (isinstance(left, str) and left == "auto" != value))
    }
