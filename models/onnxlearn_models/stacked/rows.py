"""The rows of several models in one tensor, each model's in an order of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from onnxlearn_models.stacked.lanes import padding_mask
from onnxlearn_models.training.tensors import Tensors


class StackedRows:
    """Room for an epoch's rows of k models, ``[k, L, ...]``, and its batches, which are views of it.

    ``sizes``: rows of each batch for each model. The rows of a batch that one model has less of than another are padded by
    copies, which count nothing: ``shares`` are what each row counts in the mean loss of its model, ``[k, N]``, ``None`` where
    there is no padding in a batch.
    """

    def __init__(self, rows: Sequence[Tensors], sizes: Sequence[Sequence[int]]) -> None:
        self.rows = list(rows)
        self.sizes = list(zip(*sizes, strict=True))
        widths = [max(each) for each in self.sizes]
        self.buffer = rows[0].map(lambda tensor: tensor.new_zeros((len(rows), sum(widths), *tensor.shape[1:])))
        self.batches = self.buffer.batches(widths, dim=1)
        self.masks = [padding_mask(each) for each in self.sizes]
        counts = [torch.tensor(each).unsqueeze(1) for each in self.sizes]
        self.shares = [
            None if mask is None else mask.squeeze(-1) / count for mask, count in zip(self.masks, counts, strict=True)
        ]
        self._places = [_places(own, widths) for own in sizes]

    def batches_of(self, index: int) -> list[Tensors]:
        """A batch of each model, without padding."""
        batch, sizes = self.batches[index], self.sizes[index]
        return [batch.map(lambda tensor, lane=lane, n=n: tensor[lane, :n]) for lane, n in enumerate(sizes)]  # type: ignore[misc]

    def set_order(self, index: int, order: Tensor) -> None:
        """The order of one model's rows for the next epoch, int64 ``[n]``."""
        self.rows[index].gather(order[self._places[index]], self.buffer.map(lambda tensor: tensor[index]))


def _places(sizes: Sequence[int], widths: Sequence[int]) -> Tensor:
    """Where in the order of its rows a model finds what it puts into batches of these widths: the first row stands for padding.

    >>> _places([2, 1], [2, 2]).tolist()
    [0, 1, 2, 0]
    """
    starts = torch.tensor([0, *sizes[:-1]]).cumsum(0).tolist()
    parts = [
        torch.cat([torch.arange(start, start + size), torch.zeros(width - size, dtype=torch.int64)])
        for start, size, width in zip(starts, sizes, widths, strict=True)
    ]
    return torch.cat(parts)
