"""The training loop: tensors in memory, callbacks beside the steps, the best weights restored."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.errors import InterruptedFit, ParameterError
from onnxlearn.learner import Learner
from onnxlearn_models.training.callback import Callback, Callbacks, State
from onnxlearn_models.training.callbacks.checkpoints import Checkpoints
from onnxlearn_models.training.callbacks.early_stopping import EarlyStopping
from onnxlearn_models.training.callbacks.usual import usual_callbacks
from onnxlearn_models.training.checkpoint import CheckpointFile
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.divergence import DivergedError, describe_divergence
from onnxlearn_models.training.extra_state import extra_states, load_extra_states
from onnxlearn_models.training.history import Epoch, OnEpoch, Stopped, TrainResult
from onnxlearn_models.training.mixup import mix
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.optimizer import Group, make_optimizer
from onnxlearn_models.training.sampling import make_sampler
from onnxlearn_models.training.schedule import fade, make_schedule
from onnxlearn_models.training.tensors import Tensors

# Rows per forward pass without gradients: bounds memory, costs nothing.
EVALUATION_ROWS = 8192


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
    checkpoint: CheckpointFile | None = None,
) -> TrainResult:
    """Train a network in place; it ends in evaluation mode with the weights of the best epoch.

    ``config`` leaves nothing open: it went through :func:`onnxlearn_models.training.config.choose_training`; it and the network
    went through :func:`require_trainable`. ``groups``: the parameters to train. Two things of the network count here:
    ``n_batch_members``, the number of members that each get batches of their own, and ``penalty()``, which is added to the
    loss of the step before it.

    The best epoch is the one with the lowest validation loss (or best score, by ``config.monitor``), or the last one without
    validation rows. ``settle`` is called before each validation and at the end: what it sets must not depend on untrained
    weights.

    ``checkpoint``: where it goes on from, if there is something, and what it writes at the end of epochs.

    Raises: ParameterError where the loss is not finite in the first epoch or a checkpoint does not fit, KeyboardInterrupt, or
    InterruptedFit where the interrupted training is to be kept and no epoch has ended.
    """
    beside = [] if checkpoint is None else [Checkpoints(checkpoint, config.checkpoint_every)]
    training = Training(
        module, train, valid, objective=objective, config=config, groups=groups, settle=settle, on_epoch=on_epoch, beside=beside
    )
    for callback in beside:
        callback.resume(training)
    return training.run(keep_on_interrupt=keep_on_interrupt)


class Training:
    """One training: its state, and what callbacks see.

    ``module``, ``train``, ``valid``, ``objective``, ``config``: what is trained, on what, for what, how. ``optimizer.flat`` has
    all trainable ``values`` and their ``grads`` as one tensor each. ``epoch``: the one under way, from 1; ``n_steps``: steps of
    the optimizer so far; ``batch`` and ``loss``: the rows that went through the network last, and what came of them;
    ``history``: the epochs that are over. ``beside``: callbacks that are no part of the recipe.
    """

    def __init__(
        self,
        module: nn.Module,
        train: Tensors,
        valid: Tensors | None,
        *,
        objective: Objective,
        config: TrainConfig,
        groups: Sequence[Group],
        settle: Callable[[], None],
        on_epoch: OnEpoch,
        beside: Sequence[Callback] = (),
    ) -> None:
        self.module, self.train, self.valid = module, train, valid
        self.objective, self.config = objective, config
        self._settle, self._on_epoch = settle, on_epoch
        assert config.max_epochs is not None
        assert config.batch_size is not None
        assert config.lr is not None
        self.max_epochs = config.max_epochs
        self.optimizer = make_optimizer(config, groups)
        self.sampler = make_sampler(config, train)
        self.sizes = even_sizes(self.sampler.n_rows, config.batch_size)
        self.schedule = make_schedule(config, self.max_epochs, self.n_epoch_steps)
        own, usual = [callback.fresh() for callback in config.callbacks], usual_callbacks(config)
        self.callbacks = Callbacks([*usual, *own, *beside])
        self.keeper = next(callback for callback in usual if isinstance(callback, EarlyStopping))
        self.epoch = self.n_steps = 0
        self.batch, self.loss = train, torch.zeros(())
        self.history: list[Epoch] = []
        self.stopped: Stopped | None = None
        size = min(config.batch_size, self.sampler.n_rows)
        self.result = TrainResult(size, config.lr, self.history, score_name=objective.score.name, callbacks=own)
        # Of running statistics too: those of the last weights do not suit averaged ones.
        self._statistics = [
            b for name, b in module.named_buffers() if name.rpartition(".")[2] in ("running_mean", "running_var")
        ]
        self.n_members: int = getattr(module, "n_batch_members", 1)
        self._penalty: Callable[[], Tensor] | None = getattr(module, "penalty", None)
        # Each epoch shuffles all rows into one buffer; its batches are views made once, so a step slices nothing.
        self._buffer = train.like(self.sampler.n_rows) if self.n_members == 1 else None
        self._views = self._buffer.batches(self.sizes) if self._buffer is not None else []

    @property
    def device(self) -> torch.device:
        """Where the network and its rows are."""
        return self.optimizer.flat.values.device

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return len(self.sizes)

    @property
    def n_epoch_steps(self) -> int:
        """Steps of the optimizer in an epoch."""
        return -(-len(self.sizes) // self.config.accumulate)

    @property
    def progress(self) -> float:
        """Share of all planned steps that is done."""
        return self.n_steps / (self.max_epochs * self.n_epoch_steps)

    @property
    def lr(self) -> float:
        """The learning rate of the step that is being made."""
        return self.result.lr * self.schedule.factor(self.n_steps)

    def stop(self, reason: Stopped = "callback") -> None:
        """Let this batch, and the epoch that it ends, be the last."""
        self.stopped = self.stopped or reason

    def weights(self) -> list[Tensor]:
        """Everything that an epoch changes: parameters and, where there are norms, running statistics."""
        return [self.optimizer.flat.values, *self.module.buffers()]

    def moving(self) -> list[Tensor]:
        """What averages are made of: parameters and running statistics."""
        return [self.optimizer.flat.values, *self._statistics]

    def monitored(self, name: str) -> float | None:
        """What has to be low in the last epoch: its validation loss or, by the name ``score``, its score."""
        epoch = self.history[-1]
        if name == "loss" or epoch.valid_score is None:
            return epoch.valid_loss
        return -epoch.valid_score if self.objective.score.larger_is_better else epoch.valid_score

    def run(self, *, keep_on_interrupt: bool = False) -> TrainResult:
        """Train to the end; errors as of :func:`train_network`."""
        try:
            self.call("begin")
            while self.epoch < self.max_epochs and self.stopped is None:
                self.run_epoch()
            self.call("end")
        except DivergedError as error:
            if not self.keeper.kept_epoch:
                raise ParameterError(str(error)) from None
            self.stopped, self.result.why = "diverged", str(error)
        except KeyboardInterrupt:
            if not keep_on_interrupt:
                raise
            if not self.keeper.kept_epoch:
                raise InterruptedFit("interrupted before the first epoch ended: there are no weights to keep") from None
            self.stopped = "interrupted"
        finally:
            self.call("exit")
        return self.finish()

    def run_epoch(self) -> None:
        """The steps of one epoch, and what follows them."""
        self.epoch += 1
        self.call("epoch_begin")
        self.end_epoch(self.train_epoch())

    def end_epoch(self, train_loss: float) -> None:
        """Judge the weights of an epoch, keep them if they are the best, and tell of it."""
        self.call("valid_begin")
        valid_loss, valid_score = self._validate()
        if not math.isfinite(train_loss) or not math.isfinite(valid_loss or 0.0):
            raise DivergedError(describe_divergence(self, None))
        self.history.append(
            Epoch(number=self.epoch, train_loss=train_loss, valid_loss=valid_loss, lr=self.lr, valid_score=valid_score)
        )
        self.call("valid_end")
        self.schedule.after_epoch(valid_loss)
        self.call("epoch_end")
        self._on_epoch(self.history[-1])

    def finish(self) -> TrainResult:
        """Put the weights in place that are kept."""
        self.keeper.restore(self)
        self.module.eval()
        self._settle()
        self.result.best_epoch = self.keeper.kept_epoch
        self.result.stopped = self.stopped or "max_epochs"
        return self.result

    def call(self, stage: str) -> None:
        """Every callback that has a method for this stage."""
        for method in self.callbacks.at(stage):
            method(self)

    def state(self) -> State:
        """All that the next epoch depends on: tensors and plain JSON by name."""
        parts: dict[str, Mapping[str, Any]] = {
            "parameter": {name: parameter.detach() for name, parameter in self.module.named_parameters()},
            "buffer": dict(self.module.named_buffers()),
            "module": extra_states(self.module),
            "optimizer": self.optimizer.state(),
            "schedule": self.schedule.state(),
            "callback": self.callbacks.state(),
        }
        return {
            "epoch": self.epoch,
            "n_steps": self.n_steps,
            # Whether it ended for another reason is found out again, since the settings may be others.
            "stopped": self.stopped if self.stopped == "callback" else None,
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "random": torch.get_rng_state(),
            **({"random_cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {}),
            **{f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()},
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on after the epoch at whose end :meth:`state` gave this."""

        def part(name: str) -> dict[str, Any]:
            return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}

        self.epoch, self.n_steps, self.stopped = state["epoch"], state["n_steps"], state["stopped"]
        self.history[:] = [Epoch(**epoch) for epoch in state["history"]]
        for kind, tensors in (("parameter", self.module.named_parameters()), ("buffer", self.module.named_buffers())):
            saved = part(kind)
            for name, tensor in tensors:
                tensor.copy_(saved[name])
        load_extra_states(self.module, part("module"))
        self.optimizer.load_state(part("optimizer"))
        self.schedule.load_state(part("schedule"))
        # The training may have been on another device.
        own = {name: value.to(self.device) if isinstance(value, Tensor) else value for name, value in part("callback").items()}
        self.callbacks.load_state(own)
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)

    def train_epoch(self) -> float:
        """The steps of one epoch; its mean loss."""
        self.module.train()
        before, after, end = (self.callbacks.at(stage) for stage in ("batch_begin", "after_backward", "batch_end"))
        on_cpu, accumulate, n_batches = self.device.type == "cpu", self.config.accumulate, len(self.sizes)
        grads, decays = self.optimizer.flat.grads, self.config.weight_decay_schedule == "fade"
        losses: list[Any] = []
        for index, batch in enumerate(self._batches()):
            self.batch = batch
            for call in before:
                call(self)
            loss = self._loss(batch)
            self.loss = loss.detach()
            # Elsewhere looking at a number waits for the device: there it is done once an epoch.
            losses.append(loss.item() if on_cpu else self.loss)
            if on_cpu and not math.isfinite(losses[-1]):
                raise DivergedError(describe_divergence(self, index + 1))
            if index % accumulate == 0:
                grads.zero_()
            n_summed = min(accumulate, n_batches - index + index % accumulate)
            (loss if n_summed == 1 else loss / n_summed).backward()  # type: ignore[no-untyped-call]
            if (index + 1) % accumulate and index + 1 < n_batches:
                continue
            for call in after:
                call(self)
            self.n_steps += 1
            self.optimizer.step(self.lr, fade(self.progress) if decays else 1.0)
            for call in end:
                call(self)
            if self.stopped is not None:
                break
        return self._mean_loss(losses)

    def _mean_loss(self, losses: Sequence[Any]) -> float:
        """Of the rows of the batches that went through the network."""
        sizes = torch.tensor(self.sizes[: len(losses)], dtype=torch.float64)
        each = torch.tensor(losses) if isinstance(losses[0], float) else torch.stack(list(losses)).cpu()
        if not bool(torch.isfinite(each).all()):
            raise DivergedError(describe_divergence(self, int(torch.isfinite(each).logical_not().nonzero()[0]) + 1))
        return float(each.double() @ sizes) / float(sizes.sum())

    def _batches(self) -> Iterator[Tensors]:
        """The rows of one epoch, shuffled."""
        if self._buffer is not None:
            self.train.gather(self.sampler.order().to(self.device), self._buffer)
            yield from self._views
            return
        # An order of its own for each member: rows times members would not fit one buffer.
        orders = torch.stack([self.sampler.order() for _ in range(self.n_members)], dim=1).to(self.device)
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
        return loss if self._penalty is None else loss + self._penalty()

    def _validate(self) -> tuple[float | None, float | None]:
        """Loss and score of the validation rows."""
        self.module.eval()
        self._settle()
        return (None, None) if self.valid is None else evaluate(self.module, self.valid, self.objective, self._told_of)

    def _told_of(self, stage: str, batch: Tensors) -> None:
        self.batch = batch
        self.call(stage)


@torch.no_grad()
def evaluate(
    module: nn.Module, rows: Tensors, objective: Objective, on_batch: Callable[[str, Tensors], None] | None = None
) -> tuple[float, float | None]:
    """Mean loss and score over all rows, in parts of bounded size; a score that is not finite is ``None``.

    A network of which each row takes much memory has ``evaluation_rows``, the rows of a part that suit it. ``on_batch`` is
    called before and after each part.
    """
    loss = score = 0.0
    for part in rows.batches(even_sizes(len(rows), getattr(module, "evaluation_rows", EVALUATION_ROWS))):
        if on_batch is not None:
            on_batch("valid_batch_begin", part)
        values = objective.valid(module(**part.inputs), part.target, part.weight)
        loss, score = (total + float(value) * len(part) for total, value in zip((loss, score), values, strict=True))
        if on_batch is not None:
            on_batch("valid_batch_end", part)
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
