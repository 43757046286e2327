"""Which rows of a network's own tables the codes of ``cat`` look up, found by watching it run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.training.tensors import arguments

# Enough random rows that no two columns of codes are alike, and a number that no other dimension is likely to have.
N_ROWS = 67


@dataclass(frozen=True)
class Lookup:
    """A table whose rows ``offset`` to ``offset + n_codes`` belong to the codes of column ``column``, for each of ``uses``.

    ``table`` is the parameter's name, ``padding`` a row that is a constant by its nature.
    """

    table: str
    uses: tuple[tuple[int, int, int], ...]
    padding: int | None = None

    @torch.no_grad()
    def settle(self, weight: Tensor, counts: Sequence[np.ndarray]) -> None:
        """Replace each row that no training row looks up by the mean of those that they do look up, by the same column.

        ``counts``: training rows of each code, one array for each column of ``cat``.
        """
        found = np.zeros(len(weight), np.int64)
        for column, offset, n_codes in self.uses:
            found[offset : offset + n_codes] += counts[column]
        if self.padding is not None:
            found[self.padding] = 1
        for column, offset, n_codes in self.uses:
            absent = torch.from_numpy(found[offset : offset + n_codes] == 0).to(weight.device)
            share = torch.from_numpy(counts[column] / counts[column].sum()).to(weight)
            rows = weight[offset : offset + n_codes]
            rows[absent] = torch.tensordot(share, rows, 1)


@dataclass(frozen=True)
class Lookups:
    """The tables whose rows can be told, and the names of those that ``cat`` or numbers look up in some other way."""

    known: tuple[Lookup, ...] = ()
    unknown: tuple[str, ...] = ()


def find_lookups(module: nn.Module, inputs: Mapping[str, Tensor], cardinalities: Sequence[int]) -> Lookups:
    """Run the network on these rows of random codes and compare what it looks up with the columns of ``cat``.

    Seen are ``nn.Embedding``, ``functional.embedding``, ``index_select`` and ``weight[codes]`` on parameters that training
    changes. A lookup is known where each of its indices is a column of ``cat``, or that plus a constant.
    :class:`CodeEmbedding` settles itself and is left out.
    """
    own = {id(p) for part in module.modules() if isinstance(part, CodeEmbedding) for p in part.parameters()}
    tables = {id(p): name for name, p in module.named_parameters() if p.requires_grad and id(p) not in own}
    with torch.no_grad(), _Watch(tables) as watch:
        module(**arguments(inputs))
    cat = inputs.get("cat", torch.empty(N_ROWS, 0, dtype=torch.int64))
    known, unknown = [], []
    for name, seen in watch.seen.items():
        uses = [_use(index, cat, cardinalities) if one.by_row else None for one in seen for index in _varying(one.indices)]
        padding = {one.padding for one in seen}
        if None in uses or len(padding) > 1:
            unknown.append(name)
        elif uses:
            known.append(Lookup(name, tuple(sorted({use for use in uses if use is not None})), padding.pop()))
    return Lookups(tuple(known), tuple(unknown))


def _varying(indices: Tensor) -> list[Tensor]:
    """The columns of an index that differ between rows; none where it is not one of rows."""
    if len(indices) != N_ROWS:
        return []
    return [column for column in indices.reshape(N_ROWS, -1).T if bool((column != column[0]).any())]


def _use(index: Tensor, cat: Tensor, cardinalities: Sequence[int]) -> tuple[int, int, int] | None:
    """Column, offset and number of codes of the column of ``cat`` that the index follows, if it does."""
    for column, codes in enumerate(cat.T):
        offset = int(index[0] - codes[0])
        if offset >= 0 and bool((index == codes + offset).all()):
            return column, offset, cardinalities[column]
    return None


@dataclass(frozen=True)
class _Seen:
    """One lookup: its indices, the row of padding, and whether the indices are numbers of rows."""

    indices: Tensor
    padding: int | None = None
    by_row: bool = True


class _Watch(TorchFunctionMode):
    """Notes what is looked up in tables, by the table's name."""

    def __init__(self, tables: Mapping[int, str]) -> None:
        super().__init__()
        self.tables = tables
        self.seen: dict[str, list[_Seen]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.embedding:
            self._embedding(*args, **kwargs)
        elif func in (torch.index_select, Tensor.index_select):
            self._index_select(*args, **kwargs)
        elif func is Tensor.__getitem__:
            self._getitem(*args)
        return func(*args, **kwargs)

    def _embedding(self, input: Tensor, weight: Tensor, padding_idx: int | None = None, *_: Any, **__: Any) -> None:
        self._note(weight, _Seen(input, None if padding_idx is None else padding_idx % len(weight)))

    def _index_select(self, input: Tensor, dim: int, index: Tensor, **_: Any) -> None:
        self._note(input, _Seen(index, by_row=dim == 0))

    def _getitem(self, table: Tensor, index: Any) -> None:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, Tensor) and part.ndim and part.dtype != torch.bool:
                self._note(table, _Seen(part, by_row=part is index))

    def _note(self, table: Tensor, seen: _Seen) -> None:
        if id(table) in self.tables:
            self.seen.setdefault(self.tables[id(table)], []).append(seen)
