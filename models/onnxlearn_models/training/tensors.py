"""Rows as training reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tensors:
    """Rows as the network reads them: ``num`` float32, ``cat`` int64; target int64 [N] or float32 [N, T]; weight of mean 1."""

    inputs: dict[str, Tensor]
    target: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    def map(self, change: Callable[[Tensor], Tensor]) -> Tensors:
        """The same with every tensor changed."""
        inputs = {name: change(tensor) for name, tensor in self.inputs.items()}
        return Tensors(inputs, change(self.target), None if self.weight is None else change(self.weight))

    def like(self, n_rows: int) -> Tensors:
        """Room for so many rows of this kind."""
        return self.map(lambda tensor: tensor.new_empty((n_rows, *tensor.shape[1:])))

    def take(self, rows: Tensor) -> Tensors:
        """The rows with these numbers, int64."""
        return self.map(lambda tensor: tensor[rows])

    def gather(self, rows: Tensor, out: Tensors) -> None:
        """Write the rows with these numbers, int64 ``[n]``, to ``out``, which has room for ``n``."""
        for name, tensor in self.inputs.items():
            torch.index_select(tensor, 0, rows, out=out.inputs[name])
        torch.index_select(self.target, 0, rows, out=out.target)
        if self.weight is not None and out.weight is not None:
            torch.index_select(self.weight, 0, rows, out=out.weight)

    def batches(self, sizes: Sequence[int], dim: int = 0) -> list[Tensors]:
        """Consecutive parts of these sizes, as views; ``dim``: the dimension of the rows."""
        inputs = {name: torch.split(tensor, list(sizes), dim) for name, tensor in self.inputs.items()}
        targets = torch.split(self.target, list(sizes), dim)
        weights = [None] * len(sizes) if self.weight is None else torch.split(self.weight, list(sizes), dim)
        return [Tensors({name: parts[i] for name, parts in inputs.items()}, targets[i], weights[i]) for i in range(len(sizes))]
