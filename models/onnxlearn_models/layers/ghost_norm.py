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

    def __init__(self, width: int, *, momentum: float, virtual_batch_size: int | None = None) -> None:
        super().__init__(width, momentum=momentum)
        self.virtual_batch_size = virtual_batch_size

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``[N, width]``."""
        if not self.training:
            return super().forward(input)
        n_rows = len(input)
        n_parts = 1 if self.virtual_batch_size is None else max(1, n_rows // self.virtual_batch_size)
        # The first parts have one row more where the rows do not divide evenly.
        n_larger = n_rows % n_parts
        cut = n_larger * (n_rows // n_parts + 1)
        if not cut:
            return self._normalize(input, n_parts)
        return torch.cat([self._normalize(input[:cut], n_larger), self._normalize(input[cut:], n_parts - n_larger)])

    def _normalize(self, x: Tensor, n_parts: int) -> Tensor:
        """Parts of equal size: side by side they are the columns of one wider batch norm."""
        wide = x.reshape(-1, n_parts * self.num_features)
        mean, variance = x.new_zeros(2, wide.shape[1])
        weight, bias = self.weight.repeat(n_parts), self.bias.repeat(n_parts)
        # With a momentum of 1 the running statistics are those of the batch.
        normed = functional.batch_norm(wide, mean, variance, weight, bias, training=True, momentum=1.0, eps=self.eps)
        self._keep(mean.view(n_parts, -1), variance.view(n_parts, -1))
        return normed.view_as(x)

    @torch.no_grad()
    def _keep(self, means: Tensor, variances: Tensor) -> None:
        """Move the running statistics towards those of these parts, ``[n_parts, width]``, which count alike."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        before, new = int(self.num_batches_tracked), len(means)
        self.num_batches_tracked += new
        share = max(1 - (1 - self.momentum) ** new, new / (before + new))
        self.running_mean.lerp_(means.mean(dim=0), share)
        self.running_var.lerp_(variances.mean(dim=0), share)
