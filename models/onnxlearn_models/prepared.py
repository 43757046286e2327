"""A network on the verge of its training: what can be refused has been refused."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError, ParameterError, ProviderError
from onnxlearn.params import to_json
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.task import Task
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.tensors import Tensors

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A network, with its initial weights on its device, and what it takes to train it, once.

    ``architecture`` and ``config`` leave nothing open; ``chosen``: what task and rows made of the settings that did.
    ``generators``: where torch's random numbers stand after the network was built; ``notes``: what the model says of its start.
    """

    module: nn.Module
    train: WeighedRows
    valid: WeighedRows | None
    preprocessing: Preprocessing
    head: Head
    scaling: TargetScaling | None
    objective: Objective
    architecture: Any
    config: TrainConfig
    chosen: dict[str, Any]
    device: torch.device
    generators: Generators
    notes: list[str]

    def tensors(self, rows: WeighedRows) -> Tensors:
        """What training reads of these rows, by running the preprocessing graph."""
        inputs = {name: self._tensor(array) for name, array in self.preprocessing.transform(rows.task.feeds()).items()}
        truth = rows.task.truth()
        target = self._tensor(truth if self.scaling is None else self.scaling.transform(truth))
        return Tensors(inputs, target, None if rows.weights is None else self._tensor(rows.weights))

    @torch.no_grad()
    def initialize(self, train: Tensors) -> None:
        """What the network sets up by the training rows itself, and the weights that it was given to begin with."""
        initialize: Callable[[Mapping[str, Tensor]], None] | None = getattr(self.module, "initialize", None)
        if initialize is not None:
            initialize(train.inputs)
        if self.config.start_from is not None:
            self.config.start_from.load(self.module)

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


@dataclass(frozen=True)
class WeighedRows:
    """Rows and what they count in the loss: float32 ``[n]`` with mean 1, or ``None`` where all count the same."""

    task: Task
    weights: Array | None

    @classmethod
    def of(cls, task: Task, class_weights: Array | None, what: str) -> WeighedRows:
        """Weigh the rows, which a message calls ``what``. Raises: DataError where they weigh nothing."""
        weights = task.weights()
        if class_weights is not None:
            weights = class_weights[task.truth()] * (1.0 if weights is None else weights)
        if weights is None:
            return cls(task, None)
        if not weights.sum() > 0:
            raise DataError(f"the weights of the {task.n_rows} {what} rows sum to 0: at least one has to be positive")
        return cls(task, (weights / weights.mean()).astype(np.float32))


# Torch has one stream of random numbers for all threads of a process: fits side by side would draw from each other's.
_STREAM = threading.RLock()


class Generators:
    """Torch's random numbers from a seed on; the caller's generators are as before after each block.

    In threads one block waits for the other.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        with _STREAM, torch.random.fork_rng(devices=self._devices):
            torch.manual_seed(seed)
            self._states = self._read()

    @contextlib.contextmanager
    def resumed(self) -> Iterator[None]:
        """Inside, random numbers go on where the block before ended."""
        with _STREAM, torch.random.fork_rng(devices=self._devices):
            torch.set_rng_state(self._states[0])
            for device, state in zip(self._devices, self._states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self._states = self._read()

    def _read(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._devices)]


def choose_device(name: str) -> torch.device:
    """The device to train on. Raises: ProviderError where there is no GPU and one is asked for."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ProviderError("device='cuda' is not available: torch finds no GPU; use device='cpu' or device='auto'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def scale_target(train: Task, config: PreprocessConfig) -> TargetScaling | None:
    """The scaling of the numbers to predict; ``None`` for classes."""
    if train.schema.target.type == "classification":
        return None
    return TargetScaling.fit(train.truth(), config.target_scaler, train.weights(), clip=config.target_clip)


def balance_classes(train: Task, config: TrainConfig) -> Array | None:
    """Weight of each class such that all count the same, float64 ``[C]``; 0 for a class without rows.

    ``None`` where that is not asked for. Raises: ParameterError for a regression.
    """
    if config.class_weight == "none":
        return None
    target = train.schema.target
    if target.type != "classification":
        raise ParameterError("class_weight='balanced' is for classification; this task is a regression")
    counts = np.bincount(train.truth(), weights=train.weights(), minlength=len(target.classes))
    return np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)


def filled_in(given: Any, used: Any) -> dict[str, Any]:
    """The settings that ``given`` leaves open, as ``used`` has them."""
    values = {field.name: (getattr(given, field.name), getattr(used, field.name)) for field in dataclasses.fields(given)}
    return {
        name: to_json(value)
        for name, (left, value) in values.items()
        if value is not None and (left is None or (isinstance(left, str) and left == "auto" != value))
    }
