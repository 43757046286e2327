"""Codes after training: levels without enough rows become unseen; ranks of ordered levels; one-hot columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import DOUBLE, FLOAT, GraphBuilder, Value
from onnxlearn.preprocess.plan import OneHotColumn
from onnxlearn.schema import FIRST_LEVEL_CODE, UNSEEN_CODE, Column

Array = np.ndarray[Any, np.dtype[Any]]


def default_min_rows(n_rows: int) -> int:
    """Training rows that a level, or an indicator, needs where no number is given: a hundredth of all, 1 to 10."""
    return max(1, min(10, n_rows // 100))


@dataclass(frozen=True, eq=False)
class Recode:
    """A code of each column to the code that the network sees, in one table: column ``i`` begins at ``offsets[i]``."""

    offsets: Array
    table: Array

    @classmethod
    def fit(
        cls, codes: Array, columns: Sequence[Column], min_rows: int | None, buckets: Mapping[int, Sequence[int]] | None = None
    ) -> Recode:
        """Send each level with fewer than ``min_rows`` rows among ``codes`` (int64 ``[n, S]``) to the unseen code.

        ``None`` means :func:`default_min_rows`, and that levels of ordered columns stay: they have a rank. ``buckets``: of
        columns that are hashed the bucket of each level, however many rows it has.
        """
        by_rows = default_min_rows(len(codes))
        tables = []
        for i, column in enumerate(columns):
            counts = np.bincount(codes[:, i], minlength=column.n_codes)
            table = np.arange(column.n_codes)
            fewest = min_rows or (1 if column.kind == "ordered" else by_rows)
            if buckets and i in buckets:
                table[FIRST_LEVEL_CODE:] = np.asarray(buckets[i], np.int64) + FIRST_LEVEL_CODE
            else:
                table[FIRST_LEVEL_CODE:][counts[FIRST_LEVEL_CODE:] < fewest] = UNSEEN_CODE
            tables.append(table)
        sizes = [column.n_codes for column in columns]
        return cls(np.cumsum([0, *sizes[:-1]]), np.concatenate(tables))

    def apply(self, codes: Array) -> Array:
        """The codes that the network sees, int64 ``[n, S]``."""
        recoded: Array = self.table[codes + self.offsets]
        return recoded

    def emit(self, g: GraphBuilder, codes: Value) -> Value:
        """The codes that the network sees, INT64 ``[N, S]``."""
        sizes = np.diff([*self.offsets, len(self.table)])
        if np.array_equal(self.table, np.concatenate([np.arange(size) for size in sizes])):
            return codes
        return g.op("Gather", g.const(self.table), g.op("Add", codes, g.const(self.offsets)), axis=0)


def emit_ranks(g: GraphBuilder, codes: Value, columns: Sequence[int]) -> Value:
    """Ranks of ordered columns from their recoded codes: DOUBLE ``[N, R]``, 0 for the first level, NaN for no level."""
    ranks = take(g, codes, columns)
    known = g.op("GreaterOrEqual", ranks, g.const(np.int64(FIRST_LEVEL_CODE)))
    number = g.op("Sub", g.op("Cast", ranks, to=DOUBLE), g.const(np.float64(FIRST_LEVEL_CODE)))
    return g.op("Where", known, number, g.const(np.float64(np.nan)))


def emit_onehot(g: GraphBuilder, codes: Value, columns: Sequence[OneHotColumn], trained: Array) -> Value:
    """0/1 columns FLOAT ``[N, J]`` from recoded codes; those that are not ``trained`` (bool ``[J]``) are always 0."""
    wanted = np.where(trained, [column.code for column in columns], -1)
    return g.op("Cast", g.op("Equal", take(g, codes, [column.source for column in columns]), g.const(wanted)), to=FLOAT)


def take(g: GraphBuilder, matrix: Value, columns: Sequence[int]) -> Value:
    """Columns of a matrix in this order."""
    return g.op("Gather", matrix, g.const(np.array(columns, np.int64)), axis=1)
