"""Files as tables: strict reading, the same feeds in batches and whole, every bad file with its line."""

import gzip
import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, MissingExtraError, TableReadError, UnknownNameError
from onnxlearn.files.tables import open_table, read_whole, table_format, table_name
from onnxlearn.task import Task


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def cells(path, **options):
    with open_table(path, **options) as reader:
        columns = {name: [] for name in reader.columns}
        for batch in reader.batches():
            for name, values in columns.items():
                values.extend(batch.column(name))
    return columns


def feeds_in_batches(path, schema, rows, **options):
    with open_table(path, **options) as reader:
        parts = [(batch.feeds(schema), batch.truth(schema)) for batch in reader.batches(rows)]
    feeds = {name: np.concatenate([part[name] for part, _ in parts]) for name in schema.feature_names}
    return feeds, np.concatenate([truth for _, truth in parts])


def assert_same_feeds(left, right):
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype
        np.testing.assert_array_equal(array, right[name], err_msg=name)


# ------------------------------ one table, all formats

MIXED = pd.DataFrame(
    {
        "amount": [1.5, None, -3.25, 1e-300, 7.0, 2.0] * 5,
        "count": pd.array([1, None, 3, 2**53, 5, 7] * 5, dtype="Int64"),
        "flag": pd.array([True, None, False, True, True, False] * 5, dtype="boolean"),
        "word": ["a", None, 'ä,;\n"x"', "b", "a", " c "] * 5,
        "zip": ["0123", "1234", "0001", "0123", "9999", None] * 5,
        "day": ["2020-02-29", None, "1969-12-31", "0001-01-01", "9999-12-31", "2020-02-29"] * 5,
        "moment": ["2020-02-29T01:02:03.000004Z", "2020-02-29T01:02:03+02:00", None] * 10,
        "y": ["no", "yes", "maybe"] * 10,
    }
)


def save(frame, path):
    suffixes = path.name.split(".")[1:]
    if suffixes[0] == "parquet":
        frame.to_parquet(path, row_group_size=7)
    elif suffixes[0] in ("feather", "arrow"):
        frame.to_feather(path)
    elif suffixes[0] in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if suffixes[0] == "tsv" else ",")
    else:
        frame.to_json(path, orient="records", lines=True, double_precision=15)
    return path


@pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "csv.gz", "tsv.gz", "parquet", "feather", "arrow", "jsonl", "ndjson.gz", "json"]
)
def test_whole_and_in_batches_give_the_same_feeds(tmp_path, suffix):
    frame = MIXED.copy()
    if "json" in suffix:
        frame["amount"] = frame["amount"].replace(1e-300, 0.5)  # to_json writes it as 0
    path = save(frame, tmp_path / f"mixed.{suffix}")
    task = Task.from_file(path, "y")
    kinds = {column.name: (column.kind, column.dtype) for column in task.schema.features}
    assert kinds == {
        "amount": ("numeric", "float64"),
        "count": ("numeric", "int64"),
        "flag": ("boolean", "bool"),
        "word": ("categorical", "str"),
        "zip": ("categorical", "str"),
        "day": ("datetime", "naive"),
        "moment": ("datetime", "utc"),
    }
    assert task.name == "mixed"
    for rows in (1, 7, 1000, None):
        feeds, truth = feeds_in_batches(path, task.schema, rows)
        assert_same_feeds(feeds, task.feeds())
        np.testing.assert_array_equal(truth, task.truth())
    assert_same_feeds(Task.from_frame(frame, "y").feeds(), task.feeds())


def test_parquet_keeps_types_exactly(tmp_path):
    frame = pd.DataFrame(
        {
            "size": pd.Categorical(["s", "m", None], categories=["s", "m", "l"], ordered=True),
            "when": pd.to_datetime(["2020-01-01", None, "1960-01-01"]).tz_localize("Europe/Berlin"),
            "wait": pd.to_timedelta(["1s", None, "3s"]),
            "single": np.array([0.1, 2, 3], dtype=np.float32),
            "code": pd.array([2**62 + 1, None, 3], dtype="Int64"),
            "day": [pd.Timestamp("2020-01-01").date(), None, pd.Timestamp("1960-01-01").date()],
            "y": [0.5, 1.5, 2.5],
        },
        index=[5, 6, 7],
    )
    path = save(frame, tmp_path / "t.parquet")
    with open_table(path) as reader:
        assert reader.columns == tuple(frame.columns)
    task = Task.from_file(path, "y", kinds={"code": "categorical"})
    expected = Task.from_frame(frame, "y", kinds={"code": "categorical"})
    assert task.schema.features == expected.schema.features
    assert_same_feeds(task.feeds(), expected.feeds())
    feeds, truth = feeds_in_batches(path, task.schema, 2)
    assert_same_feeds(feeds, expected.feeds())
    np.testing.assert_array_equal(truth, expected.truth())


ROW = st.fixed_dictionaries(
    {
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "s": st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=5).filter(
            # Nothing else in the column, and it is one of flags.
            lambda text: text.strip().lower() not in ("true", "false")
        ),
        "y": st.floats(-5, 5),
    }
)


@given(rows=st.lists(ROW, min_size=2, max_size=8), step=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_any_csv_reads_the_same_in_batches_and_whole(tmp_path_factory, rows, step):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    pd.DataFrame(rows, columns=["x", "s", "y"]).to_csv(path, index=False, lineterminator="\n")
    # A column of blanks alone is one of nothing.
    task = Task.from_file(path, "y", kinds={"s": "categorical"} if any((row["s"] or "").strip(" ") for row in rows) else {})
    feeds, truth = feeds_in_batches(path, task.schema, step)
    assert_same_feeds(feeds, task.feeds())
    np.testing.assert_array_equal(truth[:, 0], [row["y"] for row in rows])


@given(rows=st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), max_size=9), step=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_cells_come_as_they_were_written(tmp_path_factory, rows, step):
    import csv

    rows = [[cell.encode("utf-8", "ignore").decode() for cell in row] for row in rows]
    path = tmp_path_factory.mktemp("cells") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    with open_table(path) as reader:
        got = [list(row) for batch in reader.batches(step) for row in zip(batch.column("a"), batch.column("b"), strict=True)]
    assert got == rows


# ------------------------------ bad files

BAD_FILES = [
    ("empty.csv", "", "the file is empty; its first line has to name the columns"),
    ("blank.csv", "\na,b\n", "the first line is blank"),
    (
        "ragged.csv",
        "a,b\n1,2\n1,2,3\n",
        "line 3 has 3 fields, the header names 2 columns; mend the line, or quote fields that hold ','",
    ),
    ("short.csv", "a,b\n1\n", "line 2 has 1 fields, the header names 2 columns"),
    ("multi.csv", 'a,b\n"1\n2",2\n"x\r\ny",3\n1,2,3\n', "line 6 has 3 fields"),
    ("semicolon.csv", "a;b\n1;2\n", "separated by ';', not by ','; save it with commas, and its numbers with a decimal point"),
    ("tabs.csv", "a\tb\n1\t2\n", "separated by tab, not by ','; say --format tsv"),
    ("commas.tsv", "a,b\n1,2\n", "separated by ',', not by tab; say --format csv"),
    ("twice.csv", "a,b,a\n1,2,3\n", "the header names 'a' more than once; rename or drop all but one"),
    ("gap.csv", "a,b\n1,2\n\n3,4\n", "line 3 is blank, with rows after it; remove it"),
    ("quote.csv", 'a,b\n"1"x,2\n', "line 2: .*mend the quoting there"),
    ("open.csv", 'a,b\n"1,2\n3,4\n', "mend the quoting there"),
    ("empty.jsonl", "", "the file is empty; it has to hold one JSON object a line"),
    ("bad.jsonl", '{"a": 1}\n{"a": }\n', r"line 2 is no JSON \(.*\); write one object a line"),
    ("list.json", '[{"a": 1}]\n', "line 1 holds a list; write one JSON object a line"),
    ("keys.jsonl", '{"a": 1, "b": 2}\n{"b": 1}\n', "line 2 lacks the key 'a' of the lines before; write null for missing"),
    ("more.jsonl", '{"a": 1}\n{"a": 1, "c": 1}\n', "line 2 has the key 'c', which the lines before lack; write null there"),
    ("twice.jsonl", '{"a": 1, "a": 2}\n', "line 1: the key 'a' occurs more than once; keep one of them"),
    ("gap.jsonl", '{"a": 1}\n\n{"a": 1}\n', "line 2 is blank, with rows after it; remove it"),
    ("text.parquet", "a,b\n1,2\n", "no Parquet file, or damaged"),
    ("text.feather", "a,b\n1,2\n", "no Arrow file, or damaged"),
    ("empty.parquet", "", "no Parquet file, or damaged"),
    ("empty.arrow", "", "no Arrow file, or damaged"),
    ("text.csv.gz", "a,b\n1,2\n", "the gzip file is damaged"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_FILES, ids=[name for name, *_ in BAD_FILES])
def test_bad_files(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(TableReadError, match=message) as caught:
        cells(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_utf8_names_the_line(tmp_path):
    text = "a,b\n" + "1,x\n" * 5000 + "2,ä\n" + "1,x\n" * 5000
    with pytest.raises(TableReadError, match=r"line 5002 is not UTF-8 \(byte 0xe4\); save it as UTF-8"):
        cells(write(tmp_path / "latin.csv", text, "latin-1"))
    with pytest.raises(TableReadError, match=r"line 1 is not UTF-8 \(byte 0xff\); .* iconv -f utf-16"):
        cells(write(tmp_path / "wide.csv", text, "utf-16"))
    lines = '{"a": "x"}\n' * 2000 + '{"a": "ä"}\n'
    with pytest.raises(TableReadError, match="line 2001 is not UTF-8"):
        cells(write(tmp_path / "latin.jsonl", lines, "latin-1"))


def test_truncated_files(tmp_path):
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(TableReadError, match="the gzip file is damaged"):
        cells(tmp_path / "t.csv.gz")
    save(MIXED, tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TableReadError, match="no Parquet file, or damaged"):
        cells(tmp_path / "t.parquet")


def test_files_that_cannot_be_opened(tmp_path):
    write(tmp_path / "penguins.csv", "a,b\n1,2\n")
    with pytest.raises(TableReadError, match=r"there is no file .*pengins.csv'. Did you mean 'penguins.csv'\?"):
        open_table(tmp_path / "pengins.csv")
    write(tmp_path / "oof.csv", "a,b\n1,2\n")
    with pytest.raises(TableReadError, match=r"there is no file .*zero.csv'\.$"):
        open_table(tmp_path / "zero.csv")
    with pytest.raises(TableReadError, match=r"There is no folder .*nowhere' either"):
        open_table(tmp_path / "nowhere" / "t.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableReadError, match=r"the folder .*folder.csv' holds no table: files ending in 'csv', "):
        open_table(tmp_path / "folder.csv")
    with pytest.raises(TableReadError, match=r"the suffix of 't.xlsx' is none that can be read; the formats are 'csv', 'tsv'"):
        open_table("t.xlsx")
    with pytest.raises(TableReadError, match="the suffix of 'csv' is none"):
        open_table("csv")
    with pytest.raises(TableReadError, match="format 'excel' is none that can be read"):
        open_table("t.csv", "excel")
    with pytest.raises(TableReadError, match="only text files may be gzipped"):
        open_table("t.parquet.gz")
    with pytest.raises(TableReadError, match="standard input has no suffix to tell its format; say --format"):
        open_table("-")
    with pytest.raises(
        UnknownNameError, match=r"there is no example 'pengins'; there are 'breast_cancer', .*. Did you mean 'penguins'\?"
    ):
        open_table("example:pengins")


def test_header_only(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n")
    with pytest.raises(TableReadError, match="has a header and no rows"):
        read_whole(path)
    with open_table(path) as reader:
        batches = list(reader.batches())
    assert [len(batch) for batch in batches] == [0]
    assert list(batches[0].column("a")) == []


@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv"])
def test_tables_without_rows_give_one_empty_batch(tmp_path, suffix):
    task = Task.from_frame(MIXED, "y")
    path = tmp_path / f"t.{suffix}"
    save(MIXED.iloc[:0], path)
    feeds, truth = feeds_in_batches(path, task.schema, None)
    assert truth.shape == (0,)
    for name, array in task.feeds().items():
        assert feeds[name].shape == (0, 1)
        assert feeds[name].dtype == array.dtype


# ------------------------------ good details


def test_byte_order_mark_line_ends_and_trailing_blanks(tmp_path):
    path = write(tmp_path / "t.csv", "\ufeffa,b\r\n1,2\r\n3,4\r\n\r\n\r\n")
    assert cells(path) == {"a": ["1", "3"], "b": ["2", "4"]}


def test_a_blank_line_of_one_column_is_an_empty_cell(tmp_path):
    path = write(tmp_path / "t.csv", "a\n1\n\n3\n\n")
    with open_table(path) as reader:
        got = [(cell, line) for batch in reader.batches(1) for cell, line in zip(batch.column("a"), batch.lines, strict=True)]
    assert got == [("1", 2), ("", 3), ("3", 4)]


def test_lines_of_rows_with_fields_over_several_lines(tmp_path):
    path = write(tmp_path / "t.csv", 'a,b\n"x\ny",1\n2,2\n"p\r\nq\nr",3\n4,oops\n')
    task = Task.from_frame(pd.DataFrame({"a": ["u", "v"], "b": [1, 2], "y": [0.5, 1.5]}), "y")
    for rows in (None, 1, 2):
        with (
            open_table(path) as reader,
            pytest.raises(DataTypeError, match="column 'b', line 8: expected a number as in training"),
        ):
            [batch.feeds(task.schema) for batch in reader.batches(rows)]


def test_rows_of_parquet_are_counted_through_batches(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2, 3, np.inf], "y": [1, 2, 3, 4.5]})
    path = save(frame, tmp_path / "t.parquet")
    task = Task.from_frame(frame.iloc[:3], "y")
    with open_table(path) as reader, pytest.raises(DataTypeError, match="column 'x', row 3: the number inf is infinite"):
        [batch.feeds(task.schema) for batch in reader.batches(2)]


def test_types_of_whole_text_columns(tmp_path):
    text = "i,f,b,z,t,big,wide,e,mix,hole\n"
    text += "1,1.5,true,007,a,9007199254740993,99999999999999999999,NA,1,1\n-2,1e3,False,12,NA,1,1,,x,NA\n"
    whole = read_whole(write(tmp_path / "t.csv", text))
    frame = whole.frame
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "i": "int64", "f": "float64", "b": "bool", "z": "str", "t": "str", "big": "int64", "wide": "object",
        "e": "float64", "mix": "str", "hole": "Int64",
    }  # fmt: skip
    assert frame["big"].tolist() == [9007199254740993, 1]
    assert whole.notes == ("column 't': cells of text read as missing: 'NA' (1); na (--na) says which cells mean missing",)
    assert whole.where(1) == "line 3"


def test_na_replaces_the_usual_spellings(tmp_path):
    path = write(tmp_path / "t.csv", "x,s,y\n-9,NA,1.5\n2,,2.5\n3,-9,3.5\n")
    task = Task.from_file(path, "y", na=["-9"])
    assert task.schema.na == ("", "-9")
    assert task.schema.column("s").levels == ("NA",)
    feeds, _ = feeds_in_batches(path, task.schema, 2)
    assert_same_feeds(feeds, task.feeds())
    np.testing.assert_array_equal(feeds["x"][:, 0], [np.nan, 2, 3])
    assert feeds["s"][:, 0].tolist() == ["NA", "", ""]


def test_truth_in_files(tmp_path):
    task = Task.from_frame(pd.DataFrame({"x": [1.5, 2.5, 3.5], "y": [True, False, True]}), "y")
    with open_table(write(tmp_path / "t.csv", "y,x\nfalse,1\nTRUE,2\n")) as reader:
        assert [batch.truth(task.schema).tolist() for batch in reader.batches()] == [[0, 1]]
    with open_table(write(tmp_path / "t.csv", "x\n1\n")) as reader:
        assert [batch.truth(task.schema) for batch in reader.batches()] == [None]
    with (
        open_table(write(tmp_path / "t.csv", "y,x\n1,1\n")) as reader,
        pytest.raises(DataTypeError, match="'y', line 2: expected True or"),
    ):
        next(reader.batches()).truth(task.schema)
    with open_table(write(tmp_path / "t.jsonl", '{"y": true, "x": 1}\n{"y": null, "x": 1}\n')) as reader:
        batch = next(reader.batches())
        with pytest.raises(DataError, match="target 'y', line 2: the true value is missing"):
            batch.truth(task.schema)
        with pytest.raises(ColumnNotFoundError, match="--keep needs column 'z'; the table has 'y', 'x'"):
            batch.column("z")


def test_json_values(tmp_path):
    path = write(
        tmp_path / "t.jsonl", '{"x": 1, "s": "a", "y": 1.5}\n{"s": null, "x": NaN, "y": 2}\n{"x": [1], "s": "b", "y": 3}\n'
    )
    task = Task.from_frame(pd.DataFrame({"x": [1.0, 2], "s": ["a", "b"], "y": [1.5, 2]}), "y")
    with (
        open_table(path) as reader,
        pytest.raises(DataTypeError, match="column 'x', line 3: expected a number as in training, got a list"),
    ):
        next(reader.batches()).feeds(task.schema)
    with open_table(path) as reader:
        feeds = next(reader.batches(2)).feeds(task.schema)
    np.testing.assert_array_equal(feeds["x"], [[1], [np.nan]])
    assert feeds["s"].tolist() == [["a"], [""]]


def test_json_durations_are_seconds(tmp_path):
    frame = pd.DataFrame({"wait": pd.to_timedelta([1, 2], unit="s"), "y": [1.5, 2]})
    path = write(tmp_path / "t.jsonl", '{"wait": 1.5}\n')
    with open_table(path) as reader:
        assert next(reader.batches()).feeds(Task.from_frame(frame, "y").schema)["wait"].tolist() == [[1.5]]


def test_standard_input(tmp_path):
    code = "from onnxlearn.files.tables import open_table\n"
    code += "import os\nwith open_table('-', {!r}) as r: print([len(b) for b in r.batches()], r.columns)\nos.fstat(0)"
    save(MIXED, tmp_path / "t.parquet")
    packed = gzip.compress(b"a,b\n1,2\n")
    for suffix, data in (("csv", b"a,b\n1,2\n"), ("csv.gz", packed), ("parquet", (tmp_path / "t.parquet").read_bytes())):
        done = subprocess.run([sys.executable, "-c", code.format(suffix)], input=data, capture_output=True, check=True)
        assert b"[1]" in done.stdout or b"[30]" in done.stdout


def test_reading_text_needs_no_pandas(tmp_path):
    schema = Task.from_frame(MIXED.drop(columns="y").assign(y=range(30)), "y", type="regression").schema
    path = save(MIXED, tmp_path / "t.csv")
    code = (
        "import sys, json\n"
        "for name in ('pandas', 'onnxruntime', 'sklearn', 'pyarrow', 'onnx', 'torch'): sys.modules[name] = None\n"
        "from onnxlearn.schema import Schema\nfrom onnxlearn.files.tables import open_table\n"
        f"schema = Schema.from_dict(json.loads({json.dumps(schema.to_dict())!r}))\n"
        f"with open_table({str(path)!r}) as reader: print([len(b.feeds(schema)['word']) for b in reader.batches()])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[30]\n"


def test_pyarrow_missing(tmp_path, monkeypatch):
    path = save(MIXED, tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs the package pyarrow: pip install 'onnxlearn\[files\]'"):
        open_table(path)


def test_the_penguins():
    task = Task.from_file("example:penguins", "species")
    assert (task.name, task.n_rows, task.schema.target.classes) == ("penguins", 344, ("Adelie", "Chinstrap", "Gentoo"))
    frame = read_whole("example:penguins").frame
    assert frame["sex"].isna().sum() == 11
    assert frame["body_mass_g"].isna().sum() == 2


def test_names_and_formats():
    assert table_name("a/b.c.csv.gz") == "b"
    assert table_format("-", "tsv") == ("tsv", False)
    assert table_format("data", "ndjson") == ("jsonl", False)
    assert table_format("data.csv.gz", "tsv") == ("tsv", True)


def test_an_unreadable_file(tmp_path):
    path = write(tmp_path / "t.csv", "a\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(TableReadError, match=r"cannot read .*: Permission denied"):
        open_table(path)


def test_big_files_are_read_in_constant_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "t.csv"
    with path.open("w") as file:
        file.write("a,b\n")
        for _ in range(10):
            file.write("1.25,some text that takes room\n" * 10_000)
    tracemalloc.start()
    with open_table(path) as reader:
        assert sum(len(batch) for batch in reader.batches(1000)) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_readers_close_their_file(tmp_path):
    file = io.BytesIO(b"a,b\n1,2\n")
    from onnxlearn.files.text import CellReader, decoded

    with CellReader(decoded(file, compressed=False), "t", delimiter=",") as reader:
        list(reader.batches())
    assert file.closed


@pytest.mark.parametrize(
    ("cells", "dtype"), [("1,-inf,2", "float64"), ("1,Infinity,", "float64"), ("inf,inf,inf", "str"), ("inf,a,1", "str")]
)
def test_infinity_beside_numbers_is_a_number(tmp_path, cells, dtype):
    table = write(tmp_path / "t.csv", "x,y\n" + "".join(f"{cell},1\n" for cell in cells.split(",")))
    frame = read_whole(table).frame
    assert str(frame["x"].dtype) == dtype
