"""Powers and products of numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence


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
