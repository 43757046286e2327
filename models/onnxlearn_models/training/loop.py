"""The training loop: tensors in memory, early stopping on held-out rows, the best weights restored."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from onnxlearn.errors import InterruptedFit, ParameterError
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.periodic import PeriodicEmbedding
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.loss import Loss, Score
from onnxlearn_models.training.optimizer import SGD, AdamW, Group, Optimizer
from onnxlearn_models.training.progress import Epoch, OnEpoch
from onnxlearn_models.training.schedule import fade, lr_factor

# Rows per forward pass without gradients: bounds memory, costs nothing.
EVALUATION_ROWS = 8192


@dataclass(frozen=True)
class Tensors:
    """Rows as the network reads them: ``num`` float32, ``cat`` int64; target int64 [N] or float32 [N, T]; weight of mean 1."""

    inputs: dict[str, Tensor]
    target: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    def map(self, change: Callable[[Tensor], Tensor]) -> Tensors:
        """The same with every tensor changed."""
        inputs = {name: change(tensor) for name, tensor in self.inputs.items()}
        return Tensors(inputs, change(self.target), None if self.weight is None else change(self.weight))

    def batches(self, sizes: Sequence[int]) -> list[Tensors]:
        """Consecutive parts of these sizes, as views."""
        inputs = {name: torch.split(tensor, list(sizes)) for name, tensor in self.inputs.items()}
        targets = torch.split(self.target, list(sizes))
        weights = [None] * len(sizes) if self.weight is None else torch.split(self.weight, list(sizes))
        return [Tensors({name: parts[i] for name, parts in inputs.items()}, targets[i], weights[i]) for i in range(len(sizes))]


@dataclass
class TrainResult:
    """What training came to. ``best_epoch`` counts from 1; its weights are in the network.

    ``score_name`` names the epochs' ``valid_score``.
    """

    batch_size: int
    lr: float
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    score_name: str = ""
    stopped: Literal["max_epochs", "patience", "interrupted", "diverged"] = "max_epochs"


def train_network(
    module: nn.Module,
    train: Tensors,
    valid: Tensors | None,
    *,
    loss: Loss,
    config: TrainConfig,
    settle: Callable[[], None],
    on_epoch: OnEpoch,
    score: Score | None = None,
    keep_on_interrupt: bool = False,
) -> TrainResult:
    """Train a network in place; it ends in evaluation mode with the weights of the best epoch.

    ``config`` leaves nothing open: it went through :func:`onnxlearn_models.training.config.choose_training`.

    The best epoch is the one with the lowest validation loss, or the last one without validation rows. ``settle`` is called
    before each validation and at the end: what it sets must not depend on untrained weights.

    Raises: ParameterError where the loss is not finite in the first epoch, KeyboardInterrupt, or InterruptedFit where the
    interrupted training is to be kept and no epoch has ended.
    """
    run = _Run(module, train, valid, loss, score, config, settle)
    try:
        run.epochs(on_epoch)
    except KeyboardInterrupt:
        if not keep_on_interrupt:
            raise
        if not run.result.best_epoch:
            raise InterruptedFit("interrupted before the first epoch ended: there are no weights to keep") from None
        run.result.stopped = "interrupted"
    run.restore_best()
    return run.result


class _Run:
    """The state of one training."""

    def __init__(
        self,
        module: nn.Module,
        train: Tensors,
        valid: Tensors | None,
        loss: Loss,
        score: Score | None,
        config: TrainConfig,
        settle: Callable[[], None],
    ) -> None:
        self.module, self.train, self.valid = module, train, valid
        self.loss, self.score, self.config, self.settle = loss, score, config, settle
        assert config.max_epochs is not None
        assert config.batch_size is not None
        assert config.lr is not None
        self.max_epochs, self.patience = config.max_epochs, config.patience
        self.result = TrainResult(min(config.batch_size, len(train)), config.lr, score_name=score.name if score else "")
        self.optimizer = _optimizer(config, parameter_groups(module, config))
        self.values = self.optimizer.flat.values
        self.average = self.values.clone() if config.ema else None
        # Each epoch shuffles all rows into one buffer; its batches are views made once, so a step slices nothing.
        self.buffer = train.map(torch.empty_like)
        self.sizes = even_sizes(len(train), self.result.batch_size)
        _check_batch_norm(module, min(self.sizes))
        self.batches = self.buffer.batches(self.sizes)
        self.n_steps = 0
        parts = module.modules() if config.dropout_schedule == "fade" else ()
        self.dropouts = [(part, part.p) for part in parts if isinstance(part, nn.Dropout)]
        self.best_loss = math.inf
        self.best: list[Tensor] = []

    def epochs(self, on_epoch: OnEpoch) -> None:
        for number in range(1, self.max_epochs + 1):
            train_loss = self._train_epoch()
            trained = self._use_average()
            valid_loss, valid_score = self._validate()
            if not math.isfinite(train_loss) or not math.isfinite(valid_loss or 0.0):
                self._diverged()
                return
            epoch = Epoch(number=number, train_loss=train_loss, valid_loss=valid_loss, lr=self._lr(), valid_score=valid_score)
            self._keep_if_best(epoch)
            if trained is not None:
                self.values.copy_(trained)
            on_epoch(epoch)
            if self._out_of_patience(number):
                self.result.stopped = "patience"
                return

    def restore_best(self) -> None:
        with torch.no_grad():
            for tensor, best in zip(self._state(), self.best, strict=True):
                tensor.copy_(best)
        self.module.eval()
        self.settle()

    def _train_epoch(self) -> float:
        self.module.train()
        order = torch.randperm(len(self.train)).to(self.values.device)
        _shuffle(self.train, order, self.buffer)
        losses = []
        for batch in self.batches:
            for dropout, share in self.dropouts:
                dropout.p = share * fade(self._progress())
            loss = self.loss(self.module(**batch.inputs), batch.target, batch.weight)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.config.grad_clip is not None:
                _clip(self.optimizer.flat.grads, self.config.grad_clip)
            self.n_steps += 1
            self.optimizer.step(self._lr())
            if self.average is not None:
                # A young average forgets its start quickly (the correction that TensorFlow's moving average uses).
                decay = min(self.config.ema, (1 + self.n_steps) / (10 + self.n_steps))
                self.average.lerp_(self.values, 1 - decay)
            losses.append(loss.detach())
        sizes = torch.tensor(self.sizes, dtype=torch.float64, device=self.values.device)
        return float(torch.stack(losses).double() @ sizes) / len(self.train)

    def _validate(self) -> tuple[float | None, float | None]:
        """Loss and score of the validation rows."""
        self.module.eval()
        self.settle()
        if self.valid is None:
            return None, None
        if self.score is None:
            return mean_loss(self.module, self.valid, self.loss), None
        loss, score = mean_losses(self.module, self.valid, (self.loss, self.score.mean))
        return loss, self.score.finish(score) if math.isfinite(score) else None

    def _use_average(self) -> Tensor | None:
        """Put the averaged weights in place; the weights that training goes on from."""
        if self.average is None:
            return None
        trained = self.values.clone()
        self.values.copy_(self.average)
        return trained

    def _keep_if_best(self, epoch: Epoch) -> None:
        self.result.epochs.append(epoch)
        if epoch.valid_loss is None or epoch.valid_loss < self.best_loss:
            self.best_loss = math.inf if epoch.valid_loss is None else epoch.valid_loss
            # In this order: an interruption in between must not leave a best epoch without its weights.
            self.best = [tensor.detach().clone() for tensor in self._state()]
            self.result.best_epoch = epoch.number

    def _out_of_patience(self, number: int) -> bool:
        return isinstance(self.patience, int) and number - self.result.best_epoch >= self.patience

    def _diverged(self) -> None:
        if not self.result.best_epoch:
            raise ParameterError(f"the loss is not finite in the first epoch with lr={self.result.lr:g}: choose a lower lr")
        self.result.stopped = "diverged"

    def _state(self) -> list[Tensor]:
        """Everything that an epoch changes: parameters and, where there are norms, running statistics."""
        return [self.values, *self.module.buffers()]

    def _lr(self) -> float:
        """The learning rate of the step that is being made."""
        return self.result.lr * lr_factor(self.config.schedule, self._progress(), self.config.warmup)

    def _progress(self) -> float:
        """Share of all planned steps that is done."""
        return self.n_steps / (self.max_epochs * len(self.batches))


def mean_loss(module: nn.Module, rows: Tensors, loss: Loss) -> float:
    """Mean loss over all rows, in parts of bounded size."""
    return mean_losses(module, rows, (loss,))[0]


@torch.no_grad()
def mean_losses(module: nn.Module, rows: Tensors, losses: Sequence[Loss]) -> list[float]:
    """Means of several losses over all rows, from one pass through the network."""
    sums = [0.0] * len(losses)
    for part in rows.batches(even_sizes(len(rows), EVALUATION_ROWS)):
        output = module(**part.inputs)
        for i, loss in enumerate(losses):
            sums[i] += float(loss(output, part.target, part.weight)) * len(part)
    return [total / len(rows) for total in sums]


def even_sizes(n_rows: int, batch_size: int) -> list[int]:
    """Sizes of batches that differ by one at most: no epoch ends with a tiny, noisy one.

    >>> even_sizes(10, 4)
    [5, 5]
    >>> even_sizes(3, 8)
    [3]
    """
    n_batches = max(1, n_rows // batch_size)
    bounds = [i * n_rows // n_batches for i in range(n_batches + 1)]
    return [end - start for start, end in itertools.pairwise(bounds)]


def parameter_groups(module: nn.Module, config: TrainConfig) -> list[Group]:
    """Matrices decay; biases, norms and periodic embeddings do not; embeddings of codes may have rates of their own."""
    embedding = {id(p) for part in module.modules() if isinstance(part, CodeEmbedding) for p in part.parameters()}
    periodic = {id(p) for part in module.modules() if isinstance(part, PeriodicEmbedding) for p in part.parameters()}
    trainable = [p for p in module.parameters() if p.requires_grad]
    others = [p for p in trainable if id(p) not in embedding]
    matrices = tuple(p for p in others if p.ndim >= 2 and id(p) not in periodic)
    vectors = tuple(p for p in others if p.ndim < 2 or id(p) in periodic)
    embeddings = tuple(p for p in trainable if id(p) in embedding)
    decay = config.weight_decay if config.embedding_weight_decay is None else config.embedding_weight_decay
    groups = [
        Group(parameters=matrices, weight_decay=config.weight_decay),
        Group(parameters=vectors),
        Group(parameters=embeddings, weight_decay=decay, lr_factor=config.embedding_lr),
    ]
    return [group for group in groups if group.parameters]


def _optimizer(config: TrainConfig, groups: list[Group]) -> Optimizer:
    if config.optimizer == "sgd":
        return SGD(groups, momentum=config.beta1)
    return AdamW(groups, beta1=config.beta1, beta2=config.beta2)


def _check_batch_norm(module: nn.Module, smallest: int) -> None:
    if smallest == 1 and any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        raise ParameterError("batch norm needs at least two rows in each step: choose a larger batch_size or norm='layer'")


def _shuffle(rows: Tensors, order: Tensor, out: Tensors) -> None:
    for name, tensor in rows.inputs.items():
        torch.index_select(tensor, 0, order, out=out.inputs[name])
    torch.index_select(rows.target, 0, order, out=out.target)
    if rows.weight is not None and out.weight is not None:
        torch.index_select(rows.weight, 0, order, out=out.weight)


def _clip(grads: Tensor, max_norm: float) -> None:
    norm = torch.linalg.vector_norm(grads)
    grads.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
