"""Normalizations, and dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxlearn.networks.layer import ShapeError, need_numbers, need_size
from onnxlearn.networks.layers.activation import Pointwise
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import param


@dataclass(frozen=True)
class BatchNorm(Pointwise):
    """Each channel by mean and variance of the batch, in predicting by those of the training (Ioffe and Szegedy 2015)."""

    dims: ClassVar[tuple[int, ...]]

    eps: float = param(1e-5, "added to the variance", low=0, low_open=True)
    momentum: float = param(0.1, "share of a batch in the running mean and variance", low=0, high=1)
    affine: bool = param(True, "learn a scale and a shift of each channel")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        (x,) = inputs
        if x.n_dims not in self.dims:
            raise ShapeError(f"it needs {' or '.join(str(n) for n in self.dims)} dimensions, the channels second")
        need_size(x, 1, "channels")
        return super().shape(*inputs)


@dataclass(frozen=True)
class BatchNorm1d(BatchNorm):
    """Of rows of features, or of sequences ``[N, C, L]``."""

    kind = "batch_norm1d"
    dims = (2, 3)


@dataclass(frozen=True)
class BatchNorm2d(BatchNorm):
    """Of images ``[N, C, H, W]``."""

    kind = "batch_norm2d"
    dims = (4,)


@dataclass(frozen=True)
class BatchNorm3d(BatchNorm):
    """Of volumes ``[N, C, D, H, W]``."""

    kind = "batch_norm3d"
    dims = (5,)


@dataclass(frozen=True)
class LayerNorm(Pointwise):
    """Each row by mean and variance of its last dimensions (Ba et al. 2016)."""

    kind = "layer_norm"

    n_dims: int = param(1, "how many of the last dimensions", low=1)
    eps: float = param(1e-5, "added to the variance", low=0, low_open=True)
    affine: bool = param(True, "learn a scale and a shift of each number")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        (x,) = inputs
        if self.n_dims >= x.n_dims:
            raise ShapeError(f"n_dims={self.n_dims} are more dimensions than a row has")
        for axis in range(-self.n_dims, 0):
            need_size(x, axis, "numbers")
        return super().shape(*inputs)


@dataclass(frozen=True)
class GroupNorm(Pointwise):
    """Each row by mean and variance of groups of channels (Wu and He 2018)."""

    kind = "group_norm"

    n_groups: int = param(1, "groups of channels", low=1)
    eps: float = param(1e-5, "added to the variance", low=0, low_open=True)
    affine: bool = param(True, "learn a scale and a shift of each channel")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        (x,) = inputs
        if (n := need_size(x, 1, "channels")) % self.n_groups:
            raise ShapeError(f"n_groups={self.n_groups} has to divide the channels, and there are {n}")
        return super().shape(*inputs)


@dataclass(frozen=True)
class Dropout(Pointwise):
    """Sets a share of the numbers to 0 in training (Srivastava et al. 2014)."""

    kind = "dropout"

    p: float = param(0.5, "the share", low=0, high=0.95)

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        need_numbers(inputs[0])
        return inputs[0]
