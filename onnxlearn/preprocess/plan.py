"""What becomes of each column: a pure function of the schema and the settings.

The columns of the matrix ``x`` (DOUBLE ``[N, K]``, NaN where missing) stand in this order::

    ranks | DOUBLE numbers | FLOAT numbers | date parts | cyclic date parts | booleans | strict booleans
    `------------------ scaled -----------------------' `--------------- fixed range -----------------'

and ``codes`` (INT64 ``[N, S]``) has one column for each categorical or ordered feature.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from onnxlearn.errors import ParameterError
from onnxlearn.preprocess.columns import indicated, plan_columns
from onnxlearn.preprocess.config import DatePart, PreprocessConfig
from onnxlearn.schema import FIRST_LEVEL_CODE, MISSING_CODE, UNSEEN_CODE, Column, ColumnTensor, Ingress, NumKind, Schema

CYCLIC = "_cyclic"


class OneHotColumn(NamedTuple):
    """A 0/1 column of ``num`` that tells whether column ``source`` of ``codes`` holds ``code``."""

    name: str
    source: int
    code: int


class Indicator(NamedTuple):
    """A 0/1 column of ``num`` that tells whether column ``source`` of ``x`` is missing."""

    name: str
    source: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which feature goes where. ``ranked`` and ``embedded`` are columns of ``codes``.

    ``columns`` are tensors of their own, of which ``absences`` have a 0/1 column in ``num`` that tells missing rows.
    """

    coded: tuple[Column, ...]
    ranked: tuple[int, ...]
    embedded: tuple[int, ...]
    onehot: tuple[OneHotColumn, ...]
    doubles: tuple[Column, ...]
    floats: tuple[Column, ...]
    dates: tuple[Column, ...]
    parts: tuple[DatePart, ...]
    cyclic: tuple[DatePart, ...]
    booleans: tuple[Column, ...]
    strict_booleans: tuple[Column, ...]
    indicators: tuple[Indicator, ...]
    columns: tuple[ColumnTensor, ...]
    absences: tuple[Column, ...]

    @property
    def scaled_names(self) -> tuple[str, ...]:
        """Names of the columns of ``x`` that are scaled by what they hold."""
        ranks = [self.coded[i].name for i in self.ranked]
        parts = [f"{column.name}.{part}" for part in self.parts for column in self.dates]
        return (*ranks, *(column.name for column in self.doubles + self.floats), *parts)

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
        """The feature that each column of ``x`` is made from."""
        dates = tuple(column.name for column in self.dates)
        ranks = tuple(self.coded[i].name for i in self.ranked)
        numbers = tuple(column.name for column in self.doubles + self.floats)
        booleans = tuple(column.name for column in self.booleans + self.strict_booleans)
        return (*ranks, *numbers, *dates * len(self.parts), *dates * len(self.cyclic) * 2, *booleans)

    @property
    def ingress(self) -> Ingress:
        """The tensors that enter the network."""
        absences = tuple(f"{column.name}:missing" for column in self.absences)
        names = (*self.x_names, *(column.name for column in self.indicators + self.onehot), *absences)
        n_times = len(self.parts) * len(self.dates) + len(self.cyclic_names)
        n_numbers = len(self.scaled_names) + len(self.cyclic_names) - n_times
        n_flags = len(names) - n_numbers - n_times
        counts: tuple[tuple[NumKind, int], ...] = (("number", n_numbers), ("time", n_times), ("flag", n_flags))
        return Ingress(
            num_names=names,
            num_kinds=tuple(kind for kind, count in counts for _ in range(count)),
            num_sources=(
                *self.x_sources,
                *(self.x_sources[column.source] for column in self.indicators),
                *(self.coded[column.source].name for column in self.onehot),
                *(column.name for column in self.absences),
            ),
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
    return make_plan(schema, config).ingress


def make_plan(schema: Schema, config: PreprocessConfig) -> Plan:
    """Send each feature on its way; see :func:`plan_ingress`."""
    columns = plan_columns(schema, config)
    coded = schema.of_kind("categorical", "ordered")
    numeric, booleans = schema.of_kind("numeric"), schema.of_kind("boolean")
    as_category = [i for i, column in enumerate(coded) if column.kind == "categorical" or config.ordered_encoding != "rank"]
    onehot = [i for i in as_category if _is_onehot(coded[i], config)]
    plan = Plan(
        coded=coded,
        ranked=tuple(
            i for i, column in enumerate(coded) if column.kind == "ordered" and config.ordered_encoding != "categorical"
        ),
        embedded=tuple(i for i in as_category if i not in onehot),
        onehot=tuple(entry for i in onehot for entry in _onehot_columns(coded[i], i, config)),
        doubles=tuple(column for column in numeric if column.onnx_type == "DOUBLE"),
        floats=tuple(column for column in numeric if column.onnx_type == "FLOAT"),
        dates=schema.of_kind("datetime"),
        parts=tuple(part for part in config.datetime_parts if not part.endswith(CYCLIC)),
        cyclic=tuple(part for part in config.datetime_parts if part.endswith(CYCLIC)),
        booleans=tuple(column for column in booleans if not column.strict_bool),
        strict_booleans=tuple(column for column in booleans if column.strict_bool),
        indicators=(),
        columns=columns,
        absences=tuple(indicated(schema, config)),
    )
    if config.missing_indicator:
        plan = dataclasses.replace(plan, indicators=_indicators(plan))
    if not (plan.ingress.n_num or plan.ingress.n_cat or columns):
        raise ParameterError("no column enters the network: give datetime_parts at least one part, or the task more features")
    return plan


def _is_onehot(column: Column, config: PreprocessConfig) -> bool:
    few = len(column.levels) <= config.max_onehot
    return config.cat_encoding == "onehot" or (config.cat_encoding == "auto" and few)


def _onehot_columns(column: Column, source: int, config: PreprocessConfig) -> Iterator[OneHotColumn]:
    if config.min_level_rows is not None and config.min_level_rows > 1:
        # Rare levels are merged into the code of unseen ones, which then has training rows.
        yield OneHotColumn(f"{column.name}:rare", source, UNSEEN_CODE)
    if column.has_missing:
        yield OneHotColumn(f"{column.name}:missing", source, MISSING_CODE)
    for code, level in enumerate(column.levels, FIRST_LEVEL_CODE):
        yield OneHotColumn(f"{column.name}={level}", source, code)


def _indicators(plan: Plan) -> tuple[Indicator, ...]:
    """One indicator for each feature with missing values that has columns in ``x``."""
    ranked = [plan.coded[i] for i in plan.ranked]
    n_date_columns = len(plan.dates) * (len(plan.parts) + 2 * len(plan.cyclic))
    # The first part of a date stands for the date: its parts are missing together.
    of_dates = plan.dates if n_date_columns else ()
    skipped = n_date_columns - len(of_dates)
    layout: list[Column | None] = [*ranked, *plan.doubles, *plan.floats, *of_dates, *[None] * skipped, *plan.booleans]
    return tuple(Indicator(f"{column.name}:missing", i) for i, column in enumerate(layout) if column and column.has_missing)
