"""Powers and products of numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxlearn.preprocess.recode import take
from onnxlearn.preprocess.scaling import LARGEST_UNSCALED

if TYPE_CHECKING:
    from onnxlearn.graph.builder import GraphBuilder, Value


def n_terms(n_columns: int, degree: int, *, interactions_only: bool) -> int:
    """How many terms there are of degree 2 and more.

    >>> n_terms(3, 2, interactions_only=False), n_terms(3, 3, interactions_only=True)
    (6, 4)
    """
    count = math.comb if interactions_only else lambda n, d: math.comb(n + d - 1, d)
    return sum(count(n_columns, each) for each in range(2, degree + 1))


def terms(columns: Sequence[int], degree: int, *, interactions_only: bool) -> Iterator[tuple[int, ...]]:
    """The columns that each term is the product of, in the order of scikit-learn's ``PolynomialFeatures``.

    >>> list(terms([0, 1], 2, interactions_only=False))
    [(0, 0), (0, 1), (1, 1)]
    """
    choose = itertools.combinations if interactions_only else itertools.combinations_with_replacement
    for each in range(2, degree + 1):
        yield from choose(columns, each)


def term_name(factors: Sequence[str]) -> str:
    """A term in words.

    >>> term_name(["x", "x", "y"])
    'x^2*y'
    """
    return "*".join(name if count == 1 else f"{name}^{count}" for name, count in Counter(factors).items())


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
