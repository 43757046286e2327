"""What is known of a tensor before there is one: its dimensions and what kind of numbers it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Dim: TypeAlias = int | None
"""A size; ``None``: not known before there are rows."""


@dataclass(frozen=True)
class Tensor:
    """The dimensions of a tensor, the rows first, and whether it holds numbers or codes.

    ``source``: of codes as they enter, the ingress that tells how many there are.

    >>> str(Tensor((None, 3, None, 28))), Tensor((None, 5), "int64").n_dims
    ('[N, 3, ?, 28]', 2)
    """

    shape: tuple[Dim, ...]
    dtype: Literal["float32", "int64"] = "float32"
    source: str = ""

    @property
    def n_dims(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def row(self) -> tuple[Dim, ...]:
        """The dimensions of one row."""
        return self.shape[1:]

    def with_row(self, *row: Dim) -> Tensor:
        """Numbers with rows of other dimensions."""
        return Tensor((self.shape[0], *row))

    def without(self, dim: int) -> Tensor:
        """The same kind of numbers without a dimension, counted from the front."""
        return Tensor((*self.shape[:dim], *self.shape[dim + 1 :]), self.dtype)

    def __str__(self) -> str:
        sizes = ["N", *("?" if dim is None else str(dim) for dim in self.row)]
        return f"[{', '.join(sizes)}]{'' if self.dtype == 'float32' else f' {self.dtype}'}"


def same(dims: Sequence[Dim]) -> Dim:
    """The size that all of these can have, the first known one.

    Raises: ValueError where two known ones differ.

    >>> same([None, 3, 3])
    3
    """
    known = {dim for dim in dims if dim is not None}
    if len(known) > 1:
        raise ValueError(f"{' and '.join(map(str, sorted(known)))} differ")
    return known.pop() if known else None


def product(dims: Sequence[Dim]) -> Dim:
    """The product of sizes, ``None`` where one of them is not known.

    >>> product([2, 3]), product([2, None]), product([])
    (6, None, 1)
    """
    result = 1
    for dim in dims:
        if dim is None:
            return None
        result *= dim
    return result
