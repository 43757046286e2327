"""A network on the verge of its training: what can be refused has been refused."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError, ParameterError, listing
from onnxlearn.images.readers import Readers
from onnxlearn.params import to_json
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.ahead import prepared_ahead
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.session import available_cores
from onnxlearn.task import Task
from onnxlearn.wire.feeds import Feeds
from onnxlearn_models.layers.words import start_words
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.devices import kept_random, random_states, set_random_states
from onnxlearn_models.training.lazy import LazyTensors
from onnxlearn_models.training.loss import losses
from onnxlearn_models.training.measuring import Measuring
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.precision import numerics
from onnxlearn_models.training.registry import said
from onnxlearn_models.training.run_info import RunInfo
from onnxlearn_models.training.tensors import Change, Tensors
from onnxlearn_models.training.threads import choose_threads, threads

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A network, with its initial weights on its device, and what it takes to train it, once.

    ``architecture`` and ``config`` leave nothing open; ``chosen``: what task and rows made of the settings that did. ``info``:
    what callbacks call the training.
    ``generators``: where torch's random numbers stand after the network was built; ``notes``: what the model says of its start;
    ``change``: what training makes of each batch first.
    """

    module: nn.Module
    train: WeighedRows
    valid: WeighedRows | None
    preprocessing: FittedPreprocessing
    head: Head
    scaling: TargetScaling | None
    objective: Objective
    measuring: Measuring | None
    architecture: Any
    config: TrainConfig
    chosen: dict[str, Any]
    info: RunInfo
    device: torch.device
    generators: Generators
    notes: list[str]
    change: Change | None = None

    def tensors(self, rows: WeighedRows) -> Tensors:
        """What training reads of these rows, by running the preprocessing graph; too many images are read when they are due."""
        truth = rows.task.truth()
        target = self._tensor(truth if self.scaling is None else self.scaling.transform(truth))
        weight = None if rows.weights is None else self._tensor(rows.weights)
        feeds: Feeds = rows.task.feeds()
        if rows.task.n_rows * self._image_bytes <= self.preprocessing.config.image_bytes:
            return Tensors(self._inputs(feeds, training=rows is self.train), target, weight)
        model = self.preprocessing.to_model(training=rows is self.train).SerializeToString()
        feeds = self.preprocessing.training_feeds(feeds) if rows is self.train else feeds

        def read(parts: Iterable[Tensor]) -> Iterator[dict[str, Tensor]]:
            for made in prepared_ahead(model, feeds, (part.numpy() for part in parts), self.readers):
                yield {name.removeprefix("prep/"): self._tensor(array) for name, array in made.items()}

        shapes = self.preprocessing.ingress.shapes
        return LazyTensors({}, target, weight, rows=torch.arange(len(target)), shapes=shapes, read=read)

    @functools.cached_property
    def readers(self) -> Readers:
        """The processes that read images; they start when they are first asked."""
        return Readers(self.preprocessing.config.n_readers or available_cores())

    @property
    def _image_bytes(self) -> int:
        """Of the prepared images of a row."""
        tensors = self.preprocessing.ingress.tensors.values()
        return sum(4 * math.prod(tensor.shape) for tensor in tensors if tensor.kind == "image")

    def _inputs(self, feeds: Feeds, *, training: bool) -> dict[str, Tensor]:
        made = self.preprocessing.transform_training(feeds) if training else self.preprocessing.transform(feeds)
        return {name: self._tensor(array) for name, array in made.items()}

    @torch.no_grad()
    def initialize(self, train: Tensors) -> None:
        """What the network sets up by the training rows itself, and the weights that it was given to begin with."""
        initialize: Callable[[Mapping[str, Tensor]], None] | None = getattr(self.module, "initialize", None)
        if initialize is not None:
            initialize(train.sample())
        start_words(self.module, self.preprocessing.word_vectors, unfreezes=bool(self.config.unfreeze))
        if self.config.start_from is not None:
            self.config.start_from.load(self.module)

    @property
    def n_weights(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @contextlib.contextmanager
    def computing(self, n_models: int = 1) -> Iterator[None]:
        """Inside, torch computes as the settings say: with so many threads, in this precision, the same in every run.

        ``n_models``: networks of this form that are trained as one.
        """
        config, size = self.config, self.config.batch_size
        assert size is not None
        n_rows = n_models * size * getattr(self.module, "n_batch_members", 1)
        n_threads = choose_threads(config.n_threads, self.n_weights, n_rows)
        with threads(n_threads), numerics(config.precision, self.device, deterministic=config.deterministic):
            yield

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

    def bare(self) -> Tensors:
        """Targets and weights alone, on the CPU: what a sampler looks at, before any preprocessing."""
        return Tensors({}, torch.from_numpy(self.task.truth()), None if self.weights is None else torch.as_tensor(self.weights))


# Torch has one stream of random numbers for all threads of a process: fits side by side would draw from each other's.
_STREAM = threading.RLock()


@contextlib.contextmanager
def own_stream() -> Iterator[None]:
    """Inside, torch's random numbers on the CPU may be set at will; other threads wait, and afterwards they are as before."""
    with _STREAM, torch.random.fork_rng(devices=[]):
        yield


class Generators:
    """Torch's random numbers from a seed on; the caller's generators are as before after each block.

    In threads one block waits for the other.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with _STREAM, kept_random(device):
            torch.manual_seed(seed)
            self._states = random_states(device)

    @contextlib.contextmanager
    def resumed(self) -> Iterator[None]:
        """Inside, random numbers go on where the block before ended."""
        with _STREAM, kept_random(self._device):
            set_random_states(self._device, self._states)
            yield
            self._states = random_states(self._device)

    @property
    def state(self) -> Tensor:
        """Where the random numbers of the CPU stand."""
        return self._states[0]

    @state.setter
    def state(self, state: Tensor) -> None:
        self._states[0] = state


def scale_target(train: Task, config: PreprocessConfig, training: TrainConfig) -> TargetScaling | None:
    """The scaling of the numbers to predict; ``None`` for classes.

    Raises: DataError, ParameterError for numbers, or a scaling, that do not suit the loss.
    """
    if train.schema.target.type == "classification":
        return None
    y, weights = train.truth(), train.weights()
    info = losses.entry(training.loss)
    if info is None or not info.positive:
        return TargetScaling.fit(y, config.target_scaler, weights, clip=config.target_clip)
    name = said(training.loss)
    if not (y.min(initial=math.inf) > 0 if info.above_zero else y.min(initial=math.inf) >= 0):
        rule = "above 0" if info.above_zero else "not negative"
        raise DataError(f"loss={name} is for numbers that are {rule}, and the target has {y.min():g}: choose another loss")
    if config.target_scaler not in ("standard", "none"):
        raise ParameterError(
            f"loss={name} predicts a logarithm, for which the target is divided by its mean: target_scaler is 'standard' then, "
            f"or 'none' to leave it as it is, not {config.target_scaler!r}"
        )
    scaling = TargetScaling.fit(y, "none", weights, clip=config.target_clip)
    mean = np.average(y, axis=0, weights=weights) if config.target_scaler == "standard" else scaling.scale
    return dataclasses.replace(scaling, scale=mean)


def balance_classes(train: Task, config: TrainConfig) -> Array | None:
    """Weight of each class, float64 ``[C]``: as given, or such that all count the same; 0 for a class without rows then.

    ``None`` where that is not asked for. Raises: ParameterError for a regression, and for a class that is none.
    """
    if config.class_weight == "none":
        return None
    target = train.schema.target
    if target.type != "classification":
        raise ParameterError(f"class_weight={config.class_weight!r} is for classification; this task is a regression")
    if config.class_weight == "balanced":
        counts = np.bincount(train.truth(), weights=train.weights(), minlength=len(target.classes))
        return np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0)
    return _weights_of(target.classes, config.class_weight)


def _weights_of(classes: Sequence[Any], given: Mapping[Any, float]) -> Array:
    """Those of a mapping; classes that it does not name count 1."""
    if unknown := [name for name in given if name not in classes]:
        raise ParameterError(
            f"class_weight has a weight for {unknown[0]!r}, which is none of the classes {listing(classes)}: correct it, or "
            "leave it out"
        )
    for name, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ParameterError(f"class_weight of {name!r} has to be a number >= 0, not {weight!r}")
    return np.array([float(given.get(name, 1.0)) for name in classes])


def filled_in(given: Any, used: Any) -> dict[str, Any]:
    """The settings that ``given`` leaves open, as ``used`` has them."""
    values = {field.name: (getattr(given, field.name), getattr(used, field.name)) for field in dataclasses.fields(given)}
    return {
        name: to_json(value)
        for name, (left, value) in values.items()
        if value is not None and (left is None or (isinstance(left, str) and left == "auto" != value))
    }
