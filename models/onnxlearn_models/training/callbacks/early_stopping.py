"""The best weights, and the end of a training that gets no better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from onnxlearn_models.training.callback import Callback, State, copied

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


class EarlyStopping(Callback):
    """Keeps the weights of the best epoch, and stops where ``patience`` epochs passed without a better one.

    ``monitor``: ``loss`` or ``score`` of the validation rows; without such rows the last epoch is the best. A better value is
    better by more than ``min_delta``; of equal scores, which are coarse, the weights of the later one count, and ``patience``
    goes on since the first one. ``keep="last"``: the last weights are kept whatever the best ones were.
    """

    stackable: ClassVar[bool] = True

    def __init__(
        self,
        patience: int | None = None,
        *,
        monitor: str = "loss",
        min_delta: float = 0.0,
        keep: Literal["best", "last"] = "best",
    ) -> None:
        self.patience, self.monitor, self.min_delta, self.keep = patience, monitor, min_delta, keep
        self.best_value = math.inf
        self.best_epoch = 0
        self.improved_epoch = 0
        self.kept_epoch = 0
        self.weights: list[Tensor] = []

    def begin(self, ctx: Training) -> None:
        """A training that has ended goes on where ``patience`` is larger now, and only there."""
        self._end_impatiently(ctx)

    def valid_end(self, ctx: Training) -> None:
        """Keep the weights if they are the best so far; stop where none have been for too long."""
        value = ctx.monitored(self.monitor)
        is_best = ctx.valid is None or self._is_better(value)
        if is_best or self.keep == "last":
            # In this order: an interruption in between must not leave an epoch without its weights.
            self.weights = copied(ctx.weights())
            self.kept_epoch = ctx.epoch
        if is_best:
            if value is None or value != self.best_value:
                self.improved_epoch = ctx.epoch
            self.best_value = math.inf if value is None else value
            self.best_epoch = ctx.epoch
        self._end_impatiently(ctx)

    @torch.no_grad()
    def restore(self, ctx: Training) -> None:
        """Put the weights in place that are to be kept."""
        for tensor, kept in zip(ctx.weights(), self.weights, strict=True):
            tensor.copy_(kept)

    def state(self) -> State:
        """The best epoch, its value, and the weights to keep."""
        best = None if math.isinf(self.best_value) else self.best_value
        weights = {f"weights.{i}": weights for i, weights in enumerate(self.weights)}
        epochs = {"best_epoch": self.best_epoch, "improved_epoch": self.improved_epoch, "kept_epoch": self.kept_epoch}
        return {"best_value": best} | epochs | weights

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.best_value = math.inf if state["best_value"] is None else state["best_value"]
        self.best_epoch, self.improved_epoch = state["best_epoch"], state["improved_epoch"]
        self.kept_epoch = state["kept_epoch"]
        self.weights = [state[f"weights.{i}"] for i in range(sum(key.startswith("weights.") for key in state))]

    def _end_impatiently(self, ctx: Training) -> None:
        if self.patience is not None and ctx.epoch - self.improved_epoch >= self.patience:
            ctx.stop("patience")

    def _is_better(self, value: float | None) -> bool:
        if value is None:
            return False
        gain = self.best_value - value
        return gain > self.min_delta or (self.monitor != "loss" and not self.min_delta and gain == 0)
