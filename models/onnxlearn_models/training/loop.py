"""The training loop: tensors in memory, early stopping on held-out rows, the best weights restored."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from onnxlearn.errors import InterruptedFit, ParameterError
from onnxlearn.learner import Learner
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.mixup import mix
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.optimizer import SGD, AdamW, Group, Optimizer
from onnxlearn_models.training.progress import Epoch, OnEpoch
from onnxlearn_models.training.schedule import fade, lr_factor
from onnxlearn_models.training.tensors import Tensors

# Rows per forward pass without gradients: bounds memory, costs nothing.
EVALUATION_ROWS = 8192


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


def require_trainable(module: nn.Module, groups: Sequence[Group], config: TrainConfig, n_rows: int, learner: Learner) -> None:
    """Raise ``ParameterError`` where :func:`train_network` cannot train the learner's network like this on so many rows."""
    if (config.l1 or config.l2) and not any(group.l1 or group.l2 for group in groups):
        raise ParameterError("this learner sets its rates itself and takes no l1 or l2: use weight_decay")
    assert config.batch_size is not None
    smallest = min(even_sizes(n_rows, config.batch_size))
    if smallest == 1 and any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        of, way_out = f"of {n_rows} training rows a step would have one", "choose a larger batch_size"
        if n_rows == 1:
            of, way_out = "there is 1 training row", "give more rows"
        raise ParameterError(
            f"learner {learner.name!r}: batch norm needs at least two rows in each step, and {of}: {way_out}, or "
            f"{_without_batch_norm(learner)}"
        )


def _without_batch_norm(learner: Learner) -> str:
    """How to do without it: by the learner's own settings, where it has such."""
    ways = ["norm='layer'"] if learner.values.get("norm") == "batch" else []
    ways += ["num_norm=False"] if learner.values.get("num_norm") else []
    return " and ".join(ways) or "a learner without it, such as mlp"


def train_network(
    module: nn.Module,
    train: Tensors,
    valid: Tensors | None,
    *,
    objective: Objective,
    config: TrainConfig,
    groups: Sequence[Group],
    settle: Callable[[], None],
    on_epoch: OnEpoch,
    keep_on_interrupt: bool = False,
) -> TrainResult:
    """Train a network in place; it ends in evaluation mode with the weights of the best epoch.

    ``config`` leaves nothing open: it went through :func:`onnxlearn_models.training.config.choose_training`; it and the network
    went through :func:`require_trainable`. ``groups``: the parameters to train. Two things of the network count here:
    ``n_batch_members``, the number of members that each get batches of their own, and ``penalty()``, which is added to the
    loss of the step before it.

    The best epoch is the one with the lowest validation loss (or best score, by ``config.monitor``), or the last one without
    validation rows. ``settle`` is called before each validation and at the end: what it sets must not depend on untrained
    weights.

    Raises: ParameterError where the loss is not finite in the first epoch, KeyboardInterrupt, or InterruptedFit where the
    interrupted training is to be kept and no epoch has ended.
    """
    run = _Run(module, train, valid, objective, config, groups, settle)
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
        objective: Objective,
        config: TrainConfig,
        groups: Sequence[Group],
        settle: Callable[[], None],
    ) -> None:
        self.module, self.train, self.valid = module, train, valid
        self.objective, self.config, self.settle = objective, config, settle
        assert config.max_epochs is not None
        assert config.batch_size is not None
        assert config.lr is not None
        self.max_epochs, self.patience = config.max_epochs, config.patience
        self.result = TrainResult(min(config.batch_size, len(train)), config.lr, score_name=objective.score.name)
        self.optimizer = _optimizer(config, groups)
        self.values = self.optimizer.flat.values
        # Of running statistics too: those of the last weights do not suit averaged ones.
        statistics = [b for name, b in module.named_buffers() if name.rpartition(".")[2] in ("running_mean", "running_var")]
        self.moving = [self.values, *statistics]
        self.average = [tensor.clone() for tensor in self.moving] if config.ema else []
        self.sizes = even_sizes(len(train), self.result.batch_size)
        self.n_members: int = getattr(module, "n_batch_members", 1)
        self.penalty: Callable[[], Tensor] | None = getattr(module, "penalty", None)
        # Each epoch shuffles all rows into one buffer; its batches are views made once, so a step slices nothing.
        self.buffer = train.map(torch.empty_like) if self.n_members == 1 else None
        self.views = self.buffer.batches(self.sizes) if self.buffer is not None else []
        self.n_steps = 0
        parts = module.modules() if config.dropout_schedule == "fade" else ()
        self.dropouts = [(part, part.p) for part in parts if isinstance(part, nn.Dropout)]
        self.best_value = math.inf
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
            self._put(trained)
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
        losses = []
        for batch in self._batches():
            for dropout, share in self.dropouts:
                dropout.p = share * fade(self._progress())
            loss = self._loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.config.grad_clip is not None:
                _clip(self.optimizer.flat.grads, self.config.grad_clip)
            self.n_steps += 1
            decay = fade(self._progress()) if self.config.weight_decay_schedule == "fade" else 1.0
            self.optimizer.step(self._lr(), decay)
            if self.average:
                # A young average forgets its start quickly (the correction that TensorFlow's moving average uses).
                decay = min(self.config.ema, (1 + self.n_steps) / (10 + self.n_steps))
                for average, tensor in zip(self.average, self.moving, strict=True):
                    average.lerp_(tensor, 1 - decay)
            losses.append(loss.detach())
        sizes = torch.tensor(self.sizes, dtype=torch.float64, device=self.values.device)
        return float(torch.stack(losses).double() @ sizes) / len(self.train)

    def _batches(self) -> Iterator[Tensors]:
        """The rows of one epoch, shuffled."""
        device = self.values.device
        if self.buffer is not None:
            _shuffle(self.train, torch.randperm(len(self.train)).to(device), self.buffer)
            yield from self.views
            return
        # An order of its own for each member: rows times members would not fit one buffer.
        orders = torch.stack([torch.randperm(len(self.train)) for _ in range(self.n_members)], dim=1).to(device)
        for rows in torch.split(orders, self.sizes):
            yield self.train.map(lambda tensor, rows=rows: tensor[rows])  # type: ignore[misc]

    def _loss(self, batch: Tensors) -> Tensor:
        if self.config.mixup:
            mixed = mix(batch, self.config.mixup)
            output = self.module(**mixed.inputs)
            first = self.objective.train(output, batch.target, batch.weight)
            loss = mixed.share * first + (1 - mixed.share) * self.objective.train(output, mixed.target, mixed.weight)
        else:
            loss = self.objective.train(self.module(**batch.inputs), batch.target, batch.weight)
        return loss if self.penalty is None else loss + self.penalty()

    def _validate(self) -> tuple[float | None, float | None]:
        """Loss and score of the validation rows."""
        self.module.eval()
        self.settle()
        return (None, None) if self.valid is None else evaluate(self.module, self.valid, self.objective)

    def _use_average(self) -> list[Tensor]:
        """Put the averaged weights in place; what training goes on from."""
        trained = [tensor.clone() for tensor in self.moving] if self.average else []
        self._put(self.average)
        if trained and self.config.l1:
            # What the penalty holds at 0 now: its average has only not forgotten where it began.
            self.values.mul_(trained[0] != 0)
        return trained

    def _put(self, values: list[Tensor]) -> None:
        for tensor, value in zip(self.moving, values, strict=False):
            tensor.copy_(value)

    def _keep_if_best(self, epoch: Epoch) -> None:
        self.result.epochs.append(epoch)
        value = self._monitored(epoch)
        # Of scores, which are coarse, the later of equal ones; a loss has to fall.
        if value is None or value < self.best_value or (self.config.monitor == "score" and value == self.best_value):
            self.best_value = math.inf if value is None else value
            # In this order: an interruption in between must not leave a best epoch without its weights.
            self.best = [tensor.detach().clone() for tensor in self._state()]
            self.result.best_epoch = epoch.number

    def _monitored(self, epoch: Epoch) -> float | None:
        """What has to be low in the epoch to keep."""
        if self.config.monitor == "loss" or epoch.valid_score is None:
            return epoch.valid_loss
        return -epoch.valid_score if self.objective.score.larger_is_better else epoch.valid_score

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
        return self.n_steps / (self.max_epochs * len(self.sizes))


@torch.no_grad()
def evaluate(module: nn.Module, rows: Tensors, objective: Objective) -> tuple[float, float | None]:
    """Mean loss and score over all rows, in parts of bounded size; a score that is not finite is ``None``.

    A network of which each row takes much memory has ``evaluation_rows``, the rows of a part that suit it.
    """
    loss = score = 0.0
    for part in rows.batches(even_sizes(len(rows), getattr(module, "evaluation_rows", EVALUATION_ROWS))):
        values = objective.valid(module(**part.inputs), part.target, part.weight)
        loss, score = (total + float(value) * len(part) for total, value in zip((loss, score), values, strict=True))
    score /= len(rows)
    return loss / len(rows), objective.score.finish(score) if math.isfinite(score) else None


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


def _optimizer(config: TrainConfig, groups: Sequence[Group]) -> Optimizer:
    if config.optimizer == "sgd":
        return SGD(groups, momentum=config.beta1)
    return AdamW(groups, beta1=config.beta1, beta2=config.beta2)


def _shuffle(rows: Tensors, order: Tensor, out: Tensors) -> None:
    for name, tensor in rows.inputs.items():
        torch.index_select(tensor, 0, order, out=out.inputs[name])
    torch.index_select(rows.target, 0, order, out=out.target)
    if rows.weight is not None and out.weight is not None:
        torch.index_select(rows.weight, 0, order, out=out.weight)


def _clip(grads: Tensor, max_norm: float) -> None:
    norm = torch.linalg.vector_norm(grads)
    grads.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
