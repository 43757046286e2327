"""Which rows an epoch trains on, and in what order."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.registry import Entry, Registry, said
from onnxlearn_models.training.tensors import Tensors

if TYPE_CHECKING:
    from onnxlearn_models.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Population:
    """The training rows, as a sampler sees them.

    ``classes``: int64 ``[n_rows]``, ``None`` where numbers are predicted; ``weights``: float64 ``[n_rows]`` of mean 1, what
    the rows count in the loss, those of their classes included, ``None`` where all count the same. ``batch_size``: rows of
    a batch. ``subsample`` and ``oversample``: as the learner's parameters.
    """

    n_rows: int
    classes: Tensor | None = None
    weights: Tensor | None = None
    batch_size: int = 1
    subsample: float = 1.0
    oversample: float = 0.0

    @functools.cached_property
    def counts(self) -> Tensor:
        """Rows of the class of each row, float64 ``[n_rows]``."""
        assert self.classes is not None
        return torch.bincount(self.classes).double()[self.classes]

    @functools.cached_property
    def copies(self) -> Tensor | None:
        """How often each row comes in an epoch on average, float64 ``[n_rows]``; ``None``: each once."""
        if self.oversample:
            return self.subsample * (self.oversample * self.counts.max() / self.counts).clamp(min=1.0)
        return torch.full((self.n_rows,), self.subsample, dtype=torch.float64) if self.subsample < 1 else None

    def draw(self, copies: Tensor | None) -> Tensor:
        """Numbers of rows in random order, int64; each comes as often as ``copies`` says, rounded up or down by chance.

        Systematic sampling (Madow and Madow 1944, "On the theory of systematic sampling"): evenly spaced points on the line on
        which every row has its number of copies. The rows of a class lie side by side, so that it gets its share too.

        >>> rows = Population(n_rows=3)
        >>> sorted(rows.draw(torch.tensor([2.0, 0.0, 1.0])).tolist())
        [0, 0, 2]
        """
        if copies is None:
            return torch.randperm(self.n_rows)
        n_drawn = max(1, round(float(copies.sum())))
        order = torch.randperm(self.n_rows)
        order = self.by_class(order[copies[order] > 0])
        ends = copies[order].cumsum(0)
        points = (torch.arange(n_drawn) + torch.rand((), dtype=torch.float64)) * (ends[-1] / n_drawn)
        drawn = order[torch.searchsorted(ends, points, right=True).clamp(max=len(order) - 1)]
        return drawn[torch.randperm(n_drawn)]

    def by_class(self, rows: Tensor) -> Tensor:
        """The same rows, those of a class side by side; numbers to predict leave them as they are."""
        return rows if self.classes is None else rows[self.classes[rows].argsort(stable=True)]


@dataclass(frozen=True, kw_only=True)
class Drawing(Entry):
    """A function from a :class:`Population` to the rows of an epoch in their order, with settings.

    It gives their numbers, int64 ``[n]`` with the same ``n`` each time, drawn by torch's generator. ``classes``: it needs
    classes. ``weighs``: it draws rows by what they count, so that the loss must not weigh them too. ``takes``: which of the
    parameters ``subsample`` and ``oversample`` it obeys.
    """

    classes: bool = False
    weighs: bool = False
    takes: tuple[str, ...] = ()


samplers: Registry[Drawing] = Registry(Drawing, parameter="sampling", prefix="sampling_", n_first=1)
"""The choices of ``sampling``."""


@samplers.register("shuffled", takes=("subsample", "oversample"))
def shuffled(rows: Population) -> Tensor:
    """All rows in random order."""
    return rows.draw(rows.copies)


@samplers.register("balanced", classes=True, takes=("subsample",))
def balanced(rows: Population) -> Tensor:
    """As many rows of every class."""
    n_classes = (1 / rows.counts).sum()
    return rows.draw(rows.subsample * rows.n_rows / (n_classes * rows.counts))


@samplers.register("weighted", weighs=True, takes=("subsample",))
def weighted(rows: Population) -> Tensor:
    """Rows as often as they count, which then do so no more in the loss."""
    assert rows.weights is not None
    return rows.draw(rows.subsample * rows.weights)


@samplers.register("stratified", classes=True, takes=("subsample", "oversample"))
def stratified(rows: Population) -> Tensor:
    """All rows, such that every batch has each class's share of them, rounded up or down."""
    drawn = rows.by_class(rows.draw(rows.copies))
    sizes = torch.tensor(even_sizes(len(drawn), rows.batch_size))
    # Dealt out like cards, class by class; the batches that are larger by one come first in each round.
    turn = torch.randperm(len(sizes))
    turn = turn[sizes[turn].argsort(descending=True, stable=True)]
    batch = turn.repeat(int(sizes.max()))[: len(drawn)]
    mixed = torch.randperm(len(drawn))
    return drawn[mixed[batch[mixed].argsort(stable=True)]]


@dataclass(frozen=True)
class Sampler:
    """What draws the rows of epochs. ``n_rows``: rows of an epoch; ``weighs``: rows come by their weights already."""

    population: Population
    draw: Callable[[Population], Tensor]
    n_rows: int
    weighs: bool

    def order(self) -> Tensor:
        """Rows of the next epoch by their numbers, int64 ``[n_rows]``, drawn by torch's generator."""
        rows = self.draw(self.population)
        _require_rows(rows, self.population.n_rows)
        if len(rows) != self.n_rows:
            raise ParameterError(
                f"sampling gave {len(rows)} rows for an epoch, and {self.n_rows} before: let all epochs have the same number"
            )
        return rows


def make_sampler(config: TrainConfig, train: Tensors) -> Sampler:
    """What draws the rows of epochs; torch's generator stays as it is.

    Raises: ParameterError for what does not suit the task or goes together.
    """
    drawing = samplers.entry(config.sampling)
    assert drawing is not None
    _require_fitting(config, drawing, train)
    assert config.batch_size is not None
    population = Population(
        n_rows=len(train),
        classes=None if train.target.is_floating_point() else train.target.cpu(),
        weights=None if train.weight is None else train.weight.cpu().double(),
        batch_size=config.batch_size,
        subsample=config.subsample,
        oversample=config.oversample,
    )
    draw = samplers.bound(drawing, config)
    with torch.random.fork_rng(devices=[]):
        rows = draw(population)
    _require_rows(rows, len(train))
    return Sampler(population, draw, len(rows), drawing.weighs)


def _require_fitting(config: TrainConfig, drawing: Drawing, train: Tensors) -> None:
    chosen = f"sampling={said(config.sampling)}"
    if train.target.is_floating_point() and (drawing.classes or config.oversample):
        what = chosen if drawing.classes else f"oversample={config.oversample:g}"
        raise ParameterError(f"{what} is for classification; this task is a regression, which has no classes: leave it out")
    for name, idle in (("subsample", 1.0), ("oversample", 0.0)):
        if (value := getattr(config, name)) != idle and name not in drawing.takes:
            raise ParameterError(f"{chosen} says itself how often a row comes: leave out {name}={value:g}")
    if drawing.weighs and train.weight is None:
        raise ParameterError(
            f"{chosen} draws rows by their weights, and these have none: name a weight column, or give class_weight"
        )
    twice = chosen if config.sampling == "balanced" else f"oversample={config.oversample:g}" if config.oversample else ""
    if twice and config.class_weight == "balanced":
        raise ParameterError(f"{twice} and class_weight='balanced' would balance the classes twice: leave one of them out")


def _require_rows(rows: Tensor, n_rows: int) -> None:
    """Raise ``ParameterError`` unless these are numbers of rows."""
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1 or not len(rows):
        found = f"{rows.dtype} {list(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
        raise ParameterError(f"sampling has to give numbers of rows, an int64 tensor [n]; it gave {found}")
    low, high = (int(value) for value in torch.aminmax(rows))
    if low < 0 or high >= n_rows:
        raise ParameterError(f"sampling gave row {low if low < 0 else high}; there are {n_rows}, numbered from 0")


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
