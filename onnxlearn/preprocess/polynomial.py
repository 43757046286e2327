"""Powers and products of numbers, in the graph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.preprocess.recode import take
from onnxlearn.preprocess.scaling import LARGEST_UNSCALED


def emit_terms(g: GraphBuilder, y: Value, found: Sequence[tuple[int, ...]]) -> Value:
    """The terms of scaled numbers ``y``, DOUBLE ``[N, K]``: DOUBLE ``[N, T]``, within what squares of float32 can hold."""
    blocks: list[Value] = []
    known: dict[tuple[int, ...], int] = {(column,): column for term in found for column in term}
    before = y
    for _, group in itertools.groupby(found, key=len):
        terms_of = list(group)
        last = take(g, y, [term[-1] for term in terms_of])
        before = g.op("Mul", take(g, before, [known[term[:-1]] for term in terms_of]), last)
        known = {term: i for i, term in enumerate(terms_of)}
        blocks.append(before)
    made = blocks[0] if len(blocks) == 1 else g.op("Concat", *blocks, axis=1)
    low, high = (g.const(np.float64(end)) for end in (-LARGEST_UNSCALED, LARGEST_UNSCALED))
    return g.op("Min", g.op("Max", made, low), high)
