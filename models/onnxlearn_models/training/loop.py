"""The training loop: tensors in memory, callbacks beside the steps, the best weights restored."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.errors import InterruptedFit, ParameterError
from onnxlearn_models.layers.tape import Tape
from onnxlearn_models.training.callback import Callback, Callbacks, State
from onnxlearn_models.training.callbacks.checkpoints import Checkpoints
from onnxlearn_models.training.callbacks.early_stopping import EarlyStopping
from onnxlearn_models.training.callbacks.named import callback_of
from onnxlearn_models.training.callbacks.usual import usual_callbacks
from onnxlearn_models.training.checkpoint import CheckpointFile
from onnxlearn_models.training.compiled import compiled
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.devices import random_states, set_random_states
from onnxlearn_models.training.divergence import DivergedError, describe_divergence
from onnxlearn_models.training.extra_state import extra_states, load_extra_states
from onnxlearn_models.training.history import Epoch, OnEpoch, Stopped, TrainResult
from onnxlearn_models.training.lazy import LazyTensors
from onnxlearn_models.training.measuring import OWN, Measuring, Outputs
from onnxlearn_models.training.mixup import mix
from onnxlearn_models.training.modes import begin_training, kept_norms
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.optim.base import Closure
from onnxlearn_models.training.optimizer import Group, make_optimizer
from onnxlearn_models.training.precision import HALF, GradientScale, computing
from onnxlearn_models.training.run_info import RunInfo
from onnxlearn_models.training.sampling import even_sizes, make_sampler
from onnxlearn_models.training.schedule import fade, make_schedule
from onnxlearn_models.training.slope import slope_of
from onnxlearn_models.training.team import AGREEING_STEPS, Team
from onnxlearn_models.training.tensors import Change, Tensors, arguments

# Rows per forward pass without gradients: bounds memory, costs nothing.
EVALUATION_ROWS = 8192
# Of rows that are no vectors, such as images, so many numbers: a network makes many times as many of them.
EVALUATION_VALUES = 4_000_000


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
    info: RunInfo | None = None,
    measuring: Measuring | None = None,
    change: Change | None = None,
    keep_on_interrupt: bool = False,
    team: Team | None = None,
    checkpoint: CheckpointFile | None = None,
    beside: Sequence[Callback] = (),
) -> TrainResult:
    """Train a network in place; it ends in evaluation mode with the weights of the best epoch.

    ``config`` leaves nothing open: it went through :func:`onnxlearn_models.training.config.choose_training`; it and the network
    went through :func:`~onnxlearn_models.training.trainable.require_trainable`. ``groups``: the parameters to train. Two things
    of the network count here: ``n_batch_members``, the number of members that each get batches of their own, and ``penalty()``,
    which is added to the loss of the step before it. ``team``: the processes that train it together, each of which calls this.

    The best epoch is the one with the lowest validation loss (or the best of another value, by ``config.monitor``), or the last
    one without validation rows. ``settle`` is called before each validation and at the end: what it sets must not depend on
    untrained weights. ``measuring``: what the history tells beside the loss, of the tasks that the rows are of. ``change``:
    what is made of each batch first.

    ``checkpoint``: where it goes on from, if there is something, and what it writes at the end of epochs. ``beside``: callbacks
    that are no part of the recipe.

    Raises: ParameterError where the loss is not finite in the first epoch or a checkpoint does not fit, KeyboardInterrupt, or
    InterruptedFit where the interrupted training is to be kept and no epoch has ended.
    """
    checkpoints = [] if checkpoint is None else [Checkpoints(checkpoint, config.checkpoint_every)]
    training = Training(
        module, train, valid, objective=objective, config=config, groups=groups, settle=settle, on_epoch=on_epoch,
        info=info, measuring=measuring, change=change, team=team, beside=[*beside, *checkpoints],
    )  # fmt: skip
    for callback in checkpoints:
        callback.resume(training)
    return training.run(keep_on_interrupt=keep_on_interrupt)


class Training:
    """One training: its state, and what callbacks see.

    ``module``, ``train``, ``valid``, ``objective``, ``config``: what is trained, on what, for what, how; ``source``: the
    training rows as batches are drawn from them, without weights that they are drawn by. ``optimizer.flat`` has
    all trainable ``values`` and their ``grads`` as one tensor each. ``epoch``: the one under way, from 1; ``n_steps``: steps of
    the optimizer so far, ``step``: the number of the one that is being made; ``batch`` and ``loss``: the rows that went through
    the network last, and what came of them; ``history``: the epochs that are over; ``info``: names of task, learner and what
    the training is part of; ``change``: what is made of each batch first. ``beside``: callbacks that are no part of the recipe.
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
        info: RunInfo | None = None,
        measuring: Measuring | None = None,
        change: Change | None = None,
        team: Team | None = None,
        beside: Sequence[Callback] = (),
    ) -> None:
        self.module = module
        self.objective, self.config, self.team = objective, config, team or Team()
        self._settle, self._on_epoch, self.measuring, self.change = settle, on_epoch, measuring, change
        self.info = info or RunInfo()
        assert config.max_epochs is not None
        assert config.batch_size is not None
        assert config.lr is not None
        self.max_epochs = config.max_epochs
        self.last_epoch = min(self.max_epochs, config.stop_epoch or self.max_epochs)
        self.optimizer = make_optimizer(config, groups)
        self.sampler = make_sampler(config, train)
        self.sizes = even_sizes(self.sampler.n_rows, config.batch_size)
        self.schedule = make_schedule(config, self.max_epochs, self.n_epoch_steps)
        # What only watches does so once.
        given = [callback for callback in map(callback_of, config.callbacks) if callback.recorded or self.team.is_first]
        own, usual = [callback.fresh() for callback in given], usual_callbacks(config)
        self.callbacks = Callbacks([*usual, *own, *beside])
        self.keeper = next(callback for callback in usual if isinstance(callback, EarlyStopping))
        self.epoch = self.n_steps = self.step = 0
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
        own_rows = self.team.share(self.sizes)
        self._own_sizes = [len(rows) for rows in own_rows]
        self._own_rows = None if self.team.size == 1 else torch.cat([torch.arange(rows.start, rows.stop) for rows in own_rows])
        self.feed(train, valid)
        self._scale = GradientScale(self.device) if config.precision == "fp16" else None
        forward = compiled(module, self.device) if config.compile else module
        self._forward = computing(forward, config.precision, self.device)
        # Compiled code and types that change on the way are autograd's.
        self.tape = Tape(notes=not config.compile and config.precision not in HALF)
        is_plain = self.tape.notes and not config.mixup and self._penalty is None
        self._slope = slope_of(objective.each) if is_plain else None

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
        return self.result.lr * self.schedule.factor(self.step)

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
        """What has to be low in the last epoch, by name: its validation ``loss``, its ``score``, or the monitored measure.

        Raises: ParameterError for a measure that these rows do not define.
        """
        epoch = self.history[-1]
        if name not in OWN:
            return None if self.valid is None else self._defined(name, epoch)
        if name == "loss" or epoch.valid_score is None:
            return epoch.valid_loss
        return -epoch.valid_score if self.objective.score.larger_is_better else epoch.valid_score

    def _defined(self, name: str, epoch: Epoch) -> float | None:
        """The monitored measure. No epoch would ever be the best one by one that has no value."""
        assert self.measuring is not None
        value = self.measuring.low(epoch.measures)
        if value is None and len(self.history) == 1:
            raise ParameterError(
                f"monitor={name!r} has no value on the {len(self.valid or ())} validation rows: choose another measure, or "
                "rows that define it"
            )
        return value

    def run(self, *, keep_on_interrupt: bool = False) -> TrainResult:
        """Train to the end; errors as of :func:`train_network`."""
        try:
            with self.team.held(), self.keeping(on_interrupt=keep_on_interrupt):
                self._begin()
                while self.goes_on:
                    self.run_epoch()
                self.call("end")
        finally:
            self.call("exit")
        return self.finish()

    @property
    def goes_on(self) -> bool:
        """Whether there is another epoch."""
        return self.epoch < self.last_epoch and not self._is_over()

    @contextlib.contextmanager
    def keeping(self, *, on_interrupt: bool = False) -> Iterator[None]:
        """End the training, instead of the error that ends the block, where there are weights to keep."""
        try:
            yield
        except DivergedError as error:
            if not self.keeper.kept_epoch:
                raise ParameterError(str(error)) from None
            self.stopped, self.result.why = "diverged", str(error)
        except KeyboardInterrupt:
            if not on_interrupt or not self.team.is_first:
                raise
            if not self.keeper.kept_epoch:
                raise InterruptedFit("interrupted before the first epoch ended: there are no weights to keep") from None
            self.stopped = "interrupted"

    def _begin(self) -> None:
        rows, config = self.train, self.config
        self.team.require_same(
            *rows.inputs.values(), rows.target, self.optimizer.flat.values, config.seed, self.max_epochs, self.epoch
        )
        self.call("begin")

    def _is_over(self) -> bool:
        """Whether this process or another one has been told to stop."""
        self.stopped = self.team.any(self.stopped)
        return self.stopped is not None

    def run_epoch(self) -> None:
        """The steps of one epoch, and what follows them."""
        self.begin_epoch()
        self.end_epoch(self.train_epoch())

    def begin_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.team.reseed(self.config.seed, self.epoch)
        self.call("epoch_begin")

    def end_epoch(self, train_loss: float) -> None:
        """Judge the weights of an epoch, keep them if they are the best, and tell of it."""
        self.optimizer.show()
        self.call("valid_begin")
        kept = {id(each) for norm in kept_norms(self.module, self.config.norm_statistics) for each in norm.buffers()}
        for statistic in self._statistics:
            if id(statistic) not in kept:
                self.team.mean(statistic)
        measuring, read = self.measuring, list[Outputs]()
        valid_loss, valid_score = self._validate(None if measuring is None else lambda o: read.append(measuring.read(o)))
        if not math.isfinite(train_loss) or not math.isfinite(valid_loss or 0.0):
            raise DivergedError(describe_divergence(self, None))
        epoch = Epoch(
            number=self.epoch, train_loss=train_loss, valid_loss=valid_loss, lr=self.lr, valid_score=valid_score,
            skipped_steps=self._newly_skipped(),
        )  # fmt: skip
        # Processes decide by the same numbers: elsewhere rounding may differ.
        self.history.append(self.team.told(epoch if measuring is None else self._measured(epoch, measuring, read)))
        stopped = self.stopped
        self.call("valid_end")
        if measuring is not None and self.stopped != stopped:
            # It was not known to be the last one.
            self.history[-1] = self._measured(epoch, measuring, read)
        self.schedule.after_epoch(self.monitored(self.config.monitor))
        self.optimizer.resume()
        self.call("epoch_end")
        self._on_epoch(self.history[-1])

    def _newly_skipped(self) -> int:
        """Steps of this epoch that were left out."""
        return 0 if self._scale is None else self._scale.skipped - sum(epoch.skipped_steps for epoch in self.history)

    def finish(self) -> TrainResult:
        """Put the weights in place that are kept. Raises: ParameterError where there are none."""
        if not self.keeper.kept_epoch:
            raise ParameterError("a callback ended the training before its first epoch: there are no weights to keep")
        self.keeper.restore(self)
        if self.stopped != "interrupted":
            for tensor in self.weights():
                self.team.first(tensor)
        self.module.eval()
        self._settle()
        self.result.best_epoch = self.keeper.kept_epoch
        self.result.stopped = self.stopped or "max_epochs"
        return self.result

    def feed(self, train: Tensors, valid: Tensors | None) -> None:
        """Go on with these tensors of the rows, the same ones in the same order: whoever does that does so between epochs."""
        self.train, self.valid = train, valid
        self.source = dataclasses.replace(train, weight=None) if self.sampler.weighs else train
        # Each epoch draws its rows into one buffer; its batches are views made once, so a step slices nothing.
        fits = self.n_members == 1 and not isinstance(train, LazyTensors)
        self._buffer = self.source.like(sum(self._own_sizes)) if fits else None
        self._views = self._buffer.batches(self._own_sizes) if self._buffer is not None else []

    def regroup(self) -> None:
        """Train the parameters that have ``requires_grad`` now, and their norms: who changes that calls this."""
        self.optimizer.regroup()
        begin_training(self.module, self.config.norm_statistics)

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
            "scale": {} if self._scale is None else self._scale.state(),
            "random": {str(i): state for i, state in enumerate(random_states(self.device))},
        }
        return {
            "epoch": self.epoch,
            "n_steps": self.n_steps,
            # Whether it ended for another reason is found out again, since the settings may be others.
            "stopped": self.stopped if self.stopped == "callback" else None,
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            **{f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()},
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on after the epoch at whose end :meth:`state` gave this."""

        def part(name: str) -> dict[str, Any]:
            return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}

        self.epoch, self.n_steps, self.stopped = state["epoch"], state["n_steps"], state["stopped"]
        self.step = self.n_steps
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
        if self._scale is not None:
            self._scale.load_state(part("scale"))
        states = list(part("random").values())
        set_random_states(self.device if len(states) > 1 else torch.device("cpu"), states)

    def train_epoch(self) -> float:
        """The steps of one epoch; its mean loss."""
        begin_training(self.module, self.config.norm_statistics)
        before = self.callbacks.at("batch_begin")
        # Looking at a number waits for a GPU, and what another process sees this one does not know: once an epoch.
        looks = self.device.type == "cpu" and self.team.size == 1
        accumulate, n_batches = self.config.accumulate, len(self.sizes)
        losses: list[Any] = []
        for index, batch in enumerate(self._changed()):
            self.batch, self.step = batch, self.n_steps + 1
            for call in before:
                call(self)
            self.loss, last, slope = self._through(batch)
            losses.append(self.loss.item() if looks else self.loss)
            if looks and not math.isfinite(losses[-1]):
                raise DivergedError(describe_divergence(self, index + 1))
            if index % accumulate == 0:
                self.optimizer.flat.grads.zero_()
            n_summed = min(accumulate, n_batches - index + index % accumulate)
            self._backward(last, slope, self._own_sizes[index] / (self.sizes[index] * n_summed))
            if (index + 1) % accumulate and index + 1 < n_batches:
                continue
            self._step(index)
            if self._stops_here():
                break
        return self.mean_loss(losses)

    def _backward(self, last: Tensor, slope: Tensor, share: float) -> None:
        """Add the gradients of a loss that counts so much; its derivative by ``last`` is ``slope``."""
        slope = slope if share == 1 else slope * share
        self.tape.backward(last, slope if self._scale is None else self._scale.scaled(slope))

    def _step(self, index: int) -> None:
        """One step by the gradients that are there, those of batch ``index`` the last."""
        self.team.add(self.optimizer.flat.grads)
        self.n_steps += 1
        if self._scale is None or self._is_finite(self._scale):
            for call in self.callbacks.at("after_backward"):
                call(self)
            self.move(functools.partial(self._loss_again, index) if self.optimizer.needs_closure else None)
        for call in self.callbacks.at("batch_end"):
            call(self)

    def move(self, closure: Closure | None = None, others: Sequence[Training] = ()) -> None:
        """Move the weights by their gradients; those of ``others`` too, which have the same settings and number of steps."""
        for training in (self, *others):
            if training.schedule.cycles_momentum:
                training.optimizer.momentum = training.schedule.momentum(training.n_steps)
        decay = fade(self.progress) if self.config.weight_decay_schedule == "fade" else 1.0
        if others:
            self.optimizer.step_with([training.optimizer for training in others], self.lr, decay)
        else:
            self.optimizer.step(self.lr, decay, closure)

    def _loss_again(self, index: int) -> Tensor:
        """The loss of the weights as they are now, and its gradients."""
        loss, last, slope = self._through(self.batch)
        share = self._own_sizes[index] / self.sizes[index]
        self.tape.backward(last, slope * share)
        self.team.add(self.optimizer.flat.grads)
        return self.team.add(loss * share)

    def _is_finite(self, scale: GradientScale) -> bool:
        """Whether a step can be made of scaled gradients."""
        is_finite = scale.unscale(self.optimizer.flat.grads)
        if scale.is_exhausted:
            raise DivergedError(
                f"gradients overflow fp16 in epoch {self.epoch} however they are scaled, with lr={self.lr:.3g}: choose a lower "
                "lr, or precision='bf16'"
            )
        return is_finite

    def _stops_here(self) -> bool:
        """Whether an epoch ends with this step; of several processes all have to know."""
        return not (self.team.size > 1 and self.n_steps % AGREEING_STEPS) and self._is_over()

    def mean_loss(self, losses: Sequence[Any]) -> float:
        """Of the rows of the batches that went through the network."""
        sizes = torch.tensor(self.sizes[: len(losses)], dtype=torch.float64)
        each = torch.tensor(losses) if isinstance(losses[0], float) else torch.stack(list(losses))
        if self.team.size > 1:
            own = torch.tensor(self._own_sizes[: len(losses)], device=self.device)
            each = self.team.add(each.double() * own) / sizes.to(self.device)
        each = each.cpu()
        if not bool(torch.isfinite(each).all()):
            raise DivergedError(describe_divergence(self, int(torch.isfinite(each).logical_not().nonzero()[0]) + 1))
        return float(each.double() @ sizes) / float(sizes.sum())

    def _changed(self) -> Iterator[Tensors]:
        """The batches of one epoch, as the network sees them."""
        return self._batches() if self.change is None else map(self.change, self._batches())

    def _batches(self) -> Iterator[Tensors]:
        """The rows of one epoch, as they are drawn."""
        if self._buffer is not None:
            self.source.gather(self._own(self.sampler.order()), self._buffer)
            yield from self._views
            return
        if self.n_members == 1:
            yield from self.source.stream(torch.split(self._own(self.sampler.order()), self._own_sizes))
            return
        # An order of its own for each member: rows times members would not fit one buffer.
        orders = self._own(torch.stack([self.sampler.order() for _ in range(self.n_members)], dim=1))
        yield from self.source.stream(torch.split(orders, self._own_sizes))

    def _own(self, order: Tensor) -> Tensor:
        """Of an epoch's rows those of this process, on its device."""
        order = order.to(self.device, non_blocking=True)
        return order if self._own_rows is None else self.team.first(order)[self._own_rows.to(self.device)]

    def _through(self, batch: Tensors) -> tuple[Tensor, Tensor, Tensor]:
        """Send a batch through the network: its loss, a tensor to go back from, and the loss's derivative by that tensor."""
        if self._slope is None:
            with self.tape:
                loss = self._loss(batch)
            return loss.detach(), loss, torch.ones_like(loss)
        with self.tape:
            output = self._forward(**arguments(batch.inputs))
        if output.ndim == 2:
            weight, n_rows = batch.weight, len(output)
            each, slope = self._slope(
                output.detach(), batch.target, 1 / n_rows if weight is None else weight.unsqueeze(1) / n_rows
            )
            return (each if weight is None else each * weight).mean(), output, slope
        loss = self.objective.train(output, batch.target, batch.weight)
        return loss.detach(), loss, torch.ones_like(loss)

    def _loss(self, batch: Tensors) -> Tensor:
        if self.config.mixup:
            mixed = mix(batch, self.config.mixup)
            output = self._forward(**arguments(mixed.inputs))
            first = self.objective.train(output, batch.target, batch.weight)
            loss = mixed.share * first + (1 - mixed.share) * self.objective.train(output, mixed.target, mixed.weight)
        else:
            loss = self.objective.train(self._forward(**arguments(batch.inputs)), batch.target, batch.weight)
        return loss if self._penalty is None else loss + self._penalty()

    def _validate(self, on_output: Callable[[Tensor], None] | None) -> tuple[float | None, float | None]:
        """Loss and score of the validation rows."""
        self.module.eval()
        self._settle()
        if self.valid is None:
            return None, None
        return evaluate(self.module, self.valid, self.objective, on_batch=self._told_of, on_output=on_output)

    def _measured(self, epoch: Epoch, measuring: Measuring, read: Sequence[Outputs]) -> Epoch:
        """The epoch with what is measured after it; ``read``: what the head made of the validation rows."""
        due = measuring.is_due(self.epoch, last=self.stopped is not None or self.epoch == self.last_epoch)
        found = dict.fromkeys(measuring.names) | measuring.of_valid(read, due=due)
        if due:
            of = measuring.train.rows
            rows = self.train if of is None else self.train.take(torch.from_numpy(of).to(self.device))
            found |= measuring.of_train([measuring.read(output) for _, output in predicted(self.module, rows)])
        return dataclasses.replace(epoch, measures=found)

    def _told_of(self, stage: str, batch: Tensors) -> None:
        self.batch = batch
        self.call(stage)


@torch.no_grad()
def evaluate(
    module: nn.Module,
    rows: Tensors,
    objective: Objective,
    on_batch: Callable[[str, Tensors], None] | None = None,
    on_output: Callable[[Tensor], None] | None = None,
) -> tuple[float, float | None]:
    """Mean loss and score over all rows, in parts as of :func:`predicted`; a score that is not finite is ``None``.

    ``on_batch`` is called before and after each part, ``on_output`` with the network's output of it.
    """
    loss = score = 0.0
    for part, output in predicted(module, rows, on_batch):
        values = objective.valid(output, part.target, part.weight)
        loss, score = (total + float(value) * len(part) for total, value in zip((loss, score), values, strict=True))
        if on_output is not None:
            on_output(output)
        if on_batch is not None:
            on_batch("valid_batch_end", part)
    score /= len(rows)
    return loss / len(rows), objective.score.finish(score) if math.isfinite(score) else None


def evaluation_rows(module: nn.Module, rows: Tensors) -> int:
    """Rows of a part that suit a network and the size of what it reads."""
    shapes = rows.row_sizes().values()
    widest = max((math.prod(shape) for shape in shapes if len(shape) > 1), default=1)
    limits = ["evaluation_rows", *(["evaluation_images"] if any(len(shape) == 3 for shape in shapes) else [])]
    return max(1, min(*(getattr(module, limit, EVALUATION_ROWS) for limit in limits), EVALUATION_VALUES // widest))


@torch.no_grad()
def predicted(
    module: nn.Module, rows: Tensors, on_batch: Callable[[str, Tensors], None] | None = None
) -> Iterator[tuple[Tensors, Tensor]]:
    """All rows in parts of bounded size, each with the network's output. ``on_batch`` is called before each part.

    A network of which each row takes much memory has ``evaluation_rows``, the rows of a part that suit it, and
    ``evaluation_images`` where there are images among them.
    """
    for part in rows.batches(even_sizes(len(rows), evaluation_rows(module, rows))):
        if on_batch is not None:
            on_batch("valid_batch_begin", part)
        yield part, module(**arguments(part.inputs))
