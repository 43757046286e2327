"""What a training tells of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from onnxlearn_models.training.callback import Callback


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch came to; ``valid_loss`` and ``valid_score`` are ``None`` without validation rows.

    ``measures``: what was measured after it, by names such as ``valid_auc``; ``None`` where it was not, and where the rows do
    not define it. ``skipped_steps``: those left out since a gradient was too large for fp16.
    """

    number: int
    train_loss: float
    valid_loss: float | None
    lr: float
    valid_score: float | None = None
    measures: Mapping[str, float | None] = field(default_factory=dict)
    skipped_steps: int = 0

    def values(self, score_name: str) -> dict[str, float | None]:
        """By the names of the history's columns.

        >>> Epoch(number=1, train_loss=0.7, valid_loss=0.6, lr=0.01, valid_score=0.8).values("acc")
        {'train_loss': 0.7, 'lr': 0.01, 'valid_loss': 0.6, 'valid_acc': 0.8}
        """
        values: dict[str, float | None] = {"train_loss": self.train_loss, "lr": self.lr}
        if self.valid_loss is not None:
            values |= {"valid_loss": self.valid_loss, f"valid_{score_name}": self.valid_score}
        # One that is called as the score takes its place: it counts rows as the file does, without weights of classes.
        return values | dict(self.measures)


OnEpoch: TypeAlias = Callable[[Epoch], None]
Stopped: TypeAlias = Literal["max_epochs", "patience", "time", "callback", "interrupted", "diverged"]


@dataclass
class TrainResult:
    """What training came to. ``best_epoch`` counts from 1; its weights are in the network.

    ``score_name`` names the epochs' ``valid_score``; ``why``: of a training that diverged, what went wrong.
    ``callbacks``: those that the learner was given, as they are after the training. ``notes``: what the model says of it.
    """

    batch_size: int
    lr: float
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    score_name: str = ""
    stopped: Stopped = "max_epochs"
    why: str = ""
    callbacks: list[Callback] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
