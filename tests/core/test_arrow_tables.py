"""Tables of other libraries: Polars, pyarrow, and streams of batches."""

import datetime as dt
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from small_models import CODES, FEATURES, PRICE, schema_of, small_model

from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError
from onnxlearn.files import arrow
from onnxlearn.files.arrow import ArrowTable
from onnxlearn.files.tables import open_table
from onnxlearn.inspection.rows import read_rows
from onnxlearn.model import Model, as_frame

N = 40


@pytest.fixture(scope="module")
def model():
    return Model(small_model(schema_of(PRICE, FEATURES)))


def some_rows():
    return {
        "x": [None if i % 7 == 0 else i / 8 for i in range(N)],
        "small": np.arange(N, dtype=np.float32),
        "city": [(None, "Bonn", "Köln", "Mond 🌙")[i % 4] for i in range(N)],
        "zone": [None if i % 5 == 0 else i % 3 for i in range(N)],
        "flag": [(None, True, False)[i % 3] for i in range(N)],
        "day": [None if i % 6 == 0 else dt.datetime(2000 + i, 1, 2, 3, 4, 5, 6) for i in range(N)],
        "price": [float(i) for i in range(N)],
    }


def forms(table):
    polars = pl.DataFrame(some_rows(), schema_overrides={"small": pl.Float32, "zone": pl.Int64})
    large = table.set_column(2, "city", table["city"].cast(pa.large_string()))
    coded = table.set_column(2, "city", table["city"].dictionary_encode())
    halves = pa.concat_tables([table.slice(0, 13), table.slice(13)])
    return {
        "arrow": table,
        "arrow large": large,
        "arrow dictionary": coded,
        "arrow chunks": halves,
        "batch": table.combine_chunks().to_batches()[0],
        "stream": pa.RecordBatchReader.from_batches(table.schema, halves.to_batches()),
        "polars": polars,
        "polars categories": polars.with_columns(pl.col("city").cast(pl.Categorical)),
        "polars parts": pl.concat([polars[:13], polars[13:]], rechunk=False),
        "pandas of arrow": table.to_pandas(types_mapper=pd.ArrowDtype),
    }


def test_every_form_gives_the_same(model):
    table = pa.table(some_rows())
    expected = model.predict({name: list(values) for name, values in some_rows().items()}).to_frame()
    for name, form in forms(table).items():
        got = model.predict(form)
        pd.testing.assert_frame_equal(got.to_frame(), expected, obj=name)
        np.testing.assert_array_equal(got.truth, np.arange(N), err_msg=name)


def test_integers_with_holes_are_not_rounded():
    model = Model(small_model(schema_of(CODES, FEATURES)))
    code = 2**53 + 1
    columns = {name: values[:2] for name, values in some_rows().items()} | {"zone": [None, code]}
    for table in (pa.table(columns), pl.DataFrame(columns)):
        assert as_frame(table)["zone"].tolist()[1] == code
        pd.testing.assert_frame_equal(
            model.predict(table).to_frame(), model.predict({name: list(values) for name, values in columns.items()}).to_frame()
        )


def test_a_stream_is_read_a_batch_at_a_time(model):
    table = pa.table(some_rows())
    taken = []

    def batches():
        for i in range(3):
            taken.append(i)
            yield from table.to_batches()

    stream = pa.RecordBatchReader.from_batches(table.schema, batches())
    assert taken == []
    assert len(model.predict(stream).response) == 3 * N
    assert taken == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 7, N])
def test_batches_of_any_size_are_cut_where_a_table_is(model, monkeypatch, size):
    """Small ones would each cost a call, and cuts elsewhere would change the last digits."""
    monkeypatch.setattr(arrow, "MAX_BATCH_ROWS", 15)
    table = pa.table(some_rows())
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=size))
    parts = list(ArrowTable(stream).batches())
    assert [len(part) for part in parts] == [15, 15, 10]
    read = np.concatenate([part.feeds(model.schema)["small"][:, 0] for part in parts])
    assert read.tolist() == list(range(N))
    wrong = table.set_column(0, "x", pa.array(["one"] * N))
    with pytest.raises(DataTypeError, match="column 'x', row 15"):
        list(ArrowTable(wrong).batches())[1].feeds(model.schema)


def test_datasets(model, tmp_path):
    """Files and folders of pyarrow's, whose parts may say a column's value by their folder's name."""
    table = pa.table(some_rows())
    expected = model.predict(table).to_frame()
    ds.write_dataset(
        table, tmp_path, format="parquet", partitioning=ds.partitioning(pa.schema([("zone", pa.int64())]), flavor="hive")
    )
    assert (tmp_path / "zone=1").is_dir()
    dataset = ds.dataset(tmp_path, partitioning="hive")
    order = np.argsort(dataset.to_table()["small"].to_numpy())
    for form in (dataset, dataset.scanner()):
        found = model.predict(form).to_frame().iloc[order].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)
    assert sorted(as_frame(dataset)["small"]) == list(range(N))


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_what_was_read_of_a_file_is_let_go(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    group = pa.table({"x": np.random.default_rng(0).random(20_000)})
    write(path, group, 20)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with open_table(path) as reader:
            # What comes of a file of Python's is Python's memory, not pyarrow's.
            held = [tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() for _ in reader.batches(10_000)]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 20 * group.nbytes
    assert len(held) == 40
    assert max(held) - before < 5 * group.nbytes


def write(path, group, times):
    if path.suffix == ".parquet":
        with pq.ParquetWriter(path, group.schema) as writer:
            for _ in range(times):
                writer.write_table(group)
        return
    make = pa.ipc.new_stream if path.suffix == ".arrow" else pa.ipc.new_file
    with make(path, group.schema) as writer:
        for _ in range(times):
            writer.write_table(group)


def test_no_rows(model):
    assert len(model.predict(pa.table(some_rows()).slice(0, 0)).response) == 0
    assert len(model.predict(pl.DataFrame(some_rows())[:0]).response) == 0


def test_what_does_not_fit_is_told(model):
    frame = pl.DataFrame(some_rows())
    with pytest.raises(ColumnNotFoundError, match="'city'"):
        model.predict(frame.drop("city"))
    with pytest.raises(DataTypeError, match="column 'x', row 0"):
        model.predict(frame.with_columns(x=pl.Series(["one"] * N)))
    with pytest.raises(DataError, match=r"a LazyFrame has no rows yet: give it as table.collect\(\)"):
        model.predict(frame.lazy())
    with pytest.raises(DataError, match="occur more than once"):
        model.predict(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]))


def test_they_can_be_looked_into(model):
    rows = read_rows(model, pl.DataFrame(some_rows()))
    assert len(rows) == N
