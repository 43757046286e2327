"""Fitting preprocessing on training rows and emitting it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import onnx

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import FLOAT, GraphBuilder, Value
from onnxlearn.images.config import ImageConfig
from onnxlearn.memo import Memo
from onnxlearn.preprocess.coding import concat, declare_inputs, emit_codes, emit_numbers
from onnxlearn.preprocess.column_steps import ColumnStep, fit_columns
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.fitted import PREP, FittedPreprocessing
from onnxlearn.preprocess.hashing import buckets
from onnxlearn.preprocess.made import Made, makes_any
from onnxlearn.preprocess.plan import Plan, make_plan
from onnxlearn.preprocess.power import Power
from onnxlearn.preprocess.quantile import Quantiles
from onnxlearn.preprocess.recode import Recode, default_min_rows, emit_onehot, emit_ranks, take
from onnxlearn.preprocess.scaling import Affine
from onnxlearn.preprocess.selection import best_columns
from onnxlearn.preprocess.target_encoding import TargetEncoding, as_numbers, target_numbers
from onnxlearn.runtime import open_session
from onnxlearn.schema import FIRST_LEVEL_CODE, Column, ColumnTensor, Schema
from onnxlearn.session import Session, available_cores, run_chunked
from onnxlearn.text.step import TextStep
from onnxlearn.text.vectors import WordVectors

Array = np.ndarray[Any, np.dtype[Any]]
_T = TypeVar("_T")

# Outputs of the graphs made here.
X, CODES, NUM = "prep/x", "prep/codes", "prep/num"
# The columns of x filled in and cut off, and scaled.
KNOWN, SCALED = "prep/known", "prep/scaled"


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessing(FittedPreprocessing):
    """Fitted preprocessing of a table, or of a group of its columns called ``name``.

    ``code_counts``: for each column of ``cat`` the training rows of each code, int64
    ``[cardinality]``. ``indicator_trained``, ``onehot_trained`` and ``absence_trained``: which of those 0/1 columns had rows
    enough; the others are always 0. ``kept``: which columns of ``num``, but for absences, are not 0, bool ``[n_num]``, where
    some were selected. ``columns``: what makes the tensors of columns that have one of their own.
    """

    schema: Schema
    config: PreprocessConfig
    plan: Plan
    recode: Recode | None
    encoding: TargetEncoding | None
    affine: Affine
    power: Power | None
    quantiles: Quantiles | None
    made: Made | None
    kept: Array | None
    indicator_trained: Array
    onehot_trained: Array
    absence_trained: Array
    code_counts: tuple[Array, ...]
    columns: tuple[ColumnStep, ...]
    name: str = ""

    @classmethod
    def fit(
        cls,
        schema: Schema,
        config: PreprocessConfig,
        feeds: Mapping[str, Array],
        truth: Array | None = None,
        weights: Array | None = None,
        groups: Array | None = None,
        name: str = "",
    ) -> Preprocessing:
        """Fit on the feeds of the training rows; nothing else is looked at.

        ``truth``: the target as :meth:`onnxlearn.task.Task.truth` has it, which target encoding and selection need, and
        ``weights``, float64 ``[n]``, which count there; ``groups``, int64 ``[n]``, stay together where rows are encoded by the
        rows of other folds. ``name``: of a group of columns.

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
            hashed = {i: buckets(plan.coded[i].levels, config.cat_buckets) for i in plan.hashed}
            recode = Recode.fit(stage[CODES], plan.coded, config.min_level_rows, hashed)
            codes = recode.apply(stage[CODES])
        encoding = _fit_encoding(schema, config, plan, codes, truth, weights, groups) if plan.encoded else None
        means = encoding.apply(codes[:, plan.encoded]) if encoding else None
        x = _with_codes(stage.get(X), codes[:, plan.ranked], means, n_rows)
        n_scaled = len(plan.scaled_names)
        n_imputed = n_scaled - len(plan.parts) * len(plan.dates)
        power = Power.fit(x[:, :n_scaled], box_cox=config.num_scaler == "box_cox") if n_scaled and _has_power(config) else None
        missing = np.isnan(x[:, [column.source for column in plan.indicators]])
        fitted = cls(
            schema=dataclasses.replace(schema, ingress=dataclasses.replace(plan.ingress, name=name)),
            config=config,
            plan=plan,
            recode=recode,
            encoding=encoding,
            affine=Affine.fit(x, n_scaled, len(plan.cyclic_names), n_imputed, config, power),
            power=power,
            quantiles=Quantiles.fit(x[:, :n_scaled], config.n_quantiles, extreme=config.quantile_ties == "extreme")
            if n_scaled and config.num_scaler == "quantile"
            else None,
            made=None,
            kept=None,
            indicator_trained=_often_both(missing.sum(axis=0), n_rows, fewest),
            onehot_trained=np.array([bool((codes[:, column.source] == column.code).any()) for column in plan.onehot], bool),
            absence_trained=_often_both(_n_missing(plan.absences, columns), n_rows, fewest),
            code_counts=tuple(np.bincount(codes[:, i], minlength=plan.coded[i].n_codes) for i in plan.embedded),
            columns=columns,
            name=name,
        )
        return fitted._with_made(feeds)._with_selection(feeds, truth, weights)

    @property
    def counts(self) -> dict[str, Sequence[Array]]:
        """See the base class."""
        return self._named({"cat": self.code_counts} | {step.tensor.name: [step.counts] for step in self.columns})

    @property
    def notes(self) -> list[str]:
        """See the base class."""
        silent = [s.tensor.column for s in self.columns if isinstance(s, TextStep) and not s.vocabulary.words and not s.pairs]
        return [
            *(
                f"column {name!r}: no word is in as many training texts as text_min_rows says; it says nothing"
                for name in silent
            ),
            *(note for s in self.columns if isinstance(s, TextStep) if (note := s.few_vectors())),
        ]

    @property
    def words(self) -> dict[str, Sequence[str]]:
        """See the base class."""
        return self._named({s.tensor.name: s.vocabulary.words for s in self.columns if isinstance(s, TextStep)})

    @property
    def word_vectors(self) -> dict[str, WordVectors]:
        """See the base class."""
        return self._named({s.tensor.name: s.vectors for s in self.columns if isinstance(s, TextStep) and s.vectors})

    @property
    def image_configs(self) -> dict[str, ImageConfig]:
        """See the base class."""
        config = self.config
        images = (column.name for column in self.plan.columns if column.kind == "image")
        return self._named(dict.fromkeys(images, config)) if isinstance(config, ImageConfig) else {}

    @property
    def folds(self) -> dict[str, Array]:
        """The fold of each training row, where categories are encoded by the target."""
        return {self._fold_name: self.encoding.folds[:, None]} if self.encoding else {}

    def emit(self, g: GraphBuilder, inputs: Mapping[str, Value], folds: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """``num`` FLOAT ``[N, n_num]``, ``cat`` INT64 ``[N, n_cat]``, the others as the ingress says."""
        fold = (folds or {}).get(self._fold_name)
        with g.scope(f"prep/{self.name}" if self.name else "prep"):
            codes = self._emit_codes(g, inputs)
            entered = {step.tensor: step.emit(g, inputs[step.tensor.column]) for step in self.columns}
            tensors = {}
            if blocks := [*self._emit_num_blocks(g, inputs, codes, fold), *self._emit_absences(g, entered)]:
                tensors["num"] = concat(g, blocks)
            if codes and self.plan.embedded:
                every = self.plan.embedded == tuple(range(len(self.plan.coded)))
                tensors["cat"] = codes if every else take(g, codes, self.plan.embedded)
            return self._named(tensors | {column.name: tensor for column, (tensor, _) in entered.items()})

    @property
    def _fold_name(self) -> str:
        """The input of the graph for training rows that tells the fold of each."""
        return f"{PREP}{self.ingress.prefix}fold"

    def _named(self, tensors: Mapping[str, _T]) -> dict[str, _T]:
        """By the names that the network knows the tensors by."""
        return {self.ingress.prefix + name: value for name, value in tensors.items()}

    def _with_made(self, feeds: Mapping[str, Array]) -> Preprocessing:
        """With what is made of the columns of ``x``, fitted on the training rows as the graph has them."""
        if not makes_any(self.plan):
            return self
        stages = self._run_table(feeds, self._emit_stages)
        return dataclasses.replace(self, made=Made.fit(self.plan, self.config, stages[KNOWN], stages[SCALED]))

    def _with_selection(self, feeds: Mapping[str, Array], truth: Array | None, weights: Array | None) -> Preprocessing:
        if self.plan.n_selected is None:
            return self
        num, target = self._run_table(feeds, self._emit_table)[NUM], self.schema.target
        y, classes = as_numbers(target, _known(truth)), target.type == "classification"
        return dataclasses.replace(self, kept=best_columns(num, y, weights, self.plan.n_selected, classes=classes))

    def _run_table(self, feeds: Mapping[str, Array], emit: _Emit) -> dict[str, Array]:
        """What is made of the training rows, without the columns that enter by themselves."""
        g, table = GraphBuilder(), _table_of(self.schema, self.plan)
        inputs = declare_inputs(g, table)
        fold = g.input(self._fold_name, "INT64", ["N", 1]) if self.encoding else None
        with g.scope("prep"):
            outputs = emit(g, inputs, fold)
        for name, (value, onnx_type, width) in outputs.items():
            g.output(value, name, onnx_type, ["N", width])
        session = open_session(g.to_model().SerializeToString(), "cpu")
        return run_chunked(session, self.training_feeds({column.name: feeds[column.name] for column in table.features}))

    def _emit_stages(self, g: GraphBuilder, inputs: Mapping[str, Value], fold: Value | None) -> _Outputs:
        x = self._emit_x(g, inputs, self._emit_codes(g, inputs), fold)
        assert x is not None
        known, width = self.affine.emit_clipped(g, x), len(self.plan.x_names)
        return {KNOWN: (known, "DOUBLE", width), SCALED: (self._emit_scaled(g, known), "DOUBLE", width)}

    def _emit_table(self, g: GraphBuilder, inputs: Mapping[str, Value], fold: Value | None) -> _Outputs:
        num = concat(g, self._emit_num_blocks(g, inputs, self._emit_codes(g, inputs), fold))
        return {NUM: (num, "FLOAT", self.plan.ingress.n_num - len(self.plan.absences))}

    def _emit_codes(self, g: GraphBuilder, inputs: Mapping[str, Value]) -> Value | None:
        codes = emit_codes(g, self.plan, inputs)
        return self.recode.emit(g, codes) if codes and self.recode else codes

    def _emit_x(self, g: GraphBuilder, inputs: Mapping[str, Value], codes: Value | None, fold: Value | None) -> Value | None:
        """The matrix ``x``; ``None`` where it has no columns."""
        plan = self.plan
        numbers = emit_numbers(g, plan, inputs)
        ranks = emit_ranks(g, codes, plan.ranked) if codes and plan.ranked else None
        means = self.encoding.emit(g, codes, plan.encoded, fold) if codes and self.encoding else None
        parts = [value for value in (ranks, means, numbers) if value]
        return concat(g, parts) if parts else None

    def _emit_num_blocks(
        self, g: GraphBuilder, inputs: Mapping[str, Value], codes: Value | None, fold: Value | None
    ) -> list[Value]:
        plan, made, blocks = self.plan, self.made, []
        if x := self._emit_x(g, inputs, codes, fold):
            known = self.affine.emit_clipped(g, x)
            scaled = self._emit_scaled(g, known)
            blocks.append(g.op("Cast", made.emit(g, known, scaled) if made else scaled, to=FLOAT))
            if plan.indicators:
                blocks.append(self._emit_indicators(g, x))
            blocks += made.emit_flags(g, known) if made else []
        if codes and plan.onehot:
            blocks.append(emit_onehot(g, codes, plan.onehot, self.onehot_trained))
        return blocks if self.kept is None else [g.op("Mul", concat(g, blocks), g.const(self.kept.astype(np.float32)))]

    def _emit_absences(self, g: GraphBuilder, entered: Mapping[ColumnTensor, tuple[Value, Value | None]]) -> list[Value]:
        """The 0/1 columns that tell missing images and texts, FLOAT ``[N, 1]`` each."""
        blocks, missing = [], {column.column: missing for column, (_, missing) in entered.items()}
        for column, trained in zip(self.plan.absences, self.absence_trained, strict=True):
            flag = g.op("Cast", missing[column.name], to=FLOAT)
            blocks.append(flag if trained else g.op("Mul", flag, g.const(np.float32(0))))
        return blocks

    def _emit_scaled(self, g: GraphBuilder, clipped: Value) -> Value:
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


_Outputs: TypeAlias = dict[str, tuple[Value, str, int]]
"""Values by the name of an output, with type and width."""
_Emit: TypeAlias = Callable[[GraphBuilder, Mapping[str, Value], Value | None], _Outputs]

# Vocabularies can be large: few are kept.
_CODING_SESSIONS: Memo[Session] = Memo(4)


def _coding_session(schema: Schema, plan: Plan) -> Session:
    """:func:`_coding_model`, opened: the same for all folds of a task, since nothing of it is fitted."""
    key = schema.features, plan, available_cores()
    return _CODING_SESSIONS.get(key, lambda: open_session(_coding_model(schema, plan).SerializeToString(), "cpu"))


def _has_power(config: PreprocessConfig) -> bool:
    return config.num_scaler in ("yeo_johnson", "box_cox")


def _fit_encoding(
    schema: Schema,
    config: PreprocessConfig,
    plan: Plan,
    codes: Array,
    truth: Array | None,
    weights: Array | None,
    groups: Array | None,
) -> TargetEncoding:
    sizes, y = [plan.coded[i].n_codes for i in plan.encoded], target_numbers(schema.target, _known(truth))
    codes = codes[:, plan.encoded]
    return TargetEncoding.fit(codes, sizes, y, weights, config.cat_smoothing, config.cat_folds, groups)


def _known(truth: Array | None) -> Array:
    """The target. Raises: DataError where it was not given."""
    if truth is None:
        raise DataError("cat_encoding='target' and num_select look at the target of the training rows: give truth=")
    return truth


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
    table = _table_of(schema, plan)
    if not table.features:
        return {}
    return run_chunked(_coding_session(table, plan), {column.name: feeds[column.name] for column in table.features})


def _table_of(schema: Schema, plan: Plan) -> Schema:
    """Without the columns that enter by themselves."""
    own = {column.column for column in plan.columns}
    return dataclasses.replace(schema, features=tuple(column for column in schema.features if column.name not in own))


def _coding_model(schema: Schema, plan: Plan) -> onnx.ModelProto:
    """The first stage alone, for fitting: outputs ``prep/x`` without what is made of codes, and ``prep/codes``."""
    g = GraphBuilder()
    inputs = declare_inputs(g, schema)
    with g.scope("prep"):
        numbers, codes = emit_numbers(g, plan, inputs), emit_codes(g, plan, inputs)
    n_of_codes = len(plan.ranked) + len(plan.encoded) * len(plan.encodings)
    if numbers:
        g.output(numbers, X, "DOUBLE", ["N", len(plan.x_names) - n_of_codes])
    if codes:
        g.output(codes, CODES, "INT64", ["N", len(plan.coded)])
    return g.to_model()


def _with_codes(numbers: Array | None, codes: Array, means: Array | None, n_rows: int) -> Array:
    """The matrix ``x``: ranks by the recoded codes of the ranked columns, target encodings, the numbers of the first stage."""
    ranks = np.where(codes >= FIRST_LEVEL_CODE, codes - float(FIRST_LEVEL_CODE), np.nan).reshape(n_rows, -1)
    blocks = [block for block in (ranks, means, numbers) if block is not None and block.shape[1]]
    return blocks[0] if len(blocks) == 1 else np.hstack([np.empty((n_rows, 0)), *blocks])
