"""Recurrent modules over rows of different lengths."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from onnxlearn.text.words import PADDING_ID


class PackedRecurrent(nn.Module):
    """A recurrent module of torch that goes as far as each row is long, and backwards from there.

    ``module``: RNN, GRU or LSTM with ``batch_first``.

    >>> import torch
    >>> packed = PackedRecurrent(nn.GRU(2, 3, batch_first=True))
    >>> states, last = packed(torch.zeros(4, 5, 2), torch.tensor([1, 5, 2, 2]))
    >>> states.shape, last.shape
    (torch.Size([4, 5, 3]), torch.Size([1, 4, 3]))
    """

    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The states ``[N, L, d]``, zeros behind a row's end, and the last ones ``[layers * directions, N, d]``.

        ``lengths``: int64 ``[N]``, at least 1.
        """
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        found, last = self.module(packed)
        states: Any = pad_packed_sequence(found, batch_first=True, total_length=x.shape[1])[0]
        return states, last[0] if isinstance(self.module, nn.LSTM) else last


def lengths_of(ids: Tensor) -> Tensor:
    """How many positions each text has, from ids int64 ``[N, L]``: int64 ``[N]``, 1 where it has none.

    >>> import torch
    >>> lengths_of(torch.tensor([[3, 2, 0], [0, 0, 0]]))
    tensor([2, 1])
    """
    return (ids != PADDING_ID).sum(dim=1).clamp(min=1)
