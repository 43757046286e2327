"""The first stage, a function of the schema alone: raw inputs to numbers (``x``) and codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxlearn.graph.builder import DOUBLE, ML_DOMAIN, GraphBuilder, Value
from onnxlearn.preprocess.arithmetic import emit_formula
from onnxlearn.preprocess.dates import CivilTime
from onnxlearn.preprocess.plan import Plan
from onnxlearn.schema import FIRST_LEVEL_CODE, MISSING_CODE, MISSING_INT64, UNSEEN_CODE, Column, Level, Schema
from onnxlearn.wire.form import Form

# What clients that turn a missing value into text arrive with; a level of that name stays a level.
MISSING_SPELLINGS = ("", "nan", "None", "<NA>", "NaN", "NaT", "null")


def declare_inputs(g: GraphBuilder, schema: Schema) -> dict[str, Value]:
    """One graph input a feature, ``[N, 1]``, of images ``[N, H, W, C]``, named as the column."""
    return {name: g.input(name, onnx_type, list(shape)) for name, (onnx_type, shape) in Form().inputs(schema).items()}


def emit_numbers(g: GraphBuilder, plan: Plan, inputs: Mapping[str, Value]) -> Value | None:
    """The columns of ``x`` behind those of codes: DOUBLE ``[N, K - R]``, NaN where missing; ``None`` where there are none."""
    doubles = [inputs[column.name] for column in plan.doubles]
    floats = _joined(g, plan.floats, inputs)
    strict = _joined(g, plan.strict_booleans, inputs)
    blocks = [
        *doubles,
        *(emit_formula(g, formula, inputs) for formula in plan.formulas),
        *([g.op("Cast", floats, to=DOUBLE)] if floats else []),
        *_emit_dates(g, plan, inputs),
        *(inputs[column.name] for column in plan.booleans),
        *([g.op("Cast", strict, to=DOUBLE)] if strict else []),
    ]
    return concat(g, blocks) if blocks else None


def emit_codes(g: GraphBuilder, plan: Plan, inputs: Mapping[str, Value]) -> Value | None:
    """``codes``: INT64 ``[N, S]``, 0 unseen, 1 missing, 2.. the levels; ``None`` where no column is coded."""
    codes = [_emit_code(g, column, inputs[column.name]) for column in plan.coded]
    return concat(g, codes) if codes else None


def concat(g: GraphBuilder, blocks: Sequence[Value]) -> Value:
    """Side by side."""
    return blocks[0] if len(blocks) == 1 else g.op("Concat", *blocks, axis=1)


def _joined(g: GraphBuilder, columns: Sequence[Column], inputs: Mapping[str, Value]) -> Value | None:
    return concat(g, [inputs[column.name] for column in columns]) if columns else None


def _emit_dates(g: GraphBuilder, plan: Plan, inputs: Mapping[str, Value]) -> list[Value]:
    micros = _joined(g, plan.dates, inputs)
    if micros is None or not (plan.parts or plan.cyclic):
        return []
    time = CivilTime(g, micros)
    blocks = [time.part(name) for name in plan.parts]
    if plan.cyclic:
        angles = concat(g, [time.phase(name) for name in plan.cyclic])
        blocks += [g.op("Sin", angles), g.op("Cos", angles)]
    n_blocks = len(plan.parts) + 2 * len(plan.cyclic)
    missing = concat(g, [time.missing] * n_blocks)
    return [g.op("Where", missing, g.const(np.float64(np.nan)), concat(g, blocks))]


def _emit_code(g: GraphBuilder, column: Column, value: Value) -> Value:
    """A column's code, INT64 ``[N, 1]``."""
    levels = list(column.levels)
    missing: list[Level]
    if column.onnx_type == "INT64":
        suffix, missing = "int64s", [MISSING_INT64]
    else:
        suffix, missing = "strings", [text for text in MISSING_SPELLINGS if text not in levels]
    codes = [MISSING_CODE] * len(missing) + list(range(FIRST_LEVEL_CODE, column.n_codes))
    keys = {f"keys_{suffix}": missing + levels}
    # The operator's own default is -1, with which Gather would take the last row of a table.
    return g.op("LabelEncoder", value, domain=ML_DOMAIN, values_int64s=codes, default_int64=UNSEEN_CODE, **keys)
