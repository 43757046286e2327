"""The range of learning rates: how the loss goes while the rate rises from step to step.

Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3; exponential as in Smith and Topin (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner
from onnxlearn.task import Task

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Share of the average of former losses that stays in each step.
SMOOTHING = 0.9
# Steps of the lowest rates, which change next to nothing: the median of their losses is where the loss begins.
N_FIRST = 10
# Where the smoothed loss rises above that by this share of it, or by as much as it had fallen, there is nothing more to see.
EXPLODED = 0.5
# The share of its fall after which the loss really falls.
BEGUN = 0.1
# Of a loss that falls by less than this share of itself nothing can be told.
SMALLEST_FALL = 0.01


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LRRange:
    """What :func:`lr_find` gives: learning rates, the loss of the batch after a step with each, and its running mean.

    All float64 ``[n]``, fewer than were asked for where the loss exploded.
    """

    learner: str
    lrs: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest."""
        return float(self.lrs[np.argmin(self.smoothed)])

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest, before it is lowest; ``None`` where it does not fall."""
        end = int(np.argmin(self.smoothed)) + 1
        start = _start(self.losses)
        if end < 3 or start - self.smoothed[end - 1] < SMALLEST_FALL * abs(start):
            return None
        # Before a tenth of the fall is done it is noise.
        high = start - BEGUN * (start - self.smoothed[end - 1])
        begin = int(np.flatnonzero(self.smoothed[:end] >= high)[-1])
        slopes = np.gradient(self.smoothed[:end], np.log(self.lrs[:end]))
        return float(self.lrs[begin + np.argmin(slopes[begin:])])

    @property
    def suggestion(self) -> float | None:
        """The rate to try first, as the highest of a schedule: a tenth of the one with the lowest loss, in two digits.

        ``None`` where the loss does not fall.
        """
        return None if self.steepest is None else float(f"{self.lowest / 10:.2g}")

    def to_frame(self) -> pd.DataFrame:
        """A row for each rate: ``lr``, ``loss``, ``smoothed``."""
        import pandas as pd

        return pd.DataFrame({"lr": self.lrs, "loss": self.losses, "smoothed": self.smoothed})

    def plot(self, ax: Axes | None = None) -> Axes:
        """The losses by their rate, faint as they are and smoothed, with the suggestion. Raises: MissingExtraError."""
        from onnxlearn.plots.training import draw_lr_range

        return draw_lr_range(self, ax)

    def __repr__(self) -> str:
        found = "no suggestion: the loss does not fall" if self.suggestion is None else f"suggestion {self.suggestion:g}"
        return f"LRRange({self.learner!r}, {len(self.lrs)} rates from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g}, {found})"


def lr_find(task: Task, learner: Learner, *, low: float = 1e-6, high: float = 1.0, n_steps: int = 100) -> LRRange:
    """Train a copy of the learner's network for ``n_steps`` steps while the learning rate rises from ``low`` to ``high``.

    Each rate is a fixed factor above the one before. Preprocessing, batches, loss, optimizer and seed are those of a fit on
    this task; average of weights, schedule and early stopping rest. Nothing is changed: not the learner, not the task, not the
    generators of random numbers. It ends early where the loss explodes.

    Raises: ParameterError for a range that is none and for learners that train no single network; DataError.

    >>> import onnxlearn as ol
    >>> found = lr_find(ol.example_task("iris"), ol.learner("linear"), n_steps=30)
    >>> len(found.lrs) <= 30, float(found.lrs[0]), found.suggestion is not None
    (True, 1e-06, True)
    """
    _require_range(low, high, n_steps)
    lrs = np.geomspace(low, high, n_steps)
    losses = learner.losses_at(task, lrs.tolist())
    if losses is None:
        raise ParameterError(
            f"learner {learner.name!r} has no learning rate of its own to look for: it trains no network, or several; give a "
            "learner that trains one, such as ol.learner('mlp')"
        )
    found = np.asarray(losses, np.float64)
    smoothed = _smooth(found)
    kept = _until_explosion(found, smoothed)
    return LRRange(learner=learner.name, lrs=lrs[:kept], losses=found[:kept], smoothed=smoothed[:kept])


def _require_range(low: float, high: float, n_steps: int) -> None:
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ParameterError(f"{name} is a learning rate above 0, not {value!r}")
    if not low < high:
        raise ParameterError(f"the rates rise from low to high; low={low:g} is not below high={high:g}")
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 2 * N_FIRST:
        raise ParameterError(f"n_steps is a whole number of at least {2 * N_FIRST}, not {n_steps!r}")


def _smooth(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The running mean, without the weight of a start at 0 (as Adam corrects its means)."""
    mean, smoothed = 0.0, np.empty_like(losses)
    for i, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed[i] = mean / (1 - SMOOTHING ** (i + 1))
    return smoothed


def _start(losses: NDArray[Any]) -> float:
    return float(np.median(losses[:N_FIRST]))


def _until_explosion(losses: NDArray[Any], smoothed: NDArray[Any]) -> int:
    """How many of them are worth showing."""
    start = _start(losses)
    over = smoothed > start + np.maximum(start - np.minimum.accumulate(smoothed), EXPLODED * abs(start))
    over[:N_FIRST] = False
    return int(np.argmax(over)) if over.any() else len(losses)
