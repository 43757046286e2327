"""Layers that only change the form."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.networks.layer import Layer, ShapeError, need_numbers, need_size, row_dim
from onnxlearn.networks.layers.sequence import need_ids, need_sequence
from onnxlearn.networks.tensor import Dim, Tensor, product
from onnxlearn.params import REQUIRED, param


@dataclass(frozen=True)
class Identity(Layer):
    """What goes in."""

    kind = "identity"

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        return inputs[0]


@dataclass(frozen=True)
class Flatten(Layer):
    """Several dimensions of a row as one."""

    kind = "flatten"

    start: int = param(1, "the first one; 0 are the rows", low=1)
    end: int = param(-1, "the last one")

    def shape(self, *inputs: Tensor) -> Tensor:
        """One dimension in the place of several."""
        (x,) = inputs
        end = self.end % x.n_dims if -x.n_dims <= self.end < x.n_dims else -1
        if not self.start <= end:
            raise ShapeError(f"start={self.start} to end={self.end} are no dimensions of a row")
        return Tensor((*x.shape[: self.start], product(x.shape[self.start : end + 1]), *x.shape[end + 1 :]), x.dtype)


@dataclass(frozen=True)
class Reshape(Layer):
    """The numbers of a row in another form."""

    kind = "reshape"

    row: tuple[int, ...] = param(REQUIRED, "dimensions of a row, one of which may be -1: as many as there are")

    def shape(self, *inputs: Tensor) -> Tensor:
        """The dimensions that are asked for."""
        (x,) = inputs
        if self.row.count(-1) > 1 or any(size < 1 and size != -1 for size in self.row):
            raise ShapeError(f"row={self.row} has to be sizes from 1 on, one of which may be -1")
        there, known = product(x.row), product([size for size in self.row if size != -1])
        assert known is not None
        if there is not None and (there % known if -1 in self.row else there != known):
            raise ShapeError(f"{there} numbers of a row cannot have the form {self.row}")
        rest: Dim = None if there is None else there // known
        return Tensor((x.shape[0], *(rest if size == -1 else size for size in self.row)), x.dtype)


@dataclass(frozen=True)
class Squeeze(Layer):
    """Leaves a dimension of size 1 out."""

    kind = "squeeze"

    dim: int = param(REQUIRED, "the dimension")

    def shape(self, *inputs: Tensor) -> Tensor:
        """One dimension fewer."""
        (x,) = inputs
        if self.dim in (0, -x.n_dims) or need_size(x, self.dim, "entries") != 1:
            raise ShapeError(f"dimension {self.dim} has to be of size 1, and not the rows")
        return x.without(self.dim % x.n_dims)


@dataclass(frozen=True)
class Unsqueeze(Layer):
    """Puts a dimension of size 1 in."""

    kind = "unsqueeze"

    dim: int = param(REQUIRED, "where, as it is counted afterwards")

    def shape(self, *inputs: Tensor) -> Tensor:
        """One dimension more."""
        (x,) = inputs
        n = x.n_dims + 1
        if not -n < self.dim < n or self.dim == 0:
            raise ShapeError(f"dim={self.dim} has to be 1 to {n - 1} or counted from the end, not before the rows")
        dim = self.dim % n
        return Tensor((*x.shape[:dim], 1, *x.shape[dim:]), x.dtype)


@dataclass(frozen=True)
class Permute(Layer):
    """The dimensions of a row in another order."""

    kind = "permute"

    order: tuple[int, ...] = param(REQUIRED, "the dimensions of a row, from 1, in the new order")

    def shape(self, *inputs: Tensor) -> Tensor:
        """The same sizes in another order."""
        (x,) = inputs
        if sorted(self.order) != list(range(1, x.n_dims)):
            raise ShapeError(f"order={self.order} has to name each of the dimensions 1 to {x.n_dims - 1} once")
        return Tensor((x.shape[0], *(x.shape[dim] for dim in self.order)), x.dtype)


@dataclass(frozen=True)
class Mean(Layer):
    """The mean over a dimension; with the ids of a text's words as a second tensor, the mean over its words."""

    kind = "mean"
    takes = (1, 2)

    dim: int = param(1, "the dimension, which goes")

    def shape(self, *inputs: Tensor) -> Tensor:
        """One dimension fewer."""
        x, *ids = inputs
        need_numbers(x)
        for each in ids:
            need_sequence(x)
            need_ids(x, each)
            if row_dim(x, self.dim) != 1:
                raise ShapeError(f"dim={self.dim} has to be 1, that of the positions, where the ids of words say which count")
        return x.without(row_dim(x, self.dim))


@dataclass(frozen=True)
class Take(Layer):
    """One entry of a dimension, such as the last token."""

    kind = "take"

    index: int = param(-1, "which, counted from 0 or from the end")
    dim: int = param(1, "the dimension, which goes")

    def shape(self, *inputs: Tensor) -> Tensor:
        """One dimension fewer."""
        (x,) = inputs
        dim = row_dim(x, self.dim)
        size = x.shape[dim]
        if size is not None and not -size <= self.index < size:
            raise ShapeError(f"index={self.index} has to be one of {size} entries")
        return x.without(dim)
