"""Rows as training reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

OWN_ARGUMENTS = ("num", "cat")


def arguments(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a network's ``forward`` for what enters it, by ingress: those of images and texts are in ``columns``.

    >>> sorted(arguments({"num": 1, "image_photo": 2}).items())
    [('columns', {'image_photo': 2}), ('num', 1)]
    """
    columns = {name: tensor for name, tensor in inputs.items() if name not in OWN_ARGUMENTS}
    if not columns:
        return inputs
    return {**{name: inputs[name] for name in OWN_ARGUMENTS if name in inputs}, "columns": columns}


@dataclass(frozen=True)
class Tensors:
    """Rows as the network reads them.

    ``inputs`` by ingress: ``num`` float32, ``cat`` int64, those of columns; ``target`` int64 [N] or float32 [N, T]; ``weight``
    of mean 1.
    """

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

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensors]:
        """The rows with the numbers of each part, one part after the other."""
        return map(self.take, parts)

    def sample(self) -> dict[str, Tensor]:
        """Inputs of rows that tell how those of all are distributed."""
        return self.inputs

    def row_sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each input."""
        return {name: tuple(tensor.shape[1:]) for name, tensor in self.inputs.items()}

    def batches(self, sizes: Sequence[int], dim: int = 0) -> list[Tensors]:
        """Consecutive parts of these sizes, as views; ``dim``: the dimension of the rows."""
        inputs = {name: torch.split(tensor, list(sizes), dim) for name, tensor in self.inputs.items()}
        targets = torch.split(self.target, list(sizes), dim)
        weights = [None] * len(sizes) if self.weight is None else torch.split(self.weight, list(sizes), dim)
        return [Tensors({name: parts[i] for name, parts in inputs.items()}, targets[i], weights[i]) for i in range(len(sizes))]


Change: TypeAlias = Callable[[Tensors], Tensors]
"""What is made of the rows of a batch before a training step reads them."""
