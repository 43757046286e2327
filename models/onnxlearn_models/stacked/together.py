"""Several trainings side by side, their networks as one: a step of all costs little more than a step of one."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from onnxlearn_models.layers.tape import Tape
from onnxlearn_models.stacked.lanes import Lanes
from onnxlearn_models.stacked.layers import UnstackableError
from onnxlearn_models.stacked.network import stack
from onnxlearn_models.stacked.proof import is_proven
from onnxlearn_models.stacked.rows import StackedRows
from onnxlearn_models.stacked.vmapped import Vmapped
from onnxlearn_models.training.callbacks.averaged import MovingAverage
from onnxlearn_models.training.divergence import DivergedError, describe_divergence
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.slope import Slope, slope_of

Calls: TypeAlias = list[tuple[Callable[[Training], None], Training]]

# Torch says it once a process; gradients are parts of a larger tensor, and are added to in place all the same.
_LAYOUT = "grad and param do not obey the gradient layout contract"


class Together:
    """Trainings whose networks have one form; each has its own rows, random numbers, rates, early stopping and best weights.

    ``states``: torch's random numbers of each, on the CPU. What each comes to is what it comes to alone, but for rounding: the
    same rows in the same order, the same masks of dropout, the same steps. They have to make equally many steps an epoch
    (:func:`onnxlearn_models.stacked.choice.are_stackable` says what else). One that has ended leaves the others.
    """

    def __init__(self, trainings: Sequence[Training], states: Sequence[Tensor]) -> None:
        self.running, self.lanes = list(trainings), Lanes(states)
        self._numbers = list(range(len(trainings)))
        self.states = list(states)
        self.network: nn.Module = nn.Identity()
        self._one_loss = False
        self._slope: Slope | None = None
        self.tape = Tape()

    def start(self) -> bool:
        """Make one network of them; whether there is a form of it that has shown to be right. If not, nothing has changed."""
        self._share_memory()
        for make in (self._stack, self._vmap):
            try:
                self.network = make()
            except UnstackableError:
                continue
            if is_proven(self.network, self.running, self.lanes):
                self._one_loss = is_one_loss(self.running)
                self._slope = slope_of(self.running[0].objective.each) if self._one_loss else None
                # What torch.func runs is its own.
                self.tape = Tape(notes=make == self._stack)
                return True
        for training in self.running:
            own_memory(training)
        return False

    def run(self, *, keep_on_interrupt: bool = False) -> None:
        """Train all to the end, after :meth:`start`; ``states`` are then where their random numbers stand.

        Raises: ParameterError where the loss of one is not finite in its first epoch, KeyboardInterrupt, InterruptedFit.
        """
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", _LAYOUT, UserWarning)
                self._run()
        except KeyboardInterrupt:
            for training in self.running:
                with training.keeping(on_interrupt=keep_on_interrupt):
                    raise
            self._end(range(len(self.running)))
        finally:
            for training in self.running:
                training.call("exit")

    def _run(self) -> None:
        for training in self.running:
            training.call("begin")
        self._arrange()
        while len(self.running) > 1:
            self._epoch()
            if ended := [lane for lane, training in enumerate(self.running) if not training.goes_on]:
                self._end(ended)
                if len(self.running) > 1:
                    self._share_memory()
                    self.network = self._vmap() if isinstance(self.network, Vmapped) else self._stack()
                    self._arrange()
        for training in self.running:
            with self.lanes.drawing(0), training.keeping():
                while training.goes_on:
                    training.run_epoch()
            self._end([0])

    def _end(self, lanes: Sequence[int]) -> None:
        """Let some end: they have the weights that they keep, in memory of their own."""
        for lane in lanes:
            training = self.running[lane]
            if training.stopped not in ("diverged", "interrupted"):
                training.call("end")
            training.call("exit")
            training.finish()
            own_memory(training)
            self.states[self._numbers[lane]] = self.lanes.generators[lane].get_state()
        left = [lane for lane in range(len(self.running)) if lane not in lanes]
        self.running, self._numbers = [self.running[lane] for lane in left], [self._numbers[lane] for lane in left]
        self.lanes.keep(left)

    def _epoch(self) -> None:
        """The steps of one epoch of all, and for each what follows them."""
        for lane, training in enumerate(self.running):
            with self.lanes.drawing(lane):
                training.begin_epoch()
                self._rows.set_order(lane, training.sampler.order())
        self.network.train()
        losses = [self._step(index) for index in range(len(self._rows.batches))]
        for lane, (training, own) in enumerate(zip(self.running, zip(*losses, strict=True), strict=True)):
            if training.stopped != "diverged":
                with self.lanes.drawing(lane), training.keeping():
                    training.end_epoch(training.mean_loss(own))

    def _step(self, index: int) -> list[float]:
        """One step of all; the loss of each before it."""
        rows, batch = self._rows, self._rows.batches[index]
        self.lanes.set_rows(rows.sizes[index], rows.masks[index])
        for training in self.running:
            training.step = training.n_steps + 1
        for call, training in self._before:
            call(training)
        with self.tape:
            output = self.network(**batch.inputs)
        losses, last, slope = self._losses(output, index)
        values: list[float] = losses.tolist()
        for training, loss, value in zip(self.running, losses, values, strict=True):
            training.loss = loss
            if not math.isfinite(value) and training.stopped is None:
                with training.keeping():
                    raise DivergedError(describe_divergence(training, index + 1))
        self._grads.zero_()
        self.tape.backward(last, slope)
        for training in self.running:
            training.n_steps += 1
        for call, training in self._after:
            call(training)
        for first, *others in self._alike:
            first.move(others=others)
        for averages in self._averages:
            MovingAverage.take(averages)
        for call, training in self._behind:
            call(training)
        return values

    def _losses(self, output: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """The mean loss of each model's rows, ``[k]``; a tensor to go back from, and the derivative of their sum by it."""
        batch, shares = self._rows.batches[index], self._rows.shares[index]
        if not self._one_loss:
            every = zip(self.running, output, self._rows.batches_of(index), strict=True)
            own = [(t.objective, part[: len(of)], of) for t, part, of in every]
            losses = torch.stack([objective.train(part, of.target, of.weight) for objective, part, of in own])
            return losses.detach(), losses, torch.ones_like(losses)
        counts: Tensor | float = 1 / output.shape[1] if shares is None else shares
        if batch.weight is not None:
            counts = batch.weight * counts
        rows, target = output.flatten(0, 1), batch.target.flatten(0, 1)
        if self._slope is None:
            losses = (self.running[0].objective.each(rows, target).view(output.shape[:2]) * counts).sum(dim=1)
            return losses.detach(), losses, torch.ones_like(losses)
        by_row = counts.view(-1, 1) if isinstance(counts, Tensor) else counts
        each, slope = self._slope(rows.detach(), target, by_row)
        return (each.view(output.shape[:2]) * counts).sum(dim=1), output, slope.view_as(output)

    def _arrange(self) -> None:
        """What the steps to come need: rows, callbacks, and who makes the same steps."""
        running = self.running
        self._rows = StackedRows([training.source for training in running], [training.sizes for training in running])
        self._before, self._after, self._behind = (
            self._calls(stage) for stage in ("batch_begin", "after_backward", "batch_end")
        )
        self._alike = alike(running)
        self._averages = [
            averages
            for several in self._alike
            if (averages := [(c, t) for t in several for c in t.callbacks.all if type(c) is MovingAverage])
        ]

    def _calls(self, stage: str) -> Calls:
        """What is to be called at a stage of each batch; averages are taken together."""
        return [
            (method, training)
            for training in self.running
            for method in training.callbacks.at(stage)
            if stage != "batch_end" or type(getattr(method, "__self__", None)) is not MovingAverage
        ]

    def _share_memory(self) -> None:
        """Parameters and gradients of all in one tensor each, ``[k, n]``."""
        optimizers = [training.optimizer for training in self.running]
        self._values = torch.stack([optimizer.flat.values for optimizer in optimizers])
        self._grads = torch.zeros_like(self._values)
        for optimizer, *own in zip(optimizers, self._values, self._grads, strict=True):
            optimizer.move(*own)
        parameters = optimizers[0].flat.parameters
        bounds = itertools.accumulate((parameter.numel() for parameter in parameters), initial=0)
        self._starts = {id(parameter): start for parameter, start in zip(parameters, bounds, strict=False)}

    def _merge(self, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor | None]:
        """See :data:`~onnxlearn_models.stacked.network.Merge`."""
        start = self._starts.get(id(parameters[0]))
        if start is None:
            merged = torch.stack([parameter.detach() for parameter in parameters])
            for parameter, own in zip(parameters, merged, strict=True):
                parameter.data = own
            return merged, None
        shape, end = (len(parameters), *parameters[0].shape), start + parameters[0].numel()
        grads = self._grads[:, start:end].view(shape) if parameters[0].requires_grad else None
        return self._values[:, start:end].view(shape), grads

    def _stack(self) -> nn.Module:
        return stack([training.module for training in self.running], self.lanes, self._merge)

    def _vmap(self) -> nn.Module:
        return Vmapped([training.module for training in self.running], self._merge)


@torch.no_grad()
def is_one_loss(trainings: Sequence[Training]) -> bool:
    """Whether the loss of all is the same function, of each row by itself: then one call is enough for all rows of all."""
    first = trainings[0]
    n_rows = min(len(first.train), 16)
    target = first.train.target[:n_rows]
    output = first.module.eval()(**first.train.map(lambda tensor: tensor[:n_rows]).inputs)
    output = output + torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output)
    expected = first.objective.each(output, target)
    halves = zip(torch.split(output, n_rows // 2 + 1), torch.split(target, n_rows // 2 + 1), strict=True)
    by_row = torch.cat([first.objective.each(*half) for half in halves])
    return torch.allclose(by_row, expected) and all(
        torch.equal(other.objective.each(output, target), expected) for other in trainings[1:]
    )


def alike(trainings: Sequence[Training]) -> list[list[Training]]:
    """Those together whose steps are the same function of weights and gradients."""
    found: list[list[Training]] = []
    for training in trainings:
        same = (several for several in found if _steps_alike(training, several[0]))
        if several := next(same, None):
            several.append(training)
        else:
            found.append([training])
    return found


def _steps_alike(one: Training, other: Training) -> bool:
    # A rate that follows the validation loss is one of each.
    if one.schedule.needs_validation:
        return False
    first, second = (dataclasses.replace(training.config, seed=0, validation=None) for training in (one, other))
    return type(one.optimizer) is type(other.optimizer) and first == second


def own_memory(training: Training) -> None:
    """Parameters, gradients and buffers in memory that nothing else uses."""
    flat = training.optimizer.flat
    training.optimizer.move(torch.empty_like(flat.values), torch.empty_like(flat.grads))
    own = {id(parameter) for parameter in flat.parameters}
    for parameter in training.module.parameters():
        if id(parameter) not in own:
            parameter.data = parameter.data.clone()
    for buffer in training.module.buffers():
        buffer.set_(buffer.clone())  # type: ignore[call-overload]
