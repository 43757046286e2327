"""The schedules that there are by name; where ``torch.optim.lr_scheduler`` has one, it is the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from onnxlearn.errors import ParameterError
from onnxlearn_models.arguments import About
from onnxlearn_models.training.schedule import Plan, Schedule, schedules

# A cosine ends here, not at zero: an epoch without any learning would be waste.
FLOOR = 0.01

Floor = Annotated[float, About("lowest factor on the learning rate", low=0, high=1)]
Gamma = Annotated[float, About("factor on the learning rate each time", low=0, low_open=True, high=1)]
OfEpoch = Callable[[int], float]


@schedules.register("constant")
def constant(progress: float) -> float:
    """Always the same."""
    del progress
    return 1.0


@schedules.register("cosine")
def cosine(progress: float, *, floor: Floor = FLOOR) -> float:
    """Down along half a cosine (Loshchilov and Hutter 2017, "SGDR").

    >>> [round(cosine(p), 3) for p in (0, 0.5, 1)]
    [1.0, 0.505, 0.01]
    """
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


@schedules.register("flat_cosine")
def flat_cosine(
    progress: float,
    *,
    flat: Annotated[float, About("share of the steps before it falls", low=0, high=1, high_open=True)] = 0.5,
    floor: Floor = FLOOR,
) -> float:
    """Constant at first, then down along half a cosine."""
    return cosine(max(0.0, (progress - flat) / (1 - flat)), floor=floor)


@schedules.register("cosine_restarts")
def cosine_restarts(
    time: float,
    *,
    size: Annotated[int, About("epochs of the first cycle", low=1)] = 10,
    growth: Annotated[int, About("each cycle is so many times as long as the one before", low=1)] = 1,
    floor: Floor = FLOOR,
) -> float:
    """Down along half a cosine, again and again (Loshchilov and Hutter 2017, "SGDR").

    >>> [round(cosine_restarts(t, floor=0.0), 3) for t in (5, 10, 10.01)]
    [0.5, 0.0, 1.0]
    """
    start, length = 0.0, float(size)
    # A cycle ends with its last step, as the whole training does.
    while time > start + length:
        start, length = start + length, length * growth
    return cosine((time - start) / length, floor=floor)


@schedules.register("coslog4")
def coslog4(progress: float) -> float:
    """Four cycles from 0 to 1 and back, each twice as long as the one before (Holzmüller et al. 2024, "Better by default")."""
    return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * min(progress, 1.0)))) / 2


@schedules.register("linear")
def linear(
    progress: float,
    *,
    start: Annotated[float, About("factor on the learning rate at first", low=0, high=1)] = 1.0,
    end: Annotated[float, About("factor on the learning rate at last", low=0, high=1)] = FLOOR,
) -> float:
    """Along a straight line."""
    return start + (end - start) * min(progress, 1.0)


@schedules.register("polynomial")
def polynomial(
    progress: float, *, power: Annotated[float, About("power of the share of the steps that is left", low=0)] = 0.9
) -> float:
    """Down to 0 by a power of what is left (Chen et al. 2018, "DeepLab", section 4.1)."""
    return float(max(0.0, 1 - progress) ** power)


@schedules.register("exponential")
def exponential(epoch: int, *, gamma: Gamma = 0.95) -> float:
    """Times gamma after each epoch."""
    return float(gamma**epoch)


@schedules.register("step")
def step(epoch: int, *, size: Annotated[int, About("epochs between two falls", low=1)] = 10, gamma: Gamma = 0.1) -> float:
    """Times gamma after every so many epochs.

    >>> [step(epoch, size=2, gamma=0.5) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return float(gamma ** (epoch // size))


@schedules.register("multi_step")
def multi_step(
    epoch: int,
    n_epochs: int,
    *,
    milestones: Annotated[
        tuple[int, ...] | None, About("epochs after which it falls (None: half and three quarters of max_epochs)")
    ] = None,
    gamma: Gamma = 0.1,
) -> float:
    """Times gamma after certain epochs (He et al. 2016, "Deep Residual Learning", section 4.2)."""
    if milestones is None:
        milestones = (n_epochs // 2, 3 * n_epochs // 4)
    return float(gamma ** sum(epoch >= milestone for milestone in milestones))


@schedules.register("lambda")
def by_function(
    epoch: int, *, function: Annotated[OfEpoch, About("from the number of epochs that are over to the factor")]
) -> float:
    """What a function of the epoch says."""
    return function(epoch)


@schedules.register("multiplicative")
def multiplicative(
    epoch: int, *, function: Annotated[OfEpoch, About("from the number of epochs that are over to a further factor")]
) -> float:
    """The product of what a function says of this epoch and of those before; of the first it is not asked."""
    return math.prod(function(before) for before in range(1, epoch + 1))


@schedules.register("one_cycle")
class OneCycle(Schedule):
    """Up to the learning rate and far down, in every step; the momentum goes the other way.

    Smith and Topin (2018), "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates". It rises by
    itself: ``warmup=0`` leaves it as published.

    Raises: ParameterError for momenta that are not cycled.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        rise: Annotated[float, About("share of the steps that go up", low=0, low_open=True, high=1, high_open=True)] = 0.3,
        anneal: Annotated[Literal["cosine", "linear"], About("shape of the way up and down")] = "cosine",
        div_factor: Annotated[float, About("lr over the first learning rate", low=1)] = 25.0,
        final_div_factor: Annotated[float, About("the first learning rate over the last", low=1)] = 1e4,
        cycle_momentum: Annotated[bool, About("set the optimizer's momentum, or Adam's beta1, as well")] = True,
        base_momentum: Annotated[float, About("momentum where the learning rate is highest", low=0, high=0.9999)] = 0.85,
        max_momentum: Annotated[float, About("momentum where the learning rate is lowest", low=0, high=0.9999)] = 0.95,
    ) -> None:
        if not cycle_momentum and (base_momentum, max_momentum) != (0.85, 0.95):
            raise ParameterError(
                "schedule_base_momentum and schedule_max_momentum change nothing with schedule_cycle_momentum=False: leave "
                "them out"
            )
        self.cycles_momentum = cycle_momentum
        # In steps before the one that is being made.
        self._top, self._last = rise * plan.n_steps - 1, plan.n_steps - 1
        self._anneal = _along_cosine if anneal == "cosine" else _along_line
        self._factors = (1 / div_factor, 1.0, 1 / div_factor / final_div_factor)
        self._momenta = (max_momentum, base_momentum, max_momentum)

    def factor(self, step: int) -> float:
        """Up, then down."""
        return self._between(step, self._factors)

    def momentum(self, step: int) -> float | None:
        """Down, then up."""
        return self._between(step, self._momenta) if self.cycles_momentum else None

    def _between(self, step: int, levels: tuple[float, float, float]) -> float:
        before = max(0, step - 1)
        first, middle, last = levels
        if before <= self._top:
            return self._anneal(first, middle, before / max(1e-9, self._top))
        return self._anneal(middle, last, min(1.0, (before - self._top) / max(1e-9, self._last - self._top)))


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _along_line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


@schedules.register("plateau")
class Plateau(Schedule):
    """Down by a factor where the monitored value, usually the validation loss, has not fallen for some epochs."""

    needs_validation = True

    def __init__(
        self,
        plan: Plan,
        *,
        gamma: Annotated[
            float, About("factor on the learning rate each time", low=0, low_open=True, high=1, high_open=True)
        ] = 0.2,
        patience: Annotated[int, About("epochs without a better monitored value that it waits", low=0)] = 4,
        threshold: Annotated[float, About("share by which a better value has to be lower", low=0, high=1)] = 1e-4,
        cooldown: Annotated[int, About("epochs after a fall that do not count", low=0)] = 0,
        floor: Annotated[float, About("lowest factor on the learning rate", low=0, high=1)] = 0.0,
    ) -> None:
        del plan
        self._gamma, self._patience, self._threshold, self._cooldown, self._floor = gamma, patience, threshold, cooldown, floor
        self._factor, self._best = 1.0, math.inf
        self._n_bad = self._n_cooling = 0

    def factor(self, step: int) -> float:
        """What has become of it."""
        del step
        return self._factor

    def after_epoch(self, value: float | None) -> None:
        """Compare with the best so far."""
        if value is None:
            return
        # A value may be negative: that of a density, or of a measure that should be large.
        if value < self._best - self._threshold * abs(self._best) or math.isinf(self._best):
            self._best, self._n_bad = value, 0
        else:
            self._n_bad += 1
        if self._n_cooling > 0:
            self._n_cooling -= 1
            self._n_bad = 0
        if self._n_bad > self._patience:
            self._factor = max(self._floor, self._factor * self._gamma)
            self._n_cooling, self._n_bad = self._cooldown, 0

    def state(self) -> dict[str, Any]:
        """The factor, the best loss, and what is being waited for."""
        best = None if math.isinf(self._best) else self._best
        return {"factor": self._factor, "best": best, "n_bad": self._n_bad, "n_cooling": self._n_cooling}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._factor, self._n_bad, self._n_cooling = state["factor"], state["n_bad"], state["n_cooling"]
        self._best = math.inf if state["best"] is None else state["best"]
