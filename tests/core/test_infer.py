"""Kinds, training types and levels of columns; what is noticed, and what no kind can use."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from onnxlearn.errors import DataError, DataTypeError
from onnxlearn.schema import Column
from onnxlearn.tasks.infer import infer_column

UTC = dt.UTC


def infer(values, dtype=None, **options):
    return infer_column(pd.Series(values, dtype=dtype), "x", **options)


def arrow(type_):
    return pd.ArrowDtype(type_)


KINDS = [
    ([1.5, None], "float64", "numeric", "float64"),
    ([1.5, 2], "float32", "numeric", "float32"),
    ([1.5, 2], "float16", "numeric", "float32"),
    ([1.5, None], "Float32", "numeric", "float32"),
    ([1.5, None], "Float64", "numeric", "float64"),
    ([1.5, None], arrow(pa.float64()), "numeric", "float64"),
    ([1.5, None], arrow(pa.float32()), "numeric", "float32"),
    ([1, 2], "int64", "numeric", "int64"),
    ([1, 2], "uint8", "numeric", "int64"),
    ([1, None], "Int16", "numeric", "int64"),
    ([1, None], arrow(pa.int32()), "numeric", "int64"),
    ([1, None, 2], object, "numeric", "int64"),
    ([1, 2.5, np.float32(1)], object, "numeric", "float64"),
    ([Decimal("1.5"), None, Decimal("NaN")], object, "numeric", "decimal"),
    ([Decimal("1.5"), 2], object, "numeric", "decimal"),
    ([Decimal("1.500"), None], arrow(pa.decimal128(9, 3)), "numeric", "decimal"),
    ([dt.timedelta(1), None], None, "numeric", "duration"),
    ([dt.timedelta(1), None], object, "numeric", "duration"),
    ([dt.timedelta(1), None], arrow(pa.duration("us")), "numeric", "duration"),
    ([True, False], "bool", "boolean", "bool"),
    ([True, None], "boolean", "boolean", "bool"),
    ([True, None, np.False_], object, "boolean", "bool"),
    ([True, None], arrow(pa.bool_()), "boolean", "bool"),
    (["b", "a", None, ""], None, "categorical", "str"),
    (["b", "a", None, ""], object, "categorical", "str"),
    (["b", "a", None], "string[python]", "categorical", "str"),
    (["b", "a", None], arrow(pa.string()), "categorical", "str"),
    ([dt.datetime(2020, 1, 1), None], None, "datetime", "naive"),
    ([dt.datetime(2020, 1, 1, tzinfo=UTC), None], None, "datetime", "utc"),
    ([dt.datetime(2020, 1, 1, tzinfo=UTC), None], object, "datetime", "utc"),
    ([dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)], object, "datetime", "naive"),
    ([dt.date(2020, 1, 1), None], arrow(pa.date32()), "datetime", "naive"),
    ([dt.datetime(2020, 1, 1), None], arrow(pa.timestamp("us")), "datetime", "naive"),
    ([dt.datetime(2020, 1, 1), None], arrow(pa.timestamp("us", "UTC")), "datetime", "utc"),
    (["2020-01-01", None, "1960-12-31T23:59"], None, "datetime", "naive"),
    (["2020-01-01T00:00Z", ""], object, "datetime", "utc"),
    ([None, None], object, "numeric", "float64"),
    ([np.nan, np.nan], None, "numeric", "float64"),
]


@pytest.mark.parametrize(("values", "dtype", "kind", "held"), KINDS)
def test_kinds(values, dtype, kind, held):
    column = infer(values, dtype).column
    assert (column.kind, column.dtype) == (kind, held)
    assert column.has_missing == any(pd.isna(value) or value == "" for value in values)


@pytest.mark.parametrize("values", [[1, 0], [1.0, None, 0.0], pd.array([0, None], "Int8"), np.float32([0, 1]), [True, False]])
def test_zeros_and_ones_may_be_declared_boolean(values):
    inferred = infer(values, kind="boolean")
    assert (inferred.column.kind, inferred.column.dtype) == ("boolean", "bool" if type(values[0]) is bool else "int64")
    assert inferred.column.has_missing == bool(pd.Series(values).hasnans)


def test_levels_are_sorted_and_without_missing():
    assert infer(["b", "", "a", None, "ä", "a"]).column.levels == ("a", "b", "ä")
    assert infer([3, 1, 2, 1], kind="categorical").column == Column(
        name="x", kind="categorical", dtype="int64", levels=(1, 2, 3)
    )


def test_pandas_categoricals_keep_their_order_and_unused_levels():
    unordered = infer(pd.Categorical(["m", "s", None], categories=["s", "m", "l"]))
    assert unordered.column == Column(name="x", kind="categorical", dtype="str", levels=("s", "m", "l"), has_missing=True)
    ordered = infer(pd.Categorical([2, 1], categories=[2, 1, 3], ordered=True))
    assert ordered.column == Column(name="x", kind="ordered", dtype="int64", levels=(2, 1, 3))
    assert infer(pd.Categorical(["m", "s"], categories=["s", "m", "l"]), kind="ordered").column.levels == ("s", "m", "l")
    dictionary = pd.Series(["b", "a"], dtype="category").astype(arrow(pa.dictionary(pa.int8(), pa.string())))
    assert infer_column(dictionary, "x").column.levels == ("a", "b")


def test_categoricals_of_other_values_are_what_they_hold():
    assert infer(pd.Categorical([True, False])).column.kind == "boolean"
    assert infer(pd.Categorical(pd.to_datetime(["2020-01-01"]))).column.kind == "datetime"
    assert infer(pd.Categorical([1, 2]), kind="numeric").column.dtype == "int64"
    assert infer(pd.Categorical([1.5, 2]), kind="numeric").column.dtype == "float64"
    assert infer(pd.Categorical([True, False])).notes == ["column 'x': a Categorical of booleans, taken as boolean"]


def test_categoricals_of_numbers_are_categories():
    whole = infer(pd.Categorical([2.0, None, 1.0], categories=[2.0, 1.0, 3.0], ordered=True))
    assert whole.column == Column(name="x", kind="ordered", dtype="int64", levels=(2, 1, 3), has_missing=True)
    assert whole.notes == ["column 'x': whole numbers stored as floats; its levels are integers"]
    for values in (
        pd.Categorical([1.5, 2.5]),
        pd.Categorical([1.0], categories=[1.0, 2.5]),
        pd.cut([1, 5], 2, labels=[0.1, 0.2]),
    ):
        with pytest.raises(DataTypeError, match=r"holds the number .*; convert it with .astype\(float\) to train on numbers"):
            infer(values)


def test_slips_are_told_from_text():
    days = [f"2020-01-{day:02}" for day in range(1, 29)]
    assert infer([*days, "soon"]).notes[0].startswith("column 'x': 28 of 29 cells are ISO dates, 'soon' (row 28) is not, so")
    flags = infer([*["true", "false"] * 20, "maybe", None, "?"])
    assert "40 of 42 cells are booleans, 'maybe' (row 40), '?' are not, so all" in flags.notes[0]
    assert "say --na maybe --na '?' beside" in flags.notes[0]
    assert infer(["1", "2", "a"] * 20).notes == []
    assert infer([*map(str, range(60)), *"abcdef"] * 2).notes[0].endswith("the rarest count as unseen (min_level_rows)")
    assert infer([*["1", "2"] * 20, "3+"], kind="categorical").notes == []


DATES = ["31/12/2020", "12/31/2020", "31.12.2020", "31-12-2020", "2020/12/31", "2020.12.31", "1/2/2020"]
TIMES = ["31/12/2020 23:59", "12/31/2020 11:59:30 PM", "31.12.2020 23:59:30", "2020/12/31T23:59:30.5Z"]
NUMBERS = ["1,5", "-0,25", ",5", "1,234", "1,234,567.5", "1.234.567,5", "1.234,5", "12 345", "1'234.5", "1,5e3"]


@pytest.mark.parametrize("text", [*DATES, *TIMES])
def test_dates_in_another_form_are_noted(text):
    inferred = infer([text, None, text.replace("2020", "1920")] * 2)
    assert inferred.column.kind == "categorical"
    (note,) = inferred.notes
    assert note == (
        f"column 'x': its cells look like dates ({text!r}) and are taken as text; to train on dates write them as YYYY-MM-DD "
        "or YYYY-MM-DDTHH:MM:SS (of a data frame: pandas.to_datetime(..., format=...))"
    )


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_in_another_form_are_noted(text):
    inferred = infer(["1000", text, None, "2"] * 2)
    assert inferred.column.kind == "categorical"
    (note,) = inferred.notes
    assert note == (
        f"column 'x': its cells look like numbers with decimal commas or thousands separators ({text!r}) and are taken as "
        "text; to train on numbers write them like 1234.5 (of a data frame: pandas.read_csv(..., decimal=',', thousands='.'))"
    )


@pytest.mark.parametrize(
    "texts",
    [
        ["31/12/2020", "never"],
        ["31/13/2020", "1/2/2020"],
        ["0/12/2020", "1/2/2020"],
        ["32/12/2020", "1/2/2020"],
        ["31/12.2020", "1/2/2020"],
        ["2020/13/31", "2020/1/2"],
        ["1,5", "a"],
        ["1,23,4", "1,2"],
        ["12 34", "1 2"],
        ["1,5", "31/12/2020"],
        [","],
    ],
)
def test_other_text_is_no_odd_date_or_number(texts):
    assert infer(texts * 3).notes in ([], [f"column 'x' has one value only, {texts[0]}; it says nothing"])
    assert infer(["1,5", "2,5"], kind="categorical").notes == []


def test_odd_dates_that_never_repeat_are_noted_too():
    inferred = infer([f"{day:02}.03.2021" for day in range(1, 20)])
    assert inferred.is_id
    assert inferred.notes[0].startswith("column 'x': its cells look like dates ('01.03.2021')")


def test_half_a_surrogate_pair_is_refused():
    message = r"column 'x', row 2: the text 'b\\ud800' holds half a surrogate pair and is no Unicode; decode the source again"
    for options in ({}, {"kind": "numeric"}, {"kind": "categorical"}, {"levels": ["a"]}):
        with pytest.raises(DataTypeError, match=message):
            infer(["a", "\u00e9", "b\ud800"], object, **options)


def test_whole_floats_as_categories_become_integers_and_say_so():
    inferred = infer([3.0, None, 1.0], kind="categorical")
    assert inferred.column.levels == (1, 3)
    assert inferred.column.dtype == "int64"
    assert inferred.notes == ["column 'x': whole numbers stored as floats; its levels are integers"]


def test_declared_levels():
    assert infer(["b", "a"], levels=["b", "c", "a"]).column == Column(
        name="x", kind="categorical", dtype="str", levels=("b", "c", "a")
    )
    assert infer([1, 2], kind="ordered", levels=[2, 1, 0]).column.levels == (2, 1, 0)
    assert infer([2.0, None], levels=[1, 2]).column.dtype == "int64"
    assert infer([None, None], levels=["a"]).column.levels == ("a",)
    assert infer([2, 1, 3], kind="ordered").column.levels == (1, 2, 3)


BAD = [
    ([1j], {}, "holds a complex, which no kind of column can use; split it into real and imaginary part"),
    ([b"a"], {}, "holds the bytes b'a', which no kind of column can use; decode it"),
    ([[1], [2]], {}, "holds a list, which no kind of column can use; give each element a column of its own"),
    ([{"a": 1}], {}, r"holds a dict, which no kind of column can use; convert it to text with .astype\(str\), or ignore"),
    ([pd.Interval(0, 1)], {}, r"convert it to text with .astype\(str\)"),
    ([1, "a"], {}, "mixes types: the number 1 and the text 'a'; convert all of its values to one type"),
    ([True, 1], {}, "mixes types: the boolean True and the number 1"),
    ([True, 0.5], {}, "mixes types"),
    ([dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=UTC)], {}, "mixes types: the naive date .* and the zoned date"),
    (["2020-01-01", "2020-01-01T00:00Z"], {}, "mixes dates with and without a time zone; .*declare the column categorical"),
    (
        ["a"],
        {"kind": "numeric"},
        "column 'x', row 0: .*declared numeric and holds the text 'a'; write numbers like 1.5; if .*, say --na a ",
    ),
    (["1", None, "?", "b"], {"kind": "numeric"}, r"row 2: .*holds the text '\?'; .*--na '\?' beside"),
    (["1", "2"], {"kind": "numeric"}, "is declared numeric and holds the text '1'; convert it with pandas.to_numeric"),
    (["true", "no"], {"kind": "boolean"}, "row 1: .*declared boolean and holds the text 'no'; write true or false"),
    ([True], {"kind": "numeric"}, r"is declared numeric and holds the boolean True; leave it boolean, or .*\.astype\(int\)"),
    ([True], {"kind": "datetime"}, "is declared datetime and holds the boolean True; leave it boolean"),
    ([dt.datetime(2020, 1, 1)], {"kind": "numeric"}, "leave it datetime"),
    ([pd.Interval(0, 1)], {}, "holds an Interval"),
    (
        [1, 2],
        {"kind": "boolean"},
        r"is declared boolean and holds the number 2; write 0 and 1, or true and false, or leave it numeric",
    ),
    (
        [1],
        {"kind": "datetime"},
        "is declared datetime and holds the number 1; convert it with pandas.to_datetime, naming the unit",
    ),
    (["yesterday"], {"kind": "datetime"}, "is declared datetime and holds the text 'yesterday'; write dates as YYYY-MM-DD"),
    ([1.5], {"kind": "categorical"}, "is declared categorical and holds the number 1.5; leave it numeric"),
    ([True], {"kind": "categorical"}, "holds the boolean True; leave it boolean"),
    ([dt.datetime(2020, 1, 1)], {"kind": "categorical"}, "leave it datetime"),
    (["a"], {"kind": "ordered"}, r"text has no order of its own; give levels=\{'x': \[lowest, ..., highest\]\}"),
    ([1.5], {"kind": "text"}, r"is declared text and holds the number 1.5; in a data frame convert it with .astype\(str\)"),
    (["a"], {"kind": "text", "levels": ["a"]}, "is text and has no levels; declare it categorical or ordered"),
    ([1.5], {"kind": "image"}, "an image is a path, bytes, a dictionary with 'bytes' or 'path', or a uint8 array, not a value"),
    (["a.png"], {"kind": "image", "levels": ["a.png"]}, "is declared image and has neither levels nor strict_bool"),
    (["a"], {"kind": "nominal"}, "there is no kind 'nominal'; use one of 'numeric'"),
    (["a", "c"], {"levels": ["a", "b"]}, "holds 'c', not among the levels given for it; add them to levels="),
    (["a"], {"levels": ["a", "a"]}, "name 'a' twice; name each once"),
    (["a"], {"levels": ["a", ""]}, "a missing value is no level: leave it out"),
    (["a"], {"levels": []}, "must be non-empty values"),
    (["a"], {"levels": "abc"}, r"expected a list, got the text 'abc'; write \['abc'\]"),
    (["a"], {"levels": [1]}, r"column 'x', levels\[0\]: expected text as in training, got the number 1"),
    ([1], {"levels": ["1"]}, r"column 'x', levels\[0\]: expected a whole number as in training, got the text '1'"),
    ([1.5], {"kind": "numeric", "levels": ["1"]}, "is numeric and has no levels; declare it categorical or ordered"),
    ([1], {"strict_bool": True}, "is numeric, and strict_bool is for boolean columns only"),
    ([True, None], {"strict_bool": True}, "is declared strict_bool and has missing values; fill them"),
    ([2**63], {"kind": "categorical"}, "beyond int64; convert the column to text"),
]


@pytest.mark.parametrize(("values", "options", "message"), BAD)
def test_what_cannot_be_used(values, options, message):
    with pytest.raises(DataError, match=message) as caught:
        infer_column(pd.Series(values, dtype=object), "x", **options)
    assert "'x'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_and_complex_dtypes():
    with pytest.raises(DataTypeError, match="holds a complex"):
        infer([1j, 2j])
    with pytest.raises(DataTypeError, match="holds the bytes b'a'"):
        infer([b"a"], arrow(pa.binary()))
    with pytest.raises(DataTypeError, match="holds a list"):
        infer([[1]], arrow(pa.list_(pa.int64())))
    with pytest.raises(DataTypeError, match="holds a Period"):
        infer(pd.period_range("2020", periods=2, freq="M"))


NOTES = [
    ([None, None], {}, ["column 'x' has no values at all; it is kept as numeric and says nothing"]),
    ([3, 3, None], {}, ["column 'x' has one value only, 3.0; it says nothing"]),
    (
        ["2020-01-01", "2020-01-02"],
        {},
        ["column 'x': its text holds ISO dates, read as datetime; declare it categorical if they are names"],
    ),
    (["2020-01-01", "2020-01-02"], {"kind": "datetime"}, []),
    (["1", "2", "1"], {}, ["column 'x': numbers written as text, taken as categories"]),
    (
        [*"abcdefghijkl", *"abcdefghijkl", "m", "m", "m"],
        {},
        ["column 'x': 12 of 13 levels occur at most 2 times; the rarest count as unseen (min_level_rows)"],
    ),
    ([*"abc"] * 20, {}, []),
    ([1.5, 2.5], {}, []),
    ([pd.Timestamp(1500, unit="ns")] * 2 + [pd.Timestamp(0)], {}, ["column 'x': dates are floored to the microsecond"]),
    (
        ["2020-01-01T00:00:00.1234567", "2020-01-01T00:00:00"],
        {"kind": "datetime"},
        ["column 'x': dates are floored to the microsecond"],
    ),
]


@pytest.mark.parametrize(("values", "options", "notes"), NOTES)
def test_notes(values, options, notes):
    inferred = infer(values, **options)
    assert inferred.notes == notes
    assert not inferred.is_id


NEVER = "integers that never repeat, trained on as numbers"
HARDLY = "text that hardly ever repeats, trained on as categories"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([i * 7 % 1009 for i in range(60)], NEVER),
        (pd.array([None, *(i * 7 % 1009 for i in range(60))], dtype="Int64"), NEVER),
        ([i * 7 % 1009 for i in range(49)], None),
        ([*(f"k{i}" for i in range(59)), "k0"], HARDLY),
        ([f"k{i % 50}" for i in range(60)], None),
        ([i + 0.5 for i in range(60)], None),
    ],
)
def test_what_may_name_the_rows_is_warned_of(values, said):
    inferred = infer(values)
    assert inferred.warned == ([] if said is None else [f"column 'x': {said}; if it names the rows, say id='x' (--id x)"])
    assert not inferred.is_id


@pytest.mark.parametrize(
    ("values", "is_id"),
    [
        ([f"k{i}" for i in range(10)], True),
        ([f"k{i}" for i in range(9)], False),
        ([*(f"k{i}" for i in range(10)), None], True),
        ([*(f"k{i}" for i in range(9)), None], False),
        ([*(f"k{i}" for i in range(10)), "k0"], False),
        (list(range(5, 15)), True),
        (list(range(14, 4, -1)), True),
        ([*range(9), 99], False),
        ([float(i) for i in range(20)], False),
        (pd.Categorical([f"k{i}" for i in range(10)]), True),
        ([f"2020-01-{i:02}" for i in range(1, 20)], False),
        (pd.array(range(10), dtype="Int64"), True),
    ],
)
def test_identifiers(values, is_id):
    assert infer(values).is_id == is_id
    if not isinstance(values, pd.Categorical):
        kind = "categorical" if isinstance(values[0], str) else "numeric"
        assert not infer(values, kind=kind).is_id
