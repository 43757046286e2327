"""Formulas: what they compute, against numpy, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.preprocess.arithmetic import emit_formula
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.formulas import LONGEST, Formula
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Column
from onnxlearn.testing import check_step
from tests.core.hand_tables import AGE, CITY, SIZE, draw_feeds, feed, run_model, schema_of

A, B = (Column(name=name, kind="numeric", dtype="float64", has_missing=True) for name in "ab")
HARD = [0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 1e-320, 1e200, -1e200, 1.7e308, np.inf, -np.inf, np.nan, 710.0, 0.5]


def computed(text, **columns):
    """What the graph makes of columns."""
    g = GraphBuilder()
    values = {name: g.input(name, "DOUBLE", ["N", 1]) for name in columns}
    g.output(emit_formula(g, Formula.parse("f", text), values), "y", "DOUBLE", ["N", 1])
    feeds = {name: np.asarray(column, np.float64).reshape(-1, 1) for name, column in columns.items()}
    return run_model(g.to_model(), feeds)["y"].ravel()


def pairs():
    return (np.array(side) for side in zip(*[(x, y) for x in HARD for y in HARD], strict=True))


def finite(x):
    return np.where(np.isfinite(x), x, np.nan)


MEANINGS = {
    "a + b": lambda a, b: a + b,
    "a - b * 2": lambda a, b: a - finite(b * 2),
    "a / b": lambda a, b: a / b,
    "1 / (1 / a) + 0 * b": lambda a, b: 1 / finite(1 / a) + 0 * b,
    "a ** b": lambda a, b: np.where(np.isnan(a) | np.isnan(b), np.nan, a**b),
    "log(a) + 0 * b": lambda a, b: finite(np.log(a)) + 0 * b,
    "exp(a) - exp(b)": lambda a, b: finite(np.exp(a)) - finite(np.exp(b)),
    "sqrt(a) + abs(-b)": lambda a, b: np.sqrt(a) + np.abs(b),
    "min(a, b, 1)": lambda a, b: np.minimum(np.minimum(a, b), 1),
    "max(a, b)": np.maximum,
    "a < b": lambda a, b: np.where(np.isnan(a) | np.isnan(b), np.nan, a < b),
    "(a >= b) * (a != 1)": lambda a, b: np.where(np.isnan(a) | np.isnan(b), np.nan, (a >= b) & (a != 1)),
    "-(a == b) + +1.5": lambda a, b: np.where(np.isnan(a) | np.isnan(b), np.nan, 1.5 - (a == b)),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_what_is_no_finite_number_is_missing(text):
    a, b = pairs()
    with np.errstate(all="ignore"):
        want = finite(MEANINGS[text](finite(a), finite(b)))
    np.testing.assert_allclose(computed(text, a=a, b=b), want, rtol=1e-14)


@pytest.mark.parametrize("text", ["exp(a)", "log(a)", "a ** 3", "a ** b", "sqrt(a)"])
def test_a_row_gives_the_same_in_every_batch(text):
    a, b = np.random.default_rng(0).gamma(1.0, 2.0, (2, 300))
    b[::2] = 3
    columns = {"a": a, "b": b} if "b" in text.replace("sqrt", "") else {"a": a}
    whole = computed(text, **columns)
    for start, end in [(0, n) for n in (2, 3, 5, 7, 37, 299)] + [(i, i + 1) for i in range(100)]:
        part = computed(text, **{name: column[start:end] for name, column in columns.items()})
        np.testing.assert_array_equal(part, whole[start:end])


def test_names_that_are_no_identifiers_stand_in_backticks():
    assert computed("`bill length` / `1_a` + log", **{"bill length": [6.0], "1_a": [3.0], "log": [0.5]}) == [2.5]
    assert Formula.parse("f", "log(log) + `class`").sources == ("class", "log")


def test_a_formula_is_a_column_of_numbers():
    config = PreprocessConfig(formulas={"per": "age / size", "old": "age * 2"}, num_scaler="none")
    feeds = {"age": feed(AGE, [40.0, np.nan, 8.0, 10.0, 2.0]), "size": feed(SIZE, [2.0, 1.0, 0.0, 5.0, 1.0])}
    steps = Preprocessing.fit(schema_of(AGE, SIZE), config, feeds)
    ingress = steps.schema.ingress
    assert ingress.num_names == ("age", "per", "old", "size", "age:missing", "per:missing", "old:missing")
    assert ingress.num_sources == ("age", "", "age", "size", "age", "", "age")
    num = steps.transform(feeds)["num"]
    # The median of 20, 2 and 2 stands for what is missing, and indicators tell where.
    np.testing.assert_array_equal(num[:, 1], [20, 2, 2, 2, 2])
    np.testing.assert_array_equal(num[:, 5], [0, 1, 1, 0, 0])
    check_step(steps, feeds)


def test_whole_numbers_keep_their_digits():
    assert computed("a - b", a=[2.0**53], b=[2.0**53 - 1]) == [1.0]
    feeds = draw_feeds(schema_of(AGE, SIZE), 30)
    steps = Preprocessing.fit(schema_of(AGE, SIZE), PreprocessConfig(formulas={"s": "size * 3"}, num_scaler="none"), feeds)
    np.testing.assert_array_equal(
        steps.transform(feeds)["num"][:, 1], (feeds["size"].ravel().astype(np.float64) * 3).astype(np.float32)
    )


REFUSED = {
    "__import__('os').system('x')": "is not allowed",
    "a.real": "'a.real' in 'a.real' is not allowed",
    "a[0]": "is not allowed",
    "[a for a in b]": "is not allowed",
    "lambda: a": "is not allowed",
    "eval(a)": r"'eval\(a\)' in 'eval\(a\)' is not allowed; formulas have \+ - \* / \*\*, comparisons",
    "log(a, b)": "is not allowed",
    "max(a)": "is not allowed",
    "max(a, key=b)": "is not allowed",
    "a < b < 1": "is not allowed",
    "a and b": "is not allowed",
    "'text' + a": "is not allowed",
    "True + a": "is not allowed",
    "1j * a": "is not allowed",
    "(a := b)": "is not allowed",
    "a +": "cannot be read",
    "a; b": "cannot be read",
    "": "cannot be read",
    "a\0": "cannot be read",
    "1 + 2": "names no column",
    "(" * 400 + "a" + ")" * 400: "cannot be read",
    "1e999 * a": "is not allowed",
    "a + " * LONGEST + "a": f"has 4001 characters: at most {LONGEST}",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20].replace("\0", "0"))
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ParameterError, match=REFUSED[text]):
        PreprocessConfig(formulas={"f": text})


def test_columns_have_to_be_numbers_of_the_task():
    for formulas, message in (
        (
            {"f": "age + city"},
            "formula 'f', 'age \\+ city': 'city' is categorical; formulas compute with columns of numbers: 'age'",
        ),
        ({"f": "age + weight"}, "'weight' is none of the task's columns"),
        ({"age": "size * 2"}, "formula 'age' has the name of a column: choose another one"),
        ({"price": "size * 2"}, "formula 'price' has the name of a column: choose another one"),
        ({"age:missing": "size * 2"}, "formula 'age:missing' has the name of what is made of a column: choose another one"),
    ):
        with pytest.raises(ParameterError, match=message):
            plan_ingress(schema_of(AGE, SIZE, CITY), PreprocessConfig(formulas=formulas))
    for wrong in ({"f": 3}, {3: "age"}, {"": "age"}):
        with pytest.raises(ParameterError, match="formulas has names and texts"):
            PreprocessConfig(formulas=wrong)


TEXTS = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5", "-1"]),
    lambda part: (
        st.tuples(part, st.sampled_from(["+", "-", "*", "/", "**", "<", "!="]), part).map(lambda x: f"({x[0]} {x[1]} {x[2]})")
        | st.tuples(st.sampled_from(["log", "exp", "sqrt", "abs"]), part).map(lambda x: f"{x[0]}({x[1]})")
        | st.tuples(st.sampled_from(["min", "max"]), part, part).map(lambda x: f"{x[0]}({x[1]}, {x[2]})")
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_every_formula_keeps_the_contract(text):
    schema = schema_of(A, B)
    a, b = pairs()
    feeds = {"a": feed(A, a), "b": feed(B, b)}
    config = PreprocessConfig(formulas={"f": f"{text} + 0 * a"})
    check_step(Preprocessing.fit(schema, config, feeds), feeds)
