"""What is made of numbers: bins, splines, products and principal components."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.preprocess.bins import Bins
from onnxlearn.preprocess.coding import concat
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.pca import Components
from onnxlearn.preprocess.plan import Plan
from onnxlearn.preprocess.recode import take
from onnxlearn.preprocess.scaling import LARGEST_UNSCALED
from onnxlearn.preprocess.splines import Splines

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """Fitted: bins and splines of numbers in their own units, products and components of scaled ones."""

    plan: Plan
    bins: Bins | None
    splines: Splines | None
    components: Components | None

    @classmethod
    def fit(cls, plan: Plan, config: PreprocessConfig, known: Array, scaled: Array) -> Made:
        """Fit on the columns of ``x`` of the training rows, filled in and cut off, and scaled: float64 ``[n, K]`` each."""
        y = scaled[:, : len(plan.scaled_names)]
        return cls(
            plan=plan,
            bins=Bins.fit(known, plan.numbers, plan.n_bins) if plan.n_bins and plan.numbers else None,
            splines=Splines.fit(known, plan.numbers, plan.n_splines) if plan.n_splines and plan.numbers else None,
            components=Components.fit(y, plan.n_components, whiten=config.pca_whiten) if plan.n_components else None,
        )

    def emit(self, g: GraphBuilder, known: Value, scaled: Value) -> Value:
        """The scaled columns or the components in their place, what is made of numbers, then booleans: DOUBLE ``[N, K']``."""
        plan = self.plan
        made = [_emit_terms(g, scaled, plan.terms)] if plan.terms else []
        made += [self.splines.emit(g, known)] if self.splines else []
        made += [self.bins.emit_ordinal(g, known)] if self.bins and plan.ordinal_bins else []
        n_scaled, n_unequal = len(plan.scaled_names), len(plan.scaled_names) + len(plan.cyclic_names)
        parts = _split(g, scaled, [n_scaled, n_unequal - n_scaled, len(plan.x_names) - n_unequal])
        if self.components and parts[0]:
            parts[0] = self.components.emit(g, parts[0])
        return concat(g, [part for part in (*parts[:2], *made, parts[2]) if part])

    def emit_flags(self, g: GraphBuilder, known: Value) -> list[Value]:
        """Bins as 0/1 columns, FLOAT ``[N, J]``, where they are asked for."""
        if self.bins is None or self.plan.ordinal_bins:
            return []
        return [g.op("Cast", self.bins.emit_onehot(g, known), to=FLOAT)]


def makes_any(plan: Plan) -> bool:
    """Whether anything is made of the columns of ``x``."""
    return bool(plan.terms or plan.n_components or ((plan.n_splines or plan.n_bins) and plan.numbers))


def _emit_terms(g: GraphBuilder, y: Value, found: Sequence[tuple[int, ...]]) -> Value:
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
    low, high = (g.const(np.float64(end)) for end in (-LARGEST_UNSCALED, LARGEST_UNSCALED))
    return g.op("Min", g.op("Max", concat(g, blocks), low), high)


def _split(g: GraphBuilder, matrix: Value, sizes: list[int]) -> list[Value | None]:
    """Columns side by side, ``None`` for those that there are none of."""
    there = [size for size in sizes if size]
    if len(there) == 1:
        parts = iter([matrix])
    else:
        parts = iter(g.ops("Split", matrix, g.const(np.array(there, np.int64)), n_outputs=len(there), axis=1))
    return [next(parts) if size else None for size in sizes]
