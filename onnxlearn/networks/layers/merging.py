"""Layers that make one tensor of several."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.networks.layer import Layer, ShapeError, need_numbers, row_dim
from onnxlearn.networks.tensor import Dim, Tensor, same
from onnxlearn.params import param


class Elementwise(Layer):
    """Numbers at the same place; a size of 1 counts as often as needed."""

    takes = (1, None)

    def shape(self, *inputs: Tensor) -> Tensor:
        """The larger sizes."""
        for x in inputs:
            need_numbers(x)
        n = max(x.n_dims for x in inputs)
        if any(x.n_dims != n for x in inputs):
            raise ShapeError("it needs tensors of equally many dimensions")
        return Tensor((inputs[0].shape[0], *(self._broadcast([x.shape[i] for x in inputs]) for i in range(1, n))))

    def _broadcast(self, sizes: list[Dim]) -> Dim:
        try:
            found = same([size for size in sizes if size != 1])
        except ValueError as error:
            raise ShapeError(f"it needs equal sizes: {error}") from None
        return 1 if all(size == 1 for size in sizes) else found


@dataclass(frozen=True)
class MergeSum(Elementwise):
    """The sum."""

    kind = "merge_sum"


@dataclass(frozen=True)
class MergeProd(Elementwise):
    """The product."""

    kind = "merge_prod"


@dataclass(frozen=True)
class MergeCat(Layer):
    """Side by side along a dimension."""

    kind = "merge_cat"
    takes = (1, None)

    dim: int = param(-1, "the dimension")

    def shape(self, *inputs: Tensor) -> Tensor:
        """The sizes along the dimension added up; all others have to be equal."""
        n = inputs[0].n_dims
        for x in inputs:
            need_numbers(x)
        if any(x.n_dims != n for x in inputs):
            raise ShapeError("it needs tensors of equally many dimensions")
        dim = row_dim(inputs[0], self.dim)
        return Tensor(tuple(self._size([x.shape[i] for x in inputs], along=i == dim) for i in range(n)))

    def _size(self, sizes: list[Dim], *, along: bool) -> Dim:
        if along:
            known = [size for size in sizes if size is not None]
            return sum(known) if len(known) == len(sizes) else None
        try:
            return same(sizes)
        except ValueError as error:
            raise ShapeError(f"it needs equal sizes but along dim={self.dim}: {error}") from None
