"""What is known of one trial of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["done", "failed", "pruned"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A learner with drawn parameters, scored by a resampling. Plain JSON values, as they stand in a study's storage.

    ``number``: from 0. ``learner``: its name among several, else empty. ``params``: what was drawn; nothing where the learner
    was tried as it was given. ``scores``: the mean of each measure over the splits; ``by_split`` those of each. ``epochs``:
    the best epoch of each split's training, where it tells one. ``seconds``: wall time. ``error``: why it failed, or that it
    was stopped early.
    """

    number: int
    state: State
    learner: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    by_split: Sequence[Mapping[str, float]] = ()
    epochs: Sequence[int] = ()
    seconds: float = 0.0
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Trial:
        """Inverse of :meth:`to_dict`."""
        return cls(**document)

    @property
    def n_epochs(self) -> int | None:
        """How many epochs a fit on all rows takes: the mean over the splits, at least 1; ``None`` where none is told."""
        return mean_epochs(self.epochs) if self.epochs else None


def mean_epochs(epochs: Sequence[int]) -> int:
    """A whole number of epochs, at least 1.

    >>> mean_epochs([3, 4, 7]), mean_epochs([0])
    (5, 1)
    """
    return max(1, round(sum(epochs) / len(epochs)))
