"""What becomes of each column: a pure function of the schema and the settings.

The columns of the matrix ``x`` (DOUBLE ``[N, K]``, NaN where missing) stand in this order::

    ranks | target encodings | DOUBLE numbers | formulas | FLOAT numbers | date parts | cyclic ones | booleans | strict ones
    `------------------------------- scaled ---------------------------------------' `---------- fixed range -----------'

and ``codes`` (INT64 ``[N, S]``) has one column for each categorical or ordered feature. The columns of ``num`` stand so::

    scaled, or principal components | cyclic | products | splines | bins as numbers | booleans | 0/1 columns
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onnxlearn.errors import ParameterError, listing
from onnxlearn.preprocess.columns import indicated, plan_columns
from onnxlearn.preprocess.config import DatePart, PreprocessConfig
from onnxlearn.preprocess.formulas import Formula, plan_formulas
from onnxlearn.preprocess.polynomial import n_terms, term_name, terms
from onnxlearn.schema import FIRST_LEVEL_CODE, MISSING_CODE, UNSEEN_CODE, Column, ColumnTensor, Ingress, NumKind, Schema, Target

CYCLIC = "_cyclic"
# Columns of num that may be made of others.
MOST_MADE = 10_000


class OneHotColumn(NamedTuple):
    """A 0/1 column of ``num`` that tells whether column ``source`` of ``codes`` holds ``code``."""

    name: str
    source: int
    code: int


class NumColumn(NamedTuple):
    """A column of ``num``; ``source`` is empty where it is made of several features."""

    name: str
    kind: NumKind
    source: str


class Indicator(NamedTuple):
    """A 0/1 column of ``num`` that tells whether column ``source`` of ``x`` is missing."""

    name: str
    source: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which feature goes where. ``ranked``, ``embedded``, ``encoded`` and ``hashed`` are columns of ``codes``.

    ``encodings``: what the target encoding of a column is named by. ``terms``: columns of ``x`` that are multiplied.
    ``columns`` are tensors of their own, of which ``absences`` have a 0/1 column in ``num`` that tells missing rows.
    """

    coded: tuple[Column, ...]
    ranked: tuple[int, ...]
    embedded: tuple[int, ...]
    encoded: tuple[int, ...]
    encodings: tuple[str, ...]
    hashed: tuple[int, ...]
    onehot: tuple[OneHotColumn, ...]
    doubles: tuple[Column, ...]
    formulas: tuple[Formula, ...]
    computed: tuple[Column, ...]
    floats: tuple[Column, ...]
    dates: tuple[Column, ...]
    parts: tuple[DatePart, ...]
    cyclic: tuple[DatePart, ...]
    booleans: tuple[Column, ...]
    strict_booleans: tuple[Column, ...]
    indicators: tuple[Indicator, ...]
    columns: tuple[ColumnTensor, ...]
    absences: tuple[Column, ...]
    terms: tuple[tuple[int, ...], ...]
    n_splines: int
    n_bins: int
    ordinal_bins: bool
    n_components: int
    n_selected: int | None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The columns of ``x`` that are numbers of the table or computed from these."""
        start = len(self.ranked) + len(self.encoded) * len(self.encodings)
        return tuple(range(start, start + len(self.doubles) + len(self.computed) + len(self.floats)))

    @property
    def scaled_names(self) -> tuple[str, ...]:
        """Names of the columns of ``x`` that are scaled by what they hold."""
        ranks = [self.coded[i].name for i in self.ranked]
        parts = [f"{column.name}.{part}" for part in self.parts for column in self.dates]
        means = [f"{self.coded[i].name}:{what}" for what in self.encodings for i in self.encoded]
        return (*ranks, *means, *(column.name for column in self.doubles + self.computed + self.floats), *parts)

    @property
    def cyclic_names(self) -> tuple[str, ...]:
        """Names of the columns of ``x`` that are sines and cosines."""
        stems = [f"{column.name}.{part.removesuffix(CYCLIC)}" for part in self.cyclic for column in self.dates]
        return tuple(f"{stem}_{wave}" for wave in ("sin", "cos") for stem in stems)

    @property
    def x_names(self) -> tuple[str, ...]:
        """Names of all columns of ``x``."""
        return (*self.scaled_names, *self.cyclic_names, *(column.name for column in self.booleans + self.strict_booleans))

    @property
    def x_sources(self) -> tuple[str, ...]:
        """The feature that each column of ``x`` is made from; empty where there are several."""
        dates = tuple(column.name for column in self.dates)
        ranks = tuple(self.coded[i].name for i in self.ranked)
        means = tuple(self.coded[i].name for _ in self.encodings for i in self.encoded)
        doubles, floats = (tuple(column.name for column in columns) for columns in (self.doubles, self.floats))
        computed = tuple(_only(formula.sources) for formula in self.formulas)
        booleans = tuple(column.name for column in self.booleans + self.strict_booleans)
        times = dates * (len(self.parts) + len(self.cyclic) * 2)
        return (*ranks, *means, *doubles, *computed, *floats, *times, *booleans)

    @property
    def num_columns(self) -> tuple[NumColumn, ...]:
        """The columns of ``num``."""
        n_scaled, n_times = len(self.scaled_names), len(self.cyclic_names) + len(self.parts) * len(self.dates)
        first_time = n_scaled + len(self.cyclic_names) - n_times
        counts: tuple[tuple[NumKind, int], ...] = (("number", first_time), ("time", n_times), ("flag", len(self.x_names)))
        kinds = [kind for kind, count in counts for _ in range(count)]
        x = [NumColumn(*column) for column in zip(self.x_names, kinds, self.x_sources, strict=False)]
        components = [
            NumColumn(f"pca{i + 1}", "number", _only({column.source for column in x[:n_scaled]}))
            for i in range(self.n_components)
        ]
        n_unequal = n_scaled + len(self.cyclic_names)
        return (
            *(components or x[:n_scaled]),
            *x[n_scaled:n_unequal],
            *self._made_numbers(x),
            *x[n_unequal:],
            *(NumColumn(name, "flag", x[source].source) for name, source in self.indicators),
            *self._bin_flags(x),
            *(NumColumn(name, "flag", self.coded[source].name) for name, source, _ in self.onehot),
            *(NumColumn(f"{column.name}:missing", "flag", column.name) for column in self.absences),
        )

    def _made_numbers(self, x: Sequence[NumColumn]) -> Iterator[NumColumn]:
        """What is made of numbers: products, splines and bins as numbers."""
        for term in self.terms:
            factors = [x[i] for i in term]
            yield NumColumn(term_name([f.name for f in factors]), "number", _only({f.source for f in factors}))
        for i in self.numbers:
            for n in range(self.n_splines):
                yield NumColumn(f"{x[i].name}:spline{n + 1}", "number", x[i].source)
        for i in self.numbers if self.n_bins and self.ordinal_bins else ():
            yield NumColumn(f"{x[i].name}:bin", "number", x[i].source)

    def _bin_flags(self, x: Sequence[NumColumn]) -> Iterator[NumColumn]:
        """Bins as 0/1 columns."""
        for i in self.numbers if not self.ordinal_bins else ():
            for n in range(self.n_bins):
                yield NumColumn(f"{x[i].name}:bin{n + 1}", "flag", x[i].source)

    @property
    def ingress(self) -> Ingress:
        """The tensors that enter the network."""
        columns = self.num_columns
        return Ingress(
            num_names=tuple(column.name for column in columns),
            num_kinds=tuple(column.kind for column in columns),
            num_sources=tuple(column.source for column in columns),
            cat_names=tuple(self.coded[i].name for i in self.embedded),
            cardinalities=tuple(self.coded[i].n_codes for i in self.embedded),
            columns=self.columns,
        )


def plan_ingress(schema: Schema, config: PreprocessConfig) -> Ingress:
    """The tensors that enter the network for this schema and these settings, whatever rows are trained on.

    Raises: ParameterError where no column enters, DataError for texts and images where the learner takes none.

    >>> from onnxlearn.schema import Column, Schema, Target
    >>> age = Column(name="age", kind="numeric", dtype="float64", has_missing=True)
    >>> sex = Column(name="sex", kind="categorical", dtype="str", levels=("f", "m"))
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> schema = Schema(name="people", features=(age, sex), target=target)
    >>> plan_ingress(schema, PreprocessConfig()).num_names
    ('age', 'age:missing', 'sex=f', 'sex=m')
    >>> plan_ingress(schema, PreprocessConfig(cat_encoding="embedding")).cardinalities
    (4,)
    """
    return _grouped(schema, config) if config.groups else make_plan(schema, config).ingress


def _grouped(schema: Schema, config: PreprocessConfig) -> Ingress:
    """The tensors of all groups. Raises: ParameterError, DataError."""
    found: dict[str, Ingress] = {}
    for name, group in config.groups.items():
        table = group.table(schema)
        planned = make_plan(table, group.config).ingress if table.features else Ingress()
        found[name] = dataclasses.replace(group.read(planned), name=name)
    groups = tuple(ingress for name, ingress in found.items() if name)
    ingress = dataclasses.replace(found.get("", Ingress()), groups=groups)
    for column in schema.of_kind("image"):
        sizes = {tensor.given_size for tensor in ingress.tensors.values() if tensor.column == column.name} - {()}
        if len(sizes) > 1:
            raise ParameterError(f"images of {column.name!r} enter as they are, in the sizes {listing(sizes)}: they have one")
    return ingress


def numeric_feature(schema: Schema, ingress: Ingress) -> str:
    """A feature that gives columns of ``num``, of which there are some."""
    sources = [*ingress.num_sources, *(name for name in schema.feature_names if name not in ingress.cat_names)]
    return next(filter(None, sources))


def make_plan(schema: Schema, config: PreprocessConfig) -> Plan:
    """Send each feature on its way; see :func:`plan_ingress`."""
    columns = plan_columns(schema, config)
    coded = schema.of_kind("categorical", "ordered")
    numeric, booleans = schema.of_kind("numeric"), schema.of_kind("boolean")
    as_category = [i for i, column in enumerate(coded) if column.kind == "categorical" or config.ordered_encoding != "rank"]
    encoded = as_category if config.cat_encoding == "target" else []
    hashed = [i for i in as_category if config.cat_encoding == "hash" and coded[i].kind == "categorical"]
    onehot = [i for i in as_category if i not in encoded and _is_onehot(coded[i], config)]
    formulas = plan_formulas(config.formulas, schema)
    plan = Plan(
        coded=coded,
        ranked=tuple(
            i for i, column in enumerate(coded) if column.kind == "ordered" and config.ordered_encoding != "categorical"
        ),
        embedded=tuple(i for i in as_category if i not in (*onehot, *encoded)),
        encoded=tuple(encoded),
        encodings=encoded_names(schema.target) if encoded else (),
        hashed=tuple(hashed),
        onehot=tuple(entry for i in onehot for entry in _onehot_columns(coded[i], i, config)),
        doubles=tuple(column for column in numeric if column.onnx_type == "DOUBLE"),
        formulas=formulas,
        computed=tuple(formula.column(schema) for formula in formulas),
        floats=tuple(column for column in numeric if column.onnx_type == "FLOAT"),
        dates=schema.of_kind("datetime"),
        parts=tuple(part for part in config.datetime_parts if not part.endswith(CYCLIC)),
        cyclic=tuple(part for part in config.datetime_parts if part.endswith(CYCLIC)),
        booleans=tuple(column for column in booleans if not column.strict_bool),
        strict_booleans=tuple(column for column in booleans if column.strict_bool),
        indicators=(),
        columns=columns,
        absences=tuple(indicated(schema, config)),
        terms=(),
        n_splines=config.num_splines or 0,
        n_bins=config.num_bins or 0,
        ordinal_bins=config.bin_encoding == "ordinal",
        n_components=0,
        n_selected=None,
    )
    if config.missing_indicator:
        plan = dataclasses.replace(plan, indicators=_indicators(plan))
    if not (plan.ingress.n_num or plan.ingress.n_cat or columns):
        raise ParameterError("no column enters the network: give datetime_parts at least one part, or the task more features")
    made = _with_made(plan, config)
    _require_own_names(made)
    return made


def _require_own_names(plan: Plan) -> None:
    names = [column.name for column in plan.num_columns]
    if same := [formula.name for formula in plan.formulas if names.count(formula.name) > 1]:
        raise ParameterError(f"formula {same[0]!r} has the name of what is made of a column: choose another one")


def _with_made(plan: Plan, config: PreprocessConfig) -> Plan:
    """With what is made of columns together. Raises: ParameterError where that are too many, or too few."""
    n_numbers, n_scaled = len(plan.numbers), len(plan.scaled_names)
    n_products = n_terms(n_numbers, config.num_polynomial or 1, interactions_only=config.interactions_only)
    n_made = {"num_polynomial": n_products, "num_splines": n_numbers * plan.n_splines, "num_bins": n_numbers * plan.n_bins}
    for name, n in n_made.items():
        if n > MOST_MADE:
            raise ParameterError(
                f"{name}={getattr(config, name)} makes {n} columns of {n_numbers} numbers: at most {MOST_MADE}; give it a "
                "smaller number, or the task fewer columns"
            )
    if n_scaled and config.num_pca:
        if config.num_pca > n_scaled:
            raise ParameterError(
                f"num_pca={config.num_pca} is more than the {n_scaled} scaled columns that there are, "
                f"{listing(plan.scaled_names)}: give at most {n_scaled}"
            )
        plan = dataclasses.replace(plan, n_components=config.num_pca)
    if n_products:
        found = terms(plan.numbers, config.num_polynomial or 1, interactions_only=config.interactions_only)
        plan = dataclasses.replace(plan, terms=tuple(found))
    n_num = plan.ingress.n_num - len(plan.absences)
    if n_num and config.num_select:
        if config.num_select > n_num:
            raise ParameterError(
                f"num_select={config.num_select} is more than the {n_num} columns of num: give at most {n_num}"
            )
        plan = dataclasses.replace(plan, n_selected=config.num_select)
    return plan


def encoded_names(target: Target) -> tuple[str, ...]:
    """What categories are encoded by: the share of each class, of two classes the second one, or the mean of each number."""
    if target.type == "regression":
        return target.names
    classes = target.classes[1:] if len(target.classes) == 2 else target.classes
    return tuple(f"{target.name}={label}" for label in classes)


def _is_onehot(column: Column, config: PreprocessConfig) -> bool:
    few = len(column.levels) <= config.max_onehot
    return config.cat_encoding in ("onehot", "hash") or (config.cat_encoding == "auto" and few)


def _onehot_columns(column: Column, source: int, config: PreprocessConfig) -> Iterator[OneHotColumn]:
    if config.cat_encoding == "hash" and column.kind == "categorical":
        yield from _hash_columns(column, source, config.cat_buckets)
        return
    if config.min_level_rows is not None and config.min_level_rows > 1:
        # Rare levels are merged into the code of unseen ones, which then has training rows.
        yield OneHotColumn(f"{column.name}:rare", source, UNSEEN_CODE)
    if column.has_missing:
        yield OneHotColumn(f"{column.name}:missing", source, MISSING_CODE)
    for code, level in enumerate(column.levels, FIRST_LEVEL_CODE):
        yield OneHotColumn(f"{column.name}={level}", source, code)


def _hash_columns(column: Column, source: int, n_buckets: int) -> Iterator[OneHotColumn]:
    if column.has_missing:
        yield OneHotColumn(f"{column.name}:missing", source, MISSING_CODE)
    for bucket in range(n_buckets):
        yield OneHotColumn(f"{column.name}:hash{bucket}", source, FIRST_LEVEL_CODE + bucket)


def _only(sources: Collection[str]) -> str:
    """The feature, where there is one."""
    return next(iter(sources)) if len(sources) == 1 else ""


def _indicators(plan: Plan) -> tuple[Indicator, ...]:
    """One indicator for each feature with missing values that has columns in ``x``."""
    ranked = [plan.coded[i] for i in plan.ranked]
    n_date_columns = len(plan.dates) * (len(plan.parts) + 2 * len(plan.cyclic))
    # The first part of a date stands for the date: its parts are missing together.
    of_dates = plan.dates if n_date_columns else ()
    skipped = n_date_columns - len(of_dates)
    means = [None] * (len(plan.encoded) * len(plan.encodings))
    numbers = (*plan.doubles, *plan.computed, *plan.floats)
    layout: list[Column | None] = [*ranked, *means, *numbers, *of_dates, *[None] * skipped, *plan.booleans]
    return tuple(Indicator(f"{column.name}:missing", i) for i, column in enumerate(layout) if column and column.has_missing)
