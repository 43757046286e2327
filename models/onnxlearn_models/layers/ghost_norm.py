"""Ghost batch normalization (Hoffer, Hubara and Soudry 2017, "Train longer, generalize better", algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class GhostBatchNorm(nn.BatchNorm1d):
    """Batch norm that in training looks at virtual batches, parts of a batch; in evaluation it is batch norm.

    A batch is cut into equal parts of at least ``virtual_batch_size`` rows (``None``, or fewer rows: one part). Which rows
    make a part is as good as random, since batches are: part ``j`` of ``k`` has every ``k``-th row.
    """

    # DIFF: pytorch_tabnet makes parts of that size and a smaller last one, which may be a single row, where batch norm fails.
    # DIFF: its running statistics start from mean 0 and variance 1 and take hundreds of steps to forget that, more than a
    # training on a small table has. Here they are plain averages until these weigh the newest as much as momentum does.

    def __init__(self, width: int, *, momentum: float | None, virtual_batch_size: int | None = None) -> None:
        super().__init__(width, momentum=momentum)
        self.virtual_batch_size = virtual_batch_size

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``[N, width]``."""
        if not self.training:
            return super().forward(input)
        n_rows = len(input)
        n_parts = 1 if self.virtual_batch_size is None else max(1, n_rows // self.virtual_batch_size)
        if n_parts == 1:
            return self._norm(input, self.running_mean, self.running_var, self.weight, self.bias, self._newest(1))
        # The first parts have one row more where the rows do not divide evenly.
        n_larger = n_rows % n_parts
        cut = n_larger * (n_rows // n_parts + 1)
        if not cut:
            return self._parts(input, n_parts)
        return torch.cat([self._parts(input[:cut], n_larger), self._parts(input[cut:], n_parts - n_larger)])

    def _parts(self, x: Tensor, n_parts: int) -> Tensor:
        """Parts of equal size: side by side they are the columns of one wider batch norm."""
        means, variances = x.new_zeros(2, n_parts, self.num_features)
        weight, bias = (tensor.expand(n_parts, -1).reshape(-1) for tensor in (self.weight, self.bias))
        wide = x.reshape(-1, len(weight))
        # With a momentum of 1 the running statistics are those of the batch.
        normed = self._norm(wide, means.view(-1), variances.view(-1), weight, bias, 1.0)
        share = self._newest(n_parts)
        for running, new in ((self.running_mean, means), (self.running_var, variances)):
            assert running is not None
            running.lerp_(new.mean(dim=0), share)
        return normed.view_as(x)

    def _norm(
        self, x: Tensor, mean: Tensor | None, variance: Tensor | None, weight: Tensor, bias: Tensor, momentum: float
    ) -> Tensor:
        return functional.batch_norm(x, mean, variance, weight, bias, training=True, momentum=momentum, eps=self.eps)

    def _newest(self, n_parts: int) -> float:
        """Share of this many new parts, which count alike, in the running statistics."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += n_parts
        # Without momentum they are plain averages for good, as in batch norm.
        newest = 0.0 if self.momentum is None else 1 - (1 - self.momentum) ** n_parts
        return max(newest, n_parts / int(self.num_batches_tracked))
