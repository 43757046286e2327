"""The mean of the weights over the last epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from onnxlearn_models.training.callback import Callback, State, copied
from onnxlearn_models.training.callbacks.averaged import FIRST, put
from onnxlearn_models.training.modes import kept_norms, running_norms
from onnxlearn_models.training.sampling import even_sizes
from onnxlearn_models.training.tensors import arguments

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


class StochasticAverage(Callback):
    """The mean of the weights at the ends of the epochs after the share ``start`` of them, which is what is judged and kept.

    Izmailov et al. (2018), "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm 1. The running
    statistics of batch norms are measured anew with the mean weights, over all training rows. The paper's learning rate stays
    high while weights are averaged, as with the schedule ``constant``. Before ``start`` the weights themselves are judged.
    """

    # DIFF: the paper measures them with dropout; here nothing but the norms is in training, as where they are used.

    order: ClassVar[int] = FIRST
    stackable: ClassVar[bool] = True

    def __init__(self, start: float = 0.75) -> None:
        self.start = start
        self._n_averaged = 0
        self._mean: Tensor | None = None
        self._trained: list[Tensor] = []

    @torch.no_grad()
    def valid_begin(self, ctx: Training) -> None:
        """Take the weights of this epoch into the mean, and put that in place."""
        if ctx.epoch <= self.start * ctx.max_epochs:
            return
        self._trained, values = copied(ctx.weights()), ctx.optimizer.flat.values
        self._n_averaged += 1
        self._mean = values.clone() if self._mean is None else self._mean.lerp_(values, 1 / self._n_averaged)
        values.copy_(self._mean)
        if ctx.config.l1:
            # What the penalty holds at 0 now: the mean has only not forgotten where it was.
            values.mul_(self._trained[0] != 0)
        _measure_statistics(ctx)

    @torch.no_grad()
    def epoch_end(self, ctx: Training) -> None:
        """Go on from the weights of the last step."""
        if self._trained:
            put(self._trained, ctx.weights())
        self._trained = []

    def state(self) -> State:
        """The mean, and of how many epochs it is."""
        return {"n_averaged": self._n_averaged, **({} if self._mean is None else {"mean": self._mean})}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._n_averaged, self._mean = state["n_averaged"], state.get("mean")


def _measure_statistics(ctx: Training) -> None:
    """Set running statistics to those of the training rows under the weights that are in place."""
    kept = kept_norms(ctx.module, ctx.config.norm_statistics)
    tracking: list[Any] = [norm for norm in running_norms(ctx.module).values() if norm not in kept]
    if not tracking:
        return
    momenta = [norm.momentum for norm in tracking]
    ctx.module.eval()
    for norm in tracking:
        norm.train()
        norm.reset_running_stats()
        # All batches count the same.
        norm.momentum = None
    # Rows may be sorted. The stream of random numbers that training draws from stays where it is.
    order = torch.randperm(len(ctx.train), generator=torch.Generator().manual_seed(ctx.config.seed)).to(ctx.device)
    assert ctx.config.batch_size is not None
    for batch in ctx.train.stream(torch.split(order, even_sizes(len(order), ctx.config.batch_size))):
        ctx.module(**arguments(batch.inputs))
    for norm, momentum in zip(tracking, momenta, strict=True):
        norm.momentum = momentum
