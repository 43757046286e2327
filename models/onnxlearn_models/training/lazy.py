"""Rows whose tensors do not fit in memory: they are read when their batch is due, ahead of it in other threads."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from onnxlearn.session import available_cores
from onnxlearn_models.training.tensors import Tensors

# Batches that each thread has read, or is reading, before they are asked for.
N_AHEAD = 2
# Rows that a network sets itself up by: what it looks at are quantiles and the like.
SAMPLE_ROWS = 2048

Read = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class LazyTensors(Tensors):
    """As :class:`Tensors`, with ``inputs`` that are read: ``read`` gives those of rows by their numbers, int64 ``[n]``.

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
        waiting: deque[Future[Tensors]] = deque()
        n_threads = available_cores()
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                for rows in parts:
                    waiting.append(pool.submit(self._read, rows))
                    if len(waiting) > n_threads * N_AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def sample(self) -> dict[str, Tensor]:
        """Inputs of some rows, evenly spread."""
        step = max(1, len(self) // SAMPLE_ROWS)
        return self.read(self.rows[::step][:SAMPLE_ROWS])

    def row_sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each input."""
        return self.shapes

    def _read(self, rows: Tensor) -> Tensors:
        some = self.take(rows)
        return Tensors(self.read(some.rows), some.target, some.weight)
