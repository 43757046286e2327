"""What a training tells of its epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from onnxlearn_models.training.callback import Callback


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch came to; ``valid_loss`` and ``valid_score`` are ``None`` without validation rows."""

    number: int
    train_loss: float
    valid_loss: float | None
    lr: float
    valid_score: float | None = None


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
