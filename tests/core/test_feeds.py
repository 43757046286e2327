"""The four ways into a model agree on every value: what goes on the wire, and what is refused."""

import datetime as dt
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError
from onnxlearn.schema import MISSING_INT64, Column, Schema, Target
from onnxlearn.wire.feeds import cells_feeds, frame_feeds, row_encoder, values_feeds

TARGET = Target(names=("y",), type="classification", dtype="str", classes=("a", "b"), positive="b")
COLUMNS = (
    Column(name="number", kind="numeric", dtype="float64"),
    Column(name="single", kind="numeric", dtype="float32"),
    Column(name="count", kind="numeric", dtype="int64"),
    Column(name="money", kind="numeric", dtype="decimal"),
    Column(name="wait", kind="numeric", dtype="duration"),
    Column(name="word", kind="categorical", dtype="str", levels=("a", "b")),
    Column(name="code", kind="categorical", dtype="int64", levels=(1, 2)),
    Column(name="size", kind="ordered", dtype="str", levels=("small", "big")),
    Column(name="flag", kind="boolean", dtype="bool"),
    Column(name="strict", kind="boolean", dtype="bool", strict_bool=True),
    Column(name="bit", kind="boolean", dtype="int64"),
    Column(name="strict bit", kind="boolean", dtype="int64", strict_bool=True),
    Column(name="day", kind="datetime", dtype="naive"),
    Column(name="moment", kind="datetime", dtype="utc"),
)
BY_NAME = {column.name: column for column in COLUMNS}
MISSING = [None, math.nan, pd.NA, pd.NaT, "", np.datetime64("NaT"), np.timedelta64("NaT"), Decimal("NaN"), np.float32("nan")]
ZONE = dt.timezone(dt.timedelta(hours=2))

VALUES = st.one_of(
    st.sampled_from(MISSING),
    st.booleans(),
    st.sampled_from(
        [np.True_, np.int8(3), np.int64(2**53 + 1), np.uint64(2**64 - 1), np.float32(0.5), np.float16(2), np.str_("a")]
    ),
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63, 2**63 - 1]),
    st.floats(),
    st.sampled_from([1e300, 3.4028235677973366e38, 3.4028234e38, 1.0, 2.0**53, 5e-324]),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(st.characters(), max_size=4),
    st.sampled_from(
        ["a", "1", "1.0", "true", "nan", "NA", "\ud800", "2020-02-29", "2020-02-30", "1969-12-31T23:59:59.9999999Z"]
    ),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([dt.UTC, ZONE])),
    st.dates(),
    st.timedeltas(),
    st.sampled_from(
        [np.datetime64("1960-01-01T00:00:00.000000001"), np.timedelta64(-1500, "ns"), pd.Timestamp("2020-01-01", tz="CET")]
    ),
    st.sampled_from([b"a", 1j, [1], (1,), {"a": 1}, object]),
)


def schema_of(*columns: Column) -> Schema:
    return Schema(name="t", features=columns, target=TARGET)


def outcome(call):
    """The wire's bytes, or the reason of the refusal without its place."""
    try:
        array = call()
    except DataTypeError as error:
        return str(error).split(": ", 1)[1].partition("; ")[0]
    assert array.flags.c_contiguous
    assert array.shape[1] == 1
    if array.dtype == object:
        assert {type(value) for value in array[:, 0]} <= {str}
    return array.dtype, array.shape, repr(array.tolist())


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_frames_values_and_rows_agree(column, value):
    schema = schema_of(column)
    series = pd.Series([value], dtype=object, name=column.name)
    by_value = outcome(lambda: values_feeds({column.name: [value]}, schema)[column.name])
    assert outcome(lambda: row_encoder(schema)({column.name: value})[column.name]) == by_value
    assert outcome(lambda: frame_feeds(series.to_frame(), schema)[column.name]) == by_value


FRAME_DTYPES = {
    "int8": st.integers(-128, 127),
    "uint64": st.integers(0, 2**64 - 1) | st.just(2**53 + 1),
    "int64": st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 1, 2**53 + 2),
    "float32": st.floats(width=32),
    "float64": st.floats() | st.integers(-3, 3).map(float),
    "bool": st.booleans(),
    "Int64": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3),
    "UInt8": st.none() | st.integers(0, 255),
    "Float64": st.none() | st.floats(allow_nan=False),
    "boolean": st.none() | st.booleans(),
    "str": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.sampled_from(["2020-01-01", "a"]),
    "string[python]": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    "string[pyarrow]": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    "datetime64[ns]": st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
    "datetime64[s]": st.none() | st.datetimes().map(lambda when: when.replace(microsecond=0)),
    "datetime64[us, UTC]": st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    "datetime64[ms, Europe/Berlin]": st.none()
    | st.datetimes(dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)).map(lambda when: when.replace(microsecond=0)),
    "timedelta64[ns]": st.none() | st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
    "timedelta64[s]": st.none()
    | st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)).map(lambda d: d - d % dt.timedelta(seconds=1)),
    "int64[pyarrow]": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3),
    "double[pyarrow]": st.none() | st.floats(),
    "bool[pyarrow]": st.none() | st.booleans(),
    "large_string[pyarrow]": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    "timestamp[us][pyarrow]": st.none() | st.datetimes(),
    "timestamp[ns, tz=UTC][pyarrow]": st.none()
    | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC)),
    "date32[day][pyarrow]": st.none() | st.dates(),
    "duration[us][pyarrow]": st.none() | st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
    pd.ArrowDtype(pa.decimal128(20, 3)): st.none() | st.decimals(-(10**6), 10**6, places=3),
}


@pytest.mark.parametrize("dtype", FRAME_DTYPES, ids=str)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_fast_roads_of_frames_agree_with_the_values(dtype, data):
    values = data.draw(st.lists(FRAME_DTYPES[dtype], max_size=4))
    series = pd.Series(values, dtype=dtype, name="x")
    for column in COLUMNS:
        check_series(series, column)


@given(
    values=st.lists(st.none() | st.sampled_from(["a", "b", "ä"]))
    | st.lists(st.none() | st.integers(0, 3))
    | st.lists(st.booleans()),
    extra=st.sampled_from(["zz", "2020-01-01"]),
)
@settings(max_examples=30, deadline=None)
def test_categoricals_agree_with_their_values(values, extra):
    series = pd.Series(pd.Categorical(values, categories=[*dict.fromkeys(v for v in values if v is not None), extra]), name="x")
    for column in COLUMNS:
        check_series(series, column)


def check_series(series: pd.Series, column: Column):
    named = series.rename(column.name)
    schema = schema_of(column)
    expected = outcome(lambda: values_feeds({column.name: named.astype(object).tolist()}, schema)[column.name])
    assert outcome(lambda: frame_feeds(named.to_frame(), schema)[column.name]) == expected


CELLS = st.one_of(
    st.sampled_from(["", "NA", "nan", "1", "1.0", " 2 ", "007", "1e3", ".5", "5.", "+3", "-0"]),
    st.sampled_from(["1_000", "0x10", "1,5", "inf", "-Infinity", "1e400", "9007199254740993", "\u0661", "1 2"]),
    st.sampled_from(
        ["true", "FALSE", "True", "yes", "2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01 12:30", "2020-W01-1", "ä"]
    ),
    st.floats().map(repr),
    st.integers(-(2**64), 2**64).map(str),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)


def cell_oracle(cell: str, column: Column):
    """What a cell means to a kind, spelled out plainly; ``DataTypeError`` where it means nothing."""
    if column.onnx_type == "STRING":
        return None if cell in schema_of().na else cell
    text = cell.strip(" ")
    if text in schema_of().na:
        return None
    if column.kind == "boolean" and column.dtype == "bool":
        return (
            {"true": True, "false": False}.get(text.lower(), cell)
            if text in (text.lower(), text.upper(), text.title())
            else cell
        )
    if column.kind == "datetime":
        return text
    if text.lower() in {sign + word for sign in ("", "+", "-") for word in ("inf", "infinity")}:
        return float(text)
    if set(text) <= set("0123456789+-.eE"):
        try:
            return int(text) if set(text) <= set("0123456789+-") and int(text) else float(text)
        except ValueError:
            return cell
    return cell


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.name != "wait"], ids=lambda column: column.name)
@given(cells=st.lists(CELLS, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_cells_agree_with_the_values_that_they_write(column, cells):
    schema = schema_of(column)
    by_cell = outcome(lambda: cells_feeds({column.name: cells}, schema)[column.name])
    expected = outcome(lambda: values_feeds({column.name: [cell_oracle(cell, column) for cell in cells]}, schema)[column.name])
    assert by_cell == expected


def test_durations_in_text_are_seconds():
    feeds = cells_feeds({"wait": ["1.5", "NA"]}, schema_of(BY_NAME["wait"]))
    np.testing.assert_array_equal(feeds["wait"], [[1.5], [np.nan]])


WIRE = [
    ("number", 3, np.float64, 3.0),
    ("single", 0.1, np.float32, np.float32(0.1)),
    ("money", Decimal("1.10"), np.float64, 1.1),
    ("wait", dt.timedelta(milliseconds=1500), np.float64, 1.5),
    ("wait", pd.Timedelta(1500, "ns"), np.float64, 1.5e-6),
    ("word", "ä\0", np.object_, "ä\0"),
    ("code", np.float64(3), np.int64, 3),
    ("code", None, np.int64, MISSING_INT64),
    ("flag", True, np.float64, 1.0),
    ("strict", False, np.bool_, False),
    ("bit", 1, np.float64, 1.0),
    ("bit", np.float32(0), np.float64, 0.0),
    ("strict bit", np.int8(1), np.bool_, True),
    ("day", dt.date(1969, 12, 31), np.int64, -86_400_000_000),
    ("day", "1969-12-31 23:59:59.9999999", np.int64, -1),
    ("day", np.datetime64(-1, "ns"), np.int64, -1),
    ("day", pd.Timestamp(-1, unit="ns"), np.int64, -1),
    ("moment", dt.datetime(1970, 1, 1, 2, tzinfo=ZONE), np.int64, 0),
    ("moment", "0001-01-01T00:00:00Z", np.int64, -62_135_596_800_000_000),
]


@pytest.mark.parametrize(("name", "value", "dtype", "expected"), WIRE)
def test_the_wire(name, value, dtype, expected):
    array = values_feeds({name: [value]}, schema_of(BY_NAME[name]))[name]
    assert array.dtype == dtype
    assert array.tolist() == [[expected]]


REFUSED = [
    ("number", "abc", r"column 'number', row 1: expected a number as in training, got the text 'abc'; .*to_numeric"),
    ("number", True, r"expected a number as in training, got the boolean True; .*astype\(int\)"),
    ("number", math.inf, r"the number inf is infinite; replace it"),
    ("number", 2**53 + 1, r"the integer 9007199254740993 is beyond 2\^53 and not exact as a number; .*categorical.*id"),
    ("number", dt.timedelta(1), r"expected a number as in training, got the duration 1 day, 0:00:00; .*total_seconds"),
    ("number", 1j, r"expected a number as in training, got a complex;"),
    ("single", 1e39, r"1e\+39 is beyond the range of float32"),
    ("wait", 3, r"expected a duration as in training, got the number 3; .*to_timedelta"),
    ("word", 1, r"expected text as in training, got the number 1; convert the column to text"),
    ("word", 1.0, r"expected text as in training, got the number 1.0;"),
    ("word", b"a", r"expected text as in training, got the bytes b'a'; decode"),
    ("word", "\ud800", r"half a surrogate pair"),
    ("code", "1", r"expected a whole number as in training, got the text '1'; .*Int64"),
    ("code", 1.5, r"expected a whole number as in training, got the number 1.5;"),
    ("number", np.timedelta64(3, "s"), r"expected a number as in training, got the duration 3 seconds; .*total_seconds"),
    ("code", np.timedelta64(3, "s"), r"expected a whole number as in training, got the duration 3 seconds"),
    ("code", True, r"expected a whole number as in training, got the boolean True;"),
    ("code", -(2**63), r"the integer -9223372036854775808 stands for missing"),
    ("code", 2**63, r"the integer 9223372036854775808 is beyond int64; convert the column to text"),
    ("flag", 1, r"expected True or False as in training, got the number 1;"),
    ("flag", "true", r"expected True or False as in training, got the text 'true';"),
    ("bit", True, r"expected the number 0 or 1 as in training, got the boolean True; convert the column with .astype\(int\)"),
    ("bit", 2, r"expected the number 0 or 1 as in training, got the number 2;"),
    ("bit", 0.5, r"expected the number 0 or 1 as in training, got the number 0.5;"),
    ("strict bit", None, r"the value is missing, and the column was declared strict_bool"),
    ("strict", None, r"the value is missing, and the column was declared strict_bool"),
    (
        "day",
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        r"expected a date without time zone.*got the zoned date 2020-01-01T00:00:00\+00:00;",
    ),
    ("day", 3, r"expected a date as in training, got the number 3; .*to_datetime"),
    ("day", "1.2.2020", r"expected a date as in training, got the text '1.2.2020'; write dates as YYYY-MM-DD"),
    ("day", np.datetime64("300000-01-01"), r"beyond the range of microseconds"),
    (
        "moment",
        dt.datetime(2020, 1, 1),
        r"expected a date with time zone.*got the naive date 2020-01-01T00:00:00; .*tz_localize",
    ),
    ("moment", "2020-01-01", r"expected a date with time zone.*got the text '2020-01-01';"),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_refusals_say_column_row_value_and_the_way_out(name, value, message):
    good = {"strict": True, "strict bit": 1}.get(name)
    schema = schema_of(BY_NAME[name])
    with pytest.raises(DataTypeError, match=message) as by_value:
        values_feeds({name: [good, value]}, schema)
    assert str(by_value.value).startswith(f"column {name!r}, row 1: ")
    assert "\n" not in str(by_value.value)
    with pytest.raises(DataTypeError) as by_frame:
        frame_feeds(pd.DataFrame({name: pd.Series([good, value], dtype=object)}), schema)
    assert str(by_frame.value) == str(by_value.value)
    with pytest.raises(DataTypeError) as by_row:
        row_encoder(schema)({name: value})
    assert str(by_row.value) == str(by_value.value).replace(", row 1", "")


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize("column", [column for column in COLUMNS if not column.strict_bool], ids=lambda column: column.name)
def test_every_spelling_of_missing(column, missing):
    expected = {"DOUBLE": math.nan, "FLOAT": math.nan, "INT64": MISSING_INT64, "STRING": ""}[column.onnx_type]
    array = row_encoder(schema_of(column))({column.name: missing})[column.name]
    assert repr(array.tolist()) == repr([[expected]])


@pytest.mark.parametrize("column", [column for column in COLUMNS if not column.strict_bool], ids=lambda column: column.name)
@pytest.mark.parametrize("dtype", ["float64", "object", "str", "datetime64[ns]", "Int64", "category", "bool[pyarrow]"])
def test_a_column_without_values_fits_every_kind(column, dtype):
    frame = pd.DataFrame({column.name: pd.Series([None, None], dtype=dtype)})
    array = frame_feeds(frame, schema_of(column))[column.name]
    assert array.shape == (2, 1)
    assert repr(array.tolist()) == repr(values_feeds({column.name: [None, None]}, schema_of(column))[column.name].tolist())


def test_columns_are_found_by_name_and_others_ignored():
    frame = pd.DataFrame({"extra": [1], "word": ["a"], "number": [1.5]})
    feeds = frame_feeds(frame, schema_of(BY_NAME["number"], BY_NAME["word"]))
    assert list(feeds) == ["number", "word"]


@pytest.mark.parametrize(
    "call",
    [
        lambda schema: frame_feeds(pd.DataFrame({"numbre": [1.0], 3: [4]}), schema),
        lambda schema: values_feeds({"numbre": [1.0], "3": [4]}, schema),
        lambda schema: cells_feeds({"numbre": ["1"], "3": ["4"]}, schema),
        lambda schema: row_encoder(schema)({"numbre": 1.0, "3": 4}),
    ],
)
def test_a_column_that_is_gone_is_named_with_its_neighbour(call):
    with pytest.raises(
        ColumnNotFoundError, match=r"needs column 'number'; the table has 'numbre', '3'. Did you mean 'numbre'\?"
    ):
        call(schema_of(BY_NAME["number"]))


def test_columns_that_the_model_needs_itself_are_no_suggestion():
    schema = schema_of(BY_NAME["number"], replace(BY_NAME["number"], name="number2"))
    for other in ("number2", schema.target.name):
        wanted = schema if other == "number2" else schema_of(replace(BY_NAME["number"], name=f"{other}s"))
        with pytest.raises(ColumnNotFoundError, match=rf"the table has '{other}'\.$"):
            values_feeds({other: [1.0]}, wanted)


def test_two_columns_of_one_name():
    frame = pd.DataFrame([[1.0, 2.0]], columns=["number", "number"])
    with pytest.raises(DataError, match="2 columns named 'number'; rename or drop all but one"):
        frame_feeds(frame, schema_of(BY_NAME["number"]))


def test_cells_name_the_line():
    with pytest.raises(
        DataTypeError, match="column 'number', line 7: expected a number as in training, got the text '1,5'; mend the cell"
    ):
        cells_feeds({"number": ["1", "1,5"]}, schema_of(BY_NAME["number"]), [5, 7])


def test_no_rows():
    schema = schema_of(*COLUMNS)
    by_frame = frame_feeds(pd.DataFrame({column.name: [] for column in COLUMNS}), schema)
    by_cells = cells_feeds({column.name: [] for column in COLUMNS}, schema)
    for column in COLUMNS:
        assert by_frame[column.name].shape == by_cells[column.name].shape == (0, 1)
        assert by_frame[column.name].dtype == by_cells[column.name].dtype


def test_a_frame_with_any_index_and_views():
    frame = pd.DataFrame({"number": np.arange(10.0)[::-2], "word": list("abcde")}, index=[3, 3, 3, 1, 0])
    feeds = frame_feeds(frame.iloc[::-1], schema_of(BY_NAME["number"], BY_NAME["word"]))
    assert feeds["number"][:, 0].tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert feeds["number"].flags.c_contiguous
    assert feeds["word"][:, 0].tolist() == list("edcba")
