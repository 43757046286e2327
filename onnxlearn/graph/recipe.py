"""What preprocessing does to each column, read from a model's nodes and told in words and numbers.

Every column of ``num`` and ``cat`` is made of one feature by a few steps, each a function of one value. They are found by
comparing what the graph computes with what the emitters of :mod:`onnxlearn.preprocess` would add, so that a recipe either is
what the graph does, or there is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import onnx

from onnxlearn.graph.builder import DOUBLE, FLOAT, GraphBuilder
from onnxlearn.graph.columns import ANY, INPUT, Expression, Expressions
from onnxlearn.preprocess.config import DatePart
from onnxlearn.preprocess.dates import CivilTime
from onnxlearn.preprocess.plan import CYCLIC, encoded_names
from onnxlearn.preprocess.power import Power
from onnxlearn.preprocess.quantile import Quantiles
from onnxlearn.schema import FIRST_LEVEL_CODE, MISSING_CODE, UNSEEN_CODE, Column, Schema

MEANINGS = {
    "code": "the position of the level in the input's 'levels' plus 2; 1 for a missing value, 0 for any other one",
    "recode": "codes[code]",
    "mean": "means[code]: of the target among training rows",
    "between": "1 where low <= x < high, else 0; null is no bound",
    "rank": "code - 2, missing for the codes 0 and 1",
    "equals": "1 where the code is this one, else 0 ('level' says what it stands for)",
    "date_part": "of the date and time in the Gregorian calendar, missing where it is: weekday from 0, Monday; elapsed in days "
    "since 1970-01-01 with the fraction; month_sin, month_cos: of 2 pi (month - 1) / 12; day: (day - 1) / 31; weekday: / 7; "
    "hour: of the time since midnight / 24 hours",
    "is_missing": "1 where the value is missing, else 0",
    "fill": "value where the value is missing",
    "clip": "at least low, at most high",
    "scale": "(x - center) / scale",
    "bend": "x / sqrt(1 + (by x)^2)",
    "quantile": "the rank of x among n_ranks: on knots[i], the mean of first[i] and last[i]; between knots[i] and "
    "knots[i + 1], last[i] + (first[i + 1] - last[i]) (x - knots[i]) / (knots[i + 1] - knots[i]); where ends is true, 0 on the "
    "first knot and n_ranks - 1 on the last. Then the quantile of the normal distribution at rank / (n_ranks - 1), kept within "
    "[1e-7, 1 - 1e-7]",
    "power": "with the numbers of 'negative' for x < 0, else those of 'other': u = log((shift + |x|) / (shift + anchor)), "
    "times -1 for x < 0; then offset + factor (exp(rate u) - 1) / rate, or offset + factor u where the rate is 0",
    "unscale": "x * scale + center",
    "constant": "value, whatever comes",
}
"""What each step makes of a value ``x``, in DOUBLE."""

Step = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """What a column is made of, and how; ``name`` as the schema's ``ingress`` has it."""

    name: str
    feature: str
    steps: tuple[Step, ...] = ()

    def then(self, *steps: Step, name: str = "") -> Made:
        """The same with further steps."""
        return Made(name or self.name, self.feature, self.steps + steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"name": self.name or None, "from": self.feature or None, "steps": list(self.steps)}


def read_recipe(model: onnx.ModelProto, schema: Schema) -> dict[str, tuple[Made | None, ...]]:
    """For each output ``[N, K]`` of a preprocessing model what its columns are made of; ``None`` where it cannot be told."""
    recipes = _read(model, _Reader(schema), dict.fromkeys(schema.feature_names, 1))
    return {name: _named(columns, schema) for name, columns in recipes.items()}


def _named(columns: tuple[Made | None, ...], schema: Schema) -> tuple[Made | None, ...]:
    """With the names of the schema's ingress, where these are its columns: that of a bin tells its number."""
    ingress = schema.ingress
    if ingress is None or len(columns) != ingress.n_num:
        return columns
    pairs = list(zip(columns, ingress.num_sources, strict=True))
    if any(made and made.feature not in ("", source) for made, source in pairs):
        return columns
    names = zip(columns, ingress.num_names, strict=True)
    return tuple(dataclasses.replace(made, name=name) if made and made.feature else made for made, name in names)


def read_behind(model: onnx.ModelProto, schema: Schema) -> dict[str, tuple[Made | None, ...]]:
    """The same for what stands behind a network: columns are made of those of its inputs, ``raw[0]``, ``raw[1]`` ..."""
    widths = {value.name: value.type.tensor_type.shape.dim[-1].dim_value for value in model.graph.input}
    return _read(model, _Reader(schema), widths, "{}[{}]")


def _read(
    model: onnx.ModelProto, reader: _Reader, widths: Mapping[str, int], named: str = "{}"
) -> dict[str, tuple[Made | None, ...]]:
    inputs = {name: tuple(reader.input(named.format(name, i)) for i in range(width)) for name, width in widths.items()}
    known = reader.expressions.follow(model.graph, inputs, _widths(model))
    wanted = {output.name: output.type.tensor_type.shape.dim for output in model.graph.output}
    return {name: _told(reader, known.get(name), dims) for name, dims in wanted.items()}


def _widths(model: onnx.ModelProto) -> dict[str, int]:
    """How many columns each matrix has, by its name."""
    dims = {value.name: value.type.tensor_type.shape.dim for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    return {name: shape[1].dim_value for name, shape in dims.items() if len(shape) == 2 and shape[1].dim_value}


def _told(reader: _Reader, matrix: Any, dims: Sequence[Any]) -> tuple[Made | None, ...]:
    return tuple(map(reader.read, matrix)) if isinstance(matrix, tuple) else (None,) * dims[-1].dim_value


class _Reader:
    def __init__(self, schema: Schema) -> None:
        self.expressions = e = Expressions()
        self.columns = {column.name: column for column in schema.features}
        self.encodings = encoded_names(schema.target)
        self._read: dict[Expression, Made | None] = {}
        for name, column in self.columns.items():
            if column.kind == "datetime":
                self._read |= {value: made for made, value in _date_parts(e, name, self.input(name))}
        self._patterns = dict(_patterns(e))
        self._quantiles: dict[tuple[int, bool], Expression] = {}

    def input(self, name: str) -> Expression:
        """What comes in under a name."""
        made = self.expressions.make(INPUT, value=name)
        self._read[made] = Made(name, name)
        return made

    def read(self, expression: Expression) -> Made | None:
        """What a column is made of."""
        if expression not in self._read:
            self._read[expression] = self._read_anew(expression)
        return self._read[expression]

    def _read_anew(self, expression: Expression) -> Made | None:
        if expression in self.expressions.constants:
            # Rows are counted by it, nothing else.
            value = self.expressions.constants[expression].item()
            return Made("", "", ({"step": "constant", "value": value},))
        for name, pattern in self._patterns.items():
            bound = self.expressions.match(pattern, expression)
            if bound is None:
                continue
            made = self.read(bound["x"])
            values = {key[0]: self.expressions.constants[value] for key, value in bound.items() if isinstance(key, tuple)}
            return None if made is None else self._with_step(made, name, values)
        return self._read_quantile(expression)

    def _with_step(self, made: Made, name: str, values: dict[str, Any]) -> Made:
        """One step more, unless it changes nothing."""
        plain = {key: values[key].item() for key in _ORDER if key in values and values[key].ndim == 0}
        if name.startswith("cast") or (name, plain) in _IDLE:
            return made
        if (name, plain) in _NOTHING:
            return Made(made.name, made.feature, _ZERO)
        if name == "recode":
            return self._looked_up(made, values["table"], plain["offset"])
        if name == "between":
            return _between(made, plain["low"], plain["high"])
        if name == "power":
            return made.then(_power_step(values))
        if name == "equals" and plain["code"] == "":
            return made.then({"step": "is_missing"}, name=f"{made.feature}:missing")
        if name == "equals":
            return _equals(made, self.columns[made.feature], plain["code"])
        return made.then({"step": name, **plain}, name=f"{made.name.split('.')[0]}:missing" if name == "is_missing" else "")

    def _looked_up(self, made: Made, table: Any, offset: int) -> Made:
        """Other codes, or means of the target, one number of it after the other."""
        found = table[offset : offset + self.columns[made.feature].n_codes].tolist()
        if table.dtype.kind != "f":
            return made.then({"step": "recode", "codes": found})
        what = self.encodings[offset * len(self.encodings) // len(table)]
        return made.then({"step": "mean", "means": found}, name=f"{made.feature}:{what}")

    def _read_quantile(self, expression: Expression) -> Made | None:
        """The longest step, of which there is one pattern for each length of its tables."""
        for length in sorted({len(array) for array in self.expressions.constants.values() if array.dtype == np.int16}):
            for ends in (True, False):
                bound = self.expressions.match(self._quantile_pattern(length, ends=ends), expression)
                if bound is None or (made := self.read(bound["x"])) is None:
                    continue
                return made.then(_quantile_step(self.expressions, bound, ends=ends))
        return None

    def _quantile_pattern(self, length: int, *, ends: bool) -> Expression:
        key = (length, ends)
        if key not in self._quantiles:
            self._quantiles[key] = _quantile_pattern(self.expressions, length, ends=ends)
        return self._quantiles[key]


# Numbers of a power, for either sign.
_POWER = ("anchor", "rate", "factor", "offset")
# Numbers of a step, in the order in which they are told.
_ORDER = ("value", "low", "high", "center", "scale", "by", "code", "offset", "factor", "constant")
# Steps that change nothing: a column that is not bent beside one that is, say.
_IDLE = (
    ("bend", {"by": 0.0}),
    ("scale", {"center": 0.0, "scale": 1.0}),
    ("times", {"factor": 1.0}),
    ("unless", {"constant": False}),
)
# Columns that are 0 for every row: an indicator without rows to train it on, or a constant.
_ZERO: tuple[Step, ...] = ({"step": "constant", "value": 0.0},)
_NOTHING = (("times", {"factor": 0.0}), ("unless", {"constant": True}))


def _patterns(e: Expressions) -> Iterator[tuple[str, Expression]]:
    """The steps by name, as expressions of ``x`` and constants."""
    x = e.make(ANY, value="x")

    def any_constant(name: str) -> Expression:
        return e.make(ANY, value=(name,))

    def number(value: Any) -> Expression:
        return e.constant(np.asarray(value))

    bent = e.make("Mul", x, any_constant("by"))
    first = number(np.int64(FIRST_LEVEL_CODE))
    as_number = e.make("Sub", e.make("Cast", x, value=(DOUBLE,)), number(np.float64(FIRST_LEVEL_CODE)))
    inside = e.make("And", e.make("GreaterOrEqual", x, any_constant("low")), e.make("Less", x, any_constant("high")))
    # The first that fits is it.
    yield "between", e.make("Cast", inside, value=(DOUBLE,))
    yield "cast", e.make("Cast", x, value=(FLOAT,))
    yield "cast to double", e.make("Cast", x, value=(DOUBLE,))
    yield "code", e.make("LabelEncoder", x)
    yield "recode", e.make("Gather", any_constant("table"), e.make("Add", x, any_constant("offset")))
    yield "rank", e.make("Where", e.make("GreaterOrEqual", x, first), as_number, number(np.float64(np.nan)))
    yield "equals", e.make("Equal", x, any_constant("code"))
    yield "fill", e.make("Where", e.make("IsNaN", x), any_constant("value"), x)
    yield "is_missing", e.make("IsNaN", x)
    yield "clip", e.make("Min", e.make("Max", x, any_constant("low")), any_constant("high"))
    yield "scale", e.make("Div", e.make("Sub", x, any_constant("center")), any_constant("scale"))
    yield "bend", e.make("Div", x, e.make("Sqrt", e.make("Add", e.make("Mul", bent, bent), number(np.float64(1)))))
    yield "power", _power_pattern(e, x)
    yield "unscale", e.make("Add", e.make("Mul", x, any_constant("scale")), any_constant("center"))
    yield "times", e.make("Mul", x, any_constant("factor"))
    yield "unless", e.make("Where", any_constant("constant"), number(np.float64(0)), x)


def _equals(made: Made, column: Column, code: int) -> Made:
    if code < 0:
        return Made(made.name, made.feature, _ZERO)
    if code == UNSEEN_CODE:
        return made.then({"step": "equals", "code": code, "level": None}, name=f"{made.feature}:rare")
    if code == MISSING_CODE:
        return made.then({"step": "equals", "code": code, "level": None}, name=f"{made.feature}:missing")
    codes: Sequence[int] = next((step["codes"] for step in made.steps if step["step"] == "recode"), [])
    if any(other not in (UNSEEN_CODE, own) for own, other in enumerate(codes)):
        # Of a column that is hashed, where a code stands for the levels of a bucket.
        return made.then({"step": "equals", "code": code, "level": None}, name=f"{made.feature}:hash{code - FIRST_LEVEL_CODE}")
    level = column.levels[code - FIRST_LEVEL_CODE]
    return made.then({"step": "equals", "code": code, "level": level}, name=f"{made.feature}={level}")


def _between(made: Made, low: float, high: float) -> Made:
    """A bin; of those beyond a column's last one nothing but 0 comes."""
    if low == np.inf:
        return Made(made.name, made.feature, _ZERO)
    low_high = {"low": low, "high": high}
    return made.then({"step": "between", **{end: value if np.isfinite(value) else None for end, value in low_high.items()}})


def _date_parts(e: Expressions, feature: str, value: Expression) -> Iterator[tuple[Made, Expression]]:
    """Every part of a date with the expression that it is in a graph."""
    g = GraphBuilder()
    time = CivilTime(g, g.input("x", "INT64", ["N", 1]))
    parts = {part: time.part(part) for part in get_args(DatePart) if not part.endswith(CYCLIC)}
    for part in (part for part in get_args(DatePart) if part.endswith(CYCLIC)):
        stem = part.removesuffix(CYCLIC)
        parts |= {f"{stem}_sin": g.op("Sin", time.phase(part)), f"{stem}_cos": g.op("Cos", time.phase(part))}
    values = {part: g.op("Where", time.missing, g.const(np.float64(np.nan)), made) for part, made in parts.items()}
    known = e.follow(g.to_model().graph, {"x": (value,)})
    for part, made in values.items():
        yield Made(f"{feature}.{part}", feature, ({"step": "date_part", "part": part},)), known[made.name][0]


def _power_pattern(e: Expressions, x: Expression) -> Expression:
    """What :class:`Power` emits for one column."""
    marks = {(name, side): 7.5 + 2 * i + side for i, name in enumerate(_POWER) for side in (0, 1)}
    pairs = {name: np.array([[marks[name, 0]], [marks[name, 1]]]) for name in _POWER}
    marked = Power(shift=np.array([5.5]), **pairs, low=np.zeros(1), high=np.zeros(1))
    g = GraphBuilder()
    made = marked.emit(g, g.input("x", "DOUBLE", ["N", 1]))
    built = e.follow(g.to_model().graph, {"x": (x,)})[made.name][0]
    named = {f"{name}{side}": value for (name, side), value in marks.items()} | {"shift": 5.5}
    return e.replace(built, {x: x, **{e.constant(np.asarray(at)): e.make(ANY, value=(name,)) for name, at in named.items()}})


def _power_step(values: Mapping[str, Any]) -> Step:
    negative, other = ({name: values[f"{name}{side}"].item() for name in _POWER} for side in (0, 1))
    return {"step": "power", "shift": values["shift"].item(), "negative": negative, "other": other}


def _quantile_pattern(e: Expressions, length: int, *, ends: bool) -> Expression:
    """What :class:`Quantiles` emits for one column with tables of this length."""
    knots = np.arange(length) + 0.123
    first, last = ((np.arange(length) % 1000 + shift).astype(np.int16) for shift in (7, 8))
    ends_at = {"lowest": np.array([-3.3]), "highest": np.array([-4.4])}
    tables = {"knots": knots, "first": first, "last": last}
    below = {name: table[:, None] for name, table in tables.items()}
    marked = Quantiles(**below, **ends_at, n_ranks=98_766, extreme=ends)
    g = GraphBuilder()
    made = marked.emit(g, g.input("x", "DOUBLE", ["N", 1]))
    x = e.make(ANY, value="x")
    built = e.follow(g.to_model().graph, {"x": (x,)})[made.name][0]
    marks = {**tables, "top": np.asarray(98_765.0), "middle": np.asarray(knots[length // 2])}
    marks |= {name: array.reshape(()) for name, array in ends_at.items()}
    return e.replace(built, {x: x, **{e.constant(mark): e.make(ANY, value=(name,)) for name, mark in marks.items()}})


def _quantile_step(e: Expressions, bound: dict[Any, Expression], *, ends: bool) -> Step:
    knots, first, last, top = (e.constants[bound[(name,)]] for name in ("knots", "first", "last", "top"))
    # What is behind the last knot fills the table up.
    n = int((knots < np.finfo(np.float64).max).sum())
    tables = {"knots": knots[:n].tolist(), "first": first[:n].tolist(), "last": last[:n].tolist()}
    return {"step": "quantile", **tables, "n_ranks": int(top) + 1, "ends": ends}
