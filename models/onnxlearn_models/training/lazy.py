"""Rows whose tensors do not fit in memory: they are read when their batch is due, by processes that are ahead of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from onnxlearn_models.training.tensors import Tensors

# Rows that a network sets itself up by: what it looks at are quantiles and the like.
SAMPLE_ROWS = 2048

Read = Callable[[Iterable[Tensor]], Iterator[dict[str, Tensor]]]


@dataclass(frozen=True)
class LazyTensors(Tensors):
    """As :class:`Tensors`, with ``inputs`` that are read: ``read`` takes parts, numbers of rows int64 ``[n]`` each.

    ``rows``: the numbers of these rows; ``shapes``: of a row of each input.
    """

    read: Read = dataclasses.field(kw_only=True)
    rows: Tensor = dataclasses.field(kw_only=True)
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(kw_only=True)

    def take(self, rows: Tensor) -> LazyTensors:
        """The rows with these numbers, unread."""
        weight = None if self.weight is None else self.weight[rows]
        return dataclasses.replace(self, target=self.target[rows], weight=weight, rows=self.rows[rows.cpu()])

    def batches(self, sizes: Sequence[int], dim: int = 0) -> Iterator[Tensors]:  # type: ignore[override]
        """Consecutive parts of these sizes, read one after the other."""
        assert dim == 0, "rows stand first"
        return self.stream(torch.split(torch.arange(len(self)), list(sizes)))

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensors]:
        """The rows of each part, read ahead."""
        unread = list(map(self.take, parts))
        for part, inputs in zip(unread, self.read(part.rows for part in unread), strict=True):
            yield Tensors(inputs, part.target, part.weight)

    def sample(self) -> dict[str, Tensor]:
        """Inputs of some rows, evenly spread."""
        step = max(1, len(self) // SAMPLE_ROWS)
        return next(self.read([self.rows[::step][:SAMPLE_ROWS]]))

    def row_sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each input."""
        return self.shapes
