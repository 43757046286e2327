"""Fitting preprocessing on training rows and emitting it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.memo import Memo
from onnxlearn.preprocess.coding import concat, declare_inputs, emit_codes, emit_numbers
from onnxlearn.preprocess.column_steps import ColumnStep, fit_columns
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import Plan, make_plan
from onnxlearn.preprocess.power import Power
from onnxlearn.preprocess.quantile import Quantiles
from onnxlearn.preprocess.recode import Recode, default_min_rows, emit_onehot, emit_ranks, take
from onnxlearn.preprocess.scaling import Affine
from onnxlearn.runtime import open_session
from onnxlearn.schema import FIRST_LEVEL_CODE, Column, ColumnTensor, Schema
from onnxlearn.session import Session, available_cores, run_chunked
from onnxlearn.text.step import TextStep
from onnxlearn.text.vectors import WordVectors

Array = np.ndarray[Any, np.dtype[Any]]

# Outputs of the graphs made here; a feature may be called num, but not prep/num.
X, CODES, NUM, CAT = "prep/x", "prep/codes", "prep/num", "prep/cat"


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessing:
    """Fitted preprocessing.

    ``schema`` has its ``ingress`` set. ``code_counts``: for each column of ``cat`` the training rows of each code, int64
    ``[cardinality]``. ``indicator_trained``, ``onehot_trained`` and ``absence_trained``: which of those 0/1 columns had rows
    enough; the others are always 0. ``columns``: what makes the tensors of columns that have one of their own.
    """

    schema: Schema
    config: PreprocessConfig
    plan: Plan
    recode: Recode | None
    affine: Affine
    power: Power | None
    quantiles: Quantiles | None
    indicator_trained: Array
    onehot_trained: Array
    absence_trained: Array
    code_counts: tuple[Array, ...]
    columns: tuple[ColumnStep, ...]

    @classmethod
    def fit(cls, schema: Schema, config: PreprocessConfig, feeds: Mapping[str, Array]) -> Preprocessing:
        """Fit on the feeds of the training rows; nothing else is looked at.

        Raises: DataError where there are no rows; ParameterError where no column enters the network.
        """
        plan = make_plan(schema, config)
        n_rows = len(feeds[schema.feature_names[0]])
        if not n_rows:
            raise DataError("preprocessing has to be fitted on at least one row, not on an empty table")
        fewest = config.min_level_rows or default_min_rows(n_rows)
        columns = fit_columns(schema, config, feeds)
        stage = _coded(schema, plan, feeds)
        recode, codes = None, np.empty((0, 0), np.int64)
        if plan.coded:
            recode = Recode.fit(stage[CODES], plan.coded, config.min_level_rows)
            codes = recode.apply(stage[CODES])
        x = _with_ranks(stage.get(X), codes[:, plan.ranked], n_rows)
        n_scaled = len(plan.scaled_names)
        n_imputed = n_scaled - len(plan.parts) * len(plan.dates)
        power = Power.fit(x[:, :n_scaled], box_cox=config.num_scaler == "box_cox") if n_scaled and _has_power(config) else None
        missing = np.isnan(x[:, [column.source for column in plan.indicators]])
        return cls(
            schema=dataclasses.replace(schema, ingress=plan.ingress),
            config=config,
            plan=plan,
            recode=recode,
            affine=Affine.fit(x, n_scaled, len(plan.cyclic_names), n_imputed, config, power),
            power=power,
            quantiles=Quantiles.fit(x[:, :n_scaled], config.n_quantiles, extreme=config.quantile_ties == "extreme")
            if n_scaled and config.num_scaler == "quantile"
            else None,
            indicator_trained=_often_both(missing.sum(axis=0), n_rows, fewest),
            onehot_trained=np.array([bool((codes[:, column.source] == column.code).any()) for column in plan.onehot], bool),
            absence_trained=_often_both(_n_missing(plan.absences, columns), n_rows, fewest),
            code_counts=tuple(np.bincount(codes[:, i], minlength=plan.coded[i].n_codes) for i in plan.embedded),
            columns=columns,
        )

    @property
    def counts(self) -> dict[str, Sequence[Array]]:
        """How often training rows have each code of ``cat``, and each id of a text, by ingress; one array a column."""
        return {"cat": self.code_counts} | {step.tensor.name: [step.counts] for step in self.columns}

    @property
    def word_vectors(self) -> dict[str, WordVectors]:
        """What embeddings of words begin with, by ingress, where a file was given."""
        return {step.tensor.name: step.vectors for step in self.columns if isinstance(step, TextStep) and step.vectors}

    def emit(self, g: GraphBuilder, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Add the nodes under ``prep``: the tensors of the ingress that there are, by name.

        ``num`` is FLOAT ``[N, n_num]``, ``cat`` INT64 ``[N, n_cat]``, the others as ``schema.ingress.columns`` says.
        """
        with g.scope("prep"):
            codes = emit_codes(g, self.plan, inputs)
            if codes and self.recode:
                codes = self.recode.emit(g, codes)
            entered = {step.tensor: step.emit(g, inputs[step.tensor.column]) for step in self.columns}
            tensors = {}
            if blocks := [*self._emit_num_blocks(g, inputs, codes), *self._emit_absences(g, entered)]:
                tensors["num"] = concat(g, blocks)
            if codes and self.plan.embedded:
                every = self.plan.embedded == tuple(range(len(self.plan.coded)))
                tensors["cat"] = codes if every else take(g, codes, self.plan.embedded)
            return tensors | {column.name: tensor for column, (tensor, _) in entered.items()}

    def to_model(self) -> onnx.ModelProto:
        """A model of its own with the outputs ``prep/num``, ``prep/cat`` and so on, those that there are."""
        g = GraphBuilder()
        tensors = self.emit(g, declare_inputs(g, self.schema))
        if "num" in tensors:
            g.output(tensors["num"], NUM, "FLOAT", ["N", self.plan.ingress.n_num])
        if "cat" in tensors:
            g.output(tensors["cat"], CAT, "INT64", ["N", self.plan.ingress.n_cat])
        for column in self.plan.columns:
            g.output(tensors[column.name], f"prep/{column.name}", column.onnx_type, ["N", *column.shape])
        return g.to_model()

    def transform(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors of these rows by ingress, made by running :meth:`to_model`."""
        outputs = run_chunked(self._session, feeds)
        return {name.removeprefix("prep/"): tensor for name, tensor in outputs.items()}

    @functools.cached_property
    def _session(self) -> Session:
        """:meth:`to_model`, opened once: training, validation and the proof of parity all run it."""
        return open_session(self.to_model().SerializeToString(), "cpu")

    def _emit_num_blocks(self, g: GraphBuilder, inputs: Mapping[str, Value], codes: Value | None) -> list[Value]:
        plan = self.plan
        numbers = emit_numbers(g, plan, inputs)
        ranks = emit_ranks(g, codes, plan.ranked) if codes and plan.ranked else None
        parts = [value for value in (ranks, numbers) if value]
        blocks = []
        if parts:
            x = concat(g, parts)
            blocks.append(g.op("Cast", self._emit_scaled(g, x), to=FLOAT))
            if plan.indicators:
                blocks.append(self._emit_indicators(g, x))
        if codes and plan.onehot:
            blocks.append(emit_onehot(g, codes, plan.onehot, self.onehot_trained))
        return blocks

    def _emit_absences(self, g: GraphBuilder, entered: Mapping[ColumnTensor, tuple[Value, Value | None]]) -> list[Value]:
        """The 0/1 columns that tell missing images and texts, FLOAT ``[N, 1]`` each."""
        blocks, missing = [], {column.column: missing for column, (_, missing) in entered.items()}
        for column, trained in zip(self.plan.absences, self.absence_trained, strict=True):
            flag = g.op("Cast", g.op("Unsqueeze", missing[column.name], g.const(np.array([1], np.int64))), to=FLOAT)
            blocks.append(flag if trained else g.op("Mul", flag, g.const(np.float32(0))))
        return blocks

    def _emit_scaled(self, g: GraphBuilder, x: Value) -> Value:
        clipped = self.affine.emit_clipped(g, x)
        n_scaled, n_columns = len(self.plan.scaled_names), len(self.plan.x_names)
        if not (self.quantiles or self.power):
            return self.affine.emit_scaled(g, clipped)
        if n_scaled == n_columns:
            return self._emit_curved(g, clipped)
        sizes = g.const(np.array([n_scaled, n_columns - n_scaled], np.int64))
        scaled, fixed = g.ops("Split", clipped, sizes, n_outputs=2, axis=1)
        return concat(g, [self._emit_curved(g, scaled), self.affine.slice(n_scaled, n_columns).emit_scaled(g, fixed)])

    def _emit_curved(self, g: GraphBuilder, clipped: Value) -> Value:
        """What becomes of the scaled columns where that is no straight line."""
        if self.quantiles:
            return self.quantiles.emit(g, clipped)
        assert self.power is not None
        return self.affine.slice(0, len(self.plan.scaled_names)).emit_scaled(g, self.power.emit(g, clipped))

    def _emit_indicators(self, g: GraphBuilder, x: Value) -> Value:
        missing = g.op("Cast", g.op("IsNaN", take(g, x, [column.source for column in self.plan.indicators])), to=FLOAT)
        if self.indicator_trained.all():
            return missing
        return g.op("Mul", missing, g.const(self.indicator_trained.astype(np.float32)))


# Vocabularies can be large: few are kept.
_CODING_SESSIONS: Memo[Session] = Memo(4)


def _coding_session(schema: Schema, plan: Plan) -> Session:
    """:func:`_coding_model`, opened: the same for all folds of a task, since nothing of it is fitted."""
    key = schema.features, plan, available_cores()
    return _CODING_SESSIONS.get(key, lambda: open_session(_coding_model(schema, plan).SerializeToString(), "cpu"))


def _has_power(config: PreprocessConfig) -> bool:
    return config.num_scaler in ("yeo_johnson", "box_cox")


def _often_both(n_missing: Array, n_rows: int, fewest: int) -> Array:
    """Which columns have as many rows on either side as a weight can be trained on, bool ``[K]``."""
    often: Array = np.minimum(n_missing, n_rows - n_missing) >= fewest
    return often


def _n_missing(absences: Sequence[Column], columns: Sequence[ColumnStep]) -> Array:
    """Training rows without a value, int ``[K]``."""
    n_missing = {step.tensor.column: step.n_missing for step in columns}
    return np.array([n_missing[column.name] for column in absences], np.int64)


def _coded(schema: Schema, plan: Plan, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The first stage of these rows: what there is of ``prep/x`` and ``prep/codes``."""
    own = {column.column for column in plan.columns}
    table = dataclasses.replace(schema, features=tuple(column for column in schema.features if column.name not in own))
    if not table.features:
        return {}
    return run_chunked(_coding_session(table, plan), {column.name: feeds[column.name] for column in table.features})


def _coding_model(schema: Schema, plan: Plan) -> onnx.ModelProto:
    """The first stage alone, for fitting: outputs ``prep/x`` without the ranks and ``prep/codes``."""
    g = GraphBuilder()
    inputs = declare_inputs(g, schema)
    with g.scope("prep"):
        numbers, codes = emit_numbers(g, plan, inputs), emit_codes(g, plan, inputs)
    if numbers:
        g.output(numbers, X, "DOUBLE", ["N", len(plan.x_names) - len(plan.ranked)])
    if codes:
        g.output(codes, CODES, "INT64", ["N", len(plan.coded)])
    return g.to_model()


def _with_ranks(numbers: Array | None, codes: Array, n_rows: int) -> Array:
    """The matrix ``x`` from the numbers of the first stage and the recoded codes of the ranked columns."""
    if numbers is None and not codes.size:
        return np.empty((n_rows, 0))
    ranks = np.where(codes >= FIRST_LEVEL_CODE, codes - float(FIRST_LEVEL_CODE), np.nan)
    return ranks if numbers is None else np.hstack([ranks, numbers]) if ranks.size else numbers
